//===----------------------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_OPS_TD
#define PITH_OPS_TD

include "pith/Dialect/Pith/IR/PithAttributes.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/IR/RegionKindInterface.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Pith_Op<string mnemonic, list<Trait> traits = []> : Op<Pith_Dialect, mnemonic, traits> {
  let hasVerifier = 1;
}
class Pith_PureOp<string mnemonic, list<Trait> traits = []> : Pith_Op<mnemonic, !listconcat([Pure], traits)>;

def Pith_IndexOrInt : AnyTypeOf<[I32, I64, Index]>;
def Pith_FloatTensor : RankedTensorOf<[AnyFloat]>;
def Pith_IndexTensor : RankedTensorOf<[I32, I64, Index]>;

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

def Pith_WeightOp : Pith_Op<"weight", [Symbol]> {
  let summary = "a constant of the model, under a name";
  let description = [{
    The type says what the mathematics sees (shape and element type) and, in its encoding, how it is stored; no encoding
    is dense, row-major. The bytes are `data` (and `scales`, `zeros` where the encoding has them), each a
    `#pith.file`, whose bytes stay where they are, or a dense elements attribute for what is small or computed.

    ```mlir
    pith.weight @embed : tensor<4096x256xf16> = #pith.file<"model.onnx", 2048, 2097152>
    pith.weight @head : tensor<4096x256xf32, #pith.block_quant<bits = 4, block = 32, scale = f32>>
        = #pith.file<"model.onnx.data", 0, 524288> scales #pith.file<"model.onnx.data", 524288, 131072>
    pith.weight @eps : tensor<1xf32> = dense<1.0e-5> : tensor<1xf32>
    ```
    C1: each piece's size is what the encoding asks for. C2: scales and zeros are present exactly if the encoding has them.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, OptionalAttr<StrAttr>:$sym_visibility, TypeAttrOf<AnyRankedTensor>:$type, AnyAttr:$data,
                       OptionalAttr<AnyAttr>:$scales, OptionalAttr<AnyAttr>:$zeros);
  let assemblyFormat = [{
    $sym_name `:` $type `=` $data (`scales` $scales^)? (`zeros` $zeros^)? attr-dict
  }];
  let builders = [OpBuilder<(ins "::llvm::StringRef":$name, "::mlir::RankedTensorType":$type, "::mlir::Attribute":$data,
                                 CArg<"::mlir::Attribute", "{}">:$scales, CArg<"::mlir::Attribute", "{}">:$zeros)>];
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getTensorType() { return ::llvm::cast<::mlir::RankedTensorType>(getType()); }
    /// Null if dense.
    WeightEncodingInterface getEncoding();
    /// The bytes of one of the pieces (data, scales, zeros). Fails with a diagnostic on this op.
    ::mlir::FailureOr<::llvm::ArrayRef<char>> getBytes(::mlir::Attribute piece);
    /// The whole weight, decoded to f32 (f16, bf16, f32, f64, block-quantized). For small weights and references.
    ::mlir::LogicalResult decode(::llvm::SmallVectorImpl<float> &out);
    /// The whole weight as an elements attribute if it is dense and at most `maxBytes`; null otherwise.
    ::mlir::DenseElementsAttr getElements(int64_t maxBytes = 1 << 20);
  }];
}

