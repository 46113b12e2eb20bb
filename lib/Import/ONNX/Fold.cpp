//===- Fold.cpp - columns summed into images: Col2Im, ConvTranspose -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Windows.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

/// image[n, c, p…] = sum over kernel elements k of columns[n, c, k, (p + before - k * dilation) / stride], where that is
/// a whole number in [0, positions). The kernel's sizes are `kernel`, the number of positions windows.output.
static Tensor fold(Importer &im, const Tensor &columns, const Windows &windows, ArrayRef<Expr> kernel,
                   ArrayRef<Expr> sizes) {
  Shape shape{columns.shape[0], columns.shape[1]};
  shape.append(sizes.begin(), sizes.end());
  Type element = columns.element();
  Type type = isa<FloatType>(element) && !element.isF64() ? Type(im.builder.getF32Type()) : element;
  Scalar all = Scalar::index(im, im.count(kernel));
  return compute(im, element, shape, [&](Point point) {
    Scalar none = Scalar::number(im, type, 0);
    Scalar sum = repeat(all, none, [&](Scalar k, Point carried) -> Scalars {
                   Scalar rest = k, inside, place;
                   Scalars digits(kernel.size());
                   for (size_t i = kernel.size(); i-- > 0;) {
                     Scalar size = Scalar::index(im, kernel[i]);
                     digits[i] = rest % size;
                     rest = rest / size;
                   }
                   for (size_t i = 0; i < kernel.size(); ++i) {
                     double stride = double(windows.strides[i]);
                     Scalar distance = point[i + 2] + Scalar::index(im, windows.before[i]) -
                                       digits[i] * double(windows.dilations[i]);
                     Scalar window = distance / stride, count = Scalar::index(im, windows.output[i]);
                     Scalar here = (distance >= 0) & (distance % stride == 0) & (window < count);
                     inside = i ? inside & here : here;
                     place = i ? place * count + window : window;
                   }
                   Scalar zero = Scalar::number(im, element, 0);
                   return {carried[0] + atOr(im, columns, {point[0], point[1], k, place}, inside, zero).to(type)};
                 }).front();
    return sum.to(element);
  });
}

static LogicalResult columnsToImage(Node &node) {
  Importer &im = node.im;
  if (!node.arity(3, 3) || !node.needInteger(1) || !node.needInteger(2))
    return failure();
  Val *source = node.in(0);
  if (!isFloat(source->type) && !isInteger(source->type))
    return node.fail("input 0 must have numbers as elements, found " + describe(im, source));
  const Shape *image = node.in(1)->rank() == 1 ? im.elements(node.in(1)) : nullptr;
  const Shape *block = node.in(2)->rank() == 1 ? im.elements(node.in(2)) : nullptr;
  if (source->rank() != 3 || !image || !block || image->size() != block->size() || image->empty())
    return node.fail("expected columns [batch, channels, blocks] and as many sizes of the image as of blocks, found " +
                     describe(im, source) + ", " + describe(im, node.in(1)) + " and " + describe(im, node.in(2)));
  Shape sizes = *image, kernel = *block;
  std::optional<Windows> windows = Windows::readAttributes(node, SmallVector<int64_t>(kernel.size(), 1));
  if (!windows)
    return failure();
  Symbols &symbols = im.symbols;
  for (size_t i = 0; i < kernel.size(); ++i) {
    Expr reach = symbols.add(symbols.mul(symbols.sub(kernel[i], 1), windows->dilations[i]), 1);
    Expr room = symbols.sub(symbols.add(sizes[i], symbols.add(windows->before[i], windows->after[i])), reach);
    windows->output.push_back(symbols.max(0, symbols.add(*symbols.floorDiv(room, windows->strides[i]), 1)));
  }
  Expr elements = im.count(kernel);
  std::optional<Expr> channels = symbols.floorDiv(symbols.normalize(source->shape[1]), elements);
  if (!channels)
    return node.fail("the blocks have no elements");
  Tensor columns = im.reshape(im.tensor(source), {source->shape[0], *channels, elements, source->shape[2]});
  return node.done(im.make(source->type, fold(im, columns, *windows, kernel, sizes)));
}

