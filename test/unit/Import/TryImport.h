//===- TryImport.h - whether any bytes import as they should ----*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_IMPORT_TRYIMPORT_H
#define PITH_TEST_UNIT_IMPORT_TRYIMPORT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringRef.h"
#include <memory>
#include <string>

namespace pith::test {

/// Imports what is given as bytes, from a file in a folder of its own, and passes it through the phase
/// `raise`.
class ImportTrial {
public:
  ImportTrial();
  ~ImportTrial();
  ImportTrial(const ImportTrial &) = delete;
  ImportTrial &operator=(const ImportTrial &) = delete;

  /// Models find this beside them, as external data.
  void addFile(llvm::StringRef name, llvm::StringRef bytes);

  struct Outcome {
    bool imported = false;
    std::string messages; ///< all diagnostics
    std::string
        fault; ///< what must not be: refused without a message, invalid code; empty if all is as it should be
  };
  Outcome run(llvm::StringRef bytes);

private:
  void raise(mlir::ModuleOp module, Outcome &outcome);

  llvm::SmallString<128> folder;
  std::unique_ptr<mlir::MLIRContext> context;
  unsigned runs = 0;
};

} // namespace pith::test

#endif // PITH_TEST_UNIT_IMPORT_TRYIMPORT_H
