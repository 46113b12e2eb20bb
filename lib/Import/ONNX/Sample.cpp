//===- Sample.cpp - reading images at computed places -----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Windows.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

/// Coordinates are f32, those of f64 tensors f64.
static Type placeType(Importer &im, const Tensor &x) {
  return x.element().isF64() ? x.element() : im.builder.getF32Type();
}

//===----------------------------------------------------------------------===//
// GridSample
//===----------------------------------------------------------------------===//

namespace {
class GridSampler {
public:
  explicit GridSampler(Node &node) : node(node), im(node.im) {}
  LogicalResult run();

private:
  Scalar reflect(Scalar x, Scalar low, Scalar high);
  Scalar weight(Scalar distance);
  Scalar read(Point batch, Point places);

  Node &node;
  Importer &im;
  std::string mode, padding;
  bool align = false;
  Tensor x;
  int64_t rank = 0;
  SmallVector<Scalar> sizes, low, high; ///< low and high: the image's borders as coordinates
};
} // namespace

/// x mirrored at the borders until it lies between them.
Scalar GridSampler::reflect(Scalar x, Scalar low, Scalar high) {
  Scalar range = high - low;
  Scalar distance = (x < low).select(low - x, x - high);
  Scalar turns = (distance / range).call<math::FloorOp>(), rest = distance - turns * range;
  Scalar odd = turns % 2 != 0.0;
  Scalar below = odd.select(high - rest, low + rest), above = odd.select(low + rest, high - rest);
  return (range <= 0).select(low, (x < low).select(below, (x > high).select(above, x)));
}

Scalar GridSampler::weight(Scalar distance) {
  Scalar d = distance.call<math::AbsFOp>();
  if (mode == "linear")
    return d.like(1) - d;
  constexpr double a = -0.75;
  Scalar inner = (d * (a + 2) - (a + 3)) * d * d + 1, outer = ((d * a - 5 * a) * d + 8 * a) * d - 4 * a;
  return (d <= 1).select(inner, outer);
}

/// The element at whole coordinates, which may lie outside.
Scalar GridSampler::read(Point batch, Point places) {
  Scalars point(batch);
  Scalar inside = Scalar::number(im, im.builder.getI1Type(), 1);
  for (int64_t i = 0; i < rank; ++i) {
    Scalar place = padding == "reflection" ? reflect(places[i], low[i], high[i]) : places[i];
    Scalar index = place.toIndex(), last = sizes[i] - 1;
    if (padding == "zeros")
      inside = inside & (index >= 0) & (index < sizes[i]);
    else
      index = index.clamp(last.like(0), last);
    point.push_back(index);
  }
  return atOr(im, x, point, inside, Scalar::number(im, x.element(), 0));
}

