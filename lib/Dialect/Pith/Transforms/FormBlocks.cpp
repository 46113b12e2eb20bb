//===- FormBlocks.cpp - cut the residual stream into blocks ------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// In the graph of operations that depend on the tokens, the dominators of the result are exactly the values
// that every way from the tokens passes: the residual stream between sublayers, since the stream bypasses
// each of them. Values that do not depend on tokens (rotary tables, constants, an encoder's output) take no
// part, so they never tie two blocks together. Attention over keys that do not depend on tokens
// (cross-attention) stays in the block of the attention before it.
//
//===----------------------------------------------------------------------===//

#include "pith/Dialect/Pith/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Remarks.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace pith {
#define GEN_PASS_DEF_FORMBLOCKS
#include "pith/Dialect/Pith/Transforms/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {

using OpSet = llvm::SetVector<Operation *>;

bool isAttention(Operation *op) { return isa<AttentionOp, CacheAttentionOp>(op); }

/// True if the keys are computed from tokens.
bool isOverTokens(Operation *op, const OpSet &dependent) {
  if (auto cached = dyn_cast<CacheAttentionOp>(op))
    return !cached.getCondition();
  Operation *keys = cast<AttentionOp>(op).getK().getDefiningOp();
  return keys && dependent.contains(keys);
}

/// The operations that depend on the data of `tokens`, in order.
OpSet dependentOn(Value tokens) {
  llvm::DenseSet<Operation *> seen;
  SmallVector<Value> work{tokens};
  while (!work.empty())
    for (Operation *user : work.pop_back_val().getUsers())
      if (!isa<tensor::DimOp>(user) && seen.insert(user).second)
        llvm::append_range(work, user->getResults());
  OpSet ordered;
  for (Operation &op : *tokens.getParentBlock())
    if (seen.contains(&op))
      ordered.insert(&op);
  return ordered;
}

/// Immediate dominators of the operations on the way from the tokens to `sink`; null is the tokens
/// themselves.
class Dominators {
public:
  Dominators(Value tokens, const OpSet &dependent, Operation *sink) {
    llvm::DenseSet<Operation *> live;
    for (Operation *op : llvm::reverse(dependent.getArrayRef()))
      if (op == sink || llvm::any_of(op->getUsers(), [&](Operation *user) { return live.contains(user); }))
        live.insert(op);
    for (Operation *op : dependent) {
      if (!live.contains(op))
        continue;
      bool first = true;
      Operation *dominator = nullptr;
      for (Value operand : op->getOperands()) {
        Operation *source = operand.getDefiningOp();
        if (source ? !known.count(source) : operand != tokens)
          continue;
        dominator = first ? source : meet(dominator, source);
        first = false;
      }
      known[op] = {dominator, dominator ? known[dominator].depth + 1 : 1};
    }
  }

  Operation *of(Operation *op) const { return known.lookup(op).dominator; }
  bool contains(Operation *op) const { return known.contains(op); }

private:
  struct Entry {
    Operation *dominator = nullptr;
    unsigned depth = 0;
  };
  Operation *meet(Operation *a, Operation *b) {
    while (a != b) {
      unsigned depthA = a ? known[a].depth : 0, depthB = b ? known[b].depth : 0;
      if (depthA >= depthB)
        a = known[a].dominator;
      if (depthB > depthA)
        b = known[b].dominator;
    }
    return a;
  }
  llvm::DenseMap<Operation *, Entry> known;
};

/// The operations between two cuts: those that depend on tokens, and the constants that only they use.
struct Span {
  Value start, end;
  OpSet ops;
};

struct FormBlocks : pith::impl::FormBlocksBase<FormBlocks> {
  void runOnOperation() override {
    for (auto func : getOperation().getOps<func::FuncOp>()) {
      bool hasAttention = !func.isExternal() && func->hasAttr(kEntryAttr) &&
                          llvm::any_of(func.getOps(), [](Operation &op) { return isAttention(&op); });
      if (hasAttention && llvm::hasSingleElement(func.getBody()))
        form(func);
    }
  }

  void missed(func::FuncOp func, Location loc, StringRef why) {
    // Keys and values that are outputs tie the exported entry's blocks together; its step entry has the
    // blocks.
    bool hasStep = llvm::any_of(getOperation().getOps<func::FuncOp>(), [&](func::FuncOp other) {
      auto kind = other->getAttrOfType<StringAttr>(kEntryAttr);
      return other != func && kind && kind == "step";
    });
    if (hasStep)
      return;
    remark::missed(loc, remark::RemarkOpts::name("blocks").category(getArgument()).function(func.getName()))
        << remark::reason("{0}", why.str());
  }

