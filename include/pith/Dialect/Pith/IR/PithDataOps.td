//===----------------------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Operations for results whose sizes depend on data. Few files need them, so they have a header of their own.
//
//===----------------------------------------------------------------------===//

#ifndef PITH_DATA_OPS_TD
#define PITH_DATA_OPS_TD

include "pith/Dialect/Pith/IR/PithAttributes.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Pith_DataOp<string mnemonic, list<Trait> traits = []> : Op<Pith_Dialect, mnemonic, traits>;

def Pith_ArgSortOp : Pith_DataOp<"argsort", [DestinationStyleOpInterface, DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "the order of sorted items";
  let description = [{
    Each of the R rows of `keys`, [R, N, M], is a list of N items of M numbers. Items are compared number by number, the first
    that differs decides; equal items keep their order. `order`, [R, N], gets the items' positions, the least first
    (`descending`: the greatest). NaN is greater than any number. `scratch` has the shape of `order`.

    ```mlir
    %order, %s = pith.argsort %keys into %a, %b {descending}
        : tensor<?x64x1xf32> into tensor<?x64xi64>, tensor<?x64xi64> -> tensor<?x64xi64>, tensor<?x64xi64>
    ```
    C1: ranks 3 and 2. C2: R and N agree where static. C3: positions are i64.
  }];
  let arguments = (ins AnyShaped:$keys, AnyShaped:$order, AnyShaped:$scratch, UnitAttr:$descending, UnitAttr:$is_unsigned);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = "$keys `into` $order `,` $scratch attr-dict `:` type($keys) `into` type($order) `,` type($scratch) (`->` type($results)^)?";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return ::mlir::MutableOperandRange(*this, 1, 2); }
  }];
}

def Pith_OutputBufferOp : Pith_DataOp<"output_buffer", [MemoryEffects<[MemAlloc, MemWrite]>]> {
  let summary = "the memory of an output whose size depends on data";
  let description = [{
    Asks the runtime for output number `output` of the entry, with the given sizes of its dynamic dimensions. Once per run.

    ```mlir
    %out = pith.output_buffer 0 dims(%n) : memref<?x4xf32>
    ```
  }];
  let arguments = (ins I64Attr:$output, Variadic<Index>:$dims);
  let results = (outs AnyMemRef:$result);
  let assemblyFormat = "$output (`dims` `(` $dims^ `)`)? attr-dict `:` type($result)";
}

#endif // PITH_DATA_OPS_TD
