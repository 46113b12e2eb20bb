//===- Packing.cpp - weights from model files to panels -------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../Common/WeightReader.h"
#include "LinearPanel.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>
#include <cstring>

using namespace pith::cpu;
using namespace pith::kernels;
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

  float factor = rowFactor(codes, source.row, shape.block, shape.scaleBytes == 2);
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
      Source source = findSource(layout.glu, PanelShape::rows, parts, panel, lane);
      if (!source.part)
        continue;
      if (shape.integers)
        packIntegerRow(shape, source, base, lane);
      else
        packFloatRow(shape, source, base, lane);
    }
  }
}
