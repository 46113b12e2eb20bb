//===- Packing.cpp - weights from model files to panels -------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "LinearPanel.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>
#include <cstring>

using namespace pith::cpu;
using llvm::divideCeil;

//===----------------------------------------------------------------------===//
// Layout
//===----------------------------------------------------------------------===//

static int64_t lineElements(WeightFormat format) {
  switch (format) {
  case WeightFormat::F32:
    return 1;
  case WeightFormat::F16:
  case WeightFormat::BF16:
    return 2;
  case WeightFormat::Int8:
    return 4;
  case WeightFormat::Int4:
    return 8;
  }
  return 1;
}

PanelShape::PanelShape(const LinearLayout &layout)
    : format(layout.format), integers(format == WeightFormat::Int8 || format == WeightFormat::Int4),
      zeroPoints(integers && layout.zeroPoints), k(layout.k), lineK(lineElements(format)),
      lines(divideCeil(k, lineK)) {
  if (!integers)
    return;
  block = layout.block > 0 && layout.block < k ? layout.block : paddedK();
  blocks = divideCeil(k, block);
  blockLines = block / lineK;
  groupBlocks = zeroPoints ? 4 : 2;
  scaleBytes = layout.wideScales ? 4 : 2;
  zerosOffset = groupBlocks * rows * scaleBytes;
  headerBytes = zerosOffset + (zeroPoints ? groupBlocks * rows : 0);
  groupBytes = headerBytes + groupBlocks * blockLines * lineBytes;
  defaultZero = format == WeightFormat::Int4 ? 8 : 128;
}

int64_t PanelShape::bytes() const {
  if (!integers)
    return lines * lineBytes;
  return blockOffset(blocks - 1) + linesOf(blocks - 1) * lineBytes;
}

int64_t pith::cpu::panelCount(const LinearLayout &layout) {
  if (layout.glu)
    return 2 * int64_t(divideCeil(layout.n / 2, PanelShape::rows));
  return divideCeil(layout.n, PanelShape::rows);
}

bool LinearLayout::operator==(const LinearLayout &o) const {
  return format == o.format && n == o.n && k == o.k && block == o.block && zeroPoints == o.zeroPoints &&
         wideScales == o.wideScales && glu == o.glu && panelRows == o.panelRows;
}

int64_t LinearLayout::panelBytes() const { return PanelShape(*this).bytes(); }
int64_t LinearLayout::sizeBytes() const { return panelCount(*this) * panelBytes(); }

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

