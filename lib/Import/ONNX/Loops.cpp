//===- Loops.cpp - loops over values of the graph -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Loops.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

/// Short loops with a constant trip count become straight code: at most this many nodes.
static constexpr int64_t kMaxUnrolledNodes = 512;
/// Sequences only exist at import, so loops over them must be unrolled, up to this many iterations.
static constexpr int64_t kMaxUnrolledTrip = 1024;

static Tensor withRowDim(Importer &im, const Tensor &x) {
  Shape shape = x.shape;
  shape.insert(shape.begin(), Expr(1));
  return im.reshape(x, shape);
}

static bool checkResults(Node &node, const LoopPlan &plan, ArrayRef<Val *> results) {
  if (results.size() == size_t(plan.gives) + plan.initial.size() + plan.stacked.size())
    return true;
  node.error() << "its body has " << results.size() << " outputs, expected "
               << size_t(plan.gives) + plan.initial.size() + plan.stacked.size();
  return false;
}

/// All iterations one after the other.
static bool unroll(Node &node, LoopPlan &plan, int64_t trip, SmallVectorImpl<Val *> &results) {
  Importer &im = node.im;
  SmallVector<Val *> carried(plan.initial);
  std::vector<SmallVector<Tensor>> rows(plan.stacked.size());
  SmallVector<int32_t> types(plan.stacked.size(), 0);
  Val *goesOn = im.makeContents(Bool, {}, {1});
  for (int64_t i = 0; i < trip; ++i) {
    SmallVector<Val *> out;
    if (!plan.body(im.makeContents(Int64, {}, {i}), goesOn, carried, out) || !checkResults(node, plan, out))
      return false;
    auto next = out.begin() + plan.gives;
    carried.assign(next, next + carried.size());
    for (auto [k, val] : llvm::enumerate(llvm::make_range(next + carried.size(), out.end()))) {
      if (!val->isTensor()) {
        node.error() << "a stacked output must be a tensor, found " << describe(im, val);
        return false;
      }
      Tensor row = withRowDim(im, im.tensor(val));
      bool fits = rows[k].empty() || (types[k] == val->type && rows[k][0].rank() == row.rank());
      for (int64_t d = 1; fits && !rows[k].empty() && d < row.rank(); ++d)
        fits = im.symbols.assumeEqual(rows[k][0].shape[d], row.shape[d]);
      if (!fits) {
        node.error() << "iterations give values of different shapes to stack, the last one " << describe(im, val);
        return false;
      }
      types[k] = val->type;
      rows[k].push_back(row);
    }
  }
  results.assign(carried);
  for (auto [k, parts] : llvm::enumerate(rows)) {
    if (plan.stacked[k])
      std::reverse(parts.begin(), parts.end());
    results.push_back(im.make(types[k], im.concat(parts, 0)));
  }
  return true;
}

namespace {
/// A loop that runs: its body is imported until the shapes of what is carried no longer change.
class RunLoop {
public:
  RunLoop(Node &node, LoopPlan &plan) : node(node), im(node.im), plan(plan), index(im.builder.getIndexType()) {}
  bool run(SmallVectorImpl<Val *> &results);

private:
  using Sizes = SmallVector<std::optional<Expr>>;
  bool importBody();
  bool settled();
  bool prepareStacks();
  void moveBody(Block &to, ValueRange arguments);
  void emitFor();
  void emitWhile();
  Value fit(Value value, Type type) { return im.builder.createOrFold<tensor::CastOp>(im.loc, type, value); }

  Node &node;
  Importer &im;
  LoopPlan &plan;
  Type index;
  SmallVector<Tensor> initial;
  SmallVector<Sizes> shapes;   // of what is carried: unknown where it changes
  SmallVector<RankedTensorType> types;
  std::unique_ptr<Region> region; // with a block of arguments: number, condition, carried values
  SmallVector<Val *> out;
  SmallVector<Tensor> next, rows; // computed in the body
  Value goesOn;
  SmallVector<Sizes> stackSizes; // with the trip count in front
  SmallVector<Value> stacks;
  SmallVector<Value> ended; // the loop's results
};
} // namespace

