//===- ExecTable.h - the table that a compiled file exports -----*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_CONVERSION_EXECTABLE_H
#define PITH_CONVERSION_EXECTABLE_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include <cstdint>
#include <string>
#include <vector>

namespace pith {

/// The list of entries (pith_exec_entry) that pith-export-entries leaves.
inline constexpr llvm::StringLiteral kEntriesSymbol = "pith_entries";

/// The address of a text with a zero behind it, one global for equal texts.
mlir::Value textConstant(mlir::OpBuilder &b, mlir::Location loc, mlir::ModuleOp module, llvm::StringRef text);

/// As pith_exec_kernel.
struct ExecKernel {
  std::string name, origin;
  uint32_t block[3] = {1, 1, 1};
  uint32_t sharedBytes = 0, needs = 0;
  std::vector<uint8_t> argumentBytes;
};

/// As pith_exec_image. `symbol`, where there is one, is the data; else `bytes` are.
struct ExecImage {
  std::string target;
  uint32_t format = 0;
  std::string bytes, symbol;
  uint32_t has = 0;
};

/// Writes `pith_executable` behind the list of entries: of PITH_EXEC_VERSION without kernels and images.
void writeTable(mlir::ModuleOp module, llvm::ArrayRef<ExecKernel> kernels, llvm::ArrayRef<ExecImage> images);

} // namespace pith

#endif // PITH_CONVERSION_EXECTABLE_H
