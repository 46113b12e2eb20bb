//===- Recurrent.cpp - RNN, GRU and LSTM ------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The inputs' part of all gates is one product before the loop over time; in the loop is what depends on the state.
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"
#include "Scalar.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

namespace {
enum class Cell { Rnn, Gru, Lstm };

class Recurrence {
public:
  Recurrence(Node &node, Cell cell)
      : node(node), im(node.im), cell(cell), gates(cell == Cell::Rnn ? 1 : cell == Cell::Gru ? 3 : 4) {}
  LogicalResult run();

private:
  /// What one direction gives: outputs [length, batch, hidden], the last states [batch, hidden].
  struct Outputs {
    Tensor all, hidden, state;
  };
  bool read();
  bool readActivations();
  Tensor parameter(size_t input, int64_t direction); ///< input i without its direction; no value if absent
  Tensor activate(int64_t direction, int64_t which, const Tensor &x);
  Tensor reversed(const Tensor &x);
  std::pair<Tensor, Tensor> step(int64_t direction, const Tensor &fromInput, const Tensor &hidden, const Tensor &state);
  Outputs direction(int64_t d, bool backwards);
  /// Columns [gate * hidden, (gate + 1) * hidden).
  Tensor gate(const Tensor &x, int64_t i) { return im.sliceDim(x, x.rank() - 1, i * hiddenSize, hiddenSize); }

  Node &node;
  Importer &im;
  Cell cell;
  int64_t gates, hiddenSize = 0, directions = 1;
  bool batchFirst = false, linearBefore = false, inputForget = false;
  float clip = 0;
  Tensor x, lengths; ///< x [length, batch, inputs]
  Expr length, batch;
  SmallVector<std::string> activations;
  SmallVector<std::optional<double>> alphas, betas;
  // Of the direction that is written:
  Tensor recurrent, bias, peephole;
};
} // namespace

bool Recurrence::readActivations() {
  int64_t each = cell == Cell::Rnn ? 1 : cell == Cell::Gru ? 2 : 3;
  const proto::AttributeProto *names = node.attribute("activations");
  for (int64_t i = 0; i < each * directions; ++i)
    activations.push_back(names && i < names->strings_size() ? names->strings(i)
                          : cell == Cell::Rnn || i % each > 0 ? "Tanh"
                                                              : "Sigmoid");
  if (names && names->strings_size() != each * directions) {
    node.error() << "attribute 'activations' must have " << each * directions << " entries";
    return false;
  }
  // The functions that have parameters take them in order.
  auto parameters = [&](StringRef name, bool isAlpha) {
    SmallVector<std::optional<double>> result(activations.size());
    const proto::AttributeProto *given = node.attribute(name);
    int next = 0;
    for (size_t i = 0; i < activations.size(); ++i)
      if (activationParameters(activations[i]) > (isAlpha ? 0 : 1) && given && next < given->floats_size())
        result[i] = given->floats(next++);
    return result;
  };
  alphas = parameters("activation_alpha", true);
  betas = parameters("activation_beta", false);
  for (const std::string &name : activations)
    if (activationParameters(name) < 0) {
      node.error() << "activation '" << name << "' is unknown";
      return false;
    }
  return true;
}

