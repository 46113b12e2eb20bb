//===----------------------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TARGET_PASSES_TD
#define PITH_TARGET_PASSES_TD

include "mlir/Pass/PassBase.td"

def EmitGPU : Pass<"pith-emit-gpu", "::mlir::gpu::GPUModuleOp"> {
  let summary = "print the machine code of GPU kernels";
  let description = [{
    Prints a module's kernels for one chip to standard output and leaves the IR as it is: as PTX or AMD assembly (`isa`), or
    LLVM IR behind the vendor split (`llvm`). `pith-opt -o /dev/null` prints nothing else.
  }];
  let options = [
    Option<"target", "target", "std::string", "\"\"", "one chip: 'cuda:sm_80', 'hip:gfx942', …">,
    Option<"format", "format", "std::string", "\"isa\"", "isa or llvm">,
  ];
}

#endif // PITH_TARGET_PASSES_TD
