//===- AttentionScores.h - what is done to attention scores -----*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_DIALECT_PITH_TRANSFORMS_ATTENTIONSCORES_H
#define PITH_LIB_DIALECT_PITH_TRANSFORMS_ATTENTIONSCORES_H

#include "SymbolicDims.h"

namespace pith {

/// One thing that is done to the scores between the product and the softmax.
struct Mask {
  mlir::Value value; // f32, added (times `factor`), or i1
  bool keep = true;  // of i1: true keeps
  double hidden = 0; // of i1: what hides, added
  double factor = 1;
};

struct Scores {
  MatmulOp product;
  double scale = 1.0, softcap = 0.0;
  int64_t heads = 0; // as seen on the way, where batch and heads are two dimensions
  llvm::SmallVector<Mask> masks;
};

/// Reads the scores upwards from `value`, which the softmax takes, to the product of queries and keys.
/// `factor` multiplies what is seen from here on. False if something else than scalar factors, a softcap and
/// masks is on the way.
bool readScores(SymbolicDims &sizes, mlir::Value value, double factor, Scores &scores, unsigned depth = 0);

/// The softmax behind a probability matrix; null if there is none. A guard that turns the NaN of an
/// all-hidden row into 0 is looked through: it is what pith.attention does.
SoftmaxOp readProbabilities(SymbolicDims &sizes, mlir::Value value);

/// The number of heads if `value` is [batch, heads, …]; 0 otherwise.
int64_t headsOf(mlir::Value value);

} // namespace pith

#endif // PITH_LIB_DIALECT_PITH_TRANSFORMS_ATTENTIONSCORES_H
