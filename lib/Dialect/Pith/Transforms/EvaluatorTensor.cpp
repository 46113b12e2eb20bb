//===- EvaluatorTensor.cpp - constants, moves, sums and indexing -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Most of these only move elements: each is a function from a position in the result to one in an operand.
//
//===----------------------------------------------------------------------===//

#include "Evaluator.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>
#include <cstring>
#include <limits>

using namespace mlir;
using namespace pith;

using Reader = Evaluator::Reader;
using Node = Evaluator::Node;
using Shape = Evaluator::Shape;

//===----------------------------------------------------------------------===//
// Positions and coordinates
//===----------------------------------------------------------------------===//

static Shape coordinates(const Shape &shape, int64_t position) {
  Shape at(shape.size());
  for (int64_t i = int64_t(shape.size()) - 1; i >= 0; --i) {
    at[i] = position % shape[i];
    position /= shape[i];
  }
  return at;
}

static int64_t position(const Shape &shape, ArrayRef<int64_t> at) {
  int64_t found = 0;
  for (size_t i = 0; i < shape.size(); ++i)
    found = found * shape[i] + at[i];
  return found;
}

static bool inside(const Shape &shape, ArrayRef<int64_t> at) {
  for (size_t i = 0; i < shape.size(); ++i)
    if (at[i] < 0 || at[i] >= shape[i])
      return false;
  return true;
}

static Element zero(bool isFloat) {
  Element element;
  if (isFloat)
    element.real = 0;
  else
    element.integer = 0;
  return element;
}

static bool hasFloats(Value value) { return isa<FloatType>(getElementTypeOrSelf(value.getType())); }

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

static Element toElement(Attribute attribute) {
  Element element;
  if (auto real = dyn_cast<FloatAttr>(attribute))
    element.real = real.getValueAsDouble();
  else
    element.integer = cast<IntegerAttr>(attribute).getType().isInteger(1)
                          ? cast<IntegerAttr>(attribute).getValue().getZExtValue()
                          : cast<IntegerAttr>(attribute).getValue().getSExtValue();
  return element;
}

static Reader readElements(Attribute value) {
  if (isa<FloatAttr, IntegerAttr>(value)) {
    Element element = toElement(value);
    return [element](int64_t) { return element; };
  }
  auto elements = dyn_cast<DenseElementsAttr>(value);
  if (!elements || !elements.getElementType().isIntOrIndexOrFloat())
    return {};
  if (elements.isSplat()) {
    Element element = toElement(elements.getSplatValue<Attribute>());
    return [element](int64_t) { return element; };
  }
  // One by one: of a large table, a few elements may be all that is asked for.
  Type type = elements.getElementType();
  if (isa<FloatType>(type))
    return [elements](int64_t i) {
      Element element;
      APFloat value = *(elements.value_begin<APFloat>() + i);
      bool lossy;
      value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lossy);
      element.real = value.convertToDouble();
      return element;
    };
  return [elements, isBool = type.isInteger(1)](int64_t i) {
    Element element;
    APInt value = *(elements.value_begin<APInt>() + i);
    element.integer = isBool ? value.getZExtValue() : value.getSExtValue();
    return element;
  };
}

static Reader readWeight(Operation *op, FlatSymbolRefAttr symbol) {
  constexpr int64_t kMaxElements = 1 << 24;
  auto weight = SymbolTable::lookupNearestSymbolFrom<WeightOp>(op, symbol);
  if (!weight || weight.getTensorType().getNumElements() > kMaxElements)
    return {};
  Value result = op->getResult(0);
  if (!hasFloats(result)) {
    // A table in the file is read where it is mapped.
    unsigned bits = getElementTypeOrSelf(result.getType()).getIntOrFloatBitWidth(),
             bytes = std::max(bits / 8, 1u);
    bool wholeBytes = bits == 1 || bits % 8 == 0;
    if (isa<FileAttr>(weight.getData()) && !weight.getTensorType().getEncoding() && wholeBytes &&
        bytes <= 8) {
      FailureOr<ArrayRef<char>> data = weight.getBytes(weight.getData());
      if (failed(data) || int64_t(data->size()) < weight.getTensorType().getNumElements() * int64_t(bytes))
        return {};
      return [data = *data, bits, bytes](int64_t i) {
        Element element;
        uint64_t stored = 0;
        std::memcpy(&stored, data.data() + i * bytes, bytes);
        element.integer = bits == 1 ? stored != 0 : llvm::SignExtend64(stored, bits);
        return element;
      };
    }
    DenseElementsAttr elements = weight.getElements(8 * kMaxElements);
    return elements ? readElements(elements) : Reader();
  }
  auto data = std::make_shared<SmallVector<float>>();
  if (failed(weight.decode(*data)))
    return {};
  return [data](int64_t i) {
    Element element;
    element.real = (*data)[i];
    return element;
  };
}

