//===- RaiseKVCacheAnalysis.h - the sequence axis of an exported graph -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One lane of a step is the exported graph for a batch of one: S new tokens behind P earlier ones (T = P +
// S), mask all ones, positions P, P + 1, ... Shapes, positions and masks of that graph are computed here for
// several (S, P), and what holds for all of them is what raising relies on: which dimension counts new tokens
// (S) or all tokens (T), which integers are positions, which masks are causal.
//
// A decoder that also takes an encoder's output gets C positions of it in each case. They may meet the tokens
// in attention only, as keys and values that all tokens see.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_DIALECT_PITH_TRANSFORMS_RAISEKVCACHEANALYSIS_H
#define PITH_DIALECT_PITH_TRANSFORMS_RAISEKVCACHEANALYSIS_H

#include "Evaluator.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace pith {

/// One dimension of a value, over all (S, P).
struct SequenceDim {
  enum Kind { Constant, NewTokens, AllTokens, Source, Other };
  Kind kind = Other;
  /// The size, or what S, T or C is multiplied with (the tokens are the outer part).
  int64_t factor = 1;
  bool isTokens() const { return kind == NewTokens || kind == AllTokens; }
};

/// What attention over all tokens adds to plain causal attention.
struct CausalMask {
  int64_t window = 0;
  llvm::SmallVector<float> slopes; // ALiBi, per head; empty if none
  /// Added by distance, [heads][distances]; the last one's holds for all beyond. Empty if none.
  std::vector<float> bias;
};

class SequenceAnalysis {
public:
  explicit SequenceAnalysis(mlir::func::FuncOp entry) : entry(entry) {}

  /// Finds the arguments' roles. Fails with a reason.
  mlir::LogicalResult initialize();

  mlir::BlockArgument tokens() const { return tokenArgument; }
  /// An encoder's output, null if the graph takes none.
  mlir::BlockArgument source() const { return sourceArgument; }
  /// True if the graph takes the keys and values of earlier tokens.
  bool hasPast() const { return !pastArguments.empty(); }
  /// The number of positions for which anything is known: the length of the shortest constant table that is
  /// cut to the sequence's length. 0: any number.
  int64_t positions() const { return limit; }
  /// The past tensor that `value` is a view of; null if there is none.
  mlir::BlockArgument pastSource(mlir::Value value) const;

  /// Nothing, with a reason, if the shape cannot be computed.
  std::optional<llvm::SmallVector<SequenceDim>> dims(mlir::Value value);
  /// c, if the integers are position + c along their sequence dimension, whatever the other dimensions.
  std::optional<int64_t> positionOffset(mlir::Value value);
  /// The value as one attribute if it holds the same integers for all (S, P). Null, with a reason, otherwise.
  mlir::TypedAttr constant(mlir::Value value);
  /// True if every integer of `value` equals P (earlier) or S or T.
  bool isAlways(mlir::Value value, int64_t perNew, int64_t perPast);
  /// Fails, with a reason, if the attention is not causal over all tokens of the sequence.
  std::optional<CausalMask> causalMask(AttentionOp attention);
  /// True if the keys are the positions of the encoder's output.
  bool isCross(AttentionOp attention);
  /// Fails, with a reason, if not every token sees all of the encoder's positions, all alike.
  bool seesWholeSource(AttentionOp attention);

  /// Why the last question has no answer; the operation at fault, or null.
  llvm::StringRef reason() const { return why; }
  mlir::Operation *culprit() const { return culpritOp; }

private:
  struct Instance {
    int64_t tokens, past, source; // S, P, C
    std::unique_ptr<Evaluator> evaluator;
  };
  /// Which keys one query sees.
  struct MaskRow {
    int64_t position, kept;
  };

  /// What is known of one attention's mask while it is read.
  struct MaskFacts {
    CausalMask mask;
    llvm::SmallVector<MaskRow> rows;
    bool notLinear = false;                  // slopes do not describe it
    bool byDistance = false;                 // read as `shifts` instead
    std::vector<std::vector<double>> shifts; // by head and distance; NaN where not seen
  };

  Instance makeInstance(int64_t tokens, int64_t past, int64_t source, int64_t wholeLimit);
  void bindArguments(Instance &instance);
  bool isSourceMask(mlir::BlockArgument mask);
  bool readMaskRows(Instance &instance, AttentionOp attention, llvm::ArrayRef<int64_t> queries,
                    MaskFacts &facts);
  bool noteShift(AttentionOp attention, MaskFacts &facts, int64_t firstHead, int64_t lastHead,
                 int64_t distance, double shift);
  bool probeMask(int64_t length, AttentionOp attention, llvm::ArrayRef<int64_t> queries, MaskFacts &facts);
  bool readCausalMask(AttentionOp attention, MaskFacts &facts);
  bool closeBias(AttentionOp attention, MaskFacts &facts);
  llvm::SmallVector<int64_t> constantsBehind(mlir::Value value);
  std::nullopt_t fail(mlir::Operation *op, const llvm::Twine &reason);
  std::nullopt_t failAs(const Evaluator &evaluator, mlir::Value value);

  mlir::func::FuncOp entry;
  int64_t limit = 0;
  mlir::BlockArgument tokenArgument, sourceArgument;
  llvm::SmallVector<mlir::BlockArgument> pastArguments;
  std::vector<Instance> instances;
  llvm::DenseMap<mlir::Value, llvm::SmallVector<SequenceDim>> dimsOf;
  /// By mask, causal, window and heads: layers share theirs.
  std::map<std::tuple<void *, bool, int64_t, int64_t>, CausalMask> masksOf;
  std::string why;
  mlir::Operation *culpritOp = nullptr;
};

} // namespace pith

#endif // PITH_DIALECT_PITH_TRANSFORMS_RAISEKVCACHEANALYSIS_H
