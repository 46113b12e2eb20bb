//===- TransformerOps.cpp - verifiers of the transformer's operations -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "pith/Dialect/Pith/IR/Pith.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace pith;

#define GET_OP_CLASSES
#include "pith/Dialect/Pith/IR/PithOps.cpp.inc"

static RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }
static int64_t channels(Value value) {
  RankedTensorType type = typeOf(value);
  return type.getRank() ? type.getShape().back() : 1;
}
static bool compatible(int64_t a, int64_t b) {
  return a == b || ShapedType::isDynamic(a) || ShapedType::isDynamic(b);
}
/// The token dimensions (all but the last) of two values agree.
static bool sameTokens(Value a, Value b) {
  RankedTensorType x = typeOf(a), y = typeOf(b);
  if (x.getRank() != y.getRank())
    return false;
  for (int64_t i = 0; i + 1 < x.getRank(); ++i)
    if (!compatible(x.getDimSize(i), y.getDimSize(i)))
      return false;
  return true;
}

//===----------------------------------------------------------------------===//
// Linear, embedding
//===----------------------------------------------------------------------===//

LogicalResult LinearOp::verify() {
  if (getWeights().empty())
    return emitOpError() << "needs at least one weight";
  if (getBiases() && getBiases()->size() != getWeights().size()) // linear_c4
    return emitOpError() << "has " << getBiases()->size() << " biases for " << getWeights().size() << " weights";
  if (typeOf(getX()).getRank() < 1 || !sameTokens(getX(), getResult())) // linear_c3
    return emitOpError() << "result " << typeOf(getResult()) << " does not have the tokens of " << typeOf(getX());
  return success();
}

LogicalResult LinearOp::verifySymbolUses(SymbolTableCollection &symbols) {
  int64_t n = 0;
  for (auto [i, name] : llvm::enumerate(getWeights().getAsRange<FlatSymbolRefAttr>())) {
    auto weight = symbols.lookupNearestSymbolFrom<WeightOp>(*this, name);
    if (!weight)
      return emitOpError() << "no weight " << name;
    RankedTensorType type = weight.getTensorType();
    if (type.getRank() != 2)
      return emitOpError() << "weight " << name << " must have rank 2, found " << type;
    int64_t rows = type.getDimSize(getKMajor() ? 1 : 0), k = type.getDimSize(getKMajor() ? 0 : 1);
    if (!compatible(k, channels(getX()))) // linear_c1
      return emitOpError() << "weight " << name << " has " << k << " input channels, x has " << channels(getX());
    if (getBiases()) {
      auto biasName = cast<FlatSymbolRefAttr>((*getBiases())[i]);
      auto bias = symbols.lookupNearestSymbolFrom<WeightOp>(*this, biasName);
      if (!bias)
        return emitOpError() << "no weight " << biasName;
      if (bias.getTensorType().getRank() != 1 || bias.getTensorType().getDimSize(0) != rows) // linear_c4
        return emitOpError() << "bias " << biasName << " must have shape [" << rows << "], found " << bias.getTensorType();
    }
    n += rows;
  }
  if (!compatible(n, channels(getResult()))) // linear_c2
    return emitOpError() << "weights have " << n << " output channels, the result has " << channels(getResult());
  return success();
}

LogicalResult EmbeddingOp::verify() {
  RankedTensorType ids = typeOf(getIds()), result = typeOf(getResult());
  if (result.getRank() != ids.getRank() + 1)
    return emitOpError() << "result must have rank " << ids.getRank() + 1 << ", found " << result;
  for (int64_t i = 0; i < ids.getRank(); ++i)
    if (!compatible(ids.getDimSize(i), result.getDimSize(i)))
      return emitOpError() << "result " << result << " does not have the tokens of " << ids;
  return success();
}

LogicalResult EmbeddingOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto weight = symbols.lookupNearestSymbolFrom<WeightOp>(*this, getWeightAttr());
  if (!weight)
    return emitOpError() << "no weight " << getWeightAttr();
  RankedTensorType type = weight.getTensorType();
  if (type.getRank() != 2 || !compatible(type.getDimSize(getKMajor() ? 0 : 1), channels(getResult())))
    return emitOpError() << "weight " << getWeightAttr() << " of type " << type << " does not give rows of "
                         << channels(getResult());
  return success();
}

//===----------------------------------------------------------------------===//
// Norms, rotary
//===----------------------------------------------------------------------===//

