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
  let description = [{
    Follows the sequence axis of the entry `@main` from its token ids to its logits and shows that tokens meet only in
    causal attention and everything else works row by row. Then `@step` computes the same logits for new tokens alone,
    with each layer's keys and values kept as state, whether the graph had past and present tensors or no cache at all.
    Rotary tables and learned positions become functions of the step's positions; only the rows whose logits are wanted
    go through the head. Where the proof fails, a remark names the operation and the reason, and `@main` stays alone.

    ```mlir
    func.func @main(%ids: tensor<?x?xi64>, ...) attributes {pith.entry = "invoke"} {
      %o = pith.attention %q, %k, %v {causal, heads = 4 : i64, kv_heads = 2 : i64, scale = 0.125 : f32} ...
    // adds
    pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f32>
    func.func @step(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %out_rows: tensor<?xi32>) -> tensor<?x4096xf32>
        attributes {pith.entry = "step"} {
      %c = pith.cache @kv0 : ...
      %c1 = pith.kv_append %c, %k, %v : ...
      %o = pith.cache_attention %q, %c1 {heads = 4 : i64, scale = 0.125 : f32} ...
    ```
  }];
  let options = [
    Option<"cacheElement", "cache-element", "std::string", "\"auto\"",
           "how keys and values are stored: f32, f16, bf16, or auto (as the graph's own cache or weights)">,
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect", "::mlir::tensor::TensorDialect",
                           "::pith::PithDialect"];
}
def FuseProjections : Pass<"pith-fuse-projections", "::mlir::ModuleOp"> {
  let summary = "one linear for projections of the same input (q, k, v; gate and up)";
  let description = [{
    Projections of one value whose weights have the same orientation and format become one `pith.linear` over the
    stacked weights and slices of its result: those that lead to the query, keys and values of one attention, and the two
    of one gated unit.

    ```mlir
    %g = pith.linear %x, [@gate] : tensor<?x256xf32> -> tensor<?x704xf32>
    %u = pith.linear %x, [@up] : tensor<?x256xf32> -> tensor<?x704xf32>
    %y = pith.glu silu %g, %u : tensor<?x704xf32>
    // becomes
    %gu = pith.linear %x, [@gate, @up] : tensor<?x256xf32> -> tensor<?x1408xf32>
    %g = tensor.extract_slice %gu[0, 0] [%rows, 704] [1, 1] : tensor<?x1408xf32> to tensor<?x704xf32>
    %u = tensor.extract_slice %gu[0, 704] [%rows, 704] [1, 1] : tensor<?x1408xf32> to tensor<?x704xf32>
    %y = pith.glu silu %g, %u : tensor<?x704xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect", "::pith::PithDialect"];
}
def FormBlocks : Pass<"pith-form-blocks", "::mlir::ModuleOp"> {
  let summary = "cut the residual stream into blocks";
  let description = [{
    A value that every way from the tokens to the result passes is a cut of the entry. Cuts of one type, one attention
    between each two, bound the `pith.block`s: everything between two of them that depends on the first moves into the
    block, with the constants that only it uses; rotary tables and other values that depend on positions alone are
    captured. Works for any arrangement of norms, attention and MLP (before, behind, parallel).

    ```mlir
    %n = pith.rms_norm %x, %w ...
    ...
    %y = arith.addf %x, %o : tensor<?x256xf32>
    // becomes
    %y, %c1 = pith.block 0(%x) states(%c0) : ... { ^bb0(%h: tensor<?x256xf32>, %c: !pith.kv<...>): ... }
    ```
  }];
  let dependentDialects = ["::pith::PithDialect"];
}

#endif // PITH_TRANSFORMS_PASSES_TD
