//===- Rearrange.cpp - elements in other places -----------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"
#include "Scalar.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// Blocks of an image and channels
//===----------------------------------------------------------------------===//

template <bool ToSpace>
static LogicalResult depthAndSpace(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1))
    return failure();
  Val *source = node.in(0);
  int64_t block = node.getSmallInt("blocksize", 0);
  std::string mode = node.getString("mode", "DCR");
  if (source->rank() != 4 || block < 1 || (mode != "DCR" && mode != "CRD"))
    return node.fail("expected [batch, channels, height, width], a positive blocksize and mode DCR or CRD, found " +
                     describe(im, source) + ", " + Twine(block) + " and '" + mode + "'");
  Symbols &symbols = im.symbols;
  Shape shape = source->shape;
  auto divided = [&](int64_t i, int64_t by) -> std::optional<Expr> {
    std::optional<Expr> part = symbols.exactDiv(symbols.normalize(shape[i]), by);
    if (!part)
      node.error() << "dimension " << i << " of " << describe(im, source) << " is no multiple of " << by;
    return part;
  };
  bool depthFirst = mode == "DCR";
  Tensor x = im.tensor(source);
  if (ToSpace) {
    std::optional<Expr> channels = divided(1, block * block);
    if (!channels)
      return failure();
    Shape split{shape[0], block, block, *channels, shape[2], shape[3]};
    if (!depthFirst)
      split = {shape[0], *channels, block, block, shape[2], shape[3]};
    x = im.transpose(im.reshape(x, split), depthFirst ? ArrayRef<int64_t>{0, 3, 4, 1, 5, 2}
                                                      : ArrayRef<int64_t>{0, 1, 4, 2, 5, 3});
    shape = {shape[0], *channels, symbols.mul(shape[2], block), symbols.mul(shape[3], block)};
  } else {
    std::optional<Expr> height = divided(2, block), width = height ? divided(3, block) : std::nullopt;
    if (!width)
      return failure();
    x = im.reshape(x, {shape[0], shape[1], *height, block, *width, block});
    x = im.transpose(x, depthFirst ? ArrayRef<int64_t>{0, 3, 5, 1, 2, 4} : ArrayRef<int64_t>{0, 1, 3, 5, 2, 4});
    shape = {shape[0], symbols.mul(shape[1], block * block), *height, *width};
  }
  return node.done(im.make(source->type, im.reshape(x, shape)));
}

//===----------------------------------------------------------------------===//
// Parts of dimensions
//===----------------------------------------------------------------------===//

static LogicalResult reverseSequence(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2) || !node.needInteger(1))
    return failure();
  Val *source = node.in(0), *lengths = node.in(1);
  std::optional<int64_t> batch = node.axis(node.getInt("batch_axis", 1), source->rank());
  std::optional<int64_t> time = node.axis(node.getInt("time_axis", 0), source->rank());
  if (!batch || !time)
    return failure();
  if (*batch == *time || lengths->rank() != 1 || !im.symbols.assumeEqual(lengths->shape[0], source->shape[*batch]))
    return node.fail("expected one length per batch row, found " + describe(im, lengths) + " for " +
                     describe(im, source));
  Tensor x = im.tensor(source), length = im.tensor(lengths);
  Tensor y = compute(im, x.element(), x.shape, [&](Point point) {
    Scalar size = Scalar::index(im, x.shape[*time]), t = point[*time];
    Scalar valid = at(im, length, point[*batch]).toIndex().clamp(size.like(0), size);
    Scalars from(point);
    from[*time] = (t < valid).select(valid - 1 - t, t);
    return at(im, x, from);
  });
  return node.done(im.make(source->type, y));
}

static LogicalResult centerCropPad(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2) || !node.needInteger(1))
    return failure();
  Val *source = node.in(0);
  const Shape *target = node.in(1)->rank() == 1 ? im.elements(node.in(1)) : nullptr;
  if (!target)
    return node.fail("input 1 must be a list of sizes whose number is known, found " + describe(im, node.in(1)));
  Shape wanted = *target, shape = source->shape;
  std::optional<SmallVector<int64_t>> axes = node.getInts("axes");
  if ((axes ? axes->size() : shape.size()) != wanted.size())
    return node.fail("has " + Twine(wanted.size()) + " sizes for " + describe(im, source));
  for (size_t i = 0; i < wanted.size(); ++i) {
    std::optional<int64_t> axis = node.axis(axes ? (*axes)[i] : int64_t(i), shape.size());
    if (!axis)
      return failure();
    shape[*axis] = wanted[i];
  }
  Tensor x = im.tensor(source);
  Tensor y = compute(im, x.element(), shape, [&](Point point) {
    Scalar inside = Scalar::number(im, im.builder.getI1Type(), 1);
    Scalars from;
    for (auto [i, p] : llvm::enumerate(point)) {
      // What is too much is cut on both sides, the smaller half first; so is what is missing.
      Scalar size = Scalar::index(im, x.shape[i]), room = Scalar::index(im, shape[i]);
      from.push_back(p + (size - room) / 2);
      inside = inside & (from[i] >= 0) & (from[i] < size);
    }
    return atOr(im, x, from, inside, Scalar::number(im, x.element(), 0));
  });
  return node.done(im.make(source->type, y));
}