bool RunLoop::importBody() {
  if (region)
    for (Operation &op : region->front())
      im.forget(&op);
  region = std::make_unique<Region>();
  Block &block = region->emplaceBlock();
  Value number = block.addArgument(index, im.loc), condition = block.addArgument(im.builder.getI1Type(), im.loc);
  types.clear();
  out.clear();
  next.clear();
  rows.clear();
  Importer::InnerCode inside(im, &block);
  SmallVector<Val *> carried;
  for (auto [tensor, val, shape] : llvm::zip_equal(initial, plan.initial, shapes)) {
    types.push_back(joinedType(im, tensor.element(), shape));
    carried.push_back(resultOf(im, val->type, block.addArgument(types.back(), im.loc), shape));
  }
  Expr position = im.symbols.value(number);
  im.symbols[position.terms()[0].factors[0]].lower = 0;
  Val *iteration = im.makeContents(Int64, {}, {position});
  Val *goesOnVal = im.makeContents(Bool, {}, {1});
  if (plan.conditional) {
    Value scalar = tensor::FromElementsOp::create(im.builder, im.loc, RankedTensorType::get({}, im.builder.getI1Type()),
                                                  condition);
    goesOnVal = im.make(Bool, {scalar, {}});
  }
  if (!plan.body(iteration, goesOnVal, carried, out) || !checkResults(node, plan, out))
    return false;
  for (Val *val : out)
    if (!val->isTensor()) {
      node.error() << "gives " << describe(im, val) << ", but how often it runs is only known at run time";
      return false;
    }
  if (plan.gives) {
    if (out[0]->type != Bool || !im.symbols.assumeEqual(im.count(out[0]->shape), 1)) {
      node.error() << "the body's condition must be one bool, found " << describe(im, out[0]);
      return false;
    }
    goesOn = tensor::ExtractOp::create(im.builder, im.loc, im.reshape(im.tensor(out[0]), {}).value, ValueRange());
  }
  ArrayRef<Val *> values = ArrayRef(out).drop_front(plan.gives);
  for (auto [val, before] : llvm::zip(values, plan.initial)) {
    if (val->type != before->type || val->rank() != before->rank()) {
      node.error() << "a carried value begins as " << describe(im, before) << ", but the body gives "
                   << describe(im, val);
      return false;
    }
    next.push_back(im.tensor(val));
  }
  for (Val *val : values.drop_front(plan.initial.size()))
    rows.push_back(withRowDim(im, im.tensor(val)));
  return !node.failed;
}

/// Whether the body keeps the sizes that it was imported with; those that it changes are unknown from now on.
bool RunLoop::settled() {
  bool same = true;
  for (auto [tensor, shape] : llvm::zip_equal(next, shapes))
    for (auto [size, known] : llvm::zip_equal(tensor.shape, shape))
      if (known && im.symbols.normalize(size) != im.symbols.normalize(*known)) {
        known = std::nullopt;
        same = false;
      }
  return same;
}

/// Memory for what is stacked: all rows where their number is known before the loop, none where it is not.
bool RunLoop::prepareStacks() {
  Expr count = plan.conditional ? Expr(0) : im.symbols.max(0, *plan.trip);
  for (auto [row, val] : llvm::zip_equal(rows, ArrayRef(out).drop_front(plan.gives + plan.initial.size()))) {
    Sizes sizes{plan.conditional ? std::nullopt : std::optional<Expr>(count)};
    SmallVector<Value> dynamic;
    for (const Expr &size : llvm::drop_begin(row.shape)) {
      sizes.push_back(im.symbols.normalize(size));
      if (im.isMadeIn(*sizes.back(), *region)) {
        node.error() << "the shape of " << describe(im, val) << ", which is stacked, changes between iterations";
        return false;
      }
    }
    RankedTensorType type = joinedType(im, row.element(), sizes);
    for (auto [d, size] : llvm::enumerate(sizes))
      if (type.isDynamicDim(d))
        dynamic.push_back(im.index(size ? *size : Expr(0)));
    stacks.push_back(tensor::EmptyOp::create(im.builder, im.loc, type, dynamic));
    stackSizes.push_back(std::move(sizes));
  }
  return true;
}