LogicalResult GridSampler::run() {
  if (!node.arity(2, 2) || !node.needFloat(1))
    return failure();
  Val *source = node.in(0), *grid = node.in(1);
  if (!isFloat(source->type) && !(isInteger(source->type)))
    return node.fail("input 0 must have numbers as elements, found " + describe(im, source));
  rank = source->rank() - 2;
  if (rank < 1 || grid->rank() != source->rank() || !im.symbols.assumeEqual(grid->shape.back(), rank) ||
      !im.symbols.assumeEqual(grid->shape[0], source->shape[0]))
    return node.fail("expected [batch, channels, sizes...] and [batch, sizes..., coordinates], found " +
                     describe(im, source) + " and " + describe(im, grid));
  mode = node.getString("mode", "linear");
  if (mode == "bilinear")
    mode = "linear";
  if (mode == "bicubic")
    mode = "cubic";
  padding = node.getString("padding_mode", "zeros");
  align = node.getInt("align_corners", 0);
  if ((mode != "linear" && mode != "cubic" && mode != "nearest") ||
      (padding != "zeros" && padding != "border" && padding != "reflection"))
    return node.fail("mode '" + mode + "' or padding_mode '" + padding + "' is unknown");
  x = im.tensor(source);
  Tensor places = im.tensor(grid);
  Type type = placeType(im, places), sum = placeType(im, x);
  for (int64_t i = 0; i < rank; ++i) {
    sizes.push_back(Scalar::index(im, x.shape[i + 2]));
    Scalar size = sizes[i].to(type);
    low.push_back(size.like(align ? 0 : -0.5));
    high.push_back(size - (align ? 1 : 0.5));
  }
  Shape shape{x.shape[0], x.shape[1]};
  shape.append(places.shape.begin() + 1, places.shape.end() - 1);
  Tensor y = compute(im, x.element(), shape, [&](Point point) {
    Scalars at;
    for (int64_t i = 0; i < rank; ++i) {
      Scalars where{point[0]};
      where.append(point.begin() + 2, point.end());
      where.push_back(Scalar::number(im, point[0].type(), double(rank - 1 - i))); // the last dimension comes first
      Scalar g = pith::onnx::at(im, places, where).to(type), size = sizes[i].to(type);
      Scalar place = align ? (g + 1) / 2 * (size - 1) : ((g + 1) * size - 1) / 2;
      if (mode == "nearest")
        place = place.call<math::RoundEvenOp>();
      if (padding == "border") {
        Scalar outside = (place < low[i]) | (place > high[i]);
        place = outside.select(place.clamp(place.like(0), size - 1), place);
      } else if (padding == "reflection") {
        place = reflect(place, low[i], high[i]);
      }
      at.push_back(place);
    }
    if (mode == "nearest")
      return read(point.take_front(2), at);
    int64_t taps = mode == "linear" ? 2 : 4;
    Scalar none = Scalar::number(im, sum, 0);
    Scalar value = repeatNested(im, SmallVector<int64_t>(rank, taps), none, [&](Point k, Point carried) -> Scalars {
                     Scalars tap;
                     Scalar w;
                     for (int64_t i = 0; i < rank; ++i) {
                       tap.push_back(at[i].call<math::FloorOp>() + (k[i].to(type) - double(taps / 2 - 1)));
                       Scalar one = weight(tap[i] - at[i]);
                       w = i ? w * one : one;
                     }
                     return {carried[0] + w.to(sum) * read(point.take_front(2), tap).to(sum)};
                   }).front();
    return value.to(x.element());
  });
  return node.done(im.make(source->type, y));
}

static LogicalResult gridSample(Node &node) { return GridSampler(node).run(); }

//===----------------------------------------------------------------------===//
// AffineGrid
//===----------------------------------------------------------------------===//

static LogicalResult affineGrid(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2) || !node.needFloat(0) || !node.needInteger(1))
    return failure();
  Tensor theta = im.tensor(node.in(0));
  const Shape *size = node.in(1)->rank() == 1 ? im.elements(node.in(1)) : nullptr;
  std::optional<int64_t> rows = theta.rank() == 3 ? im.symbols.normalize(theta.shape[1]).constant() : std::nullopt;
  if (!size || !rows || int64_t(size->size()) - 2 != *rows || !im.symbols.assumeEqual(theta.shape[2], *rows + 1))
    return node.fail("expected matrices [batch, rank, rank + 1] and rank + 2 sizes, found " +
                     describe(im, node.in(0)) + " and " + describe(im, node.in(1)));
  int64_t rank = *rows;
  bool align = node.getInt("align_corners", 0);
  Shape shape{theta.shape[0]};
  shape.append(size->begin() + 2, size->end());
  Shape sizes(shape.begin() + 1, shape.end());
  shape.push_back(rank);
  Type type = placeType(im, theta);
  Tensor y = compute(im, theta.element(), shape, [&](Point point) {
    Scalar row = point.back(), sum;
    for (int64_t i = 0; i <= rank; ++i) {
      Scalar factor = at(im, theta, {point[0], row, row.like(double(i))}).to(type);
      if (i < rank) { // the coordinate of the last dimension comes first
        Scalar n = Scalar::index(im, sizes[rank - 1 - i]).to(type), p = point[rank - i].to(type);
        Scalar place = align ? p * 2 / (n - 1) - 1 : (p * 2 + 1) / n - 1;
        factor = factor * place;
      }
      sum = i ? sum + factor : factor;
    }
    return sum.to(theta.element());
  });
  return node.done(im.make(node.in(0)->type, y));
}

//===----------------------------------------------------------------------===//
// Regions of interest
//===----------------------------------------------------------------------===//

