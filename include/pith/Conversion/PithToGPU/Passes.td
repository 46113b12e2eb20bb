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

def ConvertPithToGPU : Pass<"convert-pith-to-gpu", "::mlir::ModuleOp"> {
  let summary = "choose GPU kernels for transformer operations and pack their weights";
  let description = [{
    As `convert-pith-to-cpu`, for the kernels that GPUs have: launches are the same, weights are packed in the GPU kernels'
    panels, a layer norm stays a kernel of its own.
  }];
  let options = [
    Option<"stateOnly", "state-only", "bool", "false", "only what reads or writes caches, which has no plain form">,
    Option<"exact", "exact", "bool", "true", "keep wide scales wide">,
    Option<"target", "target", "std::string", "\"\"",
           "chips of one vendor, or nothing: launches get memory for what kernels of all of them leave to each other">,
  ];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect", "::mlir::linalg::LinalgDialect"];
}

def MoveConstants : Pass<"pith-move-constants", "::mlir::ModuleOp"> {
  let summary = "make constant tensors weights";
  let description = [{
    What a kernel reads has to lie in the device's memory, where weights are. A constant with one value in all places is
    filled in there.
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::tensor::TensorDialect", "::pith::PithDialect"];
}

def AddSampling : Pass<"pith-add-sampling", "::mlir::ModuleOp"> {
  let summary = "add an entry that draws tokens from the logits of a step";
  let description = [{
    The entry is of kind "sample" and in the form that `pith-bufferize` gives: (logits, draws, drawn, workspace). The runtime
    calls it to draw on the device; the manifest does not name it.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::memref::MemRefDialect", "::pith::PithDialect"];
}

def BuildGPULaunchers : Pass<"pith-build-gpu-launchers", "::mlir::ModuleOp"> {
  let summary = "make declared kernels host functions that start GPU kernels";
  let description = [{
    A declaration with an attribute `pith.kernel` gets a body: host code that chooses among forms of the kernel by the number
    of rows and starts them through the context's `launch`. The kernels themselves come into `gpu.module @kernels`.
  }];
  let options = [
    Option<"target", "target", "std::string", "\"\"", "chips of one vendor: 'cuda:sm_80,sm_90a', 'hip:gfx942', …">
  ];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
}

def FormGrid : Pass<"pith-form-grid", "::mlir::ModuleOp"> {
  let summary = "make entries start kernels on a device";
  let description = [{
    One host thread runs the entry: sizes are its own arithmetic, each parallel loop becomes a kernel with a thread for each
    iteration, other writes to memory become loops of one iteration. Loops that are equal up to their operands become one
    kernel. A value that the host needs is read from the device, which only entries of kind "invoke" may do: a step's launches
    are recorded and repeated.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::scf::SCFDialect", "::mlir::func::FuncDialect"];
}

def ExpandGPUMath : Pass<"pith-expand-gpu-math", "::mlir::gpu::GPUModuleOp"> {
  let summary = "compute functions of math in kernels by polynomials";
  let description = [{
    Kernels link no device library. Functions of f16, bf16 and f32 become arithmetic in f32 (sines reduce their argument
    in f64), those of f64 series in f64; a function that has none is refused.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect", "::mlir::LLVM::LLVMDialect"];
}

#endif // PITH_CONVERSION_PITHTOGPU_PASSES_TD
