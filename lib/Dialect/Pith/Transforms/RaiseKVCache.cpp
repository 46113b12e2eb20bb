//===- RaiseKVCache.cpp - the stateful entry of an exported graph -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Walks from the logits back to the token ids and rebuilds every value on the way as a function of one row
// (RaiseKVCacheRows.h), relying on what holds for all lengths of new and earlier tokens
// (RaiseKVCacheAnalysis.h). Attention over all tokens becomes: append the rows' keys and values to the
// layer's state, attend over the state. A lane of a step is the graph at batch 1, so nothing need be shown
// about batches.
//
//===----------------------------------------------------------------------===//

#include "RaiseKVCacheRows.h"

#include "mlir/IR/Remarks.h"
#include "pith/Dialect/Pith/IR/StepEntry.h"
#include "pith/Dialect/Pith/Transforms/Passes.h"
#include "llvm/ADT/SetVector.h"

namespace pith {
#define GEN_PASS_DEF_RAISEKVCACHE
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {

//===----------------------------------------------------------------------===//
// Where the head begins
//===----------------------------------------------------------------------===//

/// Values whose data depends on the token ids.
llvm::SetVector<Value> dependentOn(Value tokens) {
  llvm::SetVector<Value> dependent;
  dependent.insert(tokens);
  for (size_t i = 0; i < dependent.size(); ++i)
    for (Operation *user : dependent[i].getUsers())
      if (!isa<tensor::DimOp>(user))
        dependent.insert(user->result_begin(), user->result_end());
  return dependent;
}

/// The last value before the logits that joins several token-dependent ones (the residual sum in front of the
/// final norm): what follows treats each row alone, so the wanted rows are taken there.
Value headInput(Value logits, const llvm::SetVector<Value> &dependent) {
  Value input = logits;
  while (Operation *op = input.getDefiningOp()) {
    if (isa<AttentionOp, EmbeddingOp, GatherOp>(op))
      break;
    auto tokenOperands =
        llvm::make_filter_range(op->getOperands(), [&](Value v) { return dependent.contains(v); });
    if (llvm::range_size(tokenOperands) != 1)
      break;
    input = *tokenOperands.begin();
  }
  return input;
}

//===----------------------------------------------------------------------===//
// One layer's state
//===----------------------------------------------------------------------===//

/// How the graph itself keeps keys and values, or else its weights.
Type elementOfGraph(func::FuncOp entry, const SequenceAnalysis &analysis) {
  auto isHalf = [](Type type) { return type.isF16() || type.isBF16(); };
  for (BlockArgument argument : entry.getArguments())
    if (argument != analysis.tokens() && isHalf(getElementTypeOrSelf(argument.getType())))
      return getElementTypeOrSelf(argument.getType());
  Type found;
  if (!analysis.hasPast())
    entry.walk([&](LinearOp linear) {
      auto symbol = cast<FlatSymbolRefAttr>(linear.getWeights()[0]);
      auto weight = SymbolTable::lookupNearestSymbolFrom<WeightOp>(linear, symbol);
      if (weight && isHalf(weight.getTensorType().getElementType()))
        found = weight.getTensorType().getElementType();
    });
  return found ? found : Float32Type::get(entry.getContext());
}

/// A cache of narrow elements rounds anyway.
Value withoutRounding(Value row, Type element) {
  auto widened = row.getDefiningOp<arith::ExtFOp>();
  auto rounded = widened ? widened.getIn().getDefiningOp<arith::TruncFOp>() : arith::TruncFOp();
  bool same = rounded && getElementTypeOrSelf(rounded.getType()) == element &&
              rounded.getIn().getType() == row.getType();
  return same ? rounded.getIn() : row;
}

struct StateBuilder {
  ModuleOp module;
  SymbolTable symbols;
  OpBuilder &builder;
  Type element;
  Operation *insertBefore;
  SmallVector<StateOp> states;

  StateBuilder(ModuleOp module, OpBuilder &builder, Type element, Operation *insertBefore)
      : module(module), symbols(module), builder(builder), element(element), insertBefore(insertBefore) {}

  Value attend(AttentionOp op, const CausalMask &mask, Value q, Value k, Value v, Value sinks) {
    Location loc = op.getLoc();
    auto channels = [](Value value) { return cast<RankedTensorType>(value.getType()).getShape().back(); };
    int64_t kvHeads = op.getKvHeads();
    auto type =
        KVType::get(module.getContext(), kvHeads, channels(k) / kvHeads, channels(v) / kvHeads, element);
    StateOp state;
    {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPoint(insertBefore);
      OperationState declaration(loc, StateOp::getOperationName());
      declaration.addAttribute(SymbolTable::getSymbolAttrName(),
                               builder.getStringAttr("kv" + Twine(states.size())));
      declaration.addAttribute("type", TypeAttr::get(type));
      state = cast<StateOp>(builder.create(declaration));
      symbols.insert(state);
      states.push_back(state);
    }
    Value cache = CacheOp::create(builder, loc, type, state.getSymName());
    k = withoutRounding(k, element);
    v = withoutRounding(v, element);
    Value appended = KVAppendOp::create(builder, loc, type, cache, k, v);
    Value alibi;
    if (!mask.slopes.empty())
      alibi = arith::ConstantOp::create(
          builder, loc,
          DenseElementsAttr::get(RankedTensorType::get({int64_t(mask.slopes.size())}, builder.getF32Type()),
                                 ArrayRef<float>(mask.slopes)));
    auto result = RankedTensorType::get({ShapedType::kDynamic, int64_t(op.getHeads()) * type.getValueDim()},
                                        getElementTypeOrSelf(q.getType()));
    return CacheAttentionOp::create(builder, loc, result, q, appended, sinks, alibi, op.getHeadsAttr(),
                                    op.getScaleAttr(), op.getSoftcapAttr(),
                                    builder.getI64IntegerAttr(mask.window));
  }
};

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

struct RaiseKVCache : pith::impl::RaiseKVCacheBase<RaiseKVCache> {
  using RaiseKVCacheBase::RaiseKVCacheBase;

  void runOnOperation() override {
    if (cacheElement != "auto" && cacheElement != "f32" && cacheElement != "f16" && cacheElement != "bf16") {
      emitError(getOperation().getLoc())
          << "pith-raise-kv-cache: cache-element must be auto, f32, f16 or bf16, found '" << cacheElement
          << "'";
      return signalPassFailure();
    }
    func::FuncOp exported;
    for (auto func : getOperation().getOps<func::FuncOp>()) {
      auto kind = func->getAttrOfType<StringAttr>(kEntryAttr);
      if (kind && kind == "step")
        return;
      if (kind && kind == "invoke" && !exported)
        exported = func;
    }
    if (exported && !exported.isExternal() && llvm::hasSingleElement(exported.getBody()))
      derive(exported);
  }

  void missed(func::FuncOp entry, Operation *op, StringRef reason) {
    Location loc = op ? op->getLoc() : entry.getLoc();
    std::string what = op ? (op->getName().getStringRef() + ": " + reason).str() : reason.str();
    remark::missed(loc,
                   remark::RemarkOpts::name("step-entry").category(getArgument()).function(entry.getName()))
        << remark::reason("{0}", what);
  }

  /// The output with the logits: by name, or else the first.
  std::pair<Value, unsigned> findLogits(func::FuncOp entry) {
    Operation *terminator = entry.getBody().front().getTerminator();
    unsigned index = 0;
    for (unsigned i = 0; i < terminator->getNumOperands(); ++i)
      if (auto name = entry.getResultAttrOfType<StringAttr>(i, kNameAttr); name && name == "logits")
        index = i;
    return {terminator->getNumOperands() ? terminator->getOperand(index) : Value(), index};
  }

  func::FuncOp createStep(func::FuncOp entry, unsigned logitsIndex, int64_t vocabulary) {
    OpBuilder builder(entry->getContext());
    builder.setInsertionPointAfter(entry);
    auto rows = RankedTensorType::get({ShapedType::kDynamic}, builder.getI32Type());
    auto logits = RankedTensorType::get({ShapedType::kDynamic, vocabulary}, builder.getF32Type());
    auto step = func::FuncOp::create(builder, entry.getLoc(), "step",
                                     builder.getFunctionType({rows, rows, rows}, {logits}));
    SymbolTable(getOperation()).insert(step);
    step->setAttr(kEntryAttr, builder.getStringAttr("step"));
    StringRef names[] = {"tokens", "positions", "out_rows"}, dims[] = {"rows", "rows", "out_rows"};
    for (unsigned i = 0; i < 3; ++i) {
      step.setArgAttr(i, kNameAttr, builder.getStringAttr(names[i]));
      step.setArgAttr(i, kDimsAttr, builder.getArrayAttr({builder.getStringAttr(dims[i])}));
    }
    if (Attribute name = entry.getResultAttr(logitsIndex, kNameAttr))
      step.setResultAttr(0, kNameAttr, name);
    step.setResultAttr(
        0, kDimsAttr,
        builder.getArrayAttr({builder.getStringAttr("out_rows"), builder.getI64IntegerAttr(vocabulary)}));
    step.addEntryBlock();
    return step;
  }

  void derive(func::FuncOp entry) {
    SequenceAnalysis analysis(entry);
    if (failed(analysis.initialize()))
      return missed(entry, nullptr, analysis.reason());
    if (entry.getOps<AttentionOp>().empty())
      return missed(entry, nullptr, "no attention was recognised");
    auto [logits, logitsIndex] = findLogits(entry);
    if (!logits || !isa<FloatType>(getElementTypeOrSelf(logits.getType())))
      return missed(entry, nullptr, "the first output is not a float tensor");
    if (auto rounded = logits.getDefiningOp<arith::TruncFOp>();
        rounded && getElementTypeOrSelf(rounded.getIn().getType()).isF32())
      logits = rounded.getIn();
    std::optional<SmallVector<SequenceDim>> dims = analysis.dims(logits);
    if (!dims)
      return missed(entry, analysis.culprit(), analysis.reason());
    bool perToken = dims->size() >= 2 && dims->back().kind == SequenceDim::Constant &&
                    (*dims)[dims->size() - 2].kind == SequenceDim::NewTokens;
    for (const SequenceDim &dim : ArrayRef<SequenceDim>(*dims).drop_back(std::min<size_t>(2, dims->size())))
      perToken &= dim.kind == SequenceDim::Constant && dim.factor == 1;
    if (!perToken)
      return missed(entry, logits.getDefiningOp(), "the output is not [batch, tokens, vocabulary]");

    func::FuncOp step = createStep(entry, logitsIndex, dims->back().factor);
    OpBuilder builder = OpBuilder::atBlockEnd(&step.getBody().front());
    Type element = elementOfGraph(entry, analysis);
    if (cacheElement == "f32")
      element = builder.getF32Type();
    else if (cacheElement == "f16")
      element = builder.getF16Type();
    else if (cacheElement == "bf16")
      element = builder.getBF16Type();
    StateBuilder states(getOperation(), builder, element, step);
    auto giveUp = [&](Operation *op, StringRef reason) {
      missed(entry, op, reason);
      step.erase();
      for (StateOp state : states.states)
        state.erase();
    };

    Location loc = entry.getLoc();
    auto tokenElement = getElementTypeOrSelf(analysis.tokens().getType());
    // The ids as the graph has them; an embedding takes them as they come.
    auto widened = [&](Value ids) -> Value {
      auto type = cast<RankedTensorType>(ids.getType());
      return tokenElement.getIntOrFloatBitWidth() > 32
                 ? arith::ExtSIOp::create(builder, loc, type.clone(tokenElement), ids).getResult()
                 : ids;
    };
    Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
    auto attend = [&](AttentionOp op, const CausalMask &mask, Value q, Value k, Value v, Value sinks) {
      return states.attend(op, mask, q, k, v, sinks);
    };
    Value tokens = step.getArgument(0), positions = step.getArgument(1), wanted = step.getArgument(2);
    Value rowCount = tensor::DimOp::create(builder, loc, tokens, zero);
    RowBuilder body(analysis, builder, {widened(tokens), positions, rowCount}, attend);
    Value input = headInput(logits, dependentOn(analysis.tokens()));
    Value hidden = body.build(input);
    if (!hidden)
      return giveUp(body.culprit(), body.reason());

    // The head, for the wanted rows only.
    Value wantedCount = tensor::DimOp::create(builder, loc, wanted, zero);
    auto take = [&](Value rows) -> Value {
      return GatherOp::create(builder, loc, rows.getType(), rows, wanted, 0);
    };
    RowBuilder head(analysis, builder, {widened(take(tokens)), take(positions), wantedCount}, nullptr);
    head.set(input, take(hidden));
    Value result = head.build(logits);
    if (!result)
      return giveUp(head.culprit(), head.reason());
    result = head.withDims(result, {dims->back().factor});
    auto type = cast<RankedTensorType>(step.getResultTypes().front());
    if (result.getType() != type)
      result = getElementTypeOrSelf(result.getType()).getIntOrFloatBitWidth() < 32
                   ? arith::ExtFOp::create(builder, loc, type, result).getResult()
                   : arith::TruncFOp::create(builder, loc, type, result).getResult();
    func::ReturnOp::create(builder, loc, result);
    if (analysis.positions())
      step->setAttr(kPositionsAttr, builder.getI64IntegerAttr(analysis.positions()));
    remark::passed(loc,
                   remark::RemarkOpts::name("step-entry").category(getArgument()).function(entry.getName()))
        << remark::add("caches: {0}", states.states.size());
  }
};

} // namespace
