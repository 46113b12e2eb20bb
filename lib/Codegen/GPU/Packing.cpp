//===- Packing.cpp - weights from model files to panels -------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Encoding.h"
#include "llvm/Support/MathExtras.h"

using namespace pith::gpu;
using llvm::divideCeil;

PanelShape::PanelShape(const LinearLayout &layout) : encoding(Encoding::create(layout)) {
  int64_t e = encoding->chunkElements();
  fullChunks = layout.k / e;
  chunks = llvm::alignTo(divideCeil(layout.k, e), 2);
  blocks = encoding->sideBytes() ? divideCeil(layout.k, encoding->blockElements()) : 0;
  sideOffset = encoding->hasFactors() ? LinearLayout::panelRows * 4 : 0;
  // Chunks of a panel begin and end with a whole line of 128 bytes.
  chunksOffset = llvm::alignTo(sideOffset + blocks * LinearLayout::panelRows * encoding->sideBytes(), 128);
  bytes = chunksOffset + chunks * chunkStride;
}

int64_t LinearLayout::panels() const {
  return glu ? 2 * divideCeil(n / 2, panelRows) : divideCeil(n, panelRows);
}
int64_t LinearLayout::panelBytes() const { return PanelShape(*this).bytes; }

llvm::Error LinearLayout::check() const {
  auto error = [](const llvm::Twine &why) {
    return llvm::createStringError(llvm::inconvertibleErrorCode(), why);
  };
  if (n < 1 || k < 1 || (glu && n % 2 != 0))
    return error("a linear layer of " + llvm::Twine(n) + " x " + llvm::Twine(k) + " features");
  std::unique_ptr<Encoding> encoding = Encoding::create(*this);
  int64_t e = encoding->chunkElements(), block = encoding->blockElements();
  if (encoding->sideBytes() && block < k && block % e != 0 &&
      (e % block != 0 || block % encoding->wordElements() != 0))
    return error("blocks of " + llvm::Twine(block) + " input features; expected a multiple of " +
                 llvm::Twine(e) + ", or a part of it that is a multiple of " +
                 llvm::Twine(encoding->wordElements()));
  // Offsets within a panel are 32 bits wide.
  if (panelBytes() > INT32_MAX)
    return error("panels of " + llvm::Twine(panelBytes()) + " bytes; at most 2^31 - 1 are supported");
  return llvm::Error::success();
}

void pith::gpu::packLinear(const LinearLayout &layout, llvm::ArrayRef<WeightView> parts, int64_t firstPanel,
                           int64_t panels, uint8_t *out) {
  PanelShape shape(layout);
  const Encoding &encoding = *shape.encoding;
  std::memset(out, 0, size_t(panels * shape.bytes));
  for (int64_t i = 0; i < panels; ++i) {
    uint8_t *panel = out + i * shape.bytes;
    for (int64_t feature = 0; feature < LinearLayout::panelRows; ++feature) {
      kernels::Source source =
          kernels::findSource(layout.glu, LinearLayout::panelRows, parts, firstPanel + i, feature);
      if (!source.part)
        continue;
      Encoding::Row row(source);
      float factor = encoding.packFactor(row);
      if (encoding.hasFactors())
        std::memcpy(panel + feature * 4, &factor, 4);
      for (int64_t b = 0; b < shape.blocks; ++b)
        encoding.packSide(row, factor, b * encoding.blockElements(),
                          panel + shape.sideOffset +
                              (b * LinearLayout::panelRows + feature) * encoding.sideBytes());
      for (int64_t c = 0; c * encoding.chunkElements() < layout.k; ++c)
        encoding.packChunk(row, c * encoding.chunkElements(),
                           panel + shape.chunksOffset + c * PanelShape::chunkStride +
                               feature * Encoding::chunkBytes);
    }
  }
}