static float bitsToFloat(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

static uint32_t floatToBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

static float halfToFloat(uint16_t half) {
  uint32_t sign = uint32_t(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
  if (exponent == 0)
    return bitsToFloat(sign | floatToBits(float(mantissa) * 0x1p-24f));
  return bitsToFloat(sign | (exponent == 31 ? 0x7f800000 : (exponent + 112) << 23) | mantissa << 13);
}

/// Rounds to nearest even; what is too large becomes infinity, NaN stays NaN.
static uint16_t floatToHalf(float value) {
  uint32_t bits = floatToBits(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000)
    return uint16_t(sign | 0x7e00);
  if (magnitude >= 0x477ff000)
    return uint16_t(sign | 0x7c00);
  if (magnitude < 0x38800000) // subnormal: adding 1/2 leaves a multiple of 2^-24 in the low bits
    return uint16_t(sign | (floatToBits(bitsToFloat(magnitude) + 0.5f) - floatToBits(0.5f)));
  return uint16_t(sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

static float bfloatToFloat(uint16_t value) { return bitsToFloat(uint32_t(value) << 16); }

static uint16_t floatToBfloat(float value) {
  uint32_t bits = floatToBits(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return uint16_t(bits >> 16 | 0x40);
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// Model files align nothing.
template <typename T>
static T loadAt(const void *data, int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const uint8_t *>(data) + index * int64_t(sizeof(T)), sizeof(T));
  return value;
}

static float loadFloat(WeightFormat format, const void *data, int64_t index) {
  if (format == WeightFormat::F32)
    return loadAt<float>(data, index);
  uint16_t bits = loadAt<uint16_t>(data, index);
  return format == WeightFormat::F16 ? halfToFloat(bits) : bfloatToFloat(bits);
}

namespace {
/// One part's quantized numbers by (row, input feature). k-major parts have data [k][n], scales and zero
/// points [ceil(k/block)][n].
struct Codes {
  explicit Codes(const WeightView &view)
      : view(view), nibbles(view.format == WeightFormat::Int4), block(view.block > 0 ? view.block : view.k),
        blocks(divideCeil(view.k, block)) {
    int64_t blockElements = view.block > 0 ? block : nibbles ? llvm::alignTo(view.k, 2) : view.k;
    rowElements = view.kMajor ? (nibbles ? llvm::alignTo(view.n, 2) : view.n) : blocks * blockElements;
    int64_t zeroElements = view.kMajor ? view.n : blocks;
    zeroRow = nibbles ? int64_t(llvm::alignTo(zeroElements, 2)) : zeroElements;
  }
  unsigned at(const void *data, int64_t index) const {
    const uint8_t *bytes = static_cast<const uint8_t *>(data);
    unsigned code = nibbles ? bytes[index / 2] >> (index % 2 * 4) & 15 : bytes[index];
    return view.isSigned ? code ^ (nibbles ? 8 : 128) : code; // plus the middle
  }
  unsigned code(int64_t row, int64_t k) const {
    return at(view.data, view.kMajor ? k * rowElements + row : row * rowElements + k);
  }
  float scale(int64_t row, int64_t k) const {
    int64_t b = k / block;
    return loadFloat(view.scaleFormat, view.scales, view.kMajor ? b * view.n + row : row * blocks + b);
  }
  unsigned zero(int64_t row, int64_t k) const {
    if (!view.zeros)
      return nibbles ? 8 : 128;
    int64_t b = k / block;
    return at(view.zeros, view.kMajor ? b * zeroRow + row : row * zeroRow + b);
  }
  float value(int64_t row, int64_t k) const {
    return (float(code(row, k)) - float(zero(row, k))) * scale(row, k);
  }
  const WeightView &view;
  bool nibbles;
  int64_t block, blocks, rowElements, zeroRow;
};

bool hasCodes(const WeightView &view) {
  return view.format == WeightFormat::Int4 || view.format == WeightFormat::Int8;
}

/// Where a row of a panel comes from; no part: padding.
struct Source {
  const WeightView *part = nullptr;
  int64_t row = 0;
};

Source findSource(const LinearLayout &layout, llvm::ArrayRef<WeightView> parts, int64_t panel, int64_t lane) {
  if (layout.glu) {
    int64_t row = panel / 2 * PanelShape::rows + lane;
    const WeightView &part = parts[panel % 2];
    return row < part.n ? Source{&part, row} : Source{};
  }
  int64_t row = panel * PanelShape::rows + lane;
  for (const WeightView &part : parts) {
    if (row < part.n)
      return {&part, row};
    row -= part.n;
  }
  return {};
}
} // namespace

//===----------------------------------------------------------------------===//
// Panels
//===----------------------------------------------------------------------===//

static void storeFloat(WeightFormat format, float value, uint8_t *panel, int64_t k, int64_t lane) {
  if (format == WeightFormat::F32) {
    std::memcpy(panel + k * 64 + lane * 4, &value, 4);
    return;
  }
  bool half = format == WeightFormat::F16;
  uint16_t bits = half ? floatToHalf(value) : floatToBfloat(value);
  std::memcpy(panel + (half ? k * 32 + lane * 2 : k / 2 * 64 + lane * 4 + k % 2 * 2), &bits, 2);
}

/// The same element type on both sides: bits move, none is converted.
static void copyHalves(const Source &source, bool half, uint8_t *panel, int64_t lane) {
  const WeightView &view = *source.part;
  int64_t first = view.kMajor ? source.row : source.row * view.k, step = view.kMajor ? view.n : 1;
  for (int64_t k = 0; k < view.k; ++k) {
    uint16_t bits = loadAt<uint16_t>(view.data, first + k * step);
    std::memcpy(panel + (half ? k * 32 + lane * 2 : k / 2 * 64 + lane * 4 + k % 2 * 2), &bits, 2);
  }
}

static void packFloatRow(const PanelShape &shape, const Source &source, uint8_t *panel, int64_t lane) {
  const WeightView &view = *source.part;
  if (view.format == shape.format && shape.format != WeightFormat::F32)
    return copyHalves(source, shape.format == WeightFormat::F16, panel, lane);
  if (hasCodes(view)) {
    Codes codes(view);
    for (int64_t k = 0; k < view.k; ++k)
      storeFloat(shape.format, codes.value(source.row, k), panel, k, lane);
    return;
  }
  int64_t first = view.kMajor ? source.row : source.row * view.k, step = view.kMajor ? view.n : 1;
  for (int64_t k = 0; k < view.k; ++k)
    storeFloat(shape.format, loadFloat(view.format, view.data, first + k * step), panel, k, lane);
}

static void packIntegerRow(const PanelShape &shape, const Source &source, uint8_t *panel, int64_t lane) {
  Codes codes(*source.part);
  bool nibbles = shape.format == WeightFormat::Int4;
  // Codes of 4 bits may be stored as 8 bits, about the other middle.
  unsigned shift = codes.nibbles && !nibbles ? 128 - 8 : 0;

  float largest = 0;
  for (int64_t b = 0; b < shape.blocks; ++b)
    largest = std::max(largest, std::fabs(codes.scale(source.row, b * shape.block)));
  int exponent = 0;
  std::frexp(largest, &exponent); // largest = m 2^exponent with m in [1/2, 1)
  bool usable = largest > 0 && std::isfinite(largest) && shape.scaleBytes == 2;
  // The largest scale lands in [2^14, 2^15), near the top of f16. The bound keeps the factor a normal f32.
  float factor = usable ? std::ldexp(1.0f, std::max(exponent - 15, -126)) : 1.0f;
  std::memcpy(panel + lane * 4, &factor, 4);

  for (int64_t b = 0; b < shape.blocks; ++b) {
    int64_t begin = b * shape.block, end = std::min(shape.k, begin + shape.block);
    float scale = codes.scale(source.row, begin) / factor;
    uint16_t half = floatToHalf(scale);
    std::memcpy(panel + shape.scaleOffset(b) + lane * shape.scaleBytes,
                shape.scaleBytes == 4 ? static_cast<const void *>(&scale) : &half, shape.scaleBytes);
    if (shape.zeroPoints)
      panel[shape.zeroOffset(b) + lane] = uint8_t(codes.zero(source.row, begin) + shift);
    uint8_t *bytes = panel + shape.blockOffset(b) + lane * 4;
    for (int64_t k = begin; k < end; ++k) {
      int64_t inBlock = k - begin, inLine = inBlock % shape.lineK;
      uint8_t *line = bytes + inBlock / shape.lineK * PanelShape::lineBytes;
      unsigned code = codes.code(source.row, k) + shift;
      line[inLine % 4] |= uint8_t(nibbles && inLine >= 4 ? code << 4 : code);
    }
  }
}

void pith::cpu::packLinear(const LinearLayout &layout, llvm::ArrayRef<WeightView> parts, int64_t firstPanel,
                           int64_t panels, uint8_t *out) {
  PanelShape shape(layout);
  int64_t bytes = shape.bytes();
  for (int64_t panel = firstPanel; panel < firstPanel + panels; ++panel) {
    uint8_t *base = out + (panel - firstPanel) * bytes;
    // Padding is all zeros: scale 0 in padded rows; padded input features meet activations that are 0.
    std::memset(base, 0, size_t(bytes));
    for (int64_t lane = 0; lane < PanelShape::rows; ++lane) {
      Source source = findSource(layout, parts, panel, lane);
      if (!source.part)
        continue;
      if (shape.integers)
        packIntegerRow(shape, source, base, lane);
      else
        packFloatRow(shape, source, base, lane);
    }
  }
}