//===----------------------------------------------------------------------===//
// Moves
//===----------------------------------------------------------------------===//

static Reader readBroadcast(Node *source, const Shape &result) {
  return [=](int64_t i) {
    Shape at = coordinates(result, i);
    const Shape &from = *source->shape;
    Shape picked(at.end() - from.size(), at.end());
    for (size_t d = 0; d < from.size(); ++d)
      if (from[d] == 1)
        picked[d] = 0;
    return source->read(position(from, picked));
  };
}

static Reader readTranspose(TransposeOp op, Node *source, const Shape &result) {
  SmallVector<int64_t> permutation(op.getPermutation());
  return [=](int64_t i) {
    Shape at = coordinates(result, i), picked(at.size());
    for (size_t d = 0; d < at.size(); ++d)
      picked[permutation[d]] = at[d];
    return source->read(position(*source->shape, picked));
  };
}

/// The offsets (or strides) of a slice, its dynamic ones read from the operands.
static SmallVector<int64_t> resolve(ArrayRef<OpFoldResult> values, Operation *op, ArrayRef<Node *> operands) {
  SmallVector<int64_t> resolved;
  for (OpFoldResult value : values) {
    std::optional<int64_t> constant = getConstantIntValue(value);
    if (!constant)
      for (auto [operand, node] : llvm::zip(op->getOperands(), operands))
        if (operand == cast<Value>(value))
          constant = node->read(0).integer;
    resolved.push_back(*constant);
  }
  return resolved;
}

static Reader readSlice(tensor::ExtractSliceOp op, ArrayRef<Node *> operands) {
  Node *source = operands[0];
  SmallVector<int64_t> offsets = resolve(op.getMixedOffsets(), op, operands);
  SmallVector<int64_t> sizes = resolve(op.getMixedSizes(), op, operands);
  SmallVector<int64_t> strides = resolve(op.getMixedStrides(), op, operands);
  bool isFloat = hasFloats(op.getResult());
  // Dropped unit dimensions do not change the order of elements.
  return [=](int64_t i) {
    Shape at = coordinates(sizes, i);
    for (size_t d = 0; d < at.size(); ++d)
      at[d] = offsets[d] + at[d] * strides[d];
    return inside(*source->shape, at) ? source->read(position(*source->shape, at)) : zero(isFloat);
  };
}

static Reader readInsertSlice(tensor::InsertSliceOp op, ArrayRef<Node *> operands, const Shape &result) {
  Node *source = operands[0], *dest = operands[1];
  SmallVector<int64_t> offsets = resolve(op.getMixedOffsets(), op, operands);
  SmallVector<int64_t> sizes = resolve(op.getMixedSizes(), op, operands);
  SmallVector<int64_t> strides = resolve(op.getMixedStrides(), op, operands);
  return [=](int64_t i) {
    Shape at = coordinates(result, i);
    for (size_t d = 0; d < at.size(); ++d) {
      int64_t offset = at[d] - offsets[d];
      if (strides[d] == 0 || offset % strides[d] != 0)
        return dest->read(i);
      at[d] = offset / strides[d];
    }
    return inside(sizes, at) ? source->read(position(sizes, at)) : dest->read(i);
  };
}

static Reader readConcat(tensor::ConcatOp op, ArrayRef<Node *> operands, const Shape &result) {
  int64_t dim = op.getDim();
  SmallVector<Node *> inputs(operands);
  return [=](int64_t i) {
    Shape at = coordinates(result, i);
    for (Node *input : inputs) {
      if (at[dim] < (*input->shape)[dim])
        return input->read(position(*input->shape, at));
      at[dim] -= (*input->shape)[dim];
    }
    return Element{};
  };
}

