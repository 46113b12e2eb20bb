//===- Resize.cpp - images in other sizes -----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Interpolation is one dimension after the other. An element of the result is a sum over the elements around its place in
// the source, weighed by a function of the distance: a triangle (linear) or a cubic, which antialiasing stretches.
//
//===----------------------------------------------------------------------===//

#include "Axes.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <cmath>

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

namespace {
/// How one dimension is resized. Coordinates are f64.
struct Stretch {
  int64_t axis = 0;
  Expr size;           ///< of the result
  Scalar scale;        ///< result over source
  bool identity = false;
  Scalar start, end;   ///< of the region, for tf_crop_and_resize
};

class Resizer {
public:
  explicit Resizer(Node &node) : node(node), im(node.im), f64(im.builder.getF64Type()) {}
  LogicalResult run();

private:
  bool readAttributes();
  bool readSizes();
  Scalar number(double value) { return Scalar::number(im, f64, value); }
  Scalar origin(const Stretch &stretch, Scalar position, const Expr &length);
  Scalar weight(Scalar distance);
  Scalar nearest(Scalar place);
  Tensor apply(const Tensor &x, const Stretch &stretch);

  Node &node;
  Importer &im;
  Type f64;
  std::string mode, coordinates, rounding;
  bool antialias = false, excludeOutside = false;
  double cubic = -0.75, extrapolation = 0;
  SmallVector<Stretch> stretches;
};
} // namespace

bool Resizer::readAttributes() {
  mode = node.getString("mode", "nearest");
  bool old = node.op() == "Upsample" || node.opset < 11;
  coordinates = old ? "asymmetric" : node.getString("coordinate_transformation_mode", "half_pixel");
  rounding = old ? "floor" : node.getString("nearest_mode", "round_prefer_floor");
  antialias = node.getInt("antialias", 0);
  excludeOutside = node.getInt("exclude_outside", 0);
  cubic = node.getFloat("cubic_coeff_a", -0.75f);
  extrapolation = node.getFloat("extrapolation_value", 0);
  if (mode == "bilinear" || mode == "trilinear")
    mode = "linear";
  auto oneOf = [&](StringRef name, StringRef value, ArrayRef<StringRef> known) {
    if (llvm::is_contained(known, value))
      return true;
    node.error() << "attribute '" << name << "' is '" << value << "', which is unknown";
    return false;
  };
  return oneOf("mode", mode, {"nearest", "linear", "cubic"}) &&
         oneOf("nearest_mode", rounding, {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}) &&
         oneOf("coordinate_transformation_mode", coordinates,
               {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
                "tf_half_pixel_for_nn", "tf_crop_and_resize"});
}

