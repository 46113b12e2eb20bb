//===- WeightWriter.h - packed weights as a stream --------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_PACKAGE_WEIGHTWRITER_H
#define PITH_LIB_PACKAGE_WEIGHTWRITER_H

#include "mlir/IR/BuiltinOps.h"
#include "pith/Dialect/Pith/IR/Pith.h"
#include "llvm/Support/Error.h"

namespace pith {

/// The `pith.packed` operations of a module in the order of their offsets. Fails if they overlap.
llvm::Expected<llvm::SmallVector<PackedOp>> packedInOrder(mlir::ModuleOp module);
/// Bytes of the weight section.
uint64_t sectionSize(llvm::ArrayRef<PackedOp> packed);
/// Gives the whole section, with zeros between pieces, to `sink`, in pieces whose lengths are multiples of 8
/// (but for the last).
llvm::Error streamWeights(mlir::ModuleOp module, llvm::ArrayRef<PackedOp> packed,
                          llvm::function_ref<llvm::Error(llvm::ArrayRef<char>)> sink);

} // namespace pith

#endif // PITH_LIB_PACKAGE_WEIGHTWRITER_H