/// The four elements around a place of a plane and their weights.
static void corners(Importer &im, const Tensor &x, Scalar n, Scalar c, Scalar place[2], Scalar sizes[2],
                    llvm::function_ref<void(Scalar value, Scalar weight)> visit) {
  Scalar low[2], high[2], part[2];
  for (int i : {0, 1}) {
    Scalar last = sizes[i] - 1;
    low[i] = place[i].call<math::FloorOp>().toIndex().clamp(last.like(0), last);
    high[i] = (low[i] + 1).min(last);
    part[i] = (low[i] >= last).select(place[i].like(0), place[i] - low[i].to(place[i].type()));
  }
  for (int corner = 0; corner < 4; ++corner) {
    bool down = corner & 2, right = corner & 1;
    Scalar value = at(im, x, {n, c, down ? high[0] : low[0], right ? high[1] : low[1]}).to(place[0].type());
    Scalar one = place[0].like(1);
    visit(value, (down ? part[0] : one - part[0]) * (right ? part[1] : one - part[1]));
  }
}

static LogicalResult roiAlign(Node &node) {
  Importer &im = node.im;
  if (!node.arity(3, 3) || !node.needFloat(0) || !node.sameType({0, 1}) || !node.needInteger(2))
    return failure();
  Tensor x = im.tensor(node.in(0)), rois = im.tensor(node.in(1)), batch = im.tensor(node.in(2));
  if (x.rank() != 4 || rois.rank() != 2 || batch.rank() != 1 || !im.symbols.assumeEqual(rois.shape[1], 4) ||
      !im.symbols.assumeEqual(rois.shape[0], batch.shape[0]))
    return node.fail("expected an image [batch, channels, height, width], regions [count, 4] and [count] batch indices, "
                     "found " + describe(im, node.in(0)) + ", " + describe(im, node.in(1)) + " and " +
                     describe(im, node.in(2)));
  std::string how = node.getString("mode", "avg");
  std::string coordinates =
      node.getString("coordinate_transformation_mode", node.opset < 16 ? "output_half_pixel" : "half_pixel");
  if ((how != "avg" && how != "max") || (coordinates != "half_pixel" && coordinates != "output_half_pixel"))
    return node.fail("mode '" + how + "' or coordinate_transformation_mode '" + coordinates + "' is unknown");
  bool half = coordinates == "half_pixel", average = how == "avg";
  int64_t output[2] = {node.getSmallInt("output_height", 1), node.getSmallInt("output_width", 1)};
  int64_t samples = node.getSmallInt("sampling_ratio", 0);
  double scale = node.getFloat("spatial_scale", 1);
  if (output[0] < 1 || output[1] < 1 || samples < 0)
    return node.fail("output_height, output_width and sampling_ratio must not be negative");
  Type type = placeType(im, x);
  Tensor y = compute(im, x.element(), {rois.shape[0], x.shape[1], output[0], output[1]}, [&](Point point) {
    Scalar n = at(im, batch, point[0]).toIndex(), number[2], start[2], bin[2], sizes[2];
    Scalar batches = Scalar::index(im, x.shape[0]);
    Scalar known = (n >= 0) & (n < batches);
    n = n.clamp(batches.like(0), batches - 1);
    for (int i : {0, 1}) {
      sizes[i] = Scalar::index(im, x.shape[i + 2]);
      auto edge = [&](int k) { return at(im, rois, {point[0], point[0].like(k)}).to(type) * scale - (half ? 0.5 : 0); };
      start[i] = edge(1 - i);
      Scalar extent = edge(3 - i) - start[i];
      if (!half)
        extent = extent.max(extent.like(1));
      bin[i] = extent / double(output[i]);
      number[i] = samples ? sizes[i].like(double(samples)) : bin[i].call<math::CeilOp>().toIndex();
    }
    Scalar none = Scalar::number(im, type, average ? 0 : -INFINITY);
    Scalar value = repeat(number[0], none, [&](Scalar iy, Point outer) {
                     return repeat(number[1], outer, [&](Scalar ix, Point carried) -> Scalars {
                       Scalar place[2], step[2] = {iy, ix}, inside = known;
                       for (int i : {0, 1}) {
                         Scalar offset = (step[i].to(type) + 0.5) * bin[i] / number[i].to(type);
                         place[i] = start[i] + point[i + 2].to(type) * bin[i] + offset;
                         inside = inside & (place[i] >= -1.0) & (place[i] <= sizes[i].to(type));
                         place[i] = place[i].max(place[i].like(0));
                       }
                       Scalar sample;
                       corners(im, x, n, point[1], place, sizes, [&](Scalar v, Scalar weight) {
                         Scalar part = v * weight;
                         sample = !sample.value ? part : average ? sample + part : sample.max(part);
                       });
                       sample = inside.select(sample, sample.like(0));
                       return {average ? carried[0] + sample : carried[0].max(sample)};
                     });
                   }).front();
    Scalar count = number[0] * number[1];
    if (average)
      value = value / count.max(count.like(1)).to(type);
    else
      value = (count > 0).select(value, value.like(0));
    return value.to(x.element());
  });
  return node.done(im.make(node.in(0)->type, y));
}