/// Sizes and scales of all dimensions, known or computed.
bool Resizer::readSizes() {
  int64_t rank = node.in(0)->rank();
  const Shape &source = node.in(0)->shape;
  bool withRoi = node.op() == "Resize" && node.opset >= 11;
  auto given = [&](size_t i) { return node.in(i) && !im.count(node.in(i)->shape).isConstant(0) ? node.in(i) : nullptr; };
  Val *roi = withRoi ? given(1) : nullptr, *scales = given(withRoi ? 2 : 1), *sizes = withRoi ? given(3) : nullptr;
  SmallVector<int64_t> axes;
  if (std::optional<SmallVector<int64_t>> list = node.getInts("axes")) {
    for (int64_t value : *list) {
      std::optional<int64_t> axis = node.axis(value, rank);
      if (!axis)
        return false;
      axes.push_back(*axis);
    }
  } else {
    for (int64_t i = 0; i < rank; ++i)
      axes.push_back(i);
  }
  size_t number = axes.size();
  auto isList = [&](Val *val, size_t length, bool floats) {
    if (!val || (val->rank() == 1 && im.count(val->shape).isConstant(length) && (floats ? isFloat(val->type) : isInteger(val->type))))
      return true;
    node.error() << "expected " << length << (floats ? " floats" : " integers") << ", found " << describe(im, val);
    return false;
  };
  std::optional<SmallVector<float>> attribute;
  if (const proto::AttributeProto *list = node.op() == "Upsample" ? node.attribute("scales") : nullptr)
    attribute = SmallVector<float>(list->floats().begin(), list->floats().end());
  if (!isList(roi, 2 * number, true) || !isList(scales, number, true) || !isList(sizes, number, false))
    return false;
  if (!scales && !sizes && (!attribute || attribute->size() != number)) {
    node.error() << "has neither scales nor sizes";
    return false;
  }
  if (coordinates == "tf_crop_and_resize" && !roi) {
    node.error() << "tf_crop_and_resize needs a region, input 1";
    return false;
  }
  auto length = [&](size_t n) { return Scalar::index(im, source[axes[n]]).to(f64); };
  const Shape *wanted = sizes && !scales ? im.elements(sizes) : nullptr;
  if (sizes && !scales && !wanted) {
    node.error() << "has more than 64 sizes";
    return false;
  }
  DenseElementsAttr known;
  if (scales) {
    if (scales->init)
      known = im.elementsOf(*scales->init);
    else if (auto constant = scales->value ? scales->value.getDefiningOp<arith::ConstantOp>() : nullptr)
      known = dyn_cast<DenseElementsAttr>(constant.getValue());
  }
  Tensor scaleTensor = scales && !known ? im.tensor(scales) : Tensor(), roiTensor = roi ? im.tensor(roi) : Tensor();
  std::string policy = node.getString("keep_aspect_ratio_policy", "stretch");
  Scalar common;
  if (wanted && policy != "stretch") {
    for (size_t n = 0; n < number; ++n) {
      Scalar ratio = Scalar::index(im, (*wanted)[n]).to(f64) / length(n);
      common = !n ? ratio : policy == "not_larger" ? common.min(ratio) : common.max(ratio);
    }
  }
  for (size_t n = 0; n < number; ++n) {
    Stretch s;
    s.axis = axes[n];
    Expr from = im.symbols.normalize(source[s.axis]);
    std::optional<double> constant;
    if (known) {
      APFloat value = known.getValues<APFloat>()[n];
      bool lost;
      value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
      constant = value.convertToDouble();
    } else if (!scales && attribute) {
      constant = (*attribute)[n];
    }
    if (constant && !(*constant > 0 && *constant < 1e6)) {
      node.error() << "scale " << n << " is " << *constant << ", expected a positive number";
      return false;
    }
    if (common.value) {
      s.scale = common;
      s.size = sizeOf((common * length(n) + 0.5).call<math::FloorOp>());
    } else if (wanted) {
      s.size = im.symbols.normalize((*wanted)[n]);
      s.scale = Scalar::index(im, s.size).to(f64) / length(n);
      s.identity = s.size == from;
    } else {
      s.scale = constant ? this->number(*constant) : element(im, scaleTensor, n).to(f64);
      s.identity = constant == 1.0;
      if (s.identity)
        s.size = from;
      else if (constant && from.constant())
        s.size = toInteger(std::floor(double(*from.constant()) * *constant));
      else
        s.size = sizeOf((length(n) * s.scale).call<math::FloorOp>());
    }
    if (coordinates == "tf_crop_and_resize") {
      s.identity = false;
      s.start = element(im, roiTensor, n).to(f64);
      s.end = element(im, roiTensor, number + n).to(f64);
    }
    stretches.push_back(s);
  }
  return true;
}

/// Where in the source the element at `position` comes from.
Scalar Resizer::origin(const Stretch &stretch, Scalar position, const Expr &length) {
  Scalar x = position.to(f64), scale = stretch.scale;
  Scalar from = Scalar::index(im, length).to(f64), to = from * scale, last = from - 1;
  if (coordinates == "asymmetric")
    return x / scale;
  if (coordinates == "tf_half_pixel_for_nn")
    return (x + 0.5) / scale;
  if (coordinates == "align_corners")
    return (to == 1).select(number(0), x * last / (to - 1));
  if (coordinates == "tf_crop_and_resize") {
    Scalar extent = (stretch.end - stretch.start) * last;
    return (to == 1).select(extent / 2, x * extent / (to - 1)) + stretch.start * last;
  }
  Scalar half = (x + 0.5) / scale - 0.5;
  if (coordinates == "pytorch_half_pixel")
    return (to == 1).select(number(-0.5), half);
  if (coordinates == "half_pixel_symmetric") {
    Scalar adjustment = Scalar::index(im, stretch.size).to(f64) / to;
    return half + from / 2 * (number(1) - adjustment);
  }
  return half;
}

