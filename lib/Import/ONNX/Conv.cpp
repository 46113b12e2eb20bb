//===- Conv.cpp - convolution -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"
#include "Windows.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

/// x [batch, channels, sizes…] with zeros around it.
static Tensor padded(Importer &im, Tensor x, const Windows &windows) {
  for (int64_t i = 0; i < windows.rank(); ++i) {
    SmallVector<Tensor> parts;
    auto zeros = [&](const Expr &size) {
      Shape shape = x.shape;
      shape[i + 2] = size;
      return im.splat(x.element(), 0, shape);
    };
    if (!windows.before[i].isConstant(0))
      parts.push_back(zeros(windows.before[i]));
    parts.push_back(x);
    if (!windows.after[i].isConstant(0))
      parts.push_back(zeros(windows.after[i]));
    x = im.concat(parts, i + 2);
  }
  return x;
}

/// What every window sees, one row per position: [batch, positions, channels * kernel].
static Tensor rowsOf(Importer &im, const Tensor &x, const Windows &windows) {
  size_t rank = windows.kernel.size();
  int64_t elements = 1;
  bool patches = true;
  for (size_t i = 0; i < rank; ++i) {
    elements *= windows.kernel[i];
    patches &= windows.kernel[i] == windows.strides[i] && windows.dilations[i] == 1;
  }
  Shape rows{x.shape[0], im.count(windows.output), im.symbols.mul(x.shape[1], elements)};
  if (patches) {
    // Windows side by side: the elements need only be put in another order.
    Shape sizes{x.shape[0], x.shape[1]}, split = sizes;
    SmallVector<int64_t> permutation{0};
    for (size_t i = 0; i < rank; ++i) {
      sizes.push_back(im.symbols.mul(windows.output[i], windows.kernel[i]));
      split.push_back(windows.output[i]);
      split.push_back(windows.kernel[i]);
      permutation.push_back(2 + 2 * i);
    }
    permutation.push_back(1);
    for (size_t i = 0; i < rank; ++i)
      permutation.push_back(3 + 2 * i);
    Tensor whole = im.slice(x, Shape(rank + 2, Expr(0)), sizes);
    return im.reshape(im.transpose(im.reshape(whole, split), permutation), rows);
  }
  // One strided slice per element of the kernel.
  Shape sizes{x.shape[0], x.shape[1]};
  sizes.append(windows.output.begin(), windows.output.end());
  Shape apart = sizes;
  apart.insert(apart.begin() + 2, Expr(1));
  SmallVector<int64_t> steps{1, 1}, at(rank, 0);
  steps.append(windows.strides.begin(), windows.strides.end());
  SmallVector<Tensor> parts;
  for (int64_t k = 0; k < elements; ++k) {
    Shape offsets(2, Expr(0));
    for (size_t i = 0; i < rank; ++i)
      offsets.push_back(at[i] * windows.dilations[i]);
    parts.push_back(im.reshape(im.slice(x, offsets, sizes, steps), apart));
    for (size_t i = rank; i-- > 0 && ++at[i] == windows.kernel[i];)
      at[i] = 0;
  }
  SmallVector<int64_t> permutation{0};
  for (size_t i = 0; i < rank; ++i)
    permutation.push_back(3 + i);
  permutation.append({1, 2});
  return im.reshape(im.transpose(im.concat(parts, 2), permutation), rows);
}

std::optional<Tensor> pith::onnx::convolve(Node &node, Tensor x, const Tensor &weights, Val *bias) {
  Importer &im = node.im;
  auto refuse = [&](const Twine &message) {
    if (!node.failed)
      node.error() << message.str();
    return std::nullopt;
  };
  std::string filters = im.symbols.print(weights.shape);
  if (x.rank() < 3 || x.rank() != weights.rank())
    return refuse("expected [batch, channels, sizes...] and [filters, channels, kernel...], found " +
                  im.symbols.print(x.shape) + " and " + filters);
  SmallVector<int64_t> fixed; // filters, channels, kernel
  int64_t elements = 1;
  for (const Expr &size : weights.shape) {
    std::optional<int64_t> constant = im.symbols.normalize(size).constant();
    if (!constant || *constant < 1 || *constant > (1 << 20))
      return refuse("filters must have a constant shape, found " + filters);
    fixed.push_back(*constant);
    elements = fixed.size() > 2 ? elements * *constant : 1;
    if (elements > 4096)
      return refuse("kernels of more than 4096 elements are not supported, found " + filters);
  }
  int64_t groups = node.getSmallInt("group", 1), count = fixed[0], channels = fixed[1];
  if (groups < 1 || count % groups || !im.symbols.assumeEqual(x.shape[1], Expr(groups) * Expr(channels)))
    return refuse("input " + im.symbols.print(x.shape) + " does not fit filters " + filters + " in " + Twine(groups) +
                  " groups");
  if (bias && (bias->rank() != 1 || !im.symbols.assumeEqual(bias->shape[0], count)))
    return refuse("the bias must have one value per filter, found " + describe(im, bias));
  x.shape[1] = groups * channels;
  x.value = im.conform(x);
  std::optional<Windows> read =
      Windows::read(node, ArrayRef(fixed).drop_front(2), ArrayRef<Expr>(x.shape).drop_front(2));
  if (!read)
    return std::nullopt;
  const Windows &windows = *read;
  Tensor whole = padded(im, x, windows);
  if (groups > 64 && groups != count)
    return refuse("more than 64 groups of several filters are not supported, found " + Twine(groups));

  Tensor y;
  Shape positions{whole.shape[0], im.count(windows.output)};
  if (groups == count && channels == 1 && groups > 1) {
    // Depthwise: every channel with its own kernel, [batch, positions, channels, kernel] summed over the kernel.
    Tensor rows = rowsOf(im, whole, windows);
    Shape apart{positions[0], positions[1], count, elements}, flat{positions[0], positions[1], count};
    Tensor kernel = im.broadcast(im.reshape(weights, {count, elements}), apart);
    Tensor products = im.mul(im.reshape(rows, apart), kernel);
    y = im.reshape(im.reduce(ReduceKind::Sum, products, 3), flat);
  } else {
    SmallVector<Tensor> parts;
    for (int64_t g = 0; g < groups; ++g) {
      Tensor rows = rowsOf(im, im.sliceDim(whole, 1, g * channels, channels), windows);
      Tensor mine = im.sliceDim(weights, 0, g * (count / groups), count / groups);
      Tensor matrix = im.transpose(im.reshape(mine, {count / groups, channels * elements}), {1, 0});
      parts.push_back(im.matmul(rows, matrix));
    }
    y = im.concat(parts, 2);
  }
  if (bias)
    y = im.add(y, im.broadcast(im.tensor(bias), y.shape));
  Shape shape{whole.shape[0], count};
  shape.append(windows.output.begin(), windows.output.end());
  return im.reshape(im.transpose(y, {0, 2, 1}), shape);
}

static LogicalResult conv(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 3) || !node.needFloat(0) || !node.sameType({0, 1, 2}))
    return failure();
  std::optional<Tensor> y = convolve(node, im.tensor(node.in(0)), im.tensor(node.in(1)), node.in(2));
  if (!y)
    return failure();
  return node.done(im.make(node.in(0)->type, *y));
}

void pith::onnx::addConvOps(OpTable &table) {
  table.add("Conv", conv);
}
