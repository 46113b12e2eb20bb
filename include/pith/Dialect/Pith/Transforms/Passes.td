//===----------------------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TRANSFORMS_PASSES_TD
#define PITH_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

// The phase `raise`, in this order (buildRaisePipeline).

def WidenFloats : Pass<"pith-widen-floats", "::mlir::ModuleOp"> {
  let summary = "compute in f32 what the model says in f16 or bf16";
}
def RaiseNorms : Pass<"pith-raise-norms", "::mlir::ModuleOp"> {
  let summary = "recognise RMS and layer normalization";
}
def RaiseActivations : Pass<"pith-raise-activations", "::mlir::ModuleOp"> {
  let summary = "recognise activations and gated units";
}
def RaiseLinear : Pass<"pith-raise-linear", "::mlir::ModuleOp"> {
  let summary = "recognise projections by constant weights, and embeddings";
}
def RaiseRotary : Pass<"pith-raise-rotary", "::mlir::ModuleOp"> {
  let summary = "recognise rotary position embeddings";
}
def RaiseAttention : Pass<"pith-raise-attention", "::mlir::ModuleOp"> {
  let summary = "recognise attention";
}
def RaiseKVCache : Pass<"pith-raise-kv-cache", "::mlir::ModuleOp"> {
  let summary = "derive the stateful step entry from the exported graph";
}
def FuseProjections : Pass<"pith-fuse-projections", "::mlir::ModuleOp"> {
  let summary = "one linear for projections of the same input (q, k, v; gate and up)";
}
def FormBlocks : Pass<"pith-form-blocks", "::mlir::ModuleOp"> {
  let summary = "cut the residual stream into blocks";
}

#endif // PITH_TRANSFORMS_PASSES_TD
