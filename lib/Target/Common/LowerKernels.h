//===- LowerKernels.h - GPU kernels to the LLVM dialect ---------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_TARGET_COMMON_LOWERKERNELS_H
#define PITH_LIB_TARGET_COMMON_LOWERKERNELS_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/DialectConversion.h"
#include "pith/Codegen/GPU/Machine.h"
#include "llvm/Support/Error.h"

namespace pith::target {

/// A copy of `module`, alone in a builtin module, split for the machine and in the LLVM dialect. `addConversion` adds the
/// vendor's conversion of the gpu dialect to a pass manager on gpu.module.
llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>>
lowerKernels(mlir::gpu::GPUModuleOp module, const gpu::Machine &machine,
             llvm::function_ref<void(mlir::OpPassManager &)> addConversion);

/// Upstream's conversions of the gpu dialect call device libraries for these; our kernels use those that the back ends select.
void allowIntrinsics(mlir::ConversionTarget &target);

/// Erases the kernels that are for other chips than this machine.
void eraseOthers(mlir::ModuleOp module, const gpu::Machine &machine);

/// The only gpu.module of what lowerKernels gives.
mlir::gpu::GPUModuleOp kernelsOf(mlir::ModuleOp module);

} // namespace pith::target

#endif // PITH_LIB_TARGET_COMMON_LOWERKERNELS_H