/// The sizes of a ConvTranspose's result, and what they leave of the padding.
static bool readSizes(Node &node, ArrayRef<Expr> from, Windows &windows, Shape &sizes) {
  Symbols &symbols = node.im.symbols;
  size_t rank = from.size();
  SmallVector<int64_t> extra(rank, 0);
  std::optional<SmallVector<int64_t>> given = node.getInts("output_padding"), wanted = node.getInts("output_shape");
  if (given && !given->empty())
    extra = *given;
  // Some files give batch and channels too.
  if (wanted && wanted->size() == rank + 2)
    wanted->erase(wanted->begin(), wanted->begin() + 2);
  auto fits = [&](ArrayRef<int64_t> list) {
    return list.size() == rank && llvm::all_of(list, [](int64_t i) { return i >= 0 && i < (int64_t(1) << 31); });
  };
  if (!fits(extra) || (wanted && !fits(*wanted))) {
    node.error() << "attributes 'output_padding' and 'output_shape' must have " << rank
                 << " entries that are not negative";
    return false;
  }
  std::string mode = node.getString("auto_pad", "NOTSET");
  bool same = mode == "SAME_UPPER" || mode == "SAME_LOWER";
  for (size_t i = 0; i < rank; ++i) {
    Expr whole = symbols.add(symbols.mul(symbols.sub(from[i], 1), windows.strides[i]), windows.reach(i) + extra[i]);
    if (!wanted && !same) {
      sizes.push_back(symbols.sub(whole, symbols.add(windows.before[i], windows.after[i])));
      continue;
    }
    sizes.push_back(wanted ? Expr((*wanted)[i]) : symbols.mul(from[i], windows.strides[i]));
    if (!same && node.has("pads"))
      continue; // pads say what is cut, the shape how much of the rest there is
    Expr total = symbols.max(0, symbols.sub(whole, sizes.back())), half = *symbols.floorDiv(total, 2);
    windows.before[i] = mode == "SAME_UPPER" ? half : symbols.sub(total, half);
  }
  return true;
}

static LogicalResult convTranspose(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 3) || !node.needFloat(0) || !node.sameType({0, 1, 2}))
    return failure();
  Val *source = node.in(0), *filters = node.in(1);
  if (source->rank() < 3 || source->rank() != filters->rank())
    return node.fail("expected [batch, channels, sizes...] and [channels, filters, kernel...], found " +
                     describe(im, source) + " and " + describe(im, filters));
  std::optional<SmallVector<int64_t>> kernel = kernelOf(node, filters, source->rank() - 2);
  std::optional<Windows> windows = kernel ? Windows::readAttributes(node, *kernel) : std::nullopt;
  Shape sizes;
  if (!windows || !readSizes(node, ArrayRef<Expr>(source->shape).drop_front(2), *windows, sizes))
    return failure();
  windows->output.assign(source->shape.begin() + 2, source->shape.end());
  int64_t groups = node.getSmallInt("group", 1);
  std::optional<int64_t> channels = im.symbols.normalize(filters->shape[0]).constant();
  std::optional<int64_t> each = im.symbols.normalize(filters->shape[1]).constant();
  if (!channels || !each || groups < 1 || *channels % groups || !im.symbols.assumeEqual(source->shape[1], *channels))
    return node.fail("input " + describe(im, source) + " does not fit filters " + describe(im, filters) + " in " +
                     Twine(groups) + " groups");
  int64_t count = *each * groups, elements = windows->elements();
  if (node.in(2) && (node.in(2)->rank() != 1 || !im.symbols.assumeEqual(node.in(2)->shape[0], count)))
    return node.fail("the bias must have one value per filter, found " + describe(im, node.in(2)));
  // [batch, groups, positions, channels] x [groups, channels, filters * kernel]
  Expr positions = im.count(windows->output), batch = source->shape[0];
  Tensor x = im.reshape(im.tensor(source), {batch, groups, *channels / groups, positions});
  Tensor w = im.reshape(im.tensor(filters), {groups, *channels / groups, *each * elements});
  Tensor columns;
  if (groups == 1) {
    columns = im.matmul(im.reshape(im.transpose(x, {0, 1, 3, 2}), {batch, positions, *channels}),
                        im.reshape(w, {*channels, *each * elements}));
  } else {
    Shape shape{batch, groups, *channels / groups, *each * elements};
    columns = im.matmul(im.transpose(x, {0, 1, 3, 2}), im.broadcast(w, shape));
  }
  columns = im.reshape(columns, {batch, groups, positions, *each * elements});
  columns = im.reshape(im.transpose(columns, {0, 1, 3, 2}), {batch, count, elements, positions});
  Tensor y = fold(im, columns, *windows, toShape(*kernel), sizes);
  if (node.in(2)) {
    Shape shape(sizes.size() + 1, Expr(1));
    shape[0] = count;
    y = im.add(y, im.broadcast(im.reshape(im.tensor(node.in(2)), shape), y.shape));
  }
  return node.done(im.make(source->type, y));
}

void pith::onnx::addFoldOps(OpTable &table) {
  table.add("Col2Im", columnsToImage);
  table.add("ConvTranspose", convTranspose);
}
