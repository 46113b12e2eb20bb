//===----------------------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_CONVERSION_PASSES_TD
#define PITH_CONVERSION_PASSES_TD

include "mlir/Pass/PassBase.td"

def ConvertPithToLinalg : Pass<"convert-pith-to-linalg", "::mlir::ModuleOp"> {
  let summary = "lower pith operations on tensors to linalg, plainly";
}
def ConvertPithToCPU : Pass<"convert-pith-to-cpu", "::mlir::ModuleOp"> {
  let summary = "choose CPU kernels for pith operations and pack their weights";
}

#endif // PITH_CONVERSION_PASSES_TD
