//===- Import.h - ONNX models to the pith dialect ---------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_IMPORT_ONNX_IMPORT_H
#define PITH_IMPORT_ONNX_IMPORT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringRef.h"

namespace pith::onnx {

/// Reads the model at `path` into a module with one entry, `@main` (`pith.entry = "invoke"`), its weights as
/// `pith.weight` symbols whose bytes stay in the model's files. All problems (unknown ops, malformed tensors,
/// missing or escaping external data) are reported as diagnostics on `context`, each with the node's or tensor's
/// name, before it returns null.
mlir::OwningOpRef<mlir::ModuleOp> importModel(mlir::MLIRContext *context, llvm::StringRef path);

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_IMPORT_H
