//===- Embedding.cpp - rows of a table in panels --------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A thread decodes one chunk: 16 bytes of one token's row. They stand 256 bytes apart, so half a line is
// wasted; a token's row is little next to the weights of a step.
//
//===----------------------------------------------------------------------===//
#include "Encoding.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/bit.h"

using namespace mlir;
using namespace pith::gpu;

mlir::gpu::GPUFuncOp pith::gpu::getOrCreateEmbedding(mlir::gpu::GPUModuleOp module,
                                                     const EmbeddingSpec &spec) {
  static constexpr llvm::StringLiteral formats[] = {"f32", "f16", "bf16", "int8", "int4"};
  const LinearLayout &layout = spec.layout;
  std::string name =
      ("embedding_" + formats[int(layout.format)] + "_" + Twine(layout.n) + "x" + Twine(layout.k) + "_b" +
       Twine(layout.block) + (layout.zeroPoints ? "_zp" : "") + (layout.wideScales ? "_wide" : "") + "_s" +
       Twine::utohexstr(llvm::bit_cast<uint32_t>(spec.scale)) + (spec.takesRows ? "_rows_" : "_") +
       nameOf(spec.output))
          .str();
  PanelShape panels(layout);
  const Encoding &encoding = *panels.encoding;
  int64_t chunks = llvm::divideCeil(layout.k, encoding.chunkElements());
  MLIRContext *context = module.getContext();
  KernelShape shape;
  shape.threads = 128;
  shape.grid = {getAffineConstantExpr(llvm::divideCeil(chunks, shape.threads), context),
                getAffineDimExpr(0, context)};
  SmallVector<Argument> arguments = {Argument::In, Argument::Constant, Argument::Out};
  if (spec.takesRows)
    arguments.push_back(Argument::In);
  arguments.push_back(Argument::Size);
  return getOrCreateKernel(module, name, arguments, shape, [&](KernelBuilder &k, ArrayRef<Value> a) {
    Value row = k.block(mlir::gpu::Dimension::y);
    Value chunk = k.add(k.mul(k.block(), k.threads), k.thread());
    int64_t bytes = elementBytes(spec.output), words = encoding.wordElements();
    bool whole = layout.k % words == 0;
    int64_t align = alignmentOf(layout.k * bytes, words * bytes);
    auto fromGiven = [&](Value given) {
      Value first = k.mul(chunk, encoding.chunkElements());
      Value end = k.minimum(k.add(first, encoding.chunkElements()), layout.k);
      k.loop(first, end, 1, [&](Value column) {
        Value value = k.loadFloats(Element::F32, k.at(given, k.mul(column, 4)), 1, 4);
        k.storeFloats(spec.output, value, k.at(k.atWide(a[2], row, layout.k * bytes), k.mul(column, bytes)),
                      bytes);
      });
    };
    auto fromTable = [&] {
      Value token = k.load(k.i32, k.atWide(a[0], row, 4));
      Value panel = k.atWide(a[1], k.div(token, LinearLayout::panelRows), panels.bytes);
      Value feature = k.rem(token, LinearLayout::panelRows);
      Value offset = k.add(k.mul(chunk, PanelShape::chunkStride), k.mul(feature, Encoding::chunkBytes));
      Value bits = k.loadChunk(k.at(k.at(panel, offset), panels.chunksOffset));
      Value factor = k.constant(k.f32, spec.scale);
      if (encoding.hasFactors())
        factor = k.fmul(factor, k.load(k.f32, k.at(panel, k.mul(feature, 4))));
      for (int64_t word = 0; word < Encoding::chunkWords; ++word) {
        Value column = k.add(k.mul(chunk, encoding.chunkElements()), word * words);
        KernelBuilder::Values side;
        if (encoding.sideBytes()) {
          Value block = k.minimum(k.div(column, encoding.blockElements()), panels.blocks - 1);
          Value entry = k.add(k.mul(block, LinearLayout::panelRows), feature);
          side =
              encoding.loadSide(k, k.at(k.at(panel, k.mul(entry, encoding.sideBytes())), panels.sideOffset));
        }
        Value values = encoding.decode(k, k.element(bits, word), side, Element::F32);
        Value scale = encoding.scale(k, side);
        values = k.fmul(values, k.splat(scale ? k.fmul(scale, factor) : factor, words));
        Value to = k.at(k.atWide(a[2], row, layout.k * bytes), k.mul(column, bytes));
        if (whole)
          k.ifThen(k.lessThan(column, layout.k), [&] { k.storeFloats(spec.output, values, to, align); });
        else
          for (int64_t e = 0; e < words; ++e)
            k.ifThen(k.lessThan(k.add(column, e), layout.k),
                     [&] { k.storeFloats(spec.output, k.element(values, e), k.at(to, e * bytes), bytes); });
      }
    };
    k.ifThen(k.lessThan(chunk, chunks), [&] {
      if (!spec.takesRows)
        return fromTable();
      Value given = k.atWide(a[3], row, 8);
      k.ifThen(k.equal(k.load(k.i64, given), 0), fromTable,
               [&] { fromGiven(k.load(a[3].getType(), given, 8)); });
    });
  });
}
