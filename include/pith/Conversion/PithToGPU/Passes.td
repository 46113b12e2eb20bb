//===----------------------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_CONVERSION_PITHTOGPU_PASSES_TD
#define PITH_CONVERSION_PITHTOGPU_PASSES_TD

include "mlir/Pass/PassBase.td"

def BuildGPUKernels : Pass<"pith-build-gpu-kernels", "::mlir::ModuleOp"> {
  let summary = "generate the bodies of declared kernels for GPUs";
  let description = [{
    Each declaration with an attribute `pith.kernel` becomes a function of one `gpu.module @kernels`: the code of a thread,
    for one chip of the target as for another. Equal specifications give one function. The specification is written as for the
    CPU (`pith-build-kernels`), with what only GPU kernels ask: the elements of inputs and outputs, and the rows of a tile.

    ```mlir
    func.func private @mlp() attributes {pith.kernel = {kind = "norm", norm = "rms", k = 4096, heads = 1,
                                                        epsilon = 1.0e-05 : f32, input = "f32", output = "f16"}}
    // becomes
    gpu.module @kernels {
      gpu.func @norm_rms_4096_e3727c5ac_f32_f16(%x: !llvm.ptr<1>, …, %rows: i32, %ldx: i32) kernel
          attributes {known_block_size = array<i32: 1024, 1, 1>, pith.grid = affine_map<(d0, d1) -> (d0, 1, 1)>, …}
    ```
  }];
  let options = [
    Option<"target", "target", "std::string", "\"\"", "chips of one vendor: 'cuda:sm_80,sm_90a', 'hip:gfx942', …">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::math::MathDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

#endif // PITH_CONVERSION_PITHTOGPU_PASSES_TD
