//===- ControlFlow.cpp - If, Loop and Scan -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What is decided at import leaves nothing behind: a branch whose condition is constant is imported in place, a short
// loop with a constant trip count is unrolled. The rest becomes `scf.if`, `scf.for` and `scf.while` on tensors. A
// dimension that both branches, or all iterations, agree on keeps its expression; any other is asked of the result.
//
//===----------------------------------------------------------------------===//

#include "Loops.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// Values that join
//===----------------------------------------------------------------------===//

/// The tensors that values are made of, sequences' items in order. Nothing after an error.
static bool flatten(Node &node, ArrayRef<Val *> values, SmallVectorImpl<Val *> &flat) {
  for (Val *val : values) {
    if (val->absent)
      return succeeded(node.fail("an optional without a value cannot leave a branch that is decided at run time"));
    if (val->items) {
      if (!flatten(node, *val->items, flat))
        return false;
      continue;
    }
    flat.push_back(val);
  }
  return true;
}

/// Whether two lists of values have the same structure, types and ranks.
static bool alike(ArrayRef<Val *> a, ArrayRef<Val *> b) {
  return a.size() == b.size() && llvm::all_of_zip(a, b, [](Val *x, Val *y) {
           if (x->items || y->items)
             return x->items && y->items && alike(*x->items, *y->items);
           return x->type == y->type && x->rank() == y->rank();
         });
}

/// Values built like `model` from tensors in order.
static Val *rebuild(Importer &im, Val *model, ArrayRef<Val *> &flat) {
  if (!model->items) {
    Val *first = flat.front();
    flat = flat.drop_front();
    return first;
  }
  SmallVector<Val *> items;
  for (Val *item : *model->items)
    items.push_back(rebuild(im, item, flat));
  return im.makeSequence(std::move(items));
}

Val *pith::onnx::resultOf(Importer &im, int32_t type, Value value, ArrayRef<std::optional<Expr>> shape) {
  Shape sizes;
  for (auto [i, size] : llvm::enumerate(shape)) {
    if (size) {
      sizes.push_back(*size);
      continue;
    }
    Value dim = tensor::DimOp::create(im.builder, im.loc, value, im.index(int64_t(i)));
    sizes.push_back(im.symbols.value(dim));
    im.symbols[sizes.back().terms()[0].factors[0]].lower = 0;
  }
  return im.make(type, {value, sizes});
}

RankedTensorType pith::onnx::joinedType(Importer &im, Type element, ArrayRef<std::optional<Expr>> shape) {
  SmallVector<int64_t> sizes;
  for (const std::optional<Expr> &size : shape)
    sizes.push_back(size ? im.symbols.normalize(*size).constant().value_or(ShapedType::kDynamic) : ShapedType::kDynamic);
  return RankedTensorType::get(sizes, element);
}

//===----------------------------------------------------------------------===//
// If
//===----------------------------------------------------------------------===//

