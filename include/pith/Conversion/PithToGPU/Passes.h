//===- Passes.h - from the pith dialect to GPU kernels ----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_CONVERSION_PITHTOGPU_PASSES_H
#define PITH_CONVERSION_PITHTOGPU_PASSES_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "pith/Codegen/GPU/Kernels.h"

namespace pith {

#define GEN_PASS_DECL
#include "pith/Conversion/PithToGPU/Passes.h.inc"

/// Builds the kernel that `spec` (a `pith.kernel` attribute) asks for. Null, after a diagnostic, if it does not describe one
/// or there is no kernel for it.
mlir::gpu::GPUFuncOp buildGPUKernel(mlir::gpu::GPUModuleOp module, mlir::DictionaryAttr spec,
                                    llvm::function_ref<mlir::InFlightDiagnostic()> emitError);

/// For one row, this many blocks share the tokens of all kv heads, so that a device has work for all its parts.
inline constexpr int64_t kAttentionBlocks = 256;
/// How many blocks share the tokens of one row and one kv head at most.
int64_t attentionSplits(int64_t kvHeads);

struct ScheduleOptions;
/// The phases `schedule` and `kernels` for a device.
void buildGPUSchedule(mlir::OpPassManager &pm, const ScheduleOptions &options, llvm::StringRef target);
void buildGPUKernels(mlir::OpPassManager &pm, llvm::StringRef target);

#define GEN_PASS_REGISTRATION
#include "pith/Conversion/PithToGPU/Passes.h.inc"

} // namespace pith

#endif // PITH_CONVERSION_PITHTOGPU_PASSES_H