static LogicalResult maxRoiPool(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2) || !node.needFloat(0) || !node.sameType({0, 1}))
    return failure();
  Tensor x = im.tensor(node.in(0)), rois = im.tensor(node.in(1));
  std::optional<SmallVector<int64_t>> pooled = node.getInts("pooled_shape");
  if (x.rank() != 4 || rois.rank() != 2 || !im.symbols.assumeEqual(rois.shape[1], 5) || !pooled ||
      pooled->size() != 2 || (*pooled)[0] < 1 || (*pooled)[1] < 1)
    return node.fail("expected an image [batch, channels, height, width], regions [count, 5] and two sizes in "
                     "'pooled_shape', found " + describe(im, node.in(0)) + " and " + describe(im, node.in(1)));
  double scale = node.getFloat("spatial_scale", 1);
  Type type = placeType(im, x);
  Tensor y = compute(im, x.element(), {rois.shape[0], x.shape[1], (*pooled)[0], (*pooled)[1]}, [&](Point point) {
    auto edge = [&](int k) { return at(im, rois, {point[0], point[0].like(k)}).to(type); };
    Scalar batches = Scalar::index(im, x.shape[0]);
    Scalar n = edge(0).toIndex().clamp(batches.like(0), batches - 1), first[2], count[2];
    for (int i : {0, 1}) {
      Scalar size = Scalar::index(im, x.shape[i + 2]);
      Scalar low = (edge(2 - i) * scale).call<math::RoundOp>(), high = (edge(4 - i) * scale).call<math::RoundOp>();
      Scalar bin = (high - low + 1).max(low.like(1)) / double((*pooled)[i]), p = point[i + 2].to(type);
      Scalar begin = (p * bin).call<math::FloorOp>() + low, end = ((p + 1) * bin).call<math::CeilOp>() + low;
      first[i] = begin.toIndex().clamp(size.like(0), size);
      count[i] = end.toIndex().clamp(size.like(0), size) - first[i];
    }
    Scalar lowest = Scalar::number(im, x.element(), -INFINITY);
    Scalar value = repeat(count[0], lowest, [&](Scalar i, Point outer) {
                     return repeat(count[1], outer, [&](Scalar j, Point best) -> Scalars {
                       return {best[0].max(at(im, x, {n, point[1], first[0] + i, first[1] + j}))};
                     });
                   }).front();
    return ((count[0] > 0) & (count[1] > 0)).select(value, value.like(0));
  });
  return node.done(im.make(node.in(0)->type, y));
}

//===----------------------------------------------------------------------===//
// DeformConv
//===----------------------------------------------------------------------===//

