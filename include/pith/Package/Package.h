//===- Package.h - writes the .pith file ------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_PACKAGE_PACKAGE_H
#define PITH_PACKAGE_PACKAGE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "pith/Codegen/CPU/Kernels.h"
#include "pith/Dialect/Pith/IR/Pith.h"
#include "llvm/Support/Error.h"

namespace pith {

/// What goes into the file beside the code: weights, packed weights and the manifest, taken from a module
/// after the phase `kernels` (lowering to the LLVM dialect drops them).
struct PackageContents {
  mlir::OwningOpRef<mlir::ModuleOp> weights; // pith.weight and pith.packed only
  std::string manifest;                      // JSON without "target", which packageFile adds
  std::string device = "cpu";                // as in the manifest's target
  bool stripped = false;                     // packageFile leaves the weights out: code, manifest, trailer alone
};
llvm::Expected<PackageContents> takeContents(mlir::ModuleOp module);

/// Links `code` (an ELF object) and writes code, packed weights, manifest and trailer (pith/file.h) to
/// `path`: first to a temporary file beside it, which is renamed at the end and removed after an error.
/// Weights stream from the mapped model files through the packers, never as a whole through memory.
llvm::Error packageFile(PackageContents &contents, llvm::ArrayRef<char> code, const cpu::Machine &machine,
                        llvm::StringRef path);

/// Writes code, packed weights and manifest as a relocatable object to `path` and a C header that declares the model
/// as `symbol` to `header`. Linked into a program, it is loaded by pith_module_load_embedded.
llvm::Error packageObject(PackageContents &contents, llvm::ArrayRef<char> code, const cpu::Machine &machine,
                          llvm::StringRef symbol, llvm::StringRef path, llvm::StringRef header);

} // namespace pith

#endif // PITH_PACKAGE_PACKAGE_H