  /// The argument that the stream begins with: the token ids, or the first one.
  static BlockArgument findTokens(func::FuncOp func) {
    for (BlockArgument argument : func.getArguments())
      if (auto name = func.getArgAttrOfType<StringAttr>(argument.getArgNumber(), kNameAttr);
          name && (name == "input_ids" || name == "tokens"))
        return argument;
    return func.getNumArguments() ? func.getArgument(0) : BlockArgument();
  }

  void form(func::FuncOp func) {
    BlockArgument tokens = findTokens(func);
    Operation *terminator = func.getBody().front().getTerminator();
    if (!tokens || terminator->getNumOperands() == 0)
      return;
    Operation *sink = terminator->getOperand(0).getDefiningOp();
    OpSet dependent = dependentOn(tokens);
    if (!sink || !dependent.contains(sink))
      return missed(func, func.getLoc(), "the first output does not depend on the tokens");
    Dominators dominators(tokens, dependent, sink);
    SmallVector<Operation *> cuts;
    for (Operation *op = sink; op; op = dominators.of(op))
      cuts.push_back(op);
    std::reverse(cuts.begin(), cuts.end());
    SmallVector<Operation *> attentions, first;
    for (Operation *op : dependent)
      if (isAttention(op) && dominators.contains(op)) {
        attentions.push_back(op);
        if (isOverTokens(op, dependent))
          first.push_back(op);
      }
    if (attentions.empty())
      return missed(func, func.getLoc(), "no attention on the way from the tokens to the first output");
    SmallVector<Value> bounds =
        findBounds(cuts, first.empty() ? attentions : first, attentions.back(), dominators);
    if (bounds.size() < 2)
      return missed(func, attentions.front()->getLoc(),
                    "no value that all tokens' data passes bounds the attention");
    SmallVector<Span> spans;
    for (size_t i = 0; i + 1 < bounds.size(); ++i) {
      spans.push_back(collect(bounds[i], bounds[i + 1], dependent));
      if (Operation *leak = findLeak(spans.back()))
        return missed(func, leak->getLoc(), "a value of the block is used outside of it");
    }
    Value stream = bounds.front();
    for (auto [i, span] : llvm::enumerate(spans)) {
      span.start = stream; // what the block before gives
      stream = outline(span, i);
    }
    remark::passed(func.getLoc(),
                   remark::RemarkOpts::name("blocks").category(getArgument()).function(func.getName()))
        << remark::add("blocks: {0}", spans.size());
  }

  /// Values of the stream: one in front of each of `attentions`, and one behind `last`.
  SmallVector<Value> findBounds(ArrayRef<Operation *> cuts, ArrayRef<Operation *> attentions, Operation *last,
                                const Dominators &dominators) {
    llvm::DenseMap<Operation *, unsigned> position;
    for (auto [i, cut] : llvm::enumerate(cuts))
      position[cut] = i;
    // The stream has the type that most cuts have.
    llvm::MapVector<Type, unsigned> types;
    for (Operation *cut : cuts)
      ++types[cut->getResult(0).getType()];
    Type stream = llvm::max_element(types, [](auto &a, auto &b) { return a.second < b.second; })->first;
    auto lastStreamCut = [&](int64_t from) {
      while (from >= 0 && cuts[from]->getResult(0).getType() != stream)
        --from;
      return from;
    };
    SmallVector<int64_t> starts;
    for (Operation *attention : attentions) {
      Operation *op = dominators.of(attention);
      while (op && !position.count(op))
        op = dominators.of(op);
      int64_t start = op ? lastStreamCut(position[op]) : -1;
      if (start < 0)
        return {};
      // Attentions between the same two cuts share a block.
      if (starts.empty() || start > starts.back())
        starts.push_back(start);
    }
    // The last block ends before the wanted rows are taken, and where the one before it would.
    int64_t limit = cuts.size();
    for (auto [i, cut] : llvm::enumerate(cuts))
      if (auto gather = dyn_cast<GatherOp>(cut);
          gather && int64_t(i) > starts.back() && isa<BlockArgument>(gather.getIndices()))
        limit = std::min<int64_t>(limit, i);
    int64_t inside = attentionEnd(last, cuts, position, dominators);
    int64_t end = lastStreamCut(limit - 1);
    if (starts.size() > 1) {
      int64_t length = starts.back() - starts[starts.size() - 2];
      bool alike = starts.back() + length < limit;
      for (int64_t i = 1; i <= length && alike; ++i)
        alike = cuts[starts.back() + i]->getName() == cuts[starts.back() - length + i]->getName();
      if (alike)
        end = starts.back() + length;
    }
    if (end <= starts.back() || end <= inside)
      return {};
    SmallVector<Value> bounds;
    for (int64_t start : starts)
      bounds.push_back(cuts[start]->getResult(0));
    bounds.push_back(cuts[end]->getResult(0));
    return bounds;
  }

