//===- RaiseKVCacheRows.h - a graph rebuilt row by row -----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The row form of a value with a sequence dimension is [rows, others...]: the sequence dimension first, then
// the other dimensions in order, those of size 1 left out. [1, S, 256] becomes [rows, 256], [1, 4, S, 64]
// becomes [rows, 4, 64]. A value over all tokens (T) has the row form of its new tokens: what earlier tokens
// had there is in the cache. A value without a sequence dimension stays as it is, with its sizes made static.
//
// The same holds of the positions of an encoder's output: what a decoder computes from them alone has a row
// form with these as rows.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_DIALECT_PITH_TRANSFORMS_RAISEKVCACHEROWS_H
#define PITH_DIALECT_PITH_TRANSFORMS_RAISEKVCACHEROWS_H

#include "RaiseKVCacheAnalysis.h"

#include "mlir/IR/IRMapping.h"

namespace pith {

/// Builds row forms at the builder's position. Every query fails with a reason.
class RowBuilder {
public:
  /// What the graph's inputs become. `rows` is the number of rows (index). Rows are tokens, or positions of
  /// the encoder's output.
  struct Inputs {
    mlir::Value tokens, positions, rows;
    bool ofSource = false;
  };
  /// Gives the attention of the step's rows: the exported op, its mask, and q, k, v as [rows, channels]; k
  /// and v are null for cross-attention.
  using AttentionBuilder = llvm::function_ref<mlir::Value(AttentionOp, const CausalMask &, mlir::Value,
                                                          mlir::Value, mlir::Value, mlir::Value)>;

  RowBuilder(SequenceAnalysis &analysis, mlir::OpBuilder &builder, Inputs inputs, AttentionBuilder attention)
      : analysis(analysis), builder(builder), inputs(inputs), buildAttention(attention) {}

  /// The row form of `value`; null if it is not a function of one row.
  mlir::Value build(mlir::Value value);
  /// Declares the row form of a value.
  void set(mlir::Value value, mlir::Value row) { forms[value] = row; }
  mlir::Value get(mlir::Value value) const { return forms.lookup(value); }
  /// The row form with exactly these dimensions behind the rows.
  mlir::Value withDims(mlir::Value row, llvm::ArrayRef<int64_t> dims);

  llvm::StringRef reason() const { return why; }
  mlir::Operation *culprit() const { return culpritOp; }

private:
  /// A value's dimensions without the sequence: `sizes` in order, the sequence's factor where the sequence
  /// was.
  struct Layout {
    int64_t axis = -1; // the sequence dimension; -1: none
    SequenceDim::Kind kind = SequenceDim::Constant;
    int64_t factor = 1;
    llvm::SmallVector<int64_t> sizes;
    /// Where dimension `dim` (not the sequence's) is in `sizes`.
    int64_t index(int64_t dim) const { return dim - (dim > axis && axis >= 0) + (dim > axis && factor > 1); }
    llvm::SmallVector<int64_t> squeezed() const;
    /// The product of the sizes in front of the sequence.
    int64_t outer() const;
  };

  std::optional<Layout> layout(mlir::Value value);
  /// The operand's form; null if it is still to be built (it is then noted) or if it cannot be.
  mlir::Value require(mlir::Value value);
  mlir::Value emit(mlir::Value value);
  mlir::Value emitRow(mlir::OpResult value, const Layout &to);
  mlir::Value emitUniform(mlir::OpResult value, const Layout &to);
  mlir::Value emitInteger(mlir::Value value, const Layout &to);
  mlir::Value emitPosition(mlir::Value value, const Layout &to, int64_t offset);

  mlir::Value emitReshape(mlir::Operation *op, const Layout &to);
  mlir::Value emitBroadcast(BroadcastOp op, const Layout &to);
  mlir::Value emitTranspose(TransposeOp op, const Layout &to);
  mlir::Value emitSlice(mlir::tensor::ExtractSliceOp op, const Layout &to);
  mlir::Value emitConcat(mlir::tensor::ConcatOp op, const Layout &to);
  mlir::Value emitCacheUpdate(CacheUpdateOp op);
  mlir::Value emitGather(GatherOp op, const Layout &to);
  mlir::Value emitMatmul(MatmulOp op, const Layout &to);
  mlir::Value emitAlongAxes(mlir::Operation *op, llvm::ArrayRef<int64_t> axes, const Layout &to);
  mlir::Value emitElementwise(mlir::Operation *op, const Layout &to);
  mlir::Value emitTokenMajor(mlir::Operation *op, const Layout &to);
  mlir::Value emitAttention(AttentionOp op);

  mlir::RankedTensorType rowType(mlir::Value value, llvm::ArrayRef<int64_t> dims);
  mlir::Value squeeze(mlir::Value row);
  mlir::Value gatherPositions(mlir::Location loc, mlir::Value table, int64_t axis, mlir::Value indices);
  bool isPresent(mlir::Value value);
  std::nullptr_t fail(mlir::Operation *op, const llvm::Twine &reason);
  std::nullptr_t failAsAnalysis();
  /// Of an operation in which rows meet.
  const char *mixture() const {
    return inputs.ofSource ? "combines positions of the encoder's output"
                           : "combines tokens of the sequence outside of causal attention";
  }
  std::nullptr_t failMixed(mlir::Operation *op) { return fail(op, mixture()); }

  SequenceAnalysis &analysis;
  mlir::OpBuilder &builder;
  Inputs inputs;
  AttentionBuilder buildAttention;
  llvm::DenseMap<mlir::Value, mlir::Value> forms;
  llvm::SmallVector<mlir::Value> missing;
  std::string why;
  mlir::Operation *culpritOp = nullptr;
};

} // namespace pith

#endif // PITH_DIALECT_PITH_TRANSFORMS_RAISEKVCACHEROWS_H
