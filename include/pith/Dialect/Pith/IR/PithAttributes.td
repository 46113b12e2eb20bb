//===----------------------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_ATTRIBUTES_TD
#define PITH_ATTRIBUTES_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "pith/Dialect/Pith/IR/PithDialect.td"

//===----------------------------------------------------------------------===//
// How a weight is stored
//===----------------------------------------------------------------------===//

def Pith_WeightEncodingInterface : AttrInterface<"WeightEncodingInterface"> {
  let cppNamespace = "::pith";
  let description = [{
    What a weight format must say of itself. A `pith.weight` whose tensor type carries an attribute with this
    interface is stored in that format; without one it is dense, row-major, little-endian. A new format implements
    this, plus a layout in the code generators that want to keep it to the kernel.
  }];
  let methods = [
    InterfaceMethod<"Bytes that the codes of a weight of `type` take in the model file.",
      "int64_t", "getDataSize", (ins "::mlir::RankedTensorType":$type)>,
    InterfaceMethod<"Bytes of the scales, 0 if the format has none.",
      "int64_t", "getScalesSize", (ins "::mlir::RankedTensorType":$type)>,
    InterfaceMethod<"Bytes of the zero points, 0 if the format has none.",
      "int64_t", "getZerosSize", (ins "::mlir::RankedTensorType":$type)>,
    InterfaceMethod<"Checks that the format can hold `type`; says why not through `emitError`.",
      "::mlir::LogicalResult", "verifyWeight",
      (ins "::mlir::RankedTensorType":$type, "::llvm::function_ref<::mlir::InFlightDiagnostic()>":$emitError)>,
    InterfaceMethod<[{Decodes rows [firstRow, firstRow + rows) of the last dimension's vectors to f32.}],
      "void", "decodeRows",
      (ins "::mlir::RankedTensorType":$type, "const char *":$data, "const char *":$scales, "const char *":$zeros,
           "int64_t":$firstRow, "int64_t":$rows, "float *":$out)>,
  ];
}

class Pith_Attr<string name, string attrMnemonic, list<Trait> traits = []> : AttrDef<Pith_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

def Pith_BlockQuantAttr : Pith_Attr<"BlockQuant", "block_quant",
    [DeclareAttrInterfaceMethods<Pith_WeightEncodingInterface>]> {
  let summary = "integer codes with a scale per block of a row or column";
  let description = [{
    `w[n, k] = (code[n, k] - zero[n, k / block]) * scale[n, k / block]`; codes unsigned, `bits` each, packed low bits
    first in bytes; each row is padded to whole blocks. Without zero points the zero is `2^(bits-1)`. This is how
    `com.microsoft.MatMulNBits` and `GatherBlockQuantized` store weights (zero points packed likewise, each row padded to
    whole bytes). A block of 0 is a whole row without padding; rows are whole bytes then.

    With `is_signed`, codes and zero points are in two's complement, and the zero is 0 without zero points. With `k_major`,
    the tensor is `w[k, n]`, and codes, scales and zero points are stored by k, each row of zero points padded to whole
    bytes: `w[k, n] = (code[k, n] - zero[k / block, n]) * scale[k / block, n]`. This is how `DequantizeLinear` takes the
    right side of `MatMul`.

    ```mlir
    #pith.block_quant<bits = 4, block = 32, scale = f32, zeros = false>
    ```
  }];
  let parameters = (ins "int64_t":$bits, "int64_t":$block, "::mlir::Type":$scale, DefaultValuedParameter<"bool", "false">:$zeros,
    DefaultValuedParameter<"bool", "false">:$is_signed, DefaultValuedParameter<"bool", "false">:$k_major);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def Pith_FileAttr : Pith_Attr<"File", "file"> {
  let summary = "bytes that stay in a file";
  let description = [{
    `size` bytes at `offset` of a file that the compiler maps when it needs them. The path is the one that opens the
    file from the compiler's working directory.

    ```mlir
    #pith.file<"model.onnx", 1024, 65536>
    ```
  }];
  let parameters = (ins StringRefParameter<>:$path, "int64_t":$offset, "int64_t":$size);
  let assemblyFormat = "`<` $path `,` $offset `,` $size `>`";
}

//===----------------------------------------------------------------------===//
// Enumerations
//===----------------------------------------------------------------------===//

def Pith_ActivationKind : I32EnumAttr<"ActivationKind", "an activation function", [
    I32EnumAttrCase<"None", 0, "none">, I32EnumAttrCase<"Relu", 1, "relu">, I32EnumAttrCase<"Silu", 2, "silu">,
    I32EnumAttrCase<"Gelu", 3, "gelu">, I32EnumAttrCase<"GeluTanh", 4, "gelu_tanh">,
    I32EnumAttrCase<"QuickGelu", 5, "quick_gelu">]> {
  let cppNamespace = "::pith";
  let genSpecializedAttr = 0;
}
def Pith_ActivationKindAttr : EnumAttr<Pith_Dialect, Pith_ActivationKind, "activation">;

def Pith_ReduceKind : I32EnumAttr<"ReduceKind", "how a reduction combines", [
    I32EnumAttrCase<"Sum", 0, "sum">, I32EnumAttrCase<"Mean", 1, "mean">, I32EnumAttrCase<"Max", 2, "max">,
    I32EnumAttrCase<"Min", 3, "min">, I32EnumAttrCase<"Prod", 4, "prod">]> {
  let cppNamespace = "::pith";
  let genSpecializedAttr = 0;
}
def Pith_ReduceKindAttr : EnumAttr<Pith_Dialect, Pith_ReduceKind, "reduce_kind">;

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

class Pith_Type<string name, string typeMnemonic> : TypeDef<Pith_Dialect, name> { let mnemonic = typeMnemonic; }

def Pith_KVType : Pith_Type<"KV", "kv"> {
  let summary = "a handle to one layer's KV cache";
  let description = [{
    Keys `[token, kv_heads, head_dim]` and values `[token, kv_heads, value_dim]` of every sequence of the step, stored as
    `element`. An SSA value of this type is one version of the state: `pith.kv_append` takes one and gives the next.

    ```mlir
    !pith.kv<kv_heads = 2, head_dim = 64, value_dim = 64, element = f16>
    ```
  }];
  let parameters = (ins "int64_t":$kv_heads, "int64_t":$head_dim, "int64_t":$value_dim, "::mlir::Type":$element);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

#endif // PITH_ATTRIBUTES_TD
