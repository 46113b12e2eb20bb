//===- Schedule.h - the phase schedule, for every target --------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_COMMON_SCHEDULE_H
#define PITH_LIB_CONVERSION_COMMON_SCHEDULE_H

#include "mlir/Pass/PassManager.h"
#include "pith/Conversion/Passes.h"
#include <memory>

namespace pith {

/// Constants folded, equal values once.
void addSimplification(mlir::OpPassManager &pm);

/// The phase `schedule`; `chooseKernels` is the target's pass for that.
void addSchedule(mlir::OpPassManager &pm, const ScheduleOptions &options,
                 std::unique_ptr<mlir::Pass> chooseKernels);

/// The beginning of the phase `kernels`, up to the plan of all buffers; `grid` as in pith-linalg-to-loops.
void addBuffersAndLoops(mlir::OpPassManager &pm, bool grid);

} // namespace pith

#endif // PITH_LIB_CONVERSION_COMMON_SCHEDULE_H