static LogicalResult verifyVector(Operation *op, StringRef what, Value vector, int64_t length) {
  if (vector && (typeOf(vector).getRank() != 1 || !compatible(typeOf(vector).getDimSize(0), length)))
    return op->emitOpError() << what << " must have shape [" << length << "], found " << typeOf(vector);
  return success();
}

LogicalResult RMSNormOp::verify() {
  return verifyVector(*this, "scale", getScale(), channels(getX())); // rms_norm_c1
}

LogicalResult LayerNormOp::verify() {
  if (failed(verifyVector(*this, "scale", getScale(), channels(getX()))))
    return failure();
  return verifyVector(*this, "bias", getBias(), channels(getX()));
}

LogicalResult TapOp::verify() {
  if (int64_t(getSlot()) < 0) // tap_c1
    return emitOpError() << "slot " << int64_t(getSlot()) << " is negative";
  if (getNorm() && *getNorm() != "rms" && *getNorm() != "layer") // tap_c2
    return emitOpError() << "norm is \"" << *getNorm() << "\", expected \"rms\" or \"layer\"";
  if (bool(getNorm()) != bool(getScale()) || bool(getNorm()) != bool(getEpsilon()) || (getBias() && !getNorm()))
    return emitOpError("takes norm, scale and epsilon together or not at all"); // tap_c3
  if (failed(verifyVector(*this, "scale", getScale(), channels(getX()))))
    return failure();
  return verifyVector(*this, "bias", getBias(), channels(getX()));
}

LogicalResult RopeOp::verify() {
  int64_t headDim = getHeadDim(), rotary = getRotaryDim(), width = channels(getX());
  if (headDim < 1 || (!ShapedType::isDynamic(width) && width % headDim)) // rope_c1
    return emitOpError() << width << " channels are not a multiple of head_dim " << headDim;
  if (rotary < 2 || rotary % 2 || rotary > headDim) // rope_c2
    return emitOpError() << "rotary_dim " << rotary << " must be even and at most head_dim " << headDim;
  if (!sameTokens(getX(), getCos()) || !compatible(channels(getCos()), rotary / 2)) // rope_c3
    return emitOpError() << "tables must have the tokens of " << typeOf(getX()) << " and " << rotary / 2
                         << " channels, found " << typeOf(getCos());
  return success();
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

LogicalResult AttentionOp::verify() {
  int64_t heads = getHeads(), kvHeads = getKvHeads();
  if (heads < 1 || kvHeads < 1 || heads % kvHeads) // attention_c1
    return emitOpError() << "heads " << heads << " is not a multiple of kv_heads " << kvHeads;
  for (Value value : {getQ(), getK(), getV(), getResult()})
    if (typeOf(value).getRank() != 3)
      return emitOpError() << "operands must be [batch, tokens, channels], found " << typeOf(value);
  auto perHead = [&](Value value, int64_t count) -> int64_t {
    int64_t width = channels(value);
    return ShapedType::isDynamic(width) ? width : width % count ? -1 : width / count;
  };
  int64_t q = perHead(getQ(), heads), k = perHead(getK(), kvHeads), v = perHead(getV(), kvHeads),
          o = perHead(getResult(), heads);
  if (q == -1 || k == -1 || v == -1 || o == -1 || !compatible(q, k) || !compatible(v, o)) // attention_c2
    return emitOpError() << "channels do not divide among heads: q " << typeOf(getQ()) << ", k " << typeOf(getK())
                         << ", v " << typeOf(getV()) << ", result " << typeOf(getResult());
  if (getMask()) { // attention_c3
    RankedTensorType mask = typeOf(getMask());
    if (mask.getRank() != 4 || !(mask.getElementType().isInteger(1) || mask.getElementType().isF32()))
      return emitOpError() << "mask must be f32 or i1 of rank 4, found " << mask;
    int64_t full[] = {typeOf(getQ()).getDimSize(0), heads, typeOf(getQ()).getDimSize(1), typeOf(getK()).getDimSize(1)};
    for (int64_t i = 0; i < 4; ++i)
      if (mask.getDimSize(i) != 1 && !compatible(mask.getDimSize(i), full[i]))
        return emitOpError() << "mask dimension " << i << " has size " << mask.getDimSize(i) << ", expected 1 or " << full[i];
  }
  if (int64_t(getWindow()) < 0 || getSoftcap().isNegative())
    return emitOpError() << "window and softcap must not be negative";
  return verifyVector(*this, "sinks", getSinks(), heads);
}

LogicalResult CacheAttentionOp::verify() {
  KVType kv = getCache().getType();
  int64_t heads = getHeads();
  if (heads < 1 || heads % kv.getKvHeads())
    return emitOpError() << "heads " << heads << " is not a multiple of kv_heads " << kv.getKvHeads();
  if (typeOf(getQ()).getRank() != 2 || channels(getQ()) != heads * kv.getHeadDim())
    return emitOpError() << "q must be [rows, " << heads * kv.getHeadDim() << "], found " << typeOf(getQ());
  if (typeOf(getResult()).getRank() != 2 || channels(getResult()) != heads * kv.getValueDim())
    return emitOpError() << "result must be [rows, " << heads * kv.getValueDim() << "], found " << typeOf(getResult());
  if (int64_t(getWindow()) < 0 || getSoftcap().isNegative())
    return emitOpError() << "window and softcap must not be negative";
  if (getBias() && (typeOf(getBias()).getRank() != 2 || typeOf(getBias()).getDimSize(0) != heads ||
                    typeOf(getBias()).getDimSize(1) < 1 || !typeOf(getBias()).getElementType().isF32()))
    return emitOpError() << "bias must be f32 [" << heads << ", distances], found " << typeOf(getBias());
  if (getCondition() && (getWindow() || getAlibi() || getBias()))
    return emitOpError() << "attention over a condition has no window, alibi or bias";
  if (failed(verifyVector(*this, "sinks", getSinks(), heads)))
    return failure();
  return verifyVector(*this, "alibi", getAlibi(), heads);
}

//===----------------------------------------------------------------------===//
// Blocks and state
//===----------------------------------------------------------------------===//

LogicalResult BlockOp::verify() {
  SmallVector<Type> expected{getStream().getType()};
  llvm::append_range(expected, getStates().getTypes());
  Block &body = getBody().front();
  auto check = [&](StringRef what, TypeRange found) -> LogicalResult { // block_c1
    if (llvm::equal(found, expected))
      return success();
    InFlightDiagnostic diagnostic = emitOpError() << what << " must have types (";
    llvm::interleaveComma(expected, diagnostic);
    diagnostic << "), found (";
    llvm::interleaveComma(found, diagnostic);
    return diagnostic << ")";
  };
  if (failed(check("results", getResultTypes())) || failed(check("region arguments", body.getArgumentTypes())))
    return failure();
  return check("yielded values", body.getTerminator()->getOperandTypes());
}

LogicalResult CacheOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto state = symbols.lookupNearestSymbolFrom<StateOp>(*this, getStateAttr());
  if (!state)
    return emitOpError() << "no state " << getStateAttr();
  if (state.getType() != getResult().getType())
    return emitOpError() << "state " << getStateAttr() << " has type " << state.getType() << ", found " << getResult().getType();
  return success();
}

