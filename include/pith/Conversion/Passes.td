//===----------------------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_CONVERSION_PASSES_TD
#define PITH_CONVERSION_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// The phase `schedule`, in this order (buildSchedule)
//===----------------------------------------------------------------------===//

def MarkTaps : Pass<"pith-mark-taps", "::mlir::ModuleOp"> {
  let summary = "mark the places where a step's hidden states can be seen";
  let description = [{
    In step entries with blocks: the residual stream in front of every block, behind its attention where all of the
    stream passes one value there, behind every block, and behind the final norm. The places are numbered in the stream's
    order; the entry's attribute `pith.taps` says which number a place has, -1 where there is none.
  }];
}

def InlineBlocks : Pass<"pith-inline-blocks", "::mlir::ModuleOp"> {
  let summary = "put the contents of blocks in their place";
  let description = [{
    Every pass that works block by block has run; what follows sees an entry as one straight line of operations.
  }];
}

def ExposeValues : Pass<"pith-expose-values", "::mlir::ModuleOp"> {
  let summary = "make values inside exported graphs outputs of their entries";
  let description = [{
    For comparing two ways to compile the same graph (`pith debug-compare`): what operations of an entry of kind "invoke" give
    becomes further outputs, in program order, named by operation and node. With `blocks-only`, only what blocks give;
    else blocks are put in their place first. Constants and views of other values are left out.

    ```mlir
    %0 = pith.softmax %x … loc("node_7")
    return %y
    // becomes
    return %y, %0        // output named "pith.softmax node_7"
    ```
  }];
  let options = [Option<"blocksOnly", "blocks-only", "bool", "false", "only what blocks give">];
}

def LimitRows : Pass<"pith-limit-rows", "::mlir::ModuleOp"> {
  let summary = "say how many rows and positions a step takes at most";
  let description = [{
    Longer prompts are given to a step entry in pieces; the workspace is as large as `max-rows` asks for. Positions end
    where the smallest table that is indexed by them ends (learned embeddings, rotary tables).
  }];
  let options = [Option<"maxRows", "max-rows", "int64_t", "512", "rows of a step, of all sequences together">];
}

def ConvertPithToCPU : Pass<"convert-pith-to-cpu", "::mlir::ModuleOp"> {
  let summary = "choose CPU kernels for transformer operations and pack their weights";
  let description = [{
    Each projection, embedding, norm, rotary embedding, cache append and cache attention becomes a `pith.launch` of a
    declared kernel, whose attribute `pith.kernel` says all that its body depends on. A norm whose result goes into one
    linear only becomes that linear's prologue; activation, gate and residual sum that follow become its epilogue.
    Weights become `pith.packed` symbols, one for equal sources and layout, in order of use.

    ```mlir
    %n = pith.rms_norm %x, %scale {epsilon = 1.0e-5 : f32} : tensor<?x256xf32>, tensor<256xf32>
    %y = pith.linear %n, [@w] : tensor<?x256xf32> -> tensor<?x512xf32>
    %z = arith.addf %y, %r : tensor<?x512xf32>
    ```
    becomes
    ```mlir
    func.func private @linear_0(…) attributes {pith.kernel = {kind = "linear", norm = "rms", residual, …}}
    pith.packed @linear_0_w [@w] {kind = "linear", format = "f16", n = 512, k = 256, …} at 0 size 262144
    %w = pith.packed_address @linear_0_w : memref<262144xi8>
    %z = pith.launch @linear_0(%x, %w, %init, %scratch, %scale, %r, %rows) outputs [2, 3] : …
    ```
  }];
  let options = [
    Option<"stateOnly", "state-only", "bool", "false", "only what reads or writes caches, which has no plain form">,
    Option<"exact", "exact", "bool", "true", "multiply in f32 whatever the weights' format">,
    Option<"cpu", "cpu", "std::string", "\"host\"", "the CPU to choose for, if the module does not name one">,
  ];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect", "::mlir::linalg::LinalgDialect"];
}