bool Recurrence::read() {
  if (!node.arity(3, cell == Cell::Lstm ? 8 : 6) || !node.needFloat(0) || !node.sameType({0, 1, 2, 3, 5, 6, 7}))
    return false;
  std::string way = node.getString("direction", "forward");
  if (way != "forward" && way != "reverse" && way != "bidirectional") {
    node.error() << "direction '" << way << "' is unknown";
    return false;
  }
  directions = way == "bidirectional" ? 2 : 1;
  batchFirst = node.getInt("layout", 0);
  linearBefore = node.getInt("linear_before_reset", 0);
  inputForget = node.getInt("input_forget", 0);
  clip = node.getFloat("clip", 0);
  Val *weights = node.in(1), *recurrence = node.in(2);
  std::optional<int64_t> hidden =
      recurrence->rank() == 3 ? im.symbols.normalize(recurrence->shape[2]).constant() : std::nullopt;
  bool fits = node.in(0)->rank() == 3 && weights->rank() == 3 && hidden && *hidden > 0;
  if (fits) {
    hiddenSize = *hidden;
    for (Val *val : {weights, recurrence})
      fits = fits && im.symbols.assumeEqual(val->shape[0], directions) &&
             im.symbols.assumeEqual(val->shape[1], gates * hiddenSize);
    fits = fits && im.symbols.assumeEqual(weights->shape[2], node.in(0)->shape[2]);
  }
  if (!fits) {
    node.error() << "expected inputs of rank 3, weights [" << directions << ", " << gates
                 << " * hidden, inputs] and [" << directions << ", " << gates << " * hidden, hidden], found "
                 << describe(im, node.in(0)) << ", " << describe(im, weights) << " and " << describe(im, recurrence);
    return false;
  }
  x = im.tensor(node.in(0));
  if (batchFirst)
    x = im.transpose(x, {1, 0, 2});
  length = x.shape[0];
  batch = x.shape[1];
  if (Val *given = node.in(4)) {
    if (!isInteger(given->type) || given->rank() != 1 || !im.symbols.assumeEqual(given->shape[0], batch)) {
      node.error() << "input 4 must have one length per batch row, found " << describe(im, given);
      return false;
    }
    lengths = im.tensor(given);
  }
  Shape state{directions, batch, hiddenSize};
  if (batchFirst)
    std::swap(state[0], state[1]);
  const std::pair<size_t, Shape> expected[] = {
      {3, {directions, 2 * gates * hiddenSize}}, {5, state}, {6, state}, {7, {directions, 3 * hiddenSize}}};
  for (auto &[i, shape] : expected) {
    if (!node.in(i))
      continue;
    bool same = node.in(i)->shape.size() == shape.size();
    for (auto [a, b] : llvm::zip(node.in(i)->shape, shape))
      same = same && im.symbols.assumeEqual(a, b);
    if (!same) {
      node.error() << "input " << i << " must have shape " << im.symbols.print(shape) << ", found "
                   << describe(im, node.in(i));
      return false;
    }
  }
  return readActivations();
}

Tensor Recurrence::parameter(size_t input, int64_t direction) {
  if (!node.in(input))
    return {};
  Tensor all = im.tensor(node.in(input));
  if (batchFirst && (input == 5 || input == 6))
    all = im.transpose(all, {1, 0, 2});
  Tensor mine = im.sliceDim(all, 0, direction, 1);
  return im.reshape(mine, Shape(all.shape.begin() + 1, all.shape.end()));
}

Tensor Recurrence::activate(int64_t direction, int64_t which, const Tensor &input) {
  Tensor t = input;
  if (clip > 0) {
    t = im.binary<arith::MaximumFOp>(t, im.splat(t.element(), -clip, t.shape));
    t = im.binary<arith::MinimumFOp>(t, im.splat(t.element(), clip, t.shape));
  }
  size_t i = direction * (activations.size() / directions) + which;
  return applyActivation(node, activations[i], t, alphas[i], betas[i]);
}

/// Time backwards, in each row over its own length.
Tensor Recurrence::reversed(const Tensor &t) {
  return compute(im, t.element(), t.shape, [&](Point point) {
    Scalar size = Scalar::index(im, length), valid = size;
    if (lengths.value)
      valid = at(im, lengths, point[1]).toIndex().clamp(size.like(0), size);
    Scalars from(point);
    from[0] = (point[0] < valid).select(valid - 1 - point[0], point[0]);
    return at(im, t, from);
  });
}

std::pair<Tensor, Tensor> Recurrence::step(int64_t d, const Tensor &fromInput, const Tensor &hidden,
                                           const Tensor &state) {
  auto one = [&](const Tensor &like) { return im.splat(like.element(), 1, like.shape); };
  auto seen = [&](const Tensor &t, int64_t i) { // through a peephole
    return peephole.value ? im.add(t, im.mul(im.broadcast(gate(peephole, i), state.shape), state)) : t;
  };
  if (cell == Cell::Gru) {
    Tensor both = im.matmul(hidden, im.sliceDim(recurrent, 1, 0, 2 * hiddenSize));
    Tensor z = activate(d, 0, im.add(gate(fromInput, 0), gate(both, 0)));
    Tensor r = activate(d, 0, im.add(gate(fromInput, 1), gate(both, 1)));
    Tensor last = gate(recurrent, 2), h;
    if (linearBefore) {
      h = im.matmul(hidden, last);
      if (bias.value)
        h = im.add(h, im.broadcast(gate(bias, 2), h.shape));
      h = im.mul(r, h);
    } else {
      h = im.matmul(im.mul(r, hidden), last);
    }
    h = activate(d, 1, im.add(gate(fromInput, 2), h));
    return {im.add(im.mul(im.sub(one(z), z), h), im.mul(z, hidden)), {}};
  }
  Tensor sum = im.add(fromInput, im.matmul(hidden, recurrent));
  if (cell == Cell::Rnn)
    return {activate(d, 0, sum), {}};
  Tensor in = activate(d, 0, seen(gate(sum, 0), 0));
  Tensor forget = inputForget ? im.sub(one(in), in) : activate(d, 0, seen(gate(sum, 2), 2));
  Tensor candidate = activate(d, 1, gate(sum, 3));
  Tensor next = im.add(im.mul(forget, state), im.mul(in, candidate));
  Tensor out = gate(sum, 1);
  if (peephole.value)
    out = im.add(out, im.mul(im.broadcast(gate(peephole, 1), next.shape), next));
  return {im.mul(activate(d, 0, out), activate(d, 2, next)), next};
}