/// The body's code to the end of `to`.
void RunLoop::moveBody(Block &to, ValueRange arguments) {
  Block &from = region->front();
  for (auto [argument, value] : llvm::zip_equal(from.getArguments(), arguments))
    argument.replaceAllUsesWith(value);
  // What was remembered of the arguments does not hold for those that replace them.
  for (Tensor &tensor : next)
    if (auto argument = dyn_cast<BlockArgument>(tensor.value); argument && argument.getOwner() == &from)
      tensor.value = arguments[argument.getArgNumber()];
  if (auto argument = dyn_cast_or_null<BlockArgument>(goesOn); argument && argument.getOwner() == &from)
    goesOn = arguments[argument.getArgNumber()];
  for (Operation &op : from)
    im.forget(&op);
  to.getOperations().splice(to.end(), from.getOperations());
}

void RunLoop::emitFor() {
  Value zero = im.index(0), one = im.index(1), count = im.index(im.symbols.max(0, *plan.trip));
  // Sizes and places that the body needs, computed before.
  SmallVector<SmallVector<OpFoldResult>> sizes;
  for (const Sizes &stack : stackSizes) {
    sizes.push_back({im.builder.getIndexAttr(1)});
    for (const std::optional<Expr> &size : llvm::drop_begin(stack))
      sizes.back().push_back(im.fold(*size));
  }
  Value last = im.index(im.symbols.sub(im.symbols.max(0, *plan.trip), 1));
  SmallVector<Value> inits;
  for (auto [tensor, type] : llvm::zip_equal(initial, types))
    inits.push_back(fit(tensor.value, type));
  inits.append(stacks);
  auto loop = scf::ForOp::create(im.builder, im.loc, zero, count, one, inits);
  SmallVector<Value> arguments{loop.getInductionVar()};
  OpBuilder::InsertionGuard guard(im.builder);
  im.builder.setInsertionPointToEnd(loop.getBody());
  arguments.push_back(arith::ConstantIntOp::create(im.builder, im.loc, 1, 1));
  llvm::append_range(arguments, loop.getRegionIterArgs().take_front(initial.size()));
  moveBody(*loop.getBody(), arguments);
  im.builder.setInsertionPointToEnd(loop.getBody());
  SmallVector<Value> yielded;
  for (auto [tensor, type] : llvm::zip_equal(next, types))
    yielded.push_back(fit(tensor.value, type));
  for (auto [k, row] : llvm::enumerate(rows)) {
    Value place = loop.getInductionVar();
    if (plan.stacked[k])
      place = arith::SubIOp::create(im.builder, im.loc, last, place);
    SmallVector<OpFoldResult> offsets(row.rank(), im.builder.getIndexAttr(0)), strides(row.rank(), im.builder.getIndexAttr(1));
    offsets[0] = place;
    Value stack = loop.getRegionIterArgs()[initial.size() + k];
    SmallVector<int64_t> shape(cast<RankedTensorType>(stack.getType()).getShape());
    shape[0] = 1;
    if (llvm::is_contained(shape, 0)) { // upstream's op does not allow an offset in a dimension of size 0
      yielded.push_back(stack);
      continue;
    }
    yielded.push_back(tensor::InsertSliceOp::create(im.builder, im.loc,
                                                    fit(row.value, RankedTensorType::get(shape, row.element())), stack,
                                                    offsets, sizes[k], strides));
  }
  scf::YieldOp::create(im.builder, im.loc, yielded);
  llvm::append_range(ended, loop.getResults());
}

