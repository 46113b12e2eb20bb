//===- Embedding.cpp - rows of a packed table -----------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A table in panels serves as the output layer's weights and as the embedding. One row's elements stand a
// line apart, so this reads a line per lineK elements; a step reads one row per token, which is nothing
// beside the layers.
//
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"
#include "LinearPanel.h"
#include "pith/executable.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace pith::cpu;

namespace {
class EmbeddingKernel {
public:
  EmbeddingKernel(KernelBuilder &k, const LinearLayout &layout, float scale, bool takesRows,
                  ArrayRef<Value> arguments)
      : k(k), shape(layout), scale(scale), takesRows(takesRows), context(arguments[0]), thread(arguments[1]), tokens(arguments[2]),
        weights(arguments[3]), out(arguments[4]), rows(arguments[5]) {}
  void build();

private:
  void copyLines(Value lines, int64_t count, Value lane, Value out, int64_t columns, Value factor,
                 Value zero);
  void copyBlock(Value panel, Value lane, Value block, int64_t columns, Value out);
  SmallVector<Value> loadElements(Value line, Value lane);
  void copyTableRow(Value r, Value out);
  void copyGivenRow(Value from, Value out);

  KernelBuilder &k;
  PanelShape shape;
  float scale;
  bool takesRows;
  Value context, thread, tokens, weights, out, rows;
};
} // namespace

/// The lineK elements of row `lane` in one line, as f32 (integers: the codes).
SmallVector<Value> EmbeddingKernel::loadElements(Value line, Value lane) {
  SmallVector<Value> elements;
  switch (shape.format) {
  case WeightFormat::F32:
    return {k.load(k.f32, k.at(line, k.mul(lane, 4)))};
  case WeightFormat::F16:
    for (int64_t j = 0; j < 2; ++j)
      elements.push_back(k.toF32(k.load(k.f16, k.at(k.at(line, k.mul(lane, 2)), j * 32))));
    return elements;
  case WeightFormat::BF16:
    for (int64_t j = 0; j < 2; ++j)
      elements.push_back(k.toF32(k.load(k.bf16, k.at(k.at(line, k.mul(lane, 4)), j * 2))));
    return elements;
  case WeightFormat::Int8:
  case WeightFormat::Int4:
    break;
  }
  Value word = k.load(k.i32, k.at(line, k.mul(lane, 4)));
  bool nibbles = shape.format == WeightFormat::Int4;
  for (int64_t j = 0; j < shape.lineK; ++j) {
    Value shifted =
        arith::ShRUIOp::create(k.b, k.loc, word, k.constant(k.i32, 8 * (j % 4) + (j >= 4 ? 4 : 0)));
    elements.push_back(
        k.toF32(arith::AndIOp::create(k.b, k.loc, shifted, k.constant(k.i32, nibbles ? 15 : 255))));
  }
  return elements;
}

/// `columns` elements from consecutive lines: (element - zero) * factor.
void EmbeddingKernel::copyLines(Value lines, int64_t count, Value lane, Value out, int64_t columns,
                                Value factor, Value zero) {
  auto copyLine = [&](Value line, Value to, int64_t elements) {
    SmallVector<Value> values = loadElements(line, lane);
    for (int64_t j = 0; j < elements; ++j) {
      Value value = zero ? k.fsub(values[j], zero) : values[j];
      k.store(factor ? k.fmul(value, factor) : value, k.at(to, j * 4));
    }
  };
  int64_t whole = std::min(count, columns / shape.lineK);
  k.loop(k.index(0), k.index(whole), 1, [&](Value i) {
    copyLine(k.at(lines, k.mul(i, PanelShape::lineBytes)), k.at(out, k.mul(i, shape.lineK * 4)), shape.lineK);
  });
  if (columns > whole * shape.lineK)
    copyLine(k.at(lines, whole * PanelShape::lineBytes), k.at(out, whole * shape.lineK * 4),
             columns - whole * shape.lineK);
}

