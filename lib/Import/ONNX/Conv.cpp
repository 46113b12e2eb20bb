//===- Conv.cpp - convolution -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

namespace {
/// The windows of a convolution, one entry per spatial dimension.
struct Windows {
  SmallVector<int64_t> kernel, strides, dilations;
  Shape output; ///< number of positions
};
} // namespace

/// A list attribute with one positive entry per spatial dimension, all 1 if absent.
static bool readList(Node &node, StringRef name, size_t rank, SmallVector<int64_t> &list) {
  std::optional<SmallVector<int64_t>> given = node.getInts(name);
  list = given ? *given : SmallVector<int64_t>(rank, 1);
  if (list.size() == rank && llvm::all_of(list, [](int64_t i) { return i >= 1 && i <= (1 << 20); }))
    return true;
  node.error() << "attribute '" << name << "' must have " << rank << " positive entries";
  return false;
}

/// x [batch, channels, sizes…] with zeros around it, as pads or auto_pad ask for.
static std::optional<Tensor> padded(Node &node, Tensor x, const Windows &windows) {
  Importer &im = node.im;
  size_t rank = windows.kernel.size();
  Shape before(rank, Expr(0)), after(rank, Expr(0));
  std::string mode = node.getString("auto_pad", "NOTSET");
  if (mode == "SAME_UPPER" || mode == "SAME_LOWER") {
    for (size_t i = 0; i < rank; ++i) {
      const Expr &size = x.shape[i + 2];
      int64_t stride = windows.strides[i], reach = (windows.kernel[i] - 1) * windows.dilations[i] + 1;
      Expr positions = *im.symbols.floorDiv(im.symbols.add(size, stride - 1), stride);
      Expr needed = im.symbols.add(im.symbols.mul(im.symbols.sub(positions, 1), stride), reach);
      Expr total = im.symbols.max(0, im.symbols.sub(needed, size));
      Expr half = *im.symbols.floorDiv(total, 2), rest = im.symbols.sub(total, half);
      before[i] = mode == "SAME_UPPER" ? half : rest;
      after[i] = mode == "SAME_UPPER" ? rest : half;
    }
  } else if (std::optional<SmallVector<int64_t>> pads = node.getInts("pads"); pads && mode == "NOTSET") {
    if (pads->size() != 2 * rank || llvm::any_of(*pads, [](int64_t pad) { return pad < 0; })) {
      node.error() << "attribute 'pads' must have " << 2 * rank << " entries that are not negative";
      return std::nullopt;
    }
    before = toShape(ArrayRef(*pads).take_front(rank));
    after = toShape(ArrayRef(*pads).take_back(rank));
  }
  for (size_t i = 0; i < rank; ++i) {
    SmallVector<Tensor> parts;
    auto zeros = [&](const Expr &size) {
      Shape shape = x.shape;
      shape[i + 2] = size;
      return im.splat(x.element(), 0, shape);
    };
    if (!before[i].isConstant(0))
      parts.push_back(zeros(before[i]));
    parts.push_back(x);
    if (!after[i].isConstant(0))
      parts.push_back(zeros(after[i]));
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
  size_t rank = x.rank() - 2;
  Windows windows;
  if (!readList(node, "strides", rank, windows.strides) || !readList(node, "dilations", rank, windows.dilations))
    return std::nullopt;
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
  windows.kernel.assign(fixed.begin() + 2, fixed.end());
  int64_t groups = node.getInt("group", 1), count = fixed[0], channels = fixed[1];
  if (groups < 1 || count % groups || !im.symbols.assumeEqual(x.shape[1], Expr(groups) * Expr(channels)))
    return refuse("input " + im.symbols.print(x.shape) + " does not fit filters " + filters + " in " + Twine(groups) +
                  " groups");
  if (bias && (bias->rank() != 1 || !im.symbols.assumeEqual(bias->shape[0], count)))
    return refuse("the bias must have one value per filter, found " + describe(im, bias));
  x.shape[1] = groups * channels;
  std::optional<Tensor> whole = padded(node, {im.conform(x), x.shape}, windows);
  if (!whole)
    return std::nullopt;
  for (size_t i = 0; i < rank; ++i) {
    int64_t reach = (windows.kernel[i] - 1) * windows.dilations[i] + 1;
    std::optional<Expr> steps = im.symbols.floorDiv(im.symbols.sub(whole->shape[i + 2], reach), windows.strides[i]);
    windows.output.push_back(im.symbols.max(0, im.symbols.add(*steps, 1)));
  }
  if (groups > 64 && groups != count)
    return refuse("more than 64 groups of several filters are not supported, found " + Twine(groups));

  Tensor y;
  Shape positions{whole->shape[0], im.count(windows.output)};
  if (groups == count && channels == 1 && groups > 1) {
    // Depthwise: every channel with its own kernel, [batch, positions, channels, kernel] summed over the kernel.
    Tensor rows = rowsOf(im, *whole, windows);
    Shape apart{positions[0], positions[1], count, elements}, flat{positions[0], positions[1], count};
    Tensor kernel = im.broadcast(im.reshape(weights, {count, elements}), apart);
    Tensor products = im.mul(im.reshape(rows, apart), kernel);
    y = im.reshape(im.reduce(ReduceKind::Sum, products, 3), flat);
  } else {
    SmallVector<Tensor> parts;
    for (int64_t g = 0; g < groups; ++g) {
      Tensor rows = rowsOf(im, im.sliceDim(*whole, 1, g * channels, channels), windows);
      Tensor mine = im.sliceDim(weights, 0, g * (count / groups), count / groups);
      Tensor matrix = im.transpose(im.reshape(mine, {count / groups, channels * elements}), {1, 0});
      parts.push_back(im.matmul(rows, matrix));
    }
    y = im.concat(parts, 2);
  }
  if (bias)
    y = im.add(y, im.broadcast(im.tensor(bias), y.shape));
  Shape shape{whole->shape[0], count};
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

/// The mean or maximum over all positions.
template <ReduceKind Kind>
static LogicalResult globalPool(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  SmallVector<int64_t> axes;
  for (int64_t i = 2; i < node.in(0)->rank(); ++i)
    axes.push_back(i);
  return node.done(im.make(node.in(0)->type, im.reduce(Kind, im.tensor(node.in(0)), axes)));
}

void pith::onnx::addConvOps(OpTable &table) {
  table.add("Conv", conv);
  table.add("GlobalAveragePool", globalPool<ReduceKind::Mean>);
  table.add("GlobalMaxPool", globalPool<ReduceKind::Max>);
}