void RunLoop::emitWhile() {
  Value start = im.index(0), limit = plan.trip ? im.index(*plan.trip) : Value();
  Value begins = arith::ConstantIntOp::create(im.builder, im.loc, 1, 1);
  if (plan.condition)
    begins = tensor::ExtractOp::create(im.builder, im.loc, im.reshape(im.tensor(plan.condition), {}).value, ValueRange());
  SmallVector<Value> inits{start, begins};
  for (auto [tensor, type] : llvm::zip_equal(initial, types))
    inits.push_back(fit(tensor.value, type));
  inits.append(stacks);
  SmallVector<Type> all(ValueRange(inits).getTypes());
  SmallVector<Location> locs(all.size(), im.loc);
  auto loop = scf::WhileOp::create(im.builder, im.loc, all, inits);
  OpBuilder::InsertionGuard guard(im.builder);
  Block *before = im.builder.createBlock(&loop.getBefore(), {}, all, locs);
  Value goes = before->getArgument(1);
  if (limit) {
    Value within = arith::CmpIOp::create(im.builder, im.loc, arith::CmpIPredicate::slt, before->getArgument(0), limit);
    goes = arith::AndIOp::create(im.builder, im.loc, goes, within);
  }
  scf::ConditionOp::create(im.builder, im.loc, goes, before->getArguments());
  Block *after = im.builder.createBlock(&loop.getAfter(), {}, all, locs);
  Value step = arith::ConstantIndexOp::create(im.builder, im.loc, 1);
  moveBody(*after, after->getArguments().take_front(2 + initial.size()));
  im.builder.setInsertionPointToEnd(after);
  SmallVector<Value> yielded{arith::AddIOp::create(im.builder, im.loc, after->getArgument(0), step), goesOn};
  for (auto [tensor, type] : llvm::zip_equal(next, types))
    yielded.push_back(fit(tensor.value, type));
  for (auto [k, row] : llvm::enumerate(rows)) {
    Value stack = after->getArgument(2 + initial.size() + k);
    Value parts[] = {stack, row.value};
    if (plan.stacked[k])
      std::swap(parts[0], parts[1]);
    yielded.push_back(tensor::ConcatOp::create(im.builder, im.loc, cast<RankedTensorType>(stack.getType()), 0, parts));
  }
  scf::YieldOp::create(im.builder, im.loc, yielded);
  llvm::append_range(ended, loop.getResults().drop_front(2));
}

bool RunLoop::run(SmallVectorImpl<Val *> &results) {
  for (Val *val : plan.initial) {
    if (!val->isTensor()) {
      node.error() << "carries " << describe(im, val) << ", but how often it runs is only known at run time";
      return false;
    }
    initial.push_back(im.tensor(val));
    Sizes sizes;
    for (const Expr &size : initial.back().shape)
      sizes.push_back(im.symbols.normalize(size));
    shapes.push_back(std::move(sizes));
  }
  if (node.failed)
    return false;
  do {
    if (!importBody())
      return false;
  } while (!settled());
  if (!prepareStacks())
    return false;
  if (plan.conditional)
    emitWhile();
  else
    emitFor();
  for (auto [k, value] : llvm::enumerate(ended)) {
    bool isCarried = k < initial.size();
    int32_t type = isCarried ? plan.initial[k]->type : out[plan.gives + k]->type;
    results.push_back(resultOf(im, type, value, isCarried ? shapes[k] : stackSizes[k - initial.size()]));
  }
  return true;
}

bool pith::onnx::importLoop(Node &node, LoopPlan &plan, SmallVectorImpl<Val *> &results) {
  Importer &im = node.im;
  // A loop that does not begin.
  if (plan.condition)
    if (std::optional<SmallVector<int64_t>> known = im.constants(plan.condition); known && !known->front())
      plan.trip = 0;
  bool sequences = llvm::any_of(plan.initial, [](Val *val) { return !val->isTensor(); });
  std::optional<int64_t> trip = plan.trip ? plan.trip->constant() : std::nullopt;
  if (trip && *trip <= 0 && plan.stacked.empty()) {
    results.assign(plan.initial);
    return true;
  }
  if (!plan.conditional && trip && *trip >= 1 && *trip <= kMaxUnrolledTrip &&
      (sequences || *trip * std::max<int64_t>(plan.nodes, 1) <= kMaxUnrolledNodes))
    return unroll(node, plan, *trip, results);
  return RunLoop(node, plan).run(results);
}
