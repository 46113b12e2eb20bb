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
#include <string>
#include <vector>

namespace pith::onnx {

/// Reads the model at `path` into a module with one entry, `@main` (`pith.entry = "invoke"`), its weights as
/// `pith.weight` symbols whose bytes stay in the model's files. All problems (unknown ops, malformed tensors,
/// missing or escaping external data) are reported as diagnostics on `context`, each with the node's or tensor's
/// name, before it returns null.
mlir::OwningOpRef<mlir::ModuleOp> importModel(mlir::MLIRContext *context, llvm::StringRef path);

/// An op as the nodes of a model use it, in the graph, its subgraphs and its functions.
struct OpUse {
  std::string domain; ///< "" for ai.onnx
  std::string op;
  int64_t opset; ///< the version of its domain that the model imports
  unsigned nodes;
};

/// The ops of the model at `path`, by domain and name. Empty, and `error` says why, if it cannot be read.
std::vector<OpUse> listOps(mlir::MLIRContext *context, llvm::StringRef path, std::string &error);

/// The ops that the importer knows, "Op" or "domain:Op", sorted.
std::vector<std::string> supportedOps();

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_IMPORT_H