static LogicalResult eyeLike(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1))
    return failure();
  Val *source = node.in(0);
  int32_t type = node.getInt("dtype", source->type);
  Type element = elementType(im.context, type);
  if (source->rank() != 2 || !element)
    return node.fail("expected a matrix and a known element type, found " + describe(im, source));
  Type i64 = im.builder.getI64Type();
  Tensor row = im.add(im.iota(i64, source->shape, 0), double(node.getInt("k", 0)));
  Tensor hot = im.compare(arith::CmpIPredicate::eq, row, im.iota(i64, source->shape, 1));
  return node.done(im.make(type, im.select(hot, im.splat(element, 1, source->shape), im.splat(element, 0, source->shape))));
}

/// The same bits as another type of the same width.
static LogicalResult bitCast(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1))
    return failure();
  Val *source = node.in(0);
  int32_t to = node.getInt("to", 0);
  Type from = elementType(im.context, source->type), type = elementType(im.context, to);
  auto bits = [](Type t) { return t.isInteger(1) ? 8 : t.getIntOrFloatBitWidth(); };
  if (!from || !type || bits(from) != bits(type))
    return node.fail("bits of " + elementName(source->type) + " cannot be read as " + elementName(to));
  Tensor x = im.tensor(source);
  if (source->type == Bool || to == Bool)
    x = im.cast(x, source->type, to);
  else if (from != type)
    x = im.elementwise(x, [&](ArrayRef<Value> v) -> Value {
      return arith::BitcastOp::create(im.builder, im.loc, cast<RankedTensorType>(v[0].getType()).clone(type), v[0]);
    });
  return node.done(im.make(to, x));
}

//===----------------------------------------------------------------------===//
// Determinants
//===----------------------------------------------------------------------===//

/// Gaussian elimination of all matrices at once, with the largest element of a column as pivot.
static LogicalResult determinant(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 1) || !node.needFloat(0))
    return failure();
  Val *source = node.in(0);
  int64_t rank = source->rank();
  if (rank < 2 || !im.symbols.assumeEqual(source->shape[rank - 2], source->shape[rank - 1]))
    return node.fail("expected square matrices, found " + describe(im, source));
  Shape outer(source->shape.begin(), source->shape.end() - 2);
  Expr size = source->shape.back(), batch = im.count(outer);
  Tensor x = im.reshape(im.tensor(source), {batch, size, size});
  Type element = x.element(), index = im.builder.getIndexType();
  auto results = repeat(
      im, size, {x, im.splat(element, 1, {batch})}, [&](Scalar k, ArrayRef<Tensor> carried) -> SmallVector<Tensor> {
        Tensor a = carried[0];
        Tensor pivot = compute(im, im.builder.getI64Type(), {batch}, [&](Point b) {
          Scalars best{Scalar::number(im, element, -1), k};
          return repeat(Scalar::index(im, size), best, [&](Scalar i, Point best) -> Scalars {
                   Scalar value = at(im, a, {b[0], i, k}).call<math::AbsFOp>();
                   Scalar better = (i >= k) & (value > best[0]);
                   return {better.select(value, best[0]), better.select(i, best[1])};
                 })[1].to(im.builder.getI64Type());
        });
        Tensor swapped = compute(im, element, a.shape, [&](Point p) {
          Scalar row = at(im, pivot, p[0]).to(index);
          Scalar from = (p[1] == k).select(row, (p[1] == row).select(k, p[1]));
          return at(im, a, {p[0], from, p[2]});
        });
        Tensor product = compute(im, element, {batch}, [&](Point b) {
          Scalar value = at(im, swapped, {b[0], k, k}) * at(im, carried[1], b[0]);
          return (at(im, pivot, b[0]).to(index) == k).select(value, value * -1);
        });
        Tensor next = compute(im, element, a.shape, [&](Point p) {
          Scalar value = at(im, swapped, p), top = at(im, swapped, {p[0], k, k});
          Scalar factor = at(im, swapped, {p[0], p[1], k}) / top;
          Scalar less = value - factor * at(im, swapped, {p[0], k, p[2]});
          return ((p[1] > k) & (top != 0.0)).select(less, value);
        });
        return {next, product};
      });
  return node.done(im.make(source->type, im.reshape(results[1], outer)));
}

void pith::onnx::addRearrangeOps(OpTable &table) {
  table.add("DepthToSpace", depthAndSpace<true>);
  table.add("SpaceToDepth", depthAndSpace<false>);
  table.add("ReverseSequence", reverseSequence);
  table.add("CenterCropPad", centerCropPad);
  table.add("EyeLike", eyeLike);
  table.add("BitCast", bitCast);
  table.add("Det", determinant);
}
