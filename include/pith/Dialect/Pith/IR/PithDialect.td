//===----------------------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_DIALECT_TD
#define PITH_DIALECT_TD

include "mlir/IR/OpBase.td"

def Pith_Dialect : Dialect {
  let name = "pith";
  let cppNamespace = "::pith";
  let summary = "transformer inference: weights, blocks, attention and its state";
  let description = [{
    The dialect holds what a transformer needs and upstream MLIR lacks: weights as symbols with an encoding, the
    transformer's own operations, per-sequence state (the KV cache), and, for graphs as exporters write them, a few
    tensor operations with value semantics on dynamic shapes. Elementwise arithmetic is `arith` and `math` on
    tensors; slices and concatenation are `tensor.extract_slice` and `tensor.concat`.

    **Token-major.** Transformer ops see activations as `[tokens…, channels]`: any number of leading token dimensions
    (`batch x sequence` in a graph as exported, `rows` in a step entry), the channels of all heads last, head-major.

    **Entry points** are public `func.func`s with the attribute `pith.entry`: `"invoke"` keeps the exported signature;
    `"step"` is the stateful form, `(%tokens: tensor<?xi32>, %positions: tensor<?xi32>, %out_rows: tensor<?xi32>) ->
    tensor<?xVxf32>`, over the new tokens of any number of sequences (lanes), flattened to rows; `"condition"`, beside it,
    `(%rows: tensor<?xDxf32>, %positions: tensor<?xi32>) -> ()`, fills the states that are declared so from rows of an
    encoder's output. Arguments carry
    `pith.name` (the model's name) and `pith.dims` (an array with a string per symbolic and an integer per fixed
    dimension); so do results.
  }];
  let useDefaultAttributePrinterParser = 1;
  let useDefaultTypePrinterParser = 1;
  let hasConstantMaterializer = 1;
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
  let extraClassDeclaration = [{
    /// The bytes of a file, mapped once per context and kept for its life. Fails without a diagnostic if the
    /// file cannot be mapped; `error` then says why.
    ::mlir::FailureOr<::llvm::ArrayRef<char>> mapFile(::llvm::StringRef path, std::string &error);
  private:
    struct FileMaps;
    std::shared_ptr<FileMaps> fileMaps;
    void registerAttributes();
    void registerTypes();
  public:
  }];
}

#endif // PITH_DIALECT_TD
