//===- Launcher.h - host code that starts kernels ---------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_PITHTOGPU_LAUNCHER_H
#define PITH_LIB_CONVERSION_PITHTOGPU_LAUNCHER_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace pith {

/// The module of all kernels, made where there is none.
mlir::gpu::GPUModuleOp kernelsOf(mlir::ModuleOp module);

/// Writes the launches of one host function, whose first argument is the context.
class Launcher {
public:
  Launcher(mlir::OpBuilder &b, mlir::Location loc, mlir::func::FuncOp host);

  /// Starts the kernel on as many blocks as its `pith.grid` says. `arguments`: host pointers that hold
  /// addresses of the device for pointers, integers of any width for integers, floats.
  void launch(mlir::gpu::GPUFuncOp kernel, llvm::ArrayRef<mlir::Value> arguments);
  /// The same on `blocks` (i64) blocks in x.
  void launch(mlir::gpu::GPUFuncOp kernel, llvm::ArrayRef<mlir::Value> arguments, mlir::Value blocks);

  /// A field of the context.
  mlir::Value field(int64_t offset, mlir::Type type);
  mlir::Value constant(int64_t value);
  /// Whether a launch did not fit its kernel, after a diagnostic.
  bool failed = false;
  const mlir::Type i32, i64, pointer;

private:
  mlir::Value argument(mlir::Value given, mlir::Type wanted);
  void call(mlir::gpu::GPUFuncOp kernel, llvm::ArrayRef<mlir::Value> arguments,
            llvm::ArrayRef<mlir::Value> grid);
  mlir::Value slot(mlir::Value array, mlir::Type element, int64_t index);

  mlir::OpBuilder &b;
  mlir::Location loc;
  mlir::func::FuncOp host;
  mlir::Value grid; // uint32_t[3]
  llvm::SmallVector<std::pair<mlir::Value, mlir::Value>>
      lists; // by argument count: values and pointers to them
};

} // namespace pith

#endif // PITH_LIB_CONVERSION_PITHTOGPU_LAUNCHER_H