Scalar Resizer::weight(Scalar distance) {
  Scalar d = distance.call<math::AbsFOp>();
  if (mode == "linear")
    return (number(1) - d).max(number(0));
  double a = cubic;
  Scalar inner = ((d * (a + 2) - (a + 3)) * d) * d + 1;
  Scalar outer = ((d * a - 5 * a) * d + 8 * a) * d - 4 * a;
  return (d <= 1).select(inner, (d < 2).select(outer, number(0)));
}

Scalar Resizer::nearest(Scalar place) {
  if (rounding == "round_prefer_floor")
    return (place - 0.5).call<math::CeilOp>();
  if (rounding == "round_prefer_ceil")
    return (place + 0.5).call<math::FloorOp>();
  return rounding == "floor" ? place.call<math::FloorOp>() : place.call<math::CeilOp>();
}

Tensor Resizer::apply(const Tensor &x, const Stretch &stretch) {
  int64_t axis = stretch.axis;
  Expr length = x.shape[axis];
  Shape shape = x.shape;
  shape[axis] = stretch.size;
  Type element = x.element(), sum = element.isF64() ? element : im.builder.getF32Type();
  Scalar size = Scalar::index(im, length), last = Scalar::index(im, im.symbols.sub(length, 1)),
         zero = Scalar::index(im, 0);
  return compute(im, element, shape, [&](Point point) {
    Scalar place = origin(stretch, point[axis], length);
    auto read = [&](Scalar position) {
      Scalars source(point);
      source[axis] = position.clamp(zero, last);
      return at(im, x, source);
    };
    Scalar y;
    if (mode == "nearest") {
      y = read(nearest(place).toIndex());
    } else {
      Scalar first = place.call<math::FloorOp>();
      Scalar shrink = antialias ? stretch.scale.min(number(1)) : number(1);
      double support = mode == "linear" ? 1 : 2;
      Scalar begin = (number(-support) / shrink).call<math::FloorOp>().toIndex() + 1;
      Scalar count = (begin * -2) + 2;
      Scalar nothing = Scalar::number(im, sum, 0);
      Scalars sums = repeat(count, {nothing, nothing}, [&](Scalar i, Point carried) -> Scalars {
        Scalar position = first.toIndex() + begin + i;
        Scalar w = weight((position.to(f64) - place) * shrink).to(sum);
        if (excludeOutside)
          w = ((position >= zero) & (position < size)).select(w, nothing);
        return {carried[0] + w * read(position).to(sum), carried[1] + w};
      });
      y = antialias || excludeOutside ? sums[0] / sums[1] : sums[0];
    }
    if (coordinates == "tf_crop_and_resize") {
      Scalar outside = (place < 0) | (place > last.to(f64));
      y = outside.select(y.like(extrapolation), y);
    }
    return y.to(element);
  });
}

LogicalResult Resizer::run() {
  if (!node.arity(1, 4) || !readAttributes())
    return failure();
  int32_t type = node.in(0)->type;
  if (!isFloat(type) && !isInteger(type))
    return node.fail("input 0 must have numbers as elements, found " + describe(im, node.in(0)));
  if (!readSizes())
    return failure();
  Tensor x = im.tensor(node.in(0));
  // Integers are interpolated as floats and rounded at the end.
  bool widen = !isFloat(type) && mode != "nearest";
  if (widen)
    x = im.cast(x, type, Float);
  for (const Stretch &stretch : stretches)
    if (!stretch.identity)
      x = apply(x, stretch);
  if (widen) {
    bool isSigned = !isUnsigned(type);
    unsigned bits = elementType(im.context, type).getIntOrFloatBitWidth();
    double low = isSigned ? -std::ldexp(1.0, bits - 1) : 0, high = std::ldexp(1.0, isSigned ? bits - 1 : bits) - 1;
    x = im.unary<math::RoundEvenOp>(x);
    x = im.binary<arith::MaximumFOp>(x, im.splat(x.element(), low, x.shape));
    x = im.cast(im.binary<arith::MinimumFOp>(x, im.splat(x.element(), high, x.shape)), Float, type);
  }
  return node.done(im.make(type, x));
}

static LogicalResult resize(Node &node) { return Resizer(node).run(); }

void pith::onnx::addResizeOps(OpTable &table) {
  table.add("Resize", resize);
  table.add("Upsample", resize);
}
