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

def EmbedImages : Pass<"pith-embed-images", "::mlir::ModuleOp"> {
  let summary = "put the machine code of GPU kernels into the host module";
  let description = [{
    For each chip PTX, and a cubin where ptxas is found, or a code object. `emulated`: host code for the emulator in their
    place, behind the vendor split for the target's chip. Writes the table `pith_executable` (pith/executable.h) with kernels
    and images; the `gpu.module` goes.
  }];
  let options = [
    Option<"target", "target", "std::string", "\"\"", "chips of one vendor: 'cuda:sm_80,sm_90a', 'hip:gfx942', …">,
    Option<"emulated", "emulated", "bool", "false", "host code for the emulator">,
  ];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

#endif // PITH_TARGET_PASSES_TD