LogicalResult KVAppendOp::verify() {
  KVType kv = getCache().getType();
  auto check = [&](StringRef what, Value value, int64_t width) -> LogicalResult {
    if (typeOf(value).getRank() == 2 && channels(value) == width)
      return success();
    return emitOpError() << what << " must be [rows, " << width << "], found " << typeOf(value);
  };
  if (failed(check("k", getK(), kv.getKvHeads() * kv.getHeadDim())))
    return failure();
  return check("v", getV(), kv.getKvHeads() * kv.getValueDim());
}

//===----------------------------------------------------------------------===//
// Scheduled code
//===----------------------------------------------------------------------===//

LogicalResult PackedAddressOp::verifySymbolUses(SymbolTableCollection &symbols) {
  if (!symbols.lookupNearestSymbolFrom<PackedOp>(*this, getPackedAttr()))
    return emitOpError() << "no packed weights " << getPackedAttr();
  return success();
}

LogicalResult LaunchOp::verify() {
  auto inRange = [&](ArrayRef<int64_t> positions) {
    return llvm::all_of(positions, [&](int64_t i) { return i >= 0 && i < int64_t(getOperands().size()); });
  };
  if (!inRange(getOutputs()) || !inRange(getUpdates()))
    return emitOpError() << "outputs and updates must be operand positions below " << getOperands().size();
  SmallVector<Type> expected;
  for (int64_t i : getOutputs())
    if (isa<RankedTensorType>(getOperands()[i].getType()))
      expected.push_back(getOperands()[i].getType());
  if (!llvm::equal(expected, getResultTypes()))
    return emitOpError() << "results must be the output tensors, in order";
  return success();
}

void LaunchOp::getEffects(SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  // Kernels read and write caches and scratch beside their operands.
  effects.emplace_back(MemoryEffects::Read::get());
  effects.emplace_back(MemoryEffects::Write::get());
}
