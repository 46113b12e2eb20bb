//===- KernelSpec.h - kernels' specifications as attributes -----*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What `pith.kernel` on a kernel's declaration and `layout` of a `pith.packed` say, to and from the code
// generator's structs. IR is text that anyone can write, so reading fails with a reason instead of trusting
// it.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_CONVERSION_KERNELSPEC_H
#define PITH_CONVERSION_KERNELSPEC_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Diagnostics.h"
#include "pith/Codegen/CPU/Kernels.h"

namespace pith {

/// In a layout of packed weights: "gpu", where panels are the GPU kernels' (else the CPU's).
inline constexpr llvm::StringLiteral kDeviceKey = "device";

using EmitError = llvm::function_ref<mlir::InFlightDiagnostic()>;

/// {kind = "linear", format = "f16", n, k, block, zero_points, glu}
mlir::DictionaryAttr toAttribute(mlir::MLIRContext *context, const cpu::LinearLayout &layout, bool kMajor);
mlir::FailureOr<cpu::LinearLayout> readLinearLayout(mlir::DictionaryAttr layout, bool &kMajor,
                                                    EmitError emitError);

mlir::DictionaryAttr toAttribute(mlir::MLIRContext *context, const cpu::LinearSpec &spec);
mlir::DictionaryAttr toAttribute(mlir::MLIRContext *context, const cpu::LinearLayout &layout, float scale,
                                 bool takesRows);
mlir::DictionaryAttr toAttribute(mlir::MLIRContext *context, const cpu::NormSpec &spec);
mlir::DictionaryAttr toAttribute(mlir::MLIRContext *context, const cpu::RopeSpec &spec);
mlir::DictionaryAttr toAttribute(mlir::MLIRContext *context, const cpu::CacheLayout &spec);
mlir::DictionaryAttr toAttribute(mlir::MLIRContext *context, const cpu::AttentionSpec &spec);
mlir::DictionaryAttr toTapAttribute(mlir::MLIRContext *context, const cpu::NormSpec &spec);

/// Builds the kernel that `spec` asks for. Null, after a diagnostic, if it does not describe one.
mlir::func::FuncOp buildKernel(mlir::ModuleOp module, const cpu::Machine &machine, mlir::DictionaryAttr spec,
                               EmitError emitError);

} // namespace pith

#endif // PITH_CONVERSION_KERNELSPEC_H