/// Inputs: image, filters [count, channels / group, kh, kw], offsets [batch, offset groups * kh * kw * 2, oh, ow], bias,
/// mask [batch, offset groups * kh * kw, oh, ow]. The image is read at moved places, then multiplied.
static LogicalResult deformConv(Node &node) {
  Importer &im = node.im;
  if (!node.arity(3, 5) || !node.needFloat(0) || !node.sameType({0, 1, 2, 3, 4}))
    return failure();
  Tensor x = im.tensor(node.in(0)), filters = im.tensor(node.in(1)), offsets = im.tensor(node.in(2)), mask;
  if (x.rank() != 4 || filters.rank() != 4 || offsets.rank() != 4)
    return node.fail("only images [batch, channels, height, width] are supported, found " + describe(im, node.in(0)));
  std::optional<SmallVector<int64_t>> kernel = kernelOf(node, node.in(1), 2);
  std::optional<Windows> windows =
      kernel ? Windows::read(node, *kernel, ArrayRef<Expr>(x.shape).drop_front(2)) : std::nullopt;
  if (!windows)
    return failure();
  int64_t groups = node.getSmallInt("group", 1), moved = node.getSmallInt("offset_group", 1), elements = windows->elements();
  std::optional<int64_t> channels = im.symbols.normalize(filters.shape[1]).constant();
  std::optional<int64_t> count = im.symbols.normalize(filters.shape[0]).constant();
  if (!channels || !count || groups < 1 || moved < 1 || *count % groups || *channels * groups % moved ||
      !im.symbols.assumeEqual(x.shape[1], *channels * groups) ||
      !im.symbols.assumeEqual(offsets.shape[1], moved * elements * 2))
    return node.fail("image " + describe(im, node.in(0)) + ", filters " + describe(im, node.in(1)) + " and offsets " +
                     describe(im, node.in(2)) + " do not fit");
  if (node.in(4)) {
    mask = im.tensor(node.in(4));
    if (mask.rank() != 4 || !im.symbols.assumeEqual(mask.shape[1], moved * elements))
      return node.fail("mask " + describe(im, node.in(4)) + " does not fit");
  }
  Type type = placeType(im, x);
  Expr height = windows->output[0], width = windows->output[1];
  int64_t perOffset = *channels * groups / moved;
  // [batch, height, width, channels, kernel]
  Tensor rows = compute(im, x.element(), {x.shape[0], height, width, *channels * groups, elements}, [&](Point point) {
    Scalar n = point[0], c = point[3], k = point[4], place[2], sizes[2];
    Scalar plane = c / double(perOffset) * double(elements) + k;
    Scalar step[2] = {k / double((*kernel)[1]), k % double((*kernel)[1])};
    Scalar inside = Scalar::number(im, im.builder.getI1Type(), 1);
    for (int i : {0, 1}) {
      sizes[i] = Scalar::index(im, x.shape[i + 2]);
      Scalar offset = at(im, offsets, {n, plane * 2 + double(i), point[1], point[2]}).to(type);
      Scalar whole = point[i + 1] * double(windows->strides[i]) + step[i] * double(windows->dilations[i]) -
                     Scalar::index(im, windows->before[i]);
      place[i] = whole.to(type) + offset;
      inside = inside & (place[i] > -1.0) & (place[i] < sizes[i].to(type));
    }
    // Around the place, zeros outside.
    Scalar value = Scalar::number(im, type, 0);
    for (int corner = 0; corner < 4; ++corner) {
      Scalar w = inside.select(value.like(1), value.like(0)), here = inside;
      Scalars where{n, c};
      for (int i : {0, 1}) {
        Scalar floor = place[i].call<math::FloorOp>(), part = place[i] - floor;
        bool up = corner & (1 << i);
        Scalar index = floor.toIndex() + (up ? 1 : 0);
        w = w * (up ? part : part.like(1) - part);
        here = here & (index >= 0) & (index < sizes[i]);
        where.push_back(index);
      }
      value = value + w * atOr(im, x, where, here, Scalar::number(im, x.element(), 0)).to(type);
    }
    if (mask.value)
      value = value * at(im, mask, {n, plane, point[1], point[2]}).to(type);
    return value.to(x.element());
  });
  Shape positions{x.shape[0], im.symbols.mul(height, width)};
  SmallVector<Tensor> parts;
  for (int64_t g = 0; g < groups; ++g) {
    Tensor mine = im.reshape(im.sliceDim(rows, 3, g * *channels, *channels),
                             {positions[0], positions[1], *channels * elements});
    Tensor weights = im.reshape(im.sliceDim(filters, 0, g * (*count / groups), *count / groups),
                                {*count / groups, *channels * elements});
    parts.push_back(im.matmul(mine, im.transpose(weights, {1, 0})));
  }
  Tensor y = im.concat(parts, 2);
  if (node.in(3))
    y = im.add(y, im.broadcast(im.tensor(node.in(3)), y.shape));
  Tensor result = im.reshape(im.transpose(y, {0, 2, 1}), {x.shape[0], *count, height, width});
  return node.done(im.make(node.in(0)->type, result));
}

void pith::onnx::addSampleOps(OpTable &table) {
  table.add("GridSample", gridSample);
  table.add("AffineGrid", affineGrid);
  table.add("RoiAlign", roiAlign);
  table.add("MaxRoiPool", maxRoiPool);
  table.add("DeformConv", deformConv);
}