//===----------------------------------------------------------------------===//
// Sums
//===----------------------------------------------------------------------===//

static Reader readMatmul(MatmulOp op, Node *lhs, Node *rhs, const Shape &result) {
  bool isFloat = hasFloats(op.getResult());
  Type type = getElementTypeOrSelf(op.getType());
  return [=](int64_t i) {
    const Shape &left = *lhs->shape, &right = *rhs->shape;
    Shape at = coordinates(result, i), a = at, b(at.end() - right.size(), at.end());
    Element sum = zero(isFloat);
    for (int64_t k = 0; k < left.back(); ++k) {
      a.back() = k;
      b[b.size() - 2] = k;
      Element x = lhs->read(position(left, a)), y = rhs->read(position(right, b));
      if (isFloat)
        sum.real += x.real * y.real;
      else
        sum.integer = wrapToType(type, uint64_t(sum.integer) + uint64_t(x.integer) * uint64_t(y.integer));
    }
    if (isFloat)
      sum.real = roundToType(type, sum.real);
    return sum;
  };
}

static Reader readReduce(ReduceOp op, Node *source, const Shape &result) {
  bool isFloat = hasFloats(op.getResult());
  Type type = getElementTypeOrSelf(op.getType());
  ReduceKind kind = op.getKind();
  SmallVector<int64_t> axes(op.getAxes());
  return [=](int64_t i) {
    const Shape &from = *source->shape;
    Shape first = coordinates(result, i), extent(from.size(), 1);
    for (int64_t axis : axes)
      extent[axis] = from[axis];
    int64_t count = 1;
    for (int64_t size : extent)
      count *= size;
    bool sums = kind == ReduceKind::Sum || kind == ReduceKind::Mean;
    double real = sums                       ? 0.0
                  : kind == ReduceKind::Prod ? 1.0
                  : kind == ReduceKind::Max  ? -INFINITY
                                             : INFINITY;
    int64_t integer = sums                       ? 0
                      : kind == ReduceKind::Prod ? 1
                      : kind == ReduceKind::Max  ? std::numeric_limits<int64_t>::min()
                                                 : std::numeric_limits<int64_t>::max();
    for (int64_t n = 0; n < count; ++n) {
      Shape at = coordinates(extent, n);
      for (size_t d = 0; d < at.size(); ++d)
        at[d] += first[d];
      Element x = source->read(position(from, at));
      if (sums)
        real += isFloat ? x.real : 0, integer += isFloat ? 0 : x.integer;
      else if (kind == ReduceKind::Prod)
        real *= isFloat ? x.real : 1, integer *= isFloat ? 1 : x.integer;
      else if (isFloat)
        real = kind == ReduceKind::Max ? std::max(real, x.real) : std::min(real, x.real);
      else
        integer = kind == ReduceKind::Max ? std::max(integer, x.integer) : std::min(integer, x.integer);
    }
    Element out;
    if (isFloat)
      out.real = roundToType(type, kind == ReduceKind::Mean ? real / double(count) : real);
    else
      out.integer = wrapToType(type, kind == ReduceKind::Mean && count ? integer / count : integer);
    return out;
  };
}

static Reader readCumSum(CumSumOp op, Node *source, const Shape &result) {
  bool isFloat = hasFloats(op.getResult()), exclusive = op.getExclusive(), reverse = op.getReverse();
  Type type = getElementTypeOrSelf(op.getType());
  int64_t axis = op.getAxis();
  return [=](int64_t i) {
    Shape at = coordinates(result, i);
    int64_t here = at[axis], last = result[axis] - 1;
    int64_t from = reverse ? here + exclusive : 0, to = reverse ? last : here - exclusive;
    Element sum = zero(isFloat);
    for (int64_t n = from; n <= to; ++n) {
      at[axis] = n;
      Element x = source->read(position(result, at));
      if (isFloat)
        sum.real += x.real;
      else
        sum.integer += x.integer;
    }
    if (isFloat)
      sum.real = roundToType(type, sum.real);
    else
      sum.integer = wrapToType(type, sum.integer);
    return sum;
  };
}

//===----------------------------------------------------------------------===//
// Indexing
//===----------------------------------------------------------------------===//