def Pith_LoadOp : Pith_PureOp<"load", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a weight as a dense tensor";
  let description = [{
    The weight's value. The result has its shape; its element type is the weight's, or a wider float (a narrow or
    quantized weight read as f32).

    ```mlir
    %w = pith.load @norm : tensor<256xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$weight);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$weight attr-dict `:` type($result)";
  let hasVerifier = 0;
}

//===----------------------------------------------------------------------===//
// Tensor operations that upstream lacks on dynamic shapes. `dims` are the sizes of the result's dynamic dimensions, in order.
//===----------------------------------------------------------------------===//

class Pith_ShapedOp<string mnemonic, list<Trait> traits = []> : Pith_PureOp<mnemonic, traits> {
  let results = (outs AnyRankedTensor:$result);
}

def Pith_ReshapeOp : Pith_ShapedOp<"reshape"> {
  let summary = "the same elements in row-major order, in another shape";
  let description = [{
    Reads the elements in row-major order and gives them the result's shape. C1: same element type. C2: if both
    shapes are static, the same number of elements; otherwise it is undefined behaviour if the numbers differ.

    ```mlir
    %y = pith.reshape %x dims(%b, %s) : tensor<?x?x256xf32> -> tensor<?x?x4x64xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$source, Variadic<Index>:$dims);
  let assemblyFormat = "$source (`dims` `(` $dims^ `)`)? attr-dict `:` type($source) `->` type($result)";
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

def Pith_BroadcastOp : Pith_ShapedOp<"broadcast"> {
  let summary = "repeats a tensor along new or unit dimensions";
  let description = [{
    Shapes are aligned at the right, as in NumPy: missing leading dimensions are new, a source dimension that is statically
    1 is repeated, any other equals the result's. C1: same element type. C2: the source's rank is at most the result's.
    C3: a static source dimension is 1 or equals a static result dimension.

    ```mlir
    %y = pith.broadcast %x dims(%b) : tensor<64xf32> -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$source, Variadic<Index>:$dims);
  let assemblyFormat = "$source (`dims` `(` $dims^ `)`)? attr-dict `:` type($source) `->` type($result)";
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

def Pith_TransposeOp : Pith_ShapedOp<"transpose"> {
  let summary = "permutes dimensions";
  let description = [{
    Result dimension i is source dimension `permutation[i]`. C1: a permutation of the rank. C2: types agree.

    ```mlir
    %y = pith.transpose %x [0, 2, 1, 3] : tensor<?x?x4x64xf32> -> tensor<?x4x?x64xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$source, DenseI64ArrayAttr:$permutation);
  let assemblyFormat = "$source $permutation attr-dict `:` type($source) `->` type($result)";
  let hasFolder = 1;
}

def Pith_IotaOp : Pith_ShapedOp<"iota"> {
  let summary = "the index along one dimension";
  let description = [{
    `result[i0, …] = i_axis`, integer elements.

    ```mlir
    %i = pith.iota 0 dims(%s) : tensor<?xi64>
    ```
  }];
  let arguments = (ins I64Attr:$axis, Variadic<Index>:$dims);
  let assemblyFormat = "$axis (`dims` `(` $dims^ `)`)? attr-dict `:` type($result)";
}

def Pith_MatmulOp : Pith_ShapedOp<"matmul"> {
  let summary = "batched matrix product";
  let description = [{
    `result[b…, m, n] = sum_k lhs[b…, m, k] * rhs[b…, k, n]`. Batch dimensions are equal, or `rhs` has rank 2 and serves
    all. Floats are summed in at least f32, integers in the result's type. C1: ranks at least 2. C2: k agrees where
    static. C3: batch dimensions agree where static.

    ```mlir
    %y = pith.matmul %a, %b : tensor<?x4x?x64xf32>, tensor<?x4x64x?xf32> -> tensor<?x4x?x?xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$lhs, AnyRankedTensor:$rhs);
  let assemblyFormat = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)";
}

def Pith_ReduceOp : Pith_ShapedOp<"reduce"> {
  let summary = "reduces over dimensions, which stay with size 1";
  let description = [{
    Floats are combined in at least f32. An empty reduction gives the kind's neutral element (mean: NaN).

    ```mlir
    %m = pith.reduce mean %x [2] : tensor<?x?x256xf32> -> tensor<?x?x1xf32>
    ```
  }];
  let arguments = (ins Pith_ReduceKindAttr:$kind, AnyRankedTensor:$source, DenseI64ArrayAttr:$axes);
  let assemblyFormat = "$kind $source $axes attr-dict `:` type($source) `->` type($result)";
}

def Pith_SoftmaxOp : Pith_ShapedOp<"softmax", [SameOperandsAndResultType]> {
  let summary = "softmax along one dimension";
  let description = [{
    `exp(x - max) / sum exp(x - max)` in at least f32. A row of all -inf gives NaN.

    ```mlir
    %p = pith.softmax %s axis 3 : tensor<?x4x?x?xf32>
    ```
  }];
  let arguments = (ins Pith_FloatTensor:$source, I64Attr:$axis);
  let results = (outs Pith_FloatTensor:$result);
  let assemblyFormat = "$source `axis` $axis attr-dict `:` type($result)";
}

def Pith_GatherOp : Pith_ShapedOp<"gather"> {
  let summary = "takes slices along one dimension";
  let description = [{
    `result[a…, i…, c…] = source[a…, indices[i…], c…]`, `axis` leading dimensions in `a`. A negative index counts
    from the end; one outside the dimension gives zeros.

    ```mlir
    %y = pith.gather %table, %ids axis 0 : tensor<4096x256xf32>, tensor<?x?xi64> -> tensor<?x?x256xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$source, Pith_IndexTensor:$indices, I64Attr:$axis);
  let assemblyFormat = "$source `,` $indices `axis` $axis attr-dict `:` type($source) `,` type($indices) `->` type($result)";
}

def Pith_GatherNDOp : Pith_ShapedOp<"gather_nd"> {
  let summary = "takes slices at index tuples";
  let description = [{
    As ONNX GatherND: the last dimension of `indices` holds tuples into the dimensions of `source` behind the first
    `batch_dims`, which both share.
  }];
  let arguments = (ins AnyRankedTensor:$source, Pith_IndexTensor:$indices, DefaultValuedAttr<I64Attr, "0">:$batch_dims);
  let assemblyFormat = "$source `,` $indices attr-dict `:` type($source) `,` type($indices) `->` type($result)";
}

def Pith_ScatterNDOp : Pith_ShapedOp<"scatter_nd"> {
  let summary = "a copy with slices replaced at index tuples";
  let description = [{
    As ONNX ScatterND without reduction: `result = source; result[indices[i…]] = updates[i…]`, tuples in the last
    dimension of `indices`. Later tuples win.
  }];
  let arguments = (ins AnyRankedTensor:$source, Pith_IndexTensor:$indices, AnyRankedTensor:$updates);
  let assemblyFormat = [{
    $source `,` $indices `,` $updates attr-dict `:` type($source) `,` type($indices) `,` type($updates) `->` type($result)
  }];
}

def Pith_CumSumOp : Pith_ShapedOp<"cumsum", [SameOperandsAndResultType]> {
  let summary = "running sum along one dimension";
  let description = [{
    `result[i] = sum_{j <= i} source[j]` along `axis`; `exclusive`: j < i; `reverse`: from the end.

    ```mlir
    %y = pith.cumsum %x axis 1 : tensor<?x?xi64>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$source, I64Attr:$axis, UnitAttr:$exclusive, UnitAttr:$reverse);
  let assemblyFormat = "$source `axis` $axis attr-dict `:` type($result)";
}

def Pith_CacheUpdateOp : Pith_ShapedOp<"cache_update"> {
  let summary = "a cache tensor with new rows written at an offset";
  let description = [{
    `result = past`, extended with zeros to the result's length along dimension 2, then
    `result[b, h, start[b] + s, d] = update[b, h, s, d]`. This is how an exported graph with preallocated or ragged caches
    (GroupQueryAttention, TensorScatter) writes; a cache that is concatenated stays `tensor.concat`. Rows outside the
    result are dropped.

    ```mlir
    %present = pith.cache_update %past, %k, %start dims(%b, %t) : tensor<?x2x?x64xf32>, tensor<?x2x?x64xf32>, tensor<?xi64> -> tensor<?x2x?x64xf32>
    ```
  }];
  let arguments = (ins AnyRankedTensor:$past, AnyRankedTensor:$update, Pith_IndexTensor:$start, Variadic<Index>:$dims);
  let assemblyFormat = [{
    $past `,` $update `,` $start (`dims` `(` $dims^ `)`)? attr-dict `:` type($past) `,` type($update) `,` type($start) `->` type($result)
  }];
}

//===----------------------------------------------------------------------===//
// The transformer's operations: token-major, [tokens…, channels]
//===----------------------------------------------------------------------===//

def Pith_LinearOp : Pith_PureOp<"linear", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "product with constant weights";
  let description = [{
    `y[t…, n] = sum_k x[t…, k] * W[n, k] + bias[n]`, W being the named weights stacked along n (a fused projection:
    q, k, v). A weight has shape [n, k], or [k, n] with `k_major`. Biases, if any, are one per weight. Sums in f32.

    ```mlir
    %y = pith.linear %x, [@q, @k, @v] bias [@bq, @bk, @bv] : tensor<?x256xf32> -> tensor<?x512xf32>
    %z = pith.linear %x, [@w] {k_major} : tensor<?x256xf32> -> tensor<?x704xf32>
    ```
    C1: every weight's k is x's last dimension. C2: the weights' n add up to the result's last dimension. C3: token
    dimensions of x and y agree. C4: biases: as many as weights, each [n].
  }];
  let arguments = (ins Pith_FloatTensor:$x, TypedArrayAttrBase<FlatSymbolRefAttr, "weights">:$weights,
                       OptionalAttr<TypedArrayAttrBase<FlatSymbolRefAttr, "biases">>:$biases, UnitAttr:$k_major);
  let results = (outs Pith_FloatTensor:$result);
  let assemblyFormat = "$x `,` $weights (`bias` $biases^)? attr-dict `:` type($x) `->` type($result)";
}

def Pith_EmbeddingOp : Pith_PureOp<"embedding", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "rows of a table";
  let description = [{
    `y[t…, :] = W[ids[t…], :] * scale`, W [vocabulary, k] (`k_major`: [k, vocabulary], a table shared with the head).
    A negative id counts from the end; one outside the table gives zeros.

    ```mlir
    %x = pith.embedding %ids, @embed : tensor<?xi32> -> tensor<?x256xf32>
    ```
  }];
  let arguments = (ins Pith_IndexTensor:$ids, FlatSymbolRefAttr:$weight, DefaultValuedAttr<F32Attr, "1.0">:$scale, UnitAttr:$k_major);
  let results = (outs Pith_FloatTensor:$result);
  let assemblyFormat = "$ids `,` $weight attr-dict `:` type($ids) `->` type($result)";
}

def Pith_RMSNormOp : Pith_PureOp<"rms_norm", [AllTypesMatch<["x", "result"]>]> {
  let summary = "root mean square normalization over the channels";
  let description = [{
    `y = x / sqrt(mean(x^2) + epsilon) * scale` over the last dimension, in f32. C1: scale is [channels].

    ```mlir
    %y = pith.rms_norm %x, %scale {epsilon = 1.0e-5 : f32} : tensor<?x256xf32>, tensor<256xf32>
    ```
  }];
  let arguments = (ins Pith_FloatTensor:$x, Pith_FloatTensor:$scale, F32Attr:$epsilon);
  let results = (outs Pith_FloatTensor:$result);
  let assemblyFormat = "$x `,` $scale attr-dict `:` type($x) `,` type($scale)";
}

def Pith_LayerNormOp : Pith_PureOp<"layer_norm", [AttrSizedOperandSegments, AllTypesMatch<["x", "result"]>]> {
  let summary = "layer normalization over the channels";
  let description = [{
    `y = (x - mean(x)) / sqrt(var(x) + epsilon) * scale + bias` over the last dimension, in f32; population variance.

    ```mlir
    %y = pith.layer_norm %x scale %s bias %b {epsilon = 1.0e-5 : f32} : tensor<?x256xf32>, tensor<256xf32>, tensor<256xf32>
    ```
  }];
  let arguments = (ins Pith_FloatTensor:$x, Optional<Pith_FloatTensor>:$scale, Optional<Pith_FloatTensor>:$bias, F32Attr:$epsilon);
  let results = (outs Pith_FloatTensor:$result);
  let assemblyFormat = [{
    $x (`scale` $scale^)? (`bias` $bias^)? attr-dict `:` type($x) (`,` type($scale)^)? (`,` type($bias)^)?
  }];
}

def Pith_RopeOp : Pith_PureOp<"rope", [AllTypesMatch<["x", "result"]>, AllTypesMatch<["cos", "sin"]>]> {
  let summary = "rotary position embedding";
  let description = [{
    For each head of `head_dim` channels, the first `rotary_dim` are rotated in pairs, the others copied. Pair j is channels
    (j, j + rotary_dim/2), or (2j, 2j+1) with `interleaved`: `y1 = x1 cos_j - x2 sin_j`, `y2 = x2 cos_j + x1 sin_j`.
    cos and sin are [tokens…, rotary_dim/2] (a scale such as YaRN's may be in them). Source: RoFormer (arXiv
    2104.09864), section 3.4. C1: x's channels are a multiple of head_dim. C2: rotary_dim is even and at most head_dim.
    C3: cos and sin have x's token dimensions.

    ```mlir
    %y = pith.rope %x, %cos, %sin {head_dim = 64 : i64, rotary_dim = 64 : i64} : tensor<?x256xf32>, tensor<?x32xf32>
    ```
  }];
  let arguments = (ins Pith_FloatTensor:$x, Pith_FloatTensor:$cos, Pith_FloatTensor:$sin, I64Attr:$head_dim, I64Attr:$rotary_dim,
                       UnitAttr:$interleaved);
  let results = (outs Pith_FloatTensor:$result);
  let assemblyFormat = "$x `,` $cos `,` $sin attr-dict `:` type($x) `,` type($cos)";
}

def Pith_ActivationOp : Pith_PureOp<"activation", [SameOperandsAndResultType]> {
  let summary = "an activation function";
  let description = [{
    relu, silu `x sigmoid(x)`, gelu (erf), gelu_tanh, quick_gelu `x sigmoid(1.702 x)`.

    ```mlir
    %y = pith.activation gelu %x : tensor<?x256xf32>
    ```
  }];
  let arguments = (ins Pith_ActivationKindAttr:$kind, Pith_FloatTensor:$x);
  let results = (outs Pith_FloatTensor:$result);
  let assemblyFormat = "$kind $x attr-dict `:` type($x)";
  let hasVerifier = 0;
}

def Pith_GLUOp : Pith_PureOp<"glu", [SameOperandsAndResultType]> {
  let summary = "gated linear unit";
  let description = [{
    `y = activation(gate) * up` (SwiGLU with silu, GeGLU with gelu). Source: arXiv 2002.05202.

    ```mlir
    %y = pith.glu silu %gate, %up : tensor<?x704xf32>
    ```
  }];
  let arguments = (ins Pith_ActivationKindAttr:$kind, Pith_FloatTensor:$gate, Pith_FloatTensor:$up);
  let results = (outs Pith_FloatTensor:$result);
  let assemblyFormat = "$kind $gate `,` $up attr-dict `:` type($result)";
  let hasVerifier = 0;
}

def Pith_AttentionOp : Pith_PureOp<"attention", [AttrSizedOperandSegments]> {
  let summary = "attention over keys and values given as tensors";
  let description = [{
    q [B, S, heads * head_dim], k [B, T, kv_heads * head_dim], v [B, T, kv_heads * value_dim] give [B, S, heads * value_dim].
    Query head h reads kv head `h / (heads / kv_heads)`. For each query s and key j:
    `score = softcap(scale * q.k)`, `softcap(x) = c tanh(x / c)` if c > 0; plus `mask`, if given: f32, broadcast to
    [B, heads, S, T], added (-inf hides), or i1, true keeps. `causal`: j <= s + T - S. `window` w > 0: j > s + T - S - w. Softmax in
    f32; `sinks` [heads] join the denominator as exp(sink). A row with every key hidden gives zeros.
    C1: head counts divide. C2: channel counts agree. C3: mask has rank 4, each dimension 1 or the full one.

    ```mlir
    %o = pith.attention %q, %k, %v {heads = 4 : i64, kv_heads = 2 : i64, scale = 0.125 : f32, causal}
       : tensor<?x?x256xf32>, tensor<?x?x128xf32>, tensor<?x?x128xf32> -> tensor<?x?x256xf32>
    ```
  }];
  let arguments = (ins Pith_FloatTensor:$q, Pith_FloatTensor:$k, Pith_FloatTensor:$v, Optional<AnyRankedTensor>:$mask,
                       Optional<Pith_FloatTensor>:$sinks, I64Attr:$heads, I64Attr:$kv_heads, F32Attr:$scale, UnitAttr:$causal,
                       DefaultValuedAttr<F32Attr, "0.0">:$softcap, DefaultValuedAttr<I64Attr, "0">:$window);
  let results = (outs Pith_FloatTensor:$result);
  let assemblyFormat = [{
    $q `,` $k `,` $v (`mask` $mask^ `:` type($mask))? (`sinks` $sinks^ `:` type($sinks))? attr-dict
    `:` type($q) `,` type($k) `,` type($v) `->` type($result)
  }];
}

//===----------------------------------------------------------------------===//
// Blocks and state
//===----------------------------------------------------------------------===//

def Pith_BlockOp : Pith_Op<"block", [SingleBlockImplicitTerminator<"YieldOp">, RecursiveMemoryEffects]> {
  let summary = "one transformer block: the residual stream in and out";
  let description = [{
    The region's argument is the residual stream; what it yields has the same type. Other values (rotary tables) are
    captured; cache handles enter as `states` and leave as results behind the stream. `index` counts blocks from 0.
    Erasing a block replaces its stream result by its operand.

    ```mlir
    %y, %c1 = pith.block 0(%x) states(%c0) : (tensor<?x256xf32>, !pith.kv<…>) -> (tensor<?x256xf32>, !pith.kv<…>) {
    ^bb0(%h: tensor<?x256xf32>, %c: !pith.kv<…>):
      …
      pith.yield %h2, %c2 : tensor<?x256xf32>, !pith.kv<…>
    }
    ```
    C1: the region's arguments and the yielded types are the stream's and the states' types.
  }];
  let arguments = (ins I64Attr:$index, AnyRankedTensor:$stream, Variadic<Pith_KVType>:$states);
  let results = (outs AnyRankedTensor:$result, Variadic<Pith_KVType>:$new_states);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $index `(` $stream `)` (`states` `(` $states^ `)`)? attr-dict `:` functional-type(operands, results) $body
  }];
}

def Pith_YieldOp : Pith_Op<"yield", [Pure, Terminator, ReturnLike, HasParent<"BlockOp">]> {
  let summary = "ends a block";
  let arguments = (ins Variadic<AnyType>:$operands);
  let builders = [OpBuilder<(ins), [{ }]>];
  let assemblyFormat = "attr-dict ($operands^ `:` type($operands))?";
  let hasVerifier = 0;
}

def Pith_TapOp : Pith_Op<"tap", [AttrSizedOperandSegments, MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "a place where an application can see hidden states";
  let description = [{
    Copies those rows of `x` that the caller of the step asks for at place `slot`; nothing, if it asks for none. With
    `norm` ("rms" or "layer") the copies are normalized, over the channels, with `scale` and `bias`.

    ```mlir
    pith.tap 3(%x) : tensor<?x256xf32>
    pith.tap 24(%x) scale %s {norm = "rms", epsilon = 1.0e-5 : f32} : tensor<?x256xf32>, tensor<256xf32>
    ```
  }];
  let arguments = (ins I64Attr:$slot, Pith_FloatTensor:$x, Optional<Pith_FloatTensor>:$scale,
                       Optional<Pith_FloatTensor>:$bias, OptionalAttr<StrAttr>:$norm, OptionalAttr<F32Attr>:$epsilon);
  let assemblyFormat = [{
    $slot `(` $x `)` (`scale` $scale^)? (`bias` $bias^)? attr-dict
    `:` type($x) (`,` type($scale)^)? (`,` type($bias)^)?
  }];
}

def Pith_StateOp : Pith_Op<"state", [Symbol]> {
  let summary = "declares per-sequence state: one layer's KV cache";
  let description = [{
    Every sequence of the runtime has its own; `fork` shares it copy-on-write, `truncate` drops tokens from its end. The
    runtime allocates from the declaration. With `condition` it belongs to what the sequence is conditioned on (an encoder's
    output): the entry `condition` fills it once, a step only reads it, and `truncate` leaves it as it is.

    ```mlir
    pith.state @kv0 : !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>
    pith.state @cross0 : !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16> {condition}
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, OptionalAttr<StrAttr>:$sym_visibility, TypeAttrOf<Pith_KVType>:$type,
                       UnitAttr:$condition);
  let assemblyFormat = "$sym_name `:` $type attr-dict";
  let hasVerifier = 0;
}

def Pith_CacheOp : Pith_Op<"cache", [DeclareOpInterfaceMethods<SymbolUserOpInterface>, MemoryEffects<[MemRead]>]> {
  let summary = "the state as it is when the step begins";
  let description = [{
    ```mlir
    %c = pith.cache @kv0 : !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$state);
  let results = (outs Pith_KVType:$result);
  let assemblyFormat = "$state attr-dict `:` type($result)";
  let hasVerifier = 0;
}

def Pith_KVAppendOp : Pith_Op<"kv_append", [MemoryEffects<[MemRead, MemWrite]>, AllTypesMatch<["cache", "result"]>]> {
  let summary = "adds the step's new keys and values to every lane's cache";
  let description = [{
    k [rows, kv_heads * head_dim], v [rows, kv_heads * value_dim]: row r goes to its lane's sequence at the row's position
    there. Keys are stored as given (rotated). The step's lanes come with the call, not as operands.

    ```mlir
    %c1 = pith.kv_append %c0, %k, %v : !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>, tensor<?x128xf32>, tensor<?x128xf32>
    ```
  }];
  let arguments = (ins Pith_KVType:$cache, Pith_FloatTensor:$k, Pith_FloatTensor:$v);
  let results = (outs Pith_KVType:$result);
  let assemblyFormat = "$cache `,` $k `,` $v attr-dict `:` type($cache) `,` type($k) `,` type($v)";
}

def Pith_CacheAttentionOp : Pith_Op<"cache_attention", [AttrSizedOperandSegments, MemoryEffects<[MemRead]>]> {
  let summary = "causal attention of the step's rows over their own sequences' caches";
  let description = [{
    q [rows, heads * head_dim] gives [rows, heads * value_dim]. Row r, the p-th token of its sequence, sees tokens j <= p and,
    with `window` w > 0, j > p - w. Scores as in `pith.attention`; `alibi` [heads] adds `slope[h] * (j - p)`, `bias` [heads, n], a
    constant, adds `bias[h, min(p - j, n - 1)]`. The cache must hold the rows' own keys already (`pith.kv_append` before).

    With `condition` the cache is a state of that kind, and every row sees all of its sequence's condition; there is no
    window, alibi or bias then.

    ```mlir
    %o = pith.cache_attention %q, %c1 {heads = 4 : i64, scale = 0.125 : f32} : tensor<?x256xf32>, !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>
    ```
  }];
  let arguments = (ins Pith_FloatTensor:$q, Pith_KVType:$cache, Optional<Pith_FloatTensor>:$sinks, Optional<Pith_FloatTensor>:$alibi,
                       Optional<Pith_FloatTensor>:$bias, I64Attr:$heads, F32Attr:$scale, DefaultValuedAttr<F32Attr, "0.0">:$softcap,
                       DefaultValuedAttr<I64Attr, "0">:$window, UnitAttr:$condition);
  let results = (outs Pith_FloatTensor:$result);
  let assemblyFormat = [{
    $q `,` $cache (`sinks` $sinks^ `:` type($sinks))? (`alibi` $alibi^ `:` type($alibi))? (`bias` $bias^ `:` type($bias))? attr-dict
    `:` type($q) `,` type($cache) `->` type($result)
  }];
}

//===----------------------------------------------------------------------===//
// Scheduled code
//===----------------------------------------------------------------------===//

def Pith_PackedOp : Pith_Op<"packed", [Symbol]> {
  let summary = "weights as they lie in the compiled file";
  let description = [{
    `sources` (weights, or biases and scales) packed for a kernel in `layout`, which the target's code generator defines
    as a dictionary (kind, format, n, k, …). `offset` and `size` are bytes in the file's weight section, 64-byte aligned;
    the packaging phase writes them from the mapped sources.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, OptionalAttr<StrAttr>:$sym_visibility, TypedArrayAttrBase<FlatSymbolRefAttr, "sources">:$sources, DictionaryAttr:$layout,
                       I64Attr:$offset, I64Attr:$size);
  let assemblyFormat = "$sym_name $sources $layout `at` $offset `size` $size attr-dict";
  let hasVerifier = 0;
}

def Pith_PackedAddressOp : Pith_PureOp<"packed_address", [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "where packed weights are mapped";
  let arguments = (ins FlatSymbolRefAttr:$packed);
  let results = (outs AnyMemRef:$result);
  let assemblyFormat = "$packed attr-dict `:` type($result)";
  let hasVerifier = 0;
}

def Pith_LaunchOp : Pith_Op<"launch", [DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "runs a kernel on the whole team";
  let description = [{
    Calls `kernel` with its operands in order; those listed in `outputs` (positions of tensor or memref operands) are written
    as a whole and, on tensors, are also the results in the same order. Those listed in `updates` are read too.

    ```mlir
    %y = pith.launch @linear_0(%x, %w, %init, %rows) outputs [2] : (tensor<?x256xf32>, memref<131072xi8>, tensor<?x512xf32>, index) -> tensor<?x512xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<AnyType>:$operands, DenseI64ArrayAttr:$outputs,
                       DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$updates);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = "$kernel `(` $operands `)` `outputs` $outputs attr-dict `:` functional-type($operands, $results)";
}

#endif // PITH_OPS_TD