def ConvertPithToLinalg : Pass<"convert-pith-to-linalg", "::mlir::ModuleOp"> {
  let summary = "lower pith operations on tensors to linalg, plainly";
  let description = [{
    Every operation that is left becomes loops over tensors (`linalg`, `tensor`, `arith`, `math`), in f32 or wider: the
    reference form. Loops run along the operands as they lie in memory. Weights that such code reads become
    `pith.packed` symbols of kind "plain".
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect", "::mlir::scf::SCFDialect",
                           "::mlir::bufferization::BufferizationDialect", "::mlir::memref::MemRefDialect"];
}

def FuseElementwise : Pass<"pith-fuse-elementwise", "::mlir::ModuleOp"> {
  let summary = "compute what is used once where it is used";
  let description = [{
    Merges a loop over elements into the loop that reads it, unless that would compute it more often: what only moves or
    converts data merges everywhere, arithmetic only where each element is read once.
  }];
}

//===----------------------------------------------------------------------===//
// The phase `kernels`, in this order (buildKernels)
//===----------------------------------------------------------------------===//

def BuildKernelBodies : Pass<"pith-build-kernels", "::mlir::ModuleOp"> {
  let summary = "generate the bodies of declared kernels";
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::vector::VectorDialect", "::mlir::scf::SCFDialect",
                           "::mlir::math::MathDialect"];
}

def BufferizeEntries : Pass<"pith-bufferize", "::mlir::ModuleOp"> {
  let summary = "from tensors to buffers";
  let description = [{
    Entries take their inputs, then their outputs, as buffers, and return the sizes of the outputs' dynamic dimensions:
    ```mlir
    func.func @main(%in: memref<?x8xf32>, %out: memref<?x8xf32>) -> index
    ```
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect", "::mlir::memref::MemRefDialect"];
}

def LinalgToTeamLoops : Pass<"pith-linalg-to-loops", "::mlir::ModuleOp"> {
  let summary = "from linalg on buffers to parallel and sequential loops";
  let description = [{
    For a team of threads, the innermost loop stays sequential, so that a thread works along memory. For a grid, whose
    neighbouring threads should touch neighbouring elements, every loop without a sum is parallel.
  }];
  let options = [Option<"grid", "grid", "bool", "false", "for a GPU's grid of threads">];
  let dependentDialects = ["::mlir::scf::SCFDialect", "::mlir::memref::MemRefDialect", "::mlir::LLVM::LLVMDialect"];
}

def PlanBuffers : Pass<"pith-plan-buffers", "::mlir::ModuleOp"> {
  let summary = "give every buffer its place in one workspace";
  let description = [{
    An entry gets one more argument, the workspace, and returns its size in bytes first. Buffers that are not alive at the
    same time share bytes. Sizes that depend on a dimension are planned as multiples of it.
  }];
  let dependentDialects = ["::mlir::memref::MemRefDialect", "::mlir::arith::ArithDialect"];
}

def FormTeam : Pass<"pith-form-team", "::mlir::ModuleOp"> {
  let summary = "make entries run on every thread of the team";
  let description = [{
    Scalar code runs on every thread, parallel loops become functions that compute a thread's share, other writes to
    memory are left to thread 0. A barrier stands between an access and a later one that must not overtake it. Loops that
    are equal up to their operands become one function.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::scf::SCFDialect", "::mlir::func::FuncDialect"];
}

def ExportEntries : Pass<"pith-export-entries", "::mlir::ModuleOp"> {
  let summary = "give entries the runtime's calling convention";
  let description = [{
    For each entry a `run` and a `prepare` as pith/executable.h wants them, the table `pith_executable`, and the manifest's
    part that describes them, as the module's attribute `pith.manifest`.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::memref::MemRefDialect"];
}

#endif // PITH_CONVERSION_PASSES_TD
