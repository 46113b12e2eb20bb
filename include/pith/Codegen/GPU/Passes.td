//===----------------------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_CODEGEN_GPU_PASSES_TD
#define PITH_CODEGEN_GPU_PASSES_TD

include "mlir/Pass/PassBase.td"

def SplitGPU : Pass<"pith-split-gpu", "::mlir::gpu::GPUModuleOp"> {
  let summary = "from neutral GPU kernels to one vendor's operations";
  let description = [{
    Kernels are the same IR for all chips up to here. Exchanges between lanes, products of matrix units and copies
    (`tile`) become `nvvm` or `rocdl` operations, as the chip has them.

    ```mlir
    %s, %valid = gpu.shuffle xor %v, %c16, %c32 : f32
    // cuda:sm_80
    %s = nvvm.shfl.sync bfly %c-1, %v, %c16, %c31 : f32 -> f32
    // hip:gfx942
    %i = llvm.bitcast %v : f32 to i32
    %p = rocdl.ds_swizzle %i, %c16415 : (i32, i32) -> i32
    %s = llvm.bitcast %p : i32 to f32
    ```
  }];
  let options = [Option<"target", "target", "std::string", "\"\"", "one chip: 'cuda:sm_80', 'hip:gfx942', …">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect",
                           "::mlir::ROCDL::ROCDLDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect", "::pith::tile::TileDialect"];
}

#endif // PITH_CODEGEN_GPU_PASSES_TD
