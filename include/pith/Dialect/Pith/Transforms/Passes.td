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

def SpecializeSwitch : Pass<"pith-specialize-switch", "::mlir::ModuleOp"> {
  let summary = "of a merged decoder, the side without earlier keys and values";
  let description = [{
    An entry with a branch on a boolean input gets a copy in which that input is false, for `pith-raise-kv-cache` to derive the
    step entry from. The entry itself keeps the branch.

    ```mlir
    func.func @main(%use_cache: tensor<1xi1>, ...) attributes {pith.entry = "invoke"} {
      %b = tensor.extract %use_cache[%c0] : tensor<1xi1>
      %r = scf.if %b -> ...
    // adds
    func.func @main_without_past(...) attributes {pith.entry = "invoke", pith.step_source} ...
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}
def WidenFloats : Pass<"pith-widen-floats", "::mlir::ModuleOp"> {
  let summary = "compute in f32 what the model says in f16 or bf16";
  let description = [{
    Inside an entry every f16 and bf16 value becomes f32 and the casts between them vanish; narrow weights are read as f32.
    Arguments and results keep their types, with one conversion each.

    ```mlir
    %w = pith.load @w : tensor<8xf16>
    %y = arith.mulf %x, %w : tensor<8xf16>
    // becomes
    %w = pith.load @w : tensor<8xf32>
    %y = arith.mulf %x, %w : tensor<8xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
}
def SimplifyGathers : Pass<"pith-simplify-gathers", "::mlir::ModuleOp"> {
  let summary = "gathers along one dimension and slices, where a gather is no more";
  let description = [{
    Index tuples that count along a dimension take it as a whole; what is left of most is one index. Constant runs of
    indices are slices. A scatter whose tuples count along every dimension gives its updates.

    ```mlir
    %t = tensor.concat dim(2) %counting, %ids : (tensor<?x?x1xi64>, tensor<?x?x1xi64>) -> tensor<?x?x2xi64>
    %y = pith.gather_nd %repeated, %t : tensor<?x64x4xf32>, tensor<?x?x2xi64> -> tensor<?x?x4xf32>
    // becomes
    %y = pith.gather %table, %ids axis 0 : tensor<64x4xf32>, tensor<?x?xi64> -> tensor<?x?x4xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect", "::pith::PithDialect"];
}
def RaiseNorms : Pass<"pith-raise-norms", "::mlir::ModuleOp"> {
  let summary = "recognise RMS and layer normalization";
  let description = [{
    A product with the factors x and (mean(x^2) + epsilon)^-1/2 over the last dimension becomes `pith.rms_norm`, where x is
    c - mean(c), `pith.layer_norm` of c. The power may be a quotient by the root, 1 / root, rsqrt or powf; the square a product or
    a power; the mean a scaled sum. Vectors of the channels that multiply or are added join as scale and bias.

    ```mlir
    %m = pith.reduce mean %xx [2] : tensor<?x?x256xf32> -> tensor<?x?x1xf32>
    %a = arith.addf %m, %eps : tensor<?x?x1xf32>
    %r = math.rsqrt %a : tensor<?x?x1xf32>
    %b = pith.broadcast %r dims(%batch, %length) : tensor<?x?x1xf32> -> tensor<?x?x256xf32>
    %n = arith.mulf %x, %b : tensor<?x?x256xf32>
    %y = arith.mulf %n, %w : tensor<?x?x256xf32>
    // becomes
    %y = pith.rms_norm %x, %scale {epsilon = 1.0e-5 : f32} : tensor<?x?x256xf32>, tensor<256xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect", "::pith::PithDialect"];
}
def RaiseActivations : Pass<"pith-raise-activations", "::mlir::ModuleOp"> {
  let summary = "recognise activations and gated units";
  let description = [{
    Elementwise code that depends on one tensor and scalar constants is evaluated at a few points; where it agrees with an
    activation of the dialect to 1.5e-4 it becomes `pith.activation`, and its product with another tensor `pith.glu`.

    ```mlir
    %n = arith.negf %x : tensor<?x704xf32>
    %e = math.exp %n : tensor<?x704xf32>
    %d = arith.addf %e, %one : tensor<?x704xf32>
    %s = arith.divf %one, %d : tensor<?x704xf32>
    %a = arith.mulf %x, %s : tensor<?x704xf32>
    %y = arith.mulf %a, %up : tensor<?x704xf32>
    // becomes
    %y = pith.glu silu %x, %up : tensor<?x704xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect", "::pith::PithDialect"];
}
def RaiseLinear : Pass<"pith-raise-linear", "::mlir::ModuleOp"> {
  let summary = "recognise projections by constant weights, and embeddings";
  let description = [{
    `pith.matmul` by a loaded weight, straight (k-major) or transposed, becomes `pith.linear`, with the bias that is added;
    `pith.gather` of a weight's rows `pith.embedding`. Reshapes that fold token dimensions around row-wise operations move
    out of the way. A linear with n-major weights of which only ranges of channels are used becomes one linear per range,
    whose weights are ranges of the same bytes.

    ```mlir
    %f = pith.reshape %x dims(%n) : tensor<?x?x256xf32> -> tensor<?x256xf32>
    %m = pith.matmul %f, %w : tensor<?x256xf32>, tensor<256x128xf32> -> tensor<?x128xf32>
    %s = arith.addf %b, %m : tensor<?x128xf32>
    %y = pith.reshape %s dims(%batch, %length) : tensor<?x128xf32> -> tensor<?x?x128xf32>
    // becomes
    %y = pith.linear %x, [@w] bias [@b] {k_major} : tensor<?x?x256xf32> -> tensor<?x?x128xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect", "::pith::PithDialect"];
}
def RaiseRotary : Pass<"pith-raise-rotary", "::mlir::ModuleOp"> {
  let summary = "recognise rotary position embeddings";
  let description = [{
    Code that is linear in x is written out channel by channel; if that matrix rotates pairs of channels (halves or even and
    odd ones, all or the first of them), with one cosine and one sine per pair, it becomes `pith.rope` on token-major rows.
    Spelling does not matter: slices with negation and concatenation, halves rotated apart, complex products, tables of full or
    half width, computed or gathered. Outer products of positions and frequencies become elementwise code.

    ```mlir
    %xc = arith.mulf %x, %cos : tensor<?x4x?x64xf32>
    %r = tensor.concat dim(3) %negated_upper, %lower : (tensor<?x4x?x32xf32>, tensor<?x4x?x32xf32>) -> tensor<?x4x?x64xf32>
    %rs = arith.mulf %r, %sin : tensor<?x4x?x64xf32>
    %y = arith.addf %xc, %rs : tensor<?x4x?x64xf32>
    // becomes
    %rows = pith.rope %x_rows, %c, %s {head_dim = 64 : i64, rotary_dim = 64 : i64} : tensor<?x?x256xf32>, tensor<?x?x32xf32>
    %y = ... %rows : tensor<?x?x256xf32> -> tensor<?x4x?x64xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect", "::pith::PithDialect"];
}
def RaiseAttention : Pass<"pith-raise-attention", "::mlir::ModuleOp"> {
  let summary = "recognise attention";
  let description = [{
    matmul(softmax(f(matmul(q, k'))), v), f being scalar factors (on q, on k, behind the product), a softcap and masks
    (added, or scores replaced by a sentinel), becomes `pith.attention` on token-major operands. Heads of keys and values that
    are repeated, in whatever spelling, are read through, also for attention ops that were imported as such. A guard that
    turns NaN into 0 is what the op does; finite sentinels stay in an additive mask, so that rows without any key average as
    they did.

    ```mlir
    %s = pith.matmul %q, %kt : tensor<?x4x?x64xf32>, tensor<?x4x64x?xf32> -> tensor<?x4x?x?xf32>
    %c = arith.mulf %s, %eighth : tensor<?x4x?x?xf32>
    %m = arith.addf %c, %mask : tensor<?x4x?x?xf32>
    %p = pith.softmax %m axis 3 : tensor<?x4x?x?xf32>
    %o = pith.matmul %p, %v : tensor<?x4x?x?xf32>, tensor<?x4x?x64xf32> -> tensor<?x4x?x64xf32>
    // becomes
    %rows = pith.attention %q_rows, %k_rows, %v_rows mask %narrow : tensor<?x1x?x?xf32> {heads = 4 : i64, kv_heads = 2 : i64, scale = 0.125 : f32}
        : tensor<?x?x256xf32>, tensor<?x?x128xf32>, tensor<?x?x128xf32> -> tensor<?x?x256xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect", "::pith::PithDialect"];
}
def RaiseKVCache : Pass<"pith-raise-kv-cache", "::mlir::ModuleOp"> {
  let summary = "derive the stateful step entry from the exported graph";
  let description = [{
    Follows the sequence axis of the entry `@main` from its token ids to its logits and shows that tokens meet only in
    causal attention and everything else works row by row. Then `@step` computes the same logits for new tokens alone,
    with each layer's keys and values kept as state, whether the graph had past and present tensors or no cache at all.
    Rotary tables and learned positions become functions of the step's positions; only the rows whose logits are wanted
    go through the head. Where the proof fails, a remark names the operation and the reason, and `@main` stays alone.

    If the graph takes an encoder's output (`[batch, positions, channels]`) whose positions are keys and values of attention
    that every token sees whole, these become state too: `@condition` computes them from rows of that output, and `@step`
    attends to what it has left. A mask for those positions says how many there are, and is gone.

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
    captured. Works for any arrangement of norms, attention and MLP (before, behind, parallel). Cross-attention, whose keys do
    not depend on tokens, is part of the block that the attention before it has begun.

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

def RemoveUnusedWeights : Pass<"pith-remove-unused-weights", "::mlir::ModuleOp"> {
  let summary = "erase weights that nothing names";
  let description = [{
    Splitting, folding and raising leave weights behind that no operation refers to any more.

    ```mlir
    pith.weight @qkv : tensor<512x256xf32> = ...   // erased: @q, @k and @v, parts of it, took its place
    ```
  }];
}

#endif // PITH_TRANSFORMS_PASSES_TD