static LogicalResult ifOp(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1))
    return failure();
  const proto::GraphProto *graphs[] = {node.graph("then_branch"), node.graph("else_branch")};
  if (node.failed)
    return failure();
  Val *condition = node.in(0);
  if (condition->type != Bool || !im.symbols.assumeEqual(im.count(condition->shape), 1))
    return node.fail("the condition must be one bool, found " + describe(im, condition));
  for (const proto::GraphProto *graph : graphs)
    if (graph->output_size() != int(node.results.size()))
      return node.fail("its subgraph '" + graph->name() + "' has " + Twine(graph->output_size()) + " outputs, expected " +
                       Twine(node.results.size()));
  if (std::optional<SmallVector<int64_t>> known = im.constants(condition)) {
    SmallVector<Val *> results;
    if (!im.importGraph(node, *graphs[known->front() ? 0 : 1], {}, results))
      return failure();
    for (auto [i, val] : llvm::enumerate(results))
      node.set(i, val);
    return success();
  }

  Value decision = tensor::ExtractOp::create(im.builder, im.loc, im.reshape(im.tensor(condition), {}).value, ValueRange());
  // The branches are code that hangs in the air until their results' types are known; what they use of the inputs'
  // sizes goes to the top of the function.
  auto choice = scf::IfOp::create(im.builder, im.loc, TypeRange(), decision, false, false);
  Region *regions[] = {&choice.getThenRegion(), &choice.getElseRegion()};
  SmallVector<Val *> results[2], flat[2];
  SmallVector<Tensor> tensors[2];
  for (auto [i, graph] : llvm::enumerate(graphs)) {
    Importer::InnerCode inside(im, &regions[i]->emplaceBlock());
    bool good = im.importGraph(node, *graph, {}, results[i]) && flatten(node, results[i], flat[i]);
    for (Val *val : flat[i])
      if (good)
        tensors[i].push_back(im.tensor(val));
    if (!good || node.failed) {
      node.failed = true;
      return failure();
    }
  }
  if (!alike(results[0], results[1])) {
    InFlightDiagnostic diagnostic = node.error();
    diagnostic << "its branches give different types or ranks, and the condition is only known at run time:";
    for (auto [x, y] : llvm::zip(results[0], results[1]))
      diagnostic << " " << describe(im, x) << " and " << describe(im, y);
    return diagnostic;
  }
  // Types that both branches have.
  SmallVector<SmallVector<std::optional<Expr>>> shapes;
  SmallVector<Type> types;
  for (auto [x, y] : llvm::zip_equal(tensors[0], tensors[1])) {
    SmallVector<std::optional<Expr>> shape;
    for (auto [a, b] : llvm::zip_equal(x.shape, y.shape)) {
      Expr left = im.symbols.normalize(a), right = im.symbols.normalize(b);
      bool same = left == right && !im.isMadeIn(left, *regions[0]) && !im.isMadeIn(right, *regions[1]);
      shape.push_back(same ? std::optional<Expr>(left) : std::nullopt);
    }
    types.push_back(joinedType(im, x.element(), shape));
    shapes.push_back(std::move(shape));
  }
  auto whole = scf::IfOp::create(im.builder, im.loc, types, decision, false, false);
  whole.getThenRegion().takeBody(choice.getThenRegion());
  whole.getElseRegion().takeBody(choice.getElseRegion());
  choice.erase();
  for (size_t i : {0, 1}) {
    OpBuilder::InsertionGuard guard(im.builder);
    im.builder.setInsertionPointToEnd(&whole->getRegion(i).front());
    SmallVector<Value> yielded;
    for (auto [value, type] : llvm::zip_equal(tensors[i], types))
      yielded.push_back(im.builder.createOrFold<tensor::CastOp>(im.loc, type, value.value));
    scf::YieldOp::create(im.builder, im.loc, yielded);
  }
  SmallVector<Val *> joined;
  for (auto [i, shape] : llvm::enumerate(shapes))
    joined.push_back(resultOf(im, flat[0][i]->type, whole.getResult(i), shape));
  ArrayRef<Val *> rest = joined;
  for (auto [i, model] : llvm::enumerate(results[0]))
    node.set(i, rebuild(im, model, rest));
  return success();
}

//===----------------------------------------------------------------------===//
// Loop
//===----------------------------------------------------------------------===//

/// Whether a loop's body passes its condition on, or gives a constant that is true: then the condition at the beginning
/// and the trip count say when it ends.
static bool keepsCondition(Importer &im, Node &node, const proto::GraphProto &body) {
  std::string name = body.output(0).name();
  for (int i = 0; i <= body.node_size(); ++i) {
    if (name == body.input(1).name())
      return true;
    const proto::NodeProto *producer = nullptr;
    for (const proto::NodeProto &candidate : body.node())
      if (llvm::is_contained(candidate.output(), name))
        producer = &candidate;
    if (producer && producer->op_type() == "Identity" && producer->input_size() == 1) {
      name = producer->input(0);
      continue;
    }
    auto isTrue = [&](const proto::TensorProto &tensor) {
      std::string why;
      std::unique_ptr<Initializer> value = im.model.initializer(tensor, why);
      return value && value->type == Bool && value->count == 1 && value->bytes[0];
    };
    if (producer)
      return producer->op_type() == "Constant" && producer->attribute_size() == 1 && producer->attribute(0).has_t() &&
             isTrue(producer->attribute(0).t());
    for (const proto::TensorProto &tensor : body.initializer())
      if (tensor.name() == name)
        return isTrue(tensor);
    Val *outer = node.scope->find(name);
    std::optional<SmallVector<int64_t>> known = outer && outer->type == Bool ? im.constants(outer) : std::nullopt;
    return known && known->size() == 1 && known->front();
  }
  return false;
}

