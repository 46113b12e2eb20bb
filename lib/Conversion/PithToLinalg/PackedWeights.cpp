//===- PackedWeights.cpp - the weight section of a compiled file ----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "pith/Conversion/PackedWeights.h"
#include "mlir/IR/Builders.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace pith;

/// Where each piece starts: a cache line.
constexpr int64_t pieceAlignment = 64;

int64_t pith::elementBytes(Type element) {
  return element.isIndex() ? 8 : static_cast<int64_t>(llvm::divideCeil(element.getIntOrFloatBitWidth(), 8));
}

PackedWeights::PackedWeights(ModuleOp module) : module(module), symbols(module) {
  for (auto packed : module.getOps<PackedOp>()) {
    end = std::max<int64_t>(end, packed.getOffset() + packed.getSize());
    known[{packed.getSources(), packed.getLayout()}] = packed;
  }
}

/// Weights under several names with the same bytes (a table and a head that are tied in the model file) are
/// one.
Attribute PackedWeights::canonical(Attribute source) {
  auto weight = symbols.lookup<WeightOp>(cast<FlatSymbolRefAttr>(source).getAttr());
  if (!weight)
    return source;
  Attribute bytes[] = {TypeAttr::get(weight.getTensorType()), weight.getData(), weight.getScalesAttr(),
                       weight.getZerosAttr()};
  for (Attribute &piece : bytes)
    if (!piece)
      piece = UnitAttr::get(module.getContext());
  Attribute &first = sameBytes[ArrayAttr::get(module.getContext(), bytes)];
  if (!first)
    first = source;
  return first;
}

PackedOp PackedWeights::get(ArrayRef<Attribute> given, DictionaryAttr layout, int64_t size, StringRef name) {
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  SmallVector<Attribute> sources;
  for (Attribute source : given)
    sources.push_back(canonical(source));
  PackedOp &packed = known[{b.getArrayAttr(sources), layout}];
  if (packed)
    return packed;
  end = llvm::alignTo(end, pieceAlignment);
  Location loc = module.lookupSymbol(cast<FlatSymbolRefAttr>(sources.front()).getAttr())->getLoc();
  packed = PackedOp::create(b, loc, b.getStringAttr(name), StringAttr(), b.getArrayAttr(sources), layout,
                            b.getI64IntegerAttr(end), b.getI64IntegerAttr(size));
  packed->moveBefore(&module.getBody()->front());
  symbols.insert(packed);
  end += size;
  return packed;
}

FailureOr<PackedOp> PackedWeights::getPlain(WeightOp weight, RankedTensorType type) {
  OpBuilder b(module.getContext());
  Type stored = weight.getTensorType().getElementType(), wanted = type.getElementType();
  if (type.getShape() != weight.getTensorType().getShape())
    return weight.emitError("is ") << weight.getTensorType() << ", but read as " << type;
  bool same = stored == wanted && !weight.getEncoding();
  if (!same && !wanted.isF32())
    return weight.emitError("is ") << weight.getTensorType() << ", which cannot be read as " << type;
  return getPlain(FlatSymbolRefAttr::get(weight), wanted, type.getNumElements() * elementBytes(wanted));
}

PackedOp PackedWeights::getPlain(ArrayRef<Attribute> sources, Type element, int64_t size) {
  Builder b(module.getContext());
  DictionaryAttr layout = b.getDictionaryAttr(
      {b.getNamedAttr("element", TypeAttr::get(element)), b.getNamedAttr("kind", b.getStringAttr("plain"))});
  return get(sources, layout, size, (cast<FlatSymbolRefAttr>(sources.front()).getValue() + "_plain").str());
}
