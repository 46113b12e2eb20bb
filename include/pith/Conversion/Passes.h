//===- Passes.h - conversions out of the pith dialect -----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_CONVERSION_PASSES_H
#define PITH_CONVERSION_PASSES_H

#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "pith/Codegen/CPU/Kernels.h"
#include "pith/Dialect/Pith/IR/Pith.h"
#include "pith/Dialect/Pith/IR/StepEntry.h"

namespace pith {

#define GEN_PASS_DECL
#include "pith/Conversion/Passes.h.inc"

/// The module's attribute that names the machine which code is generated for.
constexpr llvm::StringLiteral kMachineAttr = "pith.machine";
/// On a kernel's declaration: a dictionary with all that its body depends on.
constexpr llvm::StringLiteral kKernelAttr = "pith.kernel";
/// On a step entry: the places where hidden states can be seen, as the manifest has them; and the floats of a row
/// that can stand for a token's embedding.
constexpr llvm::StringLiteral kTapsAttr = "pith.taps";
constexpr llvm::StringLiteral kEmbeddingRowsAttr = "pith.embedding_rows";
/// On the module behind the phase `kernels`: what the manifest says of entries and state.
constexpr llvm::StringLiteral kManifestAttr = "pith.manifest";

/// Keeps the machine in the IR, so that a stage's IR is whole.
void setMachine(mlir::ModuleOp module, const cpu::Machine &machine);
/// The module's machine; `fallback` (a CPU name) if it names none. Fails with a diagnostic on the module.
mlir::FailureOr<cpu::Machine> getMachine(mlir::ModuleOp module, llvm::StringRef fallback = "host");

struct ScheduleOptions {
  bool reference = false; // plain loops in f32 for everything but the cache
  bool exact = true;      // multiply in f32 whatever the weights' format
  int64_t maxRows = 512;  // of one step
};

/// The phase `schedule`: which kernels run on which tensors, with weights packed, and the rest as linalg.
void buildSchedule(mlir::OpPassManager &pm, const ScheduleOptions &options);
/// The phase `kernels`: the kernels' bodies, buffers, the team's loops, entry points.
void buildKernels(mlir::OpPassManager &pm);

/// `pith-schedule` and `pith-kernels`, the phases as pipelines of pith-opt.
void registerConversionPipelines();

/// What bufferization of the phase `kernels` must know of `pith.launch` and `pith.packed_address`.
void registerBufferizationModels(mlir::DialectRegistry &registry);

#define GEN_PASS_REGISTRATION
#include "pith/Conversion/Passes.h.inc"

} // namespace pith

#endif // PITH_CONVERSION_PASSES_H