static LogicalResult loopOp(Node &node) {
  Importer &im = node.im;
  const proto::GraphProto *body = node.graph("body");
  if (!body)
    return failure();
  Val *trip = node.in(0), *condition = node.in(1);
  size_t carried = node.inputs.size() < 2 ? 0 : node.inputs.size() - 2;
  for (size_t i = 0; i < carried; ++i)
    if (!node.in(2 + i))
      return node.fail("input " + Twine(2 + i) + " is missing");
  if (body->input_size() != int(carried) + 2)
    return node.fail("its subgraph '" + body->name() + "' has " + Twine(body->input_size()) + " inputs, expected " +
                     Twine(carried + 2));
  if (body->output_size() < int(carried) + 1 || node.results.size() > size_t(body->output_size() - 1))
    return node.fail("its subgraph '" + body->name() + "' has " + Twine(body->output_size()) + " outputs, expected " +
                     Twine(std::max(carried, node.results.size()) + 1));
  if ((trip && (!isInteger(trip->type) || !trip->isTensor() || !im.symbols.assumeEqual(im.count(trip->shape), 1))) ||
      (condition && (condition->type != Bool || !im.symbols.assumeEqual(im.count(condition->shape), 1))))
    return node.fail("expected an integer and a bool, found " + describe(im, trip) + " and " + describe(im, condition));

  LoopPlan plan;
  plan.initial.assign(node.inputs.begin() + std::min<size_t>(2, node.inputs.size()), node.inputs.end());
  plan.stacked.resize(body->output_size() - 1 - carried);
  plan.gives = true;
  plan.nodes = body->node_size();
  if (trip) {
    const Shape *known = im.elements(trip);
    if (!known)
      return node.fail("the trip count must be an integer, found " + describe(im, trip));
    plan.trip = im.symbols.normalize(known->front());
  }
  plan.condition = condition;
  plan.conditional = !keepsCondition(im, node, *body);
  std::optional<SmallVector<int64_t>> begins = condition ? im.constants(condition) : SmallVector<int64_t>{1};
  if (!plan.conditional && !(begins && !begins->front()) &&
      (!trip || plan.trip->constant().value_or(0) >= (int64_t(1) << 40)))
    return node.fail("the loop never ends: it has no trip count, and its condition stays as it is");
  if (!plan.conditional && !begins) { // decided once: no iteration, or all
    Value first = tensor::ExtractOp::create(im.builder, im.loc, im.reshape(im.tensor(condition), {}).value, ValueRange());
    Value most = im.index(*plan.trip), none = im.index(0);
    plan.trip = im.symbols.value(arith::SelectOp::create(im.builder, im.loc, first, most, none));
    plan.condition = nullptr;
  }
  plan.body = [&](Val *iteration, Val *goesOn, ArrayRef<Val *> values, SmallVectorImpl<Val *> &results) {
    SmallVector<Val *> arguments{iteration, goesOn};
    arguments.append(values.begin(), values.end());
    return im.importGraph(node, *body, arguments, results);
  };
  SmallVector<Val *> results;
  if (!importLoop(node, plan, results))
    return failure();
  for (auto [i, val] : llvm::enumerate(results))
    node.set(i, val);
  return success();
}

//===----------------------------------------------------------------------===//
// Scan
//===----------------------------------------------------------------------===//

/// A list of the node's attributes, or zeros.
static SmallVector<int64_t> listOr(Node &node, StringRef name, size_t count) {
  SmallVector<int64_t> list = node.getInts(name).value_or(SmallVector<int64_t>(count, 0));
  if (list.size() != count)
    node.error() << "attribute '" << name << "' has " << list.size() << " entries, expected " << count;
  list.resize(count);
  return list;
}

/// One Scan: states, then scanned inputs. The results are not moved to the axes that the node asks for.
static bool scan(Node &node, const proto::GraphProto &body, ArrayRef<Val *> states, ArrayRef<Val *> inputs,
                 ArrayRef<int64_t> axes, ArrayRef<int64_t> directions, ArrayRef<int64_t> outputDirections,
                 SmallVectorImpl<Val *> &results) {
  Importer &im = node.im;
  LoopPlan plan;
  plan.initial.assign(states.begin(), states.end());
  for (int64_t direction : outputDirections)
    plan.stacked.push_back(direction != 0);
  plan.nodes = body.node_size();
  for (auto [input, axis] : llvm::zip_equal(inputs, axes)) {
    if (plan.trip && !im.symbols.assumeEqual(*plan.trip, input->shape[axis])) {
      node.error() << "scanned inputs have different lengths: " << describe(im, inputs[0]) << " and "
                   << describe(im, input);
      return false;
    }
    plan.trip = im.symbols.normalize(input->shape[axis]);
  }
  SmallVector<Tensor> tensors;
  for (Val *input : inputs)
    tensors.push_back(im.tensor(input));
  plan.body = [&](Val *iteration, Val *, ArrayRef<Val *> values, SmallVectorImpl<Val *> &out) {
    SmallVector<Val *> arguments(values);
    Expr at = iteration->contents->front();
    for (auto [i, x] : llvm::enumerate(tensors)) {
      Expr position = directions[i] ? im.symbols.sub(im.symbols.sub(x.shape[axes[i]], 1), at) : at;
      Tensor element = im.sliceDim(x, axes[i], position, 1);
      element.shape.erase(element.shape.begin() + axes[i]);
      Shape shape = element.shape;
      element.shape.insert(element.shape.begin() + axes[i], Expr(1));
      arguments.push_back(im.make(inputs[i]->type, im.reshape(element, shape)));
    }
    return im.importGraph(node, body, arguments, out);
  };
  return importLoop(node, plan, results);
}

