//===- PackedWeights.h - the weight section of a compiled file --*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_CONVERSION_PACKEDWEIGHTS_H
#define PITH_CONVERSION_PACKEDWEIGHTS_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/SymbolTable.h"
#include "pith/Dialect/Pith/IR/Pith.h"
#include "llvm/ADT/DenseMap.h"

namespace pith {

/// Bytes of one element of a dense tensor in memory: i1 takes a byte.
int64_t elementBytes(mlir::Type element);

/// Hands out `pith.packed` symbols: one for equal sources and layout, placed in order of first use.
class PackedWeights {
public:
  explicit PackedWeights(mlir::ModuleOp module);

  /// `sources` packed as `layout` says, in `size` bytes. `name` is a wish.
  PackedOp get(llvm::ArrayRef<mlir::Attribute> sources, mlir::DictionaryAttr layout, int64_t size,
               llvm::StringRef name);
  /// A weight as a dense row-major tensor of `type` (kind "plain").
  mlir::FailureOr<PackedOp> getPlain(WeightOp weight, mlir::RankedTensorType type);
  /// Several weights, one behind the other.
  PackedOp getPlain(llvm::ArrayRef<mlir::Attribute> sources, mlir::Type element, int64_t size);

private:
  mlir::Attribute canonical(mlir::Attribute source);

  mlir::ModuleOp module;
  mlir::SymbolTable symbols;
  int64_t end = 0;
  llvm::DenseMap<std::pair<mlir::Attribute, mlir::Attribute>, PackedOp> known;
  llvm::DenseMap<mlir::Attribute, mlir::Attribute> sameBytes;
};

} // namespace pith

#endif // PITH_CONVERSION_PACKEDWEIGHTS_H