  /// The index of the last cut that does not depend on `attention`.
  static int64_t attentionEnd(Operation *attention, ArrayRef<Operation *> cuts,
                              const llvm::DenseMap<Operation *, unsigned> &position,
                              const Dominators &dominators) {
    Operation *op = dominators.of(attention);
    while (op && !position.count(op))
      op = dominators.of(op);
    return op ? int64_t(position.lookup(op)) : -1;
  }

  static Span collect(Value start, Value end, const OpSet &dependent) {
    Span span{start, end, {}};
    OpSet found;
    found.insert(end.getDefiningOp());
    for (size_t i = 0; i < found.size(); ++i)
      for (Value operand : found[i]->getOperands())
        if (Operation *op = operand.getDefiningOp(); op && operand != start && dependent.contains(op))
          found.insert(op);
    // Constants and what is computed from constants alone follow their only users.
    auto follows = [&](Operation *op) {
      return op && op->getNumRegions() == 0 && isPure(op) && !op->hasTrait<OpTrait::ConstantLike>() &&
             llvm::all_of(op->getOperands(),
                          [&](Value operand) { return operand.getDefiningOp() != nullptr; }) &&
             !isa<tensor::DimOp>(op) &&
             llvm::all_of(op->getUsers(), [&](Operation *user) { return found.contains(user); });
    };
    for (size_t i = 0; i < found.size(); ++i)
      for (Value operand : found[i]->getOperands())
        if (Operation *op = operand.getDefiningOp();
            op && operand != start && !dependent.contains(op) && follows(op) && onlyConstantsBehind(op))
          found.insert(op);
    for (Operation &op : *end.getParentBlock())
      if (found.contains(&op))
        span.ops.insert(&op);
    return span;
  }

  static bool onlyConstantsBehind(Operation *op) {
    constexpr size_t kMaxSteps = 64;
    OpSet behind;
    behind.insert(op);
    for (size_t i = 0; i < behind.size() && i < kMaxSteps; ++i)
      for (Value operand : behind[i]->getOperands()) {
        Operation *source = operand.getDefiningOp();
        if (!source || isa<tensor::DimOp, CacheOp>(source))
          return false;
        behind.insert(source);
      }
    return behind.size() < kMaxSteps;
  }

  static Operation *findLeak(const Span &span) {
    for (Operation *op : span.ops)
      for (Value result : op->getResults())
        if (result != span.end && !isa<KVType>(result.getType()))
          for (Operation *user : result.getUsers())
            if (!span.ops.contains(user))
              return op;
    return nullptr;
  }

  static Value outline(const Span &span, int64_t index) {
    // The states come in at their first version and leave at their last.
    llvm::SetVector<Value> states;
    for (Operation *op : span.ops)
      for (Value operand : op->getOperands())
        if (isa<KVType>(operand.getType()) &&
            !(operand.getDefiningOp() && span.ops.contains(operand.getDefiningOp())))
          states.insert(operand);
    SmallVector<Value> outputs{span.end}, inputs{span.start};
    for (Value state : states) {
      inputs.push_back(state);
      for (bool changed = true; changed;) {
        changed = false;
        for (Operation *user : state.getUsers())
          if (auto append = dyn_cast<KVAppendOp>(user); append && span.ops.contains(user)) {
            state = append.getResult();
            changed = true;
            break;
          }
      }
      outputs.push_back(state);
    }
    Operation *last = span.end.getDefiningOp();
    OpBuilder builder(last);
    Location loc = last->getLoc();
    auto block = BlockOp::create(builder, loc, ValueRange(outputs).getTypes()[0],
                                 TypeRange(ValueRange(outputs).drop_front()),
                                 builder.getI64IntegerAttr(index), span.start, states.getArrayRef());
    Block *body = builder.createBlock(&block.getBody(), {}, ValueRange(inputs).getTypes(),
                                      SmallVector<Location>(inputs.size(), loc));
    // A state that is only read (of the condition) is what it was, inside and behind.
    for (auto [outer, inner, input] : llvm::zip(outputs, block->getResults(), inputs))
      if (outer != input)
        outer.replaceUsesWithIf(inner, [&](OpOperand &use) { return !span.ops.contains(use.getOwner()); });
    for (Operation *op : span.ops)
      op->moveBefore(body, body->end());
    for (auto [output, input, inner] : llvm::zip(outputs, inputs, body->getArguments()))
      if (output == input)
        output = inner;
    for (auto [outer, inner] : llvm::zip(inputs, body->getArguments()))
      outer.replaceUsesWithIf(inner, [&](OpOperand &use) { return use.getOwner()->getBlock() == body; });
    builder.setInsertionPointToEnd(body);
    YieldOp::create(builder, loc, outputs);
    return block.getResult();
  }
};

} // namespace