void EmbeddingKernel::copyBlock(Value panel, Value lane, Value block, int64_t columns, Value out) {
  Value inGroup = k.rem(block, shape.groupBlocks);
  Value group =
      k.at(k.at(panel, k.mul(k.div(block, shape.groupBlocks), shape.groupBytes)), PanelShape::lineBytes);
  Value blockScale =
      k.toF32(k.load(shape.scaleBytes == 4 ? k.f32 : k.f16, k.at(k.at(group, k.mul(inGroup, PanelShape::rows * shape.scaleBytes)),
                                                                 k.mul(lane, shape.scaleBytes))));
  Value factor =
      k.fmul(k.fmul(blockScale, k.load(k.f32, k.at(panel, k.mul(lane, 4)))), k.constant(k.f32, scale));
  Value zero = k.constant(k.f32, double(shape.defaultZero));
  if (shape.zeroPoints) {
    Value zeros = k.at(group, k.add(k.mul(inGroup, PanelShape::rows), shape.zerosOffset));
    zero = k.toF32(k.zext(k.load(k.i8, k.at(zeros, lane)), k.i32));
  }
  Value lines =
      k.at(k.at(group, k.mul(inGroup, shape.blockLines * PanelShape::lineBytes)), shape.headerBytes);
  copyLines(lines, shape.blockLines, lane, k.at(out, k.mul(block, shape.block * 4)), columns, factor, zero);
}

void EmbeddingKernel::copyTableRow(Value r, Value out) {
  Value token = k.zext(k.load(k.i32, k.at(tokens, k.mul(r, 4))), k.i64);
  Value panel = k.at(weights, k.mul(k.div(token, PanelShape::rows), shape.bytes()));
  Value lane = k.rem(token, PanelShape::rows);
  if (!shape.integers) {
    Value factor = scale == 1.0f ? Value() : k.constant(k.f32, scale);
    return copyLines(panel, shape.lines, lane, out, shape.k, factor, Value());
  }
  int64_t whole = shape.k / shape.block;
  k.loop(k.index(0), k.index(whole), 1, [&](Value block) { copyBlock(panel, lane, block, shape.block, out); });
  if (whole < shape.blocks)
    copyBlock(panel, lane, k.index(whole), shape.k - whole * shape.block, out);
}

void EmbeddingKernel::copyGivenRow(Value from, Value out) {
  k.loop(k.index(0), k.index(shape.k * 4), 4, [&](Value bytes) {
    Value value = k.load(k.f32, k.at(from, bytes));
    k.store(scale == 1.0f ? value : k.fmul(value, k.constant(k.f32, scale)), k.at(out, bytes));
  });
}

void EmbeddingKernel::build() {
  auto range = k.share(context, thread, rows);
  auto overRows = [&](llvm::function_ref<void(Value r, Value out)> body) {
    k.loop(range.begin, range.end, 1, [&](Value r) { body(r, k.at(out, k.mul(r, shape.k * 4))); });
  };
  auto fromTable = [&] { overRows([&](Value r, Value to) { copyTableRow(r, to); }); };
  if (!takesRows)
    return fromTable();
  Value given = k.laterPointer(context, offsetof(pith_exec_context, embedding_rows));
  k.ifThen(k.isNull(given), fromTable, [&] {
    overRows([&](Value r, Value to) {
      Value from = k.load(k.ptr, k.at(given, k.mul(r, 8)));
      k.ifThen(
          k.isNull(from), [&] { copyTableRow(r, to); }, [&] { copyGivenRow(from, to); });
    });
  });
}

func::FuncOp pith::cpu::getOrCreateEmbedding(ModuleOp module, const Machine &, const LinearLayout &layout,
                                             float scale, bool takesRows) {
  static const char *const formats[] = {"f32", "f16", "bf16", "int8", "int4"};
  std::string name = std::string("embedding_") + formats[int(layout.format)] + "_" +
                     std::to_string(layout.n) + "x" + std::to_string(layout.k) + "_block" +
                     std::to_string(layout.block) + (layout.zeroPoints ? "_zeros" : "") + (layout.wideScales ? "_wide" : "") + "_" +
                     llvm::utohexstr(llvm::bit_cast<uint32_t>(scale), /*LowerCase=*/true) +
                     (takesRows ? "_rows" : "");
  return getOrCreateKernel(module, name, 3, 1, [&](KernelBuilder &k, ArrayRef<Value> arguments) {
    EmbeddingKernel(k, layout, scale, takesRows, arguments).build();
  });
}