static Reader readGather(GatherOp op, Node *source, Node *indices, const Shape &result) {
  int64_t axis = op.getAxis();
  bool isFloat = hasFloats(op.getResult());
  return [=](int64_t i) {
    const Shape &from = *source->shape, &shape = *indices->shape;
    Shape at = coordinates(result, i);
    int64_t index = indices->read(position(shape, ArrayRef<int64_t>(at).slice(axis, shape.size()))).integer;
    if (index < 0)
      index += from[axis];
    Shape picked(at.begin(), at.begin() + axis);
    picked.push_back(index);
    picked.append(at.begin() + axis + shape.size(), at.end());
    return inside(from, picked) ? source->read(position(from, picked)) : zero(isFloat);
  };
}

static Reader readEmbedding(EmbeddingOp op, Node *ids) {
  Reader table = readWeight(op, op.getWeightAttr());
  auto weight = SymbolTable::lookupNearestSymbolFrom<WeightOp>(op, op.getWeightAttr());
  if (!table || weight.getTensorType().getRank() != 2)
    return {};
  bool kMajor = op.getKMajor();
  int64_t rows = weight.getTensorType().getDimSize(kMajor ? 1 : 0),
          channels = weight.getTensorType().getDimSize(kMajor ? 0 : 1);
  double scale = op.getScale().convertToDouble();
  Type type = getElementTypeOrSelf(op.getType());
  return [=](int64_t i) {
    int64_t row = ids->read(i / channels).integer, channel = i % channels;
    row += row < 0 ? rows : 0;
    if (row < 0 || row >= rows)
      return zero(true);
    Element element;
    element.real =
        roundToType(type, table(kMajor ? channel * rows + row : row * channels + channel).real * scale);
    return element;
  };
}

/// Reads the index tuple at `at` (without its last coordinate) into coordinates of `from` behind `batch`.
static void appendTuple(Node *indices, Shape at, const Shape &from, int64_t batch, Shape &picked) {
  int64_t length = indices->shape->back();
  at.push_back(0);
  for (int64_t n = 0; n < length; ++n) {
    at.back() = n;
    int64_t index = indices->read(position(*indices->shape, at)).integer;
    picked.push_back(index < 0 ? index + from[batch + n] : index);
  }
}

static Reader readGatherND(GatherNDOp op, Node *source, Node *indices, const Shape &result) {
  int64_t batch = op.getBatchDims();
  bool isFloat = hasFloats(op.getResult());
  return [=](int64_t i) {
    const Shape &from = *source->shape;
    Shape at = coordinates(result, i);
    size_t tuples = indices->shape->size() - 1;
    Shape picked(at.begin(), at.begin() + batch);
    appendTuple(indices, Shape(at.begin(), at.begin() + tuples), from, batch, picked);
    picked.append(at.begin() + tuples, at.end());
    return inside(from, picked) ? source->read(position(from, picked)) : zero(isFloat);
  };
}

/// All updates happen when the reader is made: one element alone could not know which tuples hit it.
static Reader readScatterND(Node *source, Node *indices, Node *updates, const Shape &result) {
  auto data = std::make_shared<std::vector<Element>>();
  for (int64_t i = 0, e = source->count(); i < e; ++i)
    data->push_back(source->read(i));
  size_t tuples = indices->shape->size() - 1;
  for (int64_t i = 0, e = updates->count(); i < e; ++i) {
    Shape at = coordinates(*updates->shape, i), picked;
    appendTuple(indices, Shape(at.begin(), at.begin() + tuples), result, 0, picked);
    picked.append(at.begin() + tuples, at.end());
    if (inside(result, picked))
      (*data)[position(result, picked)] = updates->read(i);
  }
  return [data](int64_t i) { return (*data)[i]; };
}

static Reader readCacheUpdate(CacheUpdateOp op, ArrayRef<Node *> operands, const Shape &result) {
  Node *past = operands[0], *update = operands[1], *start = operands[2];
  bool isFloat = hasFloats(op.getResult());
  return [=](int64_t i) {
    Shape at = coordinates(result, i), row = at;
    row[2] -= start->read(start->count() == 1 ? 0 : at[0]).integer;
    if (inside(*update->shape, row))
      return update->read(position(*update->shape, row));
    return inside(*past->shape, at) ? past->read(position(*past->shape, at)) : zero(isFloat);
  };
}

