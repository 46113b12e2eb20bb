//===----------------------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_CODEGEN_GPU_TILEOPS_TD
#define PITH_CODEGEN_GPU_TILEOPS_TD

include "mlir/Dialect/LLVMIR/LLVMOpBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Tile_Dialect : Dialect {
  let name = "tile";
  let cppNamespace = "::pith::tile";
  let summary = "matrix units and asynchronous copies, the same for all chips";
  let description = [{
    What kernels say instead of one vendor's instructions; `pith-split-gpu` replaces it.

    **Teams.** 64 neighbouring threads are a team: two subgroups of 32 lanes, or one of 64. A team multiplies 32 rows that
    are its *own* by 16 rows that are *common* to it, along K: `sums[own][common] += own[own][k] * common[common][k]`. Both
    operands have K within a row; so weights, keys and queries are read as they lie.

    **Shares.** What a lane holds of an operand are two octets, each of 8 neighbouring k of one row; which, `tile.place` says.
    Of the sums a lane holds 8; sums 0 to 3 belong to one own row, 4 to 7 to one own row (of some chips the same).
    A kernel that asks `tile.place` works on every chip; how lanes and elements are dealt out is the chip's affair. Chips
    whose subgroups have 64 lanes need half as many shares of the common operand: both are the same there, and only the
    first counts.
  }];
  let useDefaultAttributePrinterParser = 0;
}

class Tile_Op<string mnemonic, list<Trait> traits = []> : Op<Tile_Dialect, mnemonic, traits>;

def Tile_Octet : AnyTypeOf<[FixedVectorOfLengthAndType<[8], [F16]>, FixedVectorOfLengthAndType<[8], [BF16]>],
                           "8 elements of f16 or bf16">;
def Tile_Sums : Type<FixedVectorOfLengthAndType<[8], [F32]>.predicate, "8 sums">,
                BuildableType<"::mlir::VectorType::get({8}, $_builder.getF32Type())">;
def Tile_Flight : Type<FixedVectorOfLengthAndType<[4], [I32]>.predicate, "16 bytes">,
                  BuildableType<"::mlir::VectorType::get({4}, $_builder.getI32Type())">;
def Tile_Global : LLVM_PointerInAddressSpace<1>;
def Tile_Shared : LLVM_PointerInAddressSpace<3>;

def Tile_What : I32EnumAttr<"What", "what a lane has a share of",
                            [I32EnumAttrCase<"own", 0>, I32EnumAttrCase<"common", 1>, I32EnumAttrCase<"sum", 2>]> {
  let cppNamespace = "::pith::tile";
}
def Tile_How : I32EnumAttr<"How", "how values are combined", [I32EnumAttrCase<"add", 0>, I32EnumAttrCase<"max", 1>]> {
  let cppNamespace = "::pith::tile";
}

def Tile_PlaceOp : Tile_Op<"place", [Pure]> {
  let summary = "what this lane's share number `index` is";
  let description = [{
    `own` and `common` (index 0 or 1): the row within the operand (0 to 31, 0 to 15), and the octet of 32 neighbouring k (0
    to 3). `sum` (index 0 to 7): the own row and the common row.

    ```mlir
    %row, %octet = tile.place own 1
    ```
  }];
  let arguments = (ins Tile_What:$what, I32Attr:$index);
  let results = (outs I32:$row, I32:$column);
  let assemblyFormat = "$what $index attr-dict";
  let hasVerifier = 1;
}

def Tile_ProductOp : Tile_Op<"product", [Pure, AllTypesMatch<["own0", "own1", "common0", "common1"]>,
                                         AllTypesMatch<["sums", "result"]>]> {
  let summary = "adds a product of 32 own and 16 common rows along 32 k";
  let arguments = (ins Tile_Octet:$own0, Tile_Octet:$own1, Tile_Octet:$common0, Tile_Octet:$common1, Tile_Sums:$sums);
  let results = (outs Tile_Sums:$result);
  let assemblyFormat = "$own0 `,` $own1 `,` $common0 `,` $common1 `,` $sums attr-dict `:` type($own0)";
}

def Tile_ChainOp : Tile_Op<"chain", [Pure, AllTypesMatch<["own", "common"]>, AllTypesMatch<["sums", "result"]>]> {
  let summary = "adds a product along 16 k whose own operand is the sums of another product";
  let description = [{
    `own` has the sums of a product, rounded: its common rows are the k here. `common` comes from `tile.columns`.
  }];
  let arguments = (ins Tile_Octet:$own, Tile_Octet:$common, Tile_Sums:$sums);
  let results = (outs Tile_Sums:$result);
  let assemblyFormat = "$own `,` $common `,` $sums attr-dict `:` type($own)";
}

def Tile_ColumnsOp : Tile_Op<"columns", [MemoryEffects<[MemRead]>]> {
  let summary = "the common operand of `tile.chain` from shared memory where k are rows";
  let description = [{
    Common row c has at k the element `address + k * pitch + 2 * c`. Rows begin 16-byte aligned.
  }];
  let arguments = (ins Tile_Shared:$address, I64Attr:$pitch);
  let results = (outs Tile_Octet:$result);
  let assemblyFormat = "$address `pitch` $pitch attr-dict `:` qualified(type($address)) `->` type($result)";
}

def Tile_ReduceOp : Tile_Op<"reduce"> {
  let summary = "over the common rows of sums";
  let description = [{
    `first` belongs to the own row of sums 0 to 3 and `second` to that of 4 to 7; both come combined over all lanes that have
    sums of the row. Every lane takes part.
  }];
  let arguments = (ins Tile_How:$how, F32:$first, F32:$second);
  let results = (outs F32:$allFirst, F32:$allSecond);
  let assemblyFormat = "$how $first `,` $second attr-dict";
}

// Copies of 16 bytes from global to shared memory. Between `tile.copy` and the wait for its group the destination belongs
// to nobody. A chip with asynchronous copies makes them pass the registers by; elsewhere `tile.copy` is a load and
// `tile.arrive`, which is to stand as late as it can, the store.

def Tile_CopyOp : Tile_Op<"copy", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "begins a copy of 16 bytes";
  let description = [{
    Zeros where `inside` is false. Where `present` is false there is no copy. The source must be valid all the same.
  }];
  let arguments = (ins Tile_Global:$from, Tile_Shared:$to, I1:$inside, I1:$present);
  let results = (outs Tile_Flight:$inFlight);
  let assemblyFormat = "$from `to` $to `if` $inside `when` $present attr-dict `:` qualified(type($from)) `,` qualified(type($to))";
}
def Tile_ArriveOp : Tile_Op<"arrive", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "the copy's last step";
  let arguments = (ins Tile_Flight:$inFlight, Tile_Shared:$to, I1:$present);
  let assemblyFormat = "$inFlight `to` $to `when` $present attr-dict `:` qualified(type($to))";
}
def Tile_CommitOp : Tile_Op<"commit", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "the copies begun since the last commit are a group";
  let assemblyFormat = "attr-dict";
}
def Tile_WaitOp : Tile_Op<"wait", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "until at most `pending` of this thread's groups are under way; others see the bytes after a barrier";
  let arguments = (ins I32Attr:$pending);
  let assemblyFormat = "$pending attr-dict";
}

#endif // PITH_CODEGEN_GPU_TILEOPS_TD