static LogicalResult scanOp(Node &node) {
  Importer &im = node.im;
  const proto::GraphProto *body = node.graph("body");
  if (!body)
    return failure();
  bool batched = node.opset < 9;
  if (batched && node.in(0))
    return node.fail("input 0, lengths of sequences, is not supported");
  ArrayRef<Val *> inputs = ArrayRef<Val *>(node.inputs).drop_front(batched ? std::min<size_t>(1, node.inputs.size()) : 0);
  int64_t scanned = node.getSmallInt("num_scan_inputs", 0);
  if (scanned < 1 || scanned > int64_t(inputs.size()) || llvm::is_contained(inputs, nullptr))
    return node.fail("it scans " + Twine(scanned) + " of its " + Twine(inputs.size()) + " inputs");
  size_t states = inputs.size() - scanned;
  if (body->input_size() != int(inputs.size()) || body->output_size() < int(states) ||
      node.results.size() > size_t(body->output_size()))
    return node.fail("its subgraph '" + body->name() + "' has " + Twine(body->input_size()) + " inputs and " +
                     Twine(body->output_size()) + " outputs, expected " + Twine(inputs.size()) + " and " +
                     Twine(std::max(states, node.results.size())));
  size_t outputs = body->output_size() - states;
  SmallVector<int64_t> directions = listOr(node, batched ? "directions" : "scan_input_directions", scanned),
                       axes = listOr(node, "scan_input_axes", scanned),
                       outputAxes = listOr(node, "scan_output_axes", outputs),
                       outputDirections = listOr(node, "scan_output_directions", outputs);
  if (node.failed)
    return failure();
  ArrayRef<Val *> initial = inputs.take_front(states), rest = inputs.drop_front(states);
  SmallVector<Val *> results;
  if (batched) {
    // Opset 8: a batch of independent scans, the batch in front of states and inputs.
    LoopPlan batch;
    batch.stacked.resize(body->output_size());
    batch.nodes = body->node_size();
    for (Val *input : inputs) {
      if (input->rank() < 1 || (batch.trip && !im.symbols.assumeEqual(*batch.trip, input->shape[0])))
        return node.fail("inputs must have one batch size, found " + describe(im, input));
      batch.trip = im.symbols.normalize(input->shape[0]);
    }
    batch.body = [&](Val *iteration, Val *, ArrayRef<Val *>, SmallVectorImpl<Val *> &out) {
      SmallVector<Val *> mine;
      for (Val *input : inputs) {
        Tensor one = im.sliceDim(im.tensor(input), 0, iteration->contents->front(), 1);
        mine.push_back(im.make(input->type, im.reshape(one, Shape(one.shape.begin() + 1, one.shape.end()))));
        if (mine.size() > states && mine.back()->rank() < 1) {
          node.error() << "a scanned input must have rank 2 or more, found " << describe(im, input);
          return false;
        }
      }
      return scan(node, *body, ArrayRef(mine).take_front(states), ArrayRef(mine).drop_front(states), axes, directions,
                  outputDirections, out);
    };
    if (!importLoop(node, batch, results))
      return failure();
  } else {
    for (auto [input, axis] : llvm::zip_equal(rest, axes)) {
      std::optional<int64_t> positive = node.axis(axis, input->rank());
      if (!positive)
        return failure();
      axis = *positive;
    }
    if (!scan(node, *body, initial, rest, axes, directions, outputDirections, results))
      return failure();
  }
  for (auto [i, val] : llvm::enumerate(results)) {
    if (i >= states && outputAxes[i - states] && !batched) {
      std::optional<int64_t> axis = node.axis(outputAxes[i - states], val->rank());
      if (!axis)
        return failure();
      SmallVector<int64_t> order;
      for (int64_t d = 1; d < val->rank(); ++d)
        order.push_back(d);
      order.insert(order.begin() + *axis, 0);
      val = im.make(val->type, im.transpose(im.tensor(val), order));
    }
    node.set(i, val);
  }
  return success();
}

void pith::onnx::addControlFlowOps(OpTable &table) {
  table.add("If", ifOp);
  table.addForSequences("Loop", loopOp);
  table.add("Scan", scanOp);
}