//===----------------------------------------------------------------------===//
// Dispatch
//===----------------------------------------------------------------------===//

Reader pith::readTensorOp(Operation *op, ArrayRef<Node *> operands, const Shape &result) {
  auto same = [&](Node *source) -> Reader { return [source](int64_t i) { return source->read(i); }; };
  auto always = [](int64_t value) -> Reader {
    Element element;
    element.integer = value;
    return [element](int64_t) { return element; };
  };
  return llvm::TypeSwitch<Operation *, Reader>(op)
      .Case<arith::ConstantOp>([&](arith::ConstantOp constant) { return readElements(constant.getValue()); })
      .Case<LoadOp>([&](LoadOp load) { return readWeight(load, load.getWeightAttr()); })
      .Case<EmbeddingOp>([&](EmbeddingOp embedding) { return readEmbedding(embedding, operands[0]); })
      .Case<tensor::DimOp>([&](tensor::DimOp) -> Reader {
        int64_t index = operands[1]->read(0).integer;
        const Shape &shape = *operands[0]->shape;
        return index >= 0 && index < int64_t(shape.size()) ? always(shape[index]) : Reader();
      })
      .Case<tensor::RankOp>([&](tensor::RankOp) { return always(operands[0]->shape->size()); })
      .Case<ReshapeOp, tensor::CastOp>([&](auto) -> Reader {
        // Elements of a view whose sizes contradict do not exist.
        int64_t count = 1;
        for (int64_t size : result)
          count *= size;
        return operands[0]->count() == count ? same(operands[0]) : Reader();
      })
      .Case<tensor::SplatOp>([&](auto) -> Reader {
        Node *source = operands[0];
        return [source](int64_t) { return source->read(0); };
      })
      .Case<tensor::FromElementsOp>([&](auto) -> Reader {
        SmallVector<Node *> inputs(operands);
        return [inputs](int64_t i) { return inputs[i]->read(0); };
      })
      .Case<tensor::ExtractOp>([&](auto) -> Reader {
        Shape at;
        for (Node *index : operands.drop_front())
          at.push_back(index->read(0).integer);
        if (!inside(*operands[0]->shape, at))
          return {};
        Node *source = operands[0];
        int64_t offset = position(*source->shape, at);
        return [source, offset](int64_t) { return source->read(offset); };
      })
      .Case<BroadcastOp>([&](auto) { return readBroadcast(operands[0], result); })
      .Case<TransposeOp>([&](TransposeOp transpose) { return readTranspose(transpose, operands[0], result); })
      .Case<IotaOp>([&](IotaOp iota) -> Reader {
        int64_t axis = iota.getAxis();
        Shape shape = result;
        return [axis, shape](int64_t i) {
          Element element;
          element.integer = coordinates(shape, i)[axis];
          return element;
        };
      })
      .Case<tensor::ExtractSliceOp>([&](tensor::ExtractSliceOp slice) { return readSlice(slice, operands); })
      .Case<tensor::InsertSliceOp>(
          [&](tensor::InsertSliceOp slice) { return readInsertSlice(slice, operands, result); })
      .Case<tensor::ConcatOp>([&](tensor::ConcatOp concat) { return readConcat(concat, operands, result); })
      .Case<MatmulOp>([&](MatmulOp matmul) { return readMatmul(matmul, operands[0], operands[1], result); })
      .Case<ReduceOp>([&](ReduceOp reduce) { return readReduce(reduce, operands[0], result); })
      .Case<CumSumOp>([&](CumSumOp sum) { return readCumSum(sum, operands[0], result); })
      .Case<GatherOp>([&](GatherOp gather) { return readGather(gather, operands[0], operands[1], result); })
      .Case<GatherNDOp>(
          [&](GatherNDOp gather) { return readGatherND(gather, operands[0], operands[1], result); })
      .Case<ScatterNDOp>([&](auto) { return readScatterND(operands[0], operands[1], operands[2], result); })
      .Case<CacheUpdateOp>([&](CacheUpdateOp update) { return readCacheUpdate(update, operands, result); })
      .Default([](Operation *) { return Reader(); });
}
