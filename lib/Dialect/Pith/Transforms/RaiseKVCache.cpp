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
// Attention over an encoder's output becomes attention over a state of the condition. A second entry fills
// it: the keys and values as functions of one row of that output.
//
//===----------------------------------------------------------------------===//

#include "RaiseKVCacheRows.h"
#include "StepSource.h"

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

int64_t channelsOf(Value value) { return cast<RankedTensorType>(value.getType()).getShape().back(); }

struct StateBuilder {
  ModuleOp module;
  SymbolTable symbols;
  OpBuilder &builder;
  Type element;
  Operation *insertBefore;
  SmallVector<StateOp> states;
  /// The cross-attentions of the graph, each with the state that its keys and values become.
  SmallVector<std::pair<AttentionOp, StateOp>> cross;

  StateBuilder(ModuleOp module, OpBuilder &builder, Type element, Operation *insertBefore)
      : module(module), symbols(module), builder(builder), element(element), insertBefore(insertBefore) {}

  StateOp declare(AttentionOp op, StringRef prefix, unsigned number, bool isCondition) {
    int64_t kvHeads = op.getKvHeads();
    auto type = KVType::get(module.getContext(), kvHeads, channelsOf(op.getK()) / kvHeads,
                            channelsOf(op.getV()) / kvHeads, element);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPoint(insertBefore);
    OperationState declaration(op.getLoc(), StateOp::getOperationName());
    declaration.addAttribute(SymbolTable::getSymbolAttrName(), builder.getStringAttr(prefix + Twine(number)));
    declaration.addAttribute("type", TypeAttr::get(type));
    if (isCondition)
      declaration.addAttribute("condition", builder.getUnitAttr());
    auto state = cast<StateOp>(builder.create(declaration));
    symbols.insert(state);
    states.push_back(state);
    return state;
  }

  Value append(OpBuilder &b, Location loc, StateOp state, Value k, Value v) {
    Value cache = CacheOp::create(b, loc, state.getType(), state.getSymName());
    return KVAppendOp::create(b, loc, state.getType(), cache, withoutRounding(k, element),
                              withoutRounding(v, element));
  }

  Value constant(Location loc, ArrayRef<int64_t> shape, ArrayRef<float> numbers) {
    return arith::ConstantOp::create(
        builder, loc, DenseElementsAttr::get(RankedTensorType::get(shape, builder.getF32Type()), numbers));
  }

  Value attend(AttentionOp op, const CausalMask &mask, Value q, Value k, Value v, Value sinks) {
    Location loc = op.getLoc();
    int64_t heads = op.getHeads();
    bool isCross = !k;
    Value cache, alibi, bias;
    StateOp state;
    if (isCross) {
      state = declare(op, "cross", cross.size(), true);
      cross.emplace_back(op, state);
      cache = CacheOp::create(builder, loc, state.getType(), state.getSymName());
    } else {
      state = declare(op, "kv", states.size() - cross.size(), false);
      cache = append(builder, loc, state, k, v);
    }
    if (!mask.slopes.empty())
      alibi = constant(loc, {heads}, mask.slopes);
    if (!mask.bias.empty())
      bias = constant(loc, {heads, int64_t(mask.bias.size()) / heads}, mask.bias);
    auto result =
        RankedTensorType::get({ShapedType::kDynamic, heads * cast<KVType>(state.getType()).getValueDim()},
                              getElementTypeOrSelf(q.getType()));
    return CacheAttentionOp::create(builder, loc, result, q, cache, sinks, alibi, bias, op.getHeadsAttr(),
                                    op.getScaleAttr(), op.getSoftcapAttr(),
                                    builder.getI64IntegerAttr(mask.window),
                                    isCross ? builder.getUnitAttr() : UnitAttr());
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
      bool isBetter = !exported || func->hasAttr(kStepSourceAttr);
      if (kind && kind == "invoke" && isBetter)
        exported = func;
    }
    if (exported && !exported.isExternal() && llvm::hasSingleElement(exported.getBody()))
      derive(exported);
    if (exported && exported->hasAttr(kStepSourceAttr))
      exported.erase();
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

  /// The entry that makes states of the encoder's output. Null if they are no functions of its rows; `giveUp`
  /// is told why.
  func::FuncOp createCondition(func::FuncOp entry, func::FuncOp step, SequenceAnalysis &analysis,
                               StateBuilder &states,
                               llvm::function_ref<void(Operation *, StringRef)> giveUp) {
    OpBuilder builder(entry->getContext());
    builder.setInsertionPointAfter(step);
    BlockArgument source = analysis.source();
    auto sourceType = RankedTensorType::get({ShapedType::kDynamic, analysis.dims(source)->back().factor},
                                            builder.getF32Type());
    auto positions = RankedTensorType::get({ShapedType::kDynamic}, builder.getI32Type());
    Location loc = entry.getLoc();
    auto condition =
        func::FuncOp::create(builder, loc, "condition", builder.getFunctionType({sourceType, positions}, {}));
    SymbolTable(getOperation()).insert(condition);
    condition->setAttr(kEntryAttr, builder.getStringAttr("condition"));
    Attribute rows = builder.getStringAttr("rows");
    if (Attribute name = entry.getArgAttr(source.getArgNumber(), kNameAttr))
      condition.setArgAttr(0, kNameAttr, name);
    condition.setArgAttr(0, kDimsAttr,
                         builder.getArrayAttr({rows, builder.getI64IntegerAttr(sourceType.getDimSize(1))}));
    condition.setArgAttr(1, kNameAttr, builder.getStringAttr("positions"));
    condition.setArgAttr(1, kDimsAttr, builder.getArrayAttr({rows}));
    builder.setInsertionPointToStart(condition.addEntryBlock());
    Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
    Value given = condition.getArgument(0), count = tensor::DimOp::create(builder, loc, given, zero);
    Type element = getElementTypeOrSelf(source.getType());
    if (element.getIntOrFloatBitWidth() < 32)
      given = arith::TruncFOp::create(builder, loc, sourceType.clone(element), given);
    RowBuilder body(analysis, builder, {Value(), condition.getArgument(1), count, /*ofSource=*/true},
                    nullptr);
    body.set(source, given);
    for (auto [attention, state] : states.cross) {
      Value keys = body.build(attention.getK()), values = keys ? body.build(attention.getV()) : Value();
      if (!values) {
        condition.erase();
        giveUp(body.culprit(), body.reason());
        return {};
      }
      states.append(builder, attention.getLoc(), state, body.withDims(keys, {channelsOf(attention.getK())}),
                    body.withDims(values, {channelsOf(attention.getV())}));
    }
    func::ReturnOp::create(builder, loc);
    return condition;
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
    if (!states.cross.empty() && !createCondition(entry, step, analysis, states, giveUp))
      return;
    if (analysis.positions())
      step->setAttr(kPositionsAttr, builder.getI64IntegerAttr(analysis.positions()));
    remark::passed(loc,
                   remark::RemarkOpts::name("step-entry").category(getArgument()).function(entry.getName()))
        << remark::add("caches: {0}", states.states.size());
  }
};

} // namespace