Recurrence::Outputs Recurrence::direction(int64_t d, bool backwards) {
  Tensor weights = parameter(1, d), biases = parameter(3, d);
  recurrent = im.transpose(parameter(2, d), {1, 0});
  peephole = cell == Cell::Lstm ? parameter(7, d) : Tensor();
  bias = biases.value ? im.sliceDim(biases, 0, gates * hiddenSize, gates * hiddenSize) : Tensor();
  Tensor input = backwards ? reversed(x) : x;
  Tensor fromInput = im.matmul(input, im.transpose(weights, {1, 0}));
  if (biases.value) {
    Tensor sum = im.sliceDim(biases, 0, 0, gates * hiddenSize);
    if (cell == Cell::Gru && linearBefore) { // the last gate's second bias is inside
      Tensor zeros = im.splat(bias.element(), 0, {hiddenSize});
      sum = im.add(sum, im.concat({im.sliceDim(bias, 0, 0, 2 * hiddenSize), zeros}, 0));
    } else {
      sum = im.add(sum, bias);
    }
    fromInput = im.add(fromInput, im.broadcast(sum, fromInput.shape));
  }
  Shape row{batch, hiddenSize};
  Tensor zeros = im.splat(x.element(), 0, row), hidden = parameter(5, d), state;
  if (cell == Cell::Lstm)
    state = parameter(6, d);
  SmallVector<Tensor> first{im.splat(x.element(), 0, {length, batch, hiddenSize}), hidden.value ? hidden : zeros};
  if (cell == Cell::Lstm)
    first.push_back(state.value ? state : zeros);
  SmallVector<Tensor> last =
      repeat(im, length, first, [&](Scalar t, ArrayRef<Tensor> carried) -> SmallVector<Tensor> {
        Tensor now = im.reshape(readSlice(im, fromInput, 0, t), {batch, gates * hiddenSize});
        auto [h, c] = step(d, now, carried[1], first.size() > 2 ? carried[2] : Tensor());
        Tensor shown = h;
        if (lengths.value) { // behind its end a row keeps its state and shows zeros
          Tensor runs = compute(im, im.builder.getI1Type(), row, [&](Point p) {
            return t < at(im, lengths, p[0]).toIndex();
          });
          shown = im.select(runs, h, im.splat(h.element(), 0, row));
          h = im.select(runs, h, carried[1]);
          if (c.value)
            c = im.select(runs, c, carried[2]);
        }
        SmallVector<Tensor> next{writeSlice(im, carried[0], im.reshape(shown, {1, batch, hiddenSize}), 0, t), h};
        if (c.value)
          next.push_back(c);
        return next;
      });
  Outputs outputs{last[0], last[1], last.size() > 2 ? last[2] : Tensor()};
  if (backwards)
    outputs.all = reversed(outputs.all);
  return outputs;
}

LogicalResult Recurrence::run() {
  if (!read())
    return failure();
  bool backwards = node.getString("direction", "forward") == "reverse";
  SmallVector<Tensor> all, hidden, state;
  for (int64_t d = 0; d < directions; ++d) {
    Outputs outputs = direction(d, backwards || d == 1);
    all.push_back(im.reshape(outputs.all, {length, 1, batch, hiddenSize}));
    hidden.push_back(im.reshape(outputs.hidden, {1, batch, hiddenSize}));
    if (outputs.state.value)
      state.push_back(im.reshape(outputs.state, {1, batch, hiddenSize}));
  }
  int32_t type = node.in(0)->type;
  Tensor y = im.concat(all, 1);
  node.set(0, im.make(type, batchFirst ? im.transpose(y, {2, 0, 1, 3}) : y));
  auto last = [&](size_t output, ArrayRef<Tensor> parts) {
    Tensor t = im.concat(parts, 0);
    node.set(output, im.make(type, batchFirst ? im.transpose(t, {1, 0, 2}) : t));
  };
  last(1, hidden);
  if (!state.empty())
    last(2, state);
  return success(!node.failed);
}

template <Cell Kind>
static LogicalResult recurrent(Node &node) {
  return Recurrence(node, Kind).run();
}

void pith::onnx::addRecurrentOps(OpTable &table) {
  table.add("RNN", recurrent<Cell::Rnn>);
  table.add("GRU", recurrent<Cell::Gru>);
  table.add("LSTM", recurrent<Cell::Lstm>);
}
