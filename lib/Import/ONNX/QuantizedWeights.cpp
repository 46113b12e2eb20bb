//===- QuantizedWeights.cpp - weights stored as integers with scales -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// However a model spells them (MatMulNBits, GatherBlockQuantized, DequantizeLinear of a constant), such weights become
// one thing: a weight with the encoding #pith.block_quant over the file's bytes.
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

/// The weight [rows, columns] whose codes, scales and zero points are three initializers of MatMulNBits' layout. Ops
/// that read the same initializers share it.
FlatSymbolRefAttr pith::onnx::quantizedWeight(Node &node, const QuantizedPieces &pieces, int64_t rows, int64_t columns,
                                              int64_t bits, int64_t block) {
  Importer &im = node.im;
  auto [data, scales, zeros] = pieces;
  if ((bits != 2 && bits != 4 && bits != 8) ||
      (block && (block < 16 || block > (1 << 20) || (block & (block - 1))))) {
    node.error() << "weights of " << bits << " bits in blocks of " << block
                 << " are not supported: bits must be 2, 4 or 8, blocks a power of two from 16 on";
    return {};
  }
  Type scale = elementType(im.context, scales->type);
  if (data->type != UInt8 || !isFloat(scales->type) || scales->type == Double || (zeros && zeros->type != UInt8)) {
    node.error() << "expected u8 codes, f32, f16 or bf16 scales and u8 zero points, found " << elementName(data->type)
                 << ", " << elementName(scales->type) << ", " << (zeros ? elementName(zeros->type) : "absent");
    return {};
  }
  if (rows < 1 || columns < 1 || rows > (int64_t(1) << 32) || columns > (int64_t(1) << 32)) {
    node.error() << "a weight of " << rows << " rows and " << columns << " columns is not possible";
    return {};
  }
  auto encoding = BlockQuantAttr::get(im.context, bits, block, scale, zeros != nullptr, false, false);
  auto type = RankedTensorType::get({rows, columns}, scale, encoding);
  if (columns * bits % 8 && !block) {
    node.error() << "rows of " << columns << " weights of " << bits << " bits are not whole bytes";
    return {};
  }
  auto check = [&](const Initializer &piece, int64_t expected) {
    if (int64_t(piece.bytes.size()) == expected)
      return true;
    node.error() << "'" << piece.name << "' has " << piece.bytes.size() << " bytes, expected " << expected << " for "
                 << rows << " rows of " << columns << " weights with " << bits << " bits in blocks of " << block;
    return false;
  };
  if (!check(*data, encoding.getDataSize(type)) || !check(*scales, encoding.getScalesSize(type)) ||
      (zeros && !check(*zeros, encoding.getZerosSize(type))))
    return {};
  return im.weight(*data, type, scales, zeros);
}

/// The pieces if all are constants.
static std::optional<QuantizedPieces> readPieces(Node &node, size_t dataAt, size_t scalesAt, size_t zerosAt) {
  for (size_t i : {dataAt, scalesAt, zerosAt})
    if (node.in(i) && !node.in(i)->init) {
      node.error() << "input " << i << " must be a constant, found " << describe(node.im, node.in(i));
      return std::nullopt;
    }
  return QuantizedPieces{node.in(dataAt)->init, node.in(scalesAt)->init,
                         node.in(zerosAt) ? node.in(zerosAt)->init : nullptr};
}

//===----------------------------------------------------------------------===//
// MatMulNBits
//===----------------------------------------------------------------------===//

/// What zero points `zeros` [n, blocks], floats, change in the product of x with weights whose zero is the middle:
/// the sum of each block of x, times (middle - zero) * scale.
static std::optional<Tensor> zeroCorrection(Node &node, const Tensor &x, Val *scales, Val *zeros, int64_t n, int64_t k,
                                            int64_t bits, int64_t block) {
  Importer &im = node.im;
  Type f32 = im.builder.getF32Type();
  int64_t blocks = llvm::divideCeil(k, block);
  Shape perBlock{n, blocks};
  Tensor tables[2];
  for (auto [table, val] : {std::pair(&tables[0], scales), std::pair(&tables[1], zeros)}) {
    if (!im.symbols.assumeEqual(im.count(val->shape), n * blocks)) {
      node.error() << "expected " << n << " x " << blocks << " scales and zero points, found "
                   << describe(im, scales) << " and " << describe(im, zeros);
      return std::nullopt;
    }
    *table = im.castTo(im.reshape(im.tensor(val), perBlock), f32);
  }
  Tensor shifts = im.mul(im.sub(im.splat(f32, double(1 << (bits - 1)), perBlock), tables[1]), tables[0]);
  Tensor wide = im.castTo(x, f32);
  Shape padded = x.shape, split = x.shape;
  padded.back() = blocks * block - k;
  if (blocks * block != k)
    wide = im.concat({wide, im.splat(f32, 0, padded)}, x.rank() - 1);
  split.back() = blocks;
  split.push_back(block);
  Tensor sums = im.reduce(ReduceKind::Sum, im.reshape(wide, split), int64_t(split.size()) - 1);
  split.pop_back();
  std::optional<Tensor> y = multiply(node, im.reshape(sums, split), im.transpose(shifts, {1, 0}));
  return y ? std::optional(im.castTo(*y, x.element())) : std::nullopt;
}

static LogicalResult matMulNBits(Node &node) {
  enum { A, B, Scales, Zeros, GroupIndex, Bias };
  Importer &im = node.im;
  if (!node.arity(3, 6) || !node.needFloat(A))
    return failure();
  int64_t k = node.getInt("K", 0), n = node.getInt("N", 0), bits = node.getSmallInt("bits", 4);
  int64_t block = node.getSmallInt("block_size", 0);
  if (node.in(GroupIndex)) {
    std::optional<SmallVector<int64_t>> groups;
    bool identity = node.in(GroupIndex)->init && node.in(GroupIndex)->type == Int32 && block > 0;
    if (identity)
      for (auto [i, group] : llvm::enumerate(im.elementsOf(*node.in(GroupIndex)->init).getValues<int32_t>()))
        identity &= group == int64_t(i) / block;
    if (!identity)
      return node.fail("g_idx that reorders groups is not supported");
  }
  if (node.getInt("weight_prepacked", 0))
    return node.fail("weights packed for another machine (weight_prepacked) are not supported");
  if (block < 1)
    return node.fail("block_size must be positive, found " + Twine(block));
  bool floatZeros = node.in(Zeros) && isFloat(node.in(Zeros)->type);
  std::optional<QuantizedPieces> pieces = readPieces(node, B, Scales, floatZeros ? SIZE_MAX : size_t(Zeros));
  FlatSymbolRefAttr weight = pieces ? quantizedWeight(node, *pieces, n, k, bits, block) : FlatSymbolRefAttr();
  if (!weight)
    return failure();
  Tensor x = im.tensor(node.in(A));
  if (x.rank() < 1 || !im.symbols.assumeEqual(x.shape.back(), k))
    return node.fail("input 0 " + describe(im, node.in(A)) + " does not have K = " + Twine(k) + " channels");
  bool vector = x.rank() == 1;
  if (vector)
    x = im.reshape(x, {1, k});
  Shape shape = x.shape;
  shape.back() = n;
  x.shape.back() = k;
  ArrayAttr biases;
  Tensor bias;
  if (node.in(Bias)) {
    if (!node.sameType({A, Bias}) || node.in(Bias)->rank() != 1 || !im.symbols.assumeEqual(node.in(Bias)->shape[0], n))
      return node.failed ? failure() : node.fail("bias must be [N], found " + describe(im, node.in(Bias)));
    if (const Initializer *init = node.in(Bias)->init)
      biases = im.builder.getArrayAttr(im.weight(*init, RankedTensorType::get({n}, elementType(im.context, init->type))));
    else
      bias = im.tensor(node.in(Bias));
  }
  Tensor y{LinearOp::create(im.builder, im.loc, im.typeOf(x.element(), shape), im.conform(x),
                            im.builder.getArrayAttr(weight), biases, UnitAttr()),
           shape};
  if (bias.value)
    y = im.add(y, im.broadcast(bias, shape));
  if (floatZeros) {
    std::optional<Tensor> correction =
        zeroCorrection(node, x, node.in(Scales), node.in(Zeros), n, k, bits, block);
    if (!correction)
      return failure();
    y = im.add(y, *correction);
  }
  return node.done(im.make(node.in(A)->type, vector ? im.reshape(y, {n}) : y));
}

//===----------------------------------------------------------------------===//
// GatherBlockQuantized
//===----------------------------------------------------------------------===//

static LogicalResult gatherBlockQuantized(Node &node) {
  enum { Data, Indices, Scales, Zeros };
  Importer &im = node.im;
  if (!node.arity(3, 4) || !node.needInteger(Indices))
    return failure();
  int64_t bits = node.getSmallInt("bits", 4), block = node.getSmallInt("block_size", 128);
  Val *data = node.in(Data);
  std::optional<int64_t> gatherAxis = node.axis(node.getInt("gather_axis", 0), data->rank());
  std::optional<int64_t> blockAxis = node.axis(node.getInt("quantize_axis", 1), data->rank());
  if (!gatherAxis || !blockAxis)
    return failure();
  int32_t type = node.in(Scales)->type;
  if (isSmallInteger(data->type)) {
    // Elements with a type of their own: without zero points the zero is 0.
    std::optional<Tensor> all = dequantize(node, {Data, Scales, Zeros}, *blockAxis, block, type);
    return all ? node.done(im.make(type, im.gather(*all, im.tensor(node.in(Indices)), *gatherAxis))) : failure();
  }
  if (data->rank() != 2 || data->type != UInt8)
    return node.fail("only u8 data of rank 2, or integers of 2 or 4 bits, are supported, found " + describe(im, data));
  if (*gatherAxis != 0 || *blockAxis != 1)
    return node.fail("u8 data is only supported with gather_axis 0 and quantize_axis 1");
  std::optional<int64_t> rows = im.symbols.normalize(data->shape[0]).constant();
  std::optional<int64_t> bytes = im.symbols.normalize(data->shape[1]).constant();
  if (!rows || !bytes || bits < 1 || *bytes > (int64_t(1) << 32))
    return node.fail("input 0 must be a constant, found " + describe(im, data));
  int64_t columns = *bytes * 8 / bits;
  std::optional<QuantizedPieces> pieces = readPieces(node, Data, Scales, Zeros);
  FlatSymbolRefAttr weight = pieces ? quantizedWeight(node, *pieces, *rows, columns, bits, block) : FlatSymbolRefAttr();
  if (!weight)
    return failure();
  Tensor ids = im.tensor(node.in(Indices));
  Shape shape = ids.shape;
  shape.push_back(columns);
  auto result = EmbeddingOp::create(im.builder, im.loc, im.typeOf(elementType(im.context, type), shape), ids.value, weight,
                                    im.builder.getF32FloatAttr(1), UnitAttr());
  return node.done(im.make(type, {result, shape}));
}

//===----------------------------------------------------------------------===//
// DequantizeLinear of constants
//===----------------------------------------------------------------------===//

/// Whether somebody reads the matrix that a node makes by its rows: looks them up, or multiplies with its transpose.
static bool readByRows(Node &node) {
  StringRef name = node.proto.output(0);
  for (const proto::NodeProto &user : node.im.model.proto().graph().node()) {
    bool uses = llvm::any_of(user.input(), [&](const std::string &input) { return input == name; });
    if (!uses)
      continue;
    if (user.op_type() == "Gather" || user.op_type() == "Transpose")
      return true;
    if (user.op_type() == "Gemm")
      for (const proto::AttributeProto &attribute : user.attribute())
        if (attribute.name() == "transB" && attribute.i())
          return true;
  }
  return false;
}

/// Zero points of `bits` in rows of `length`, each row padded to whole bytes; the file's have no padding.
static std::string padRows(ArrayRef<char> bytes, int64_t rows, int64_t length, int64_t bits) {
  int64_t perByte = 8 / bits, rowBytes = llvm::divideCeil(length * bits, 8);
  std::string padded(rows * rowBytes, 0);
  for (int64_t i = 0; i < rows * length; ++i) {
    unsigned code = (uint8_t(bytes[i / perByte]) >> (i % perByte * bits)) & ((1 << bits) - 1);
    int64_t column = i % length;
    padded[i / length * rowBytes + column / perByte] |= char(code << (column % perByte * bits));
  }
  return padded;
}

Val *pith::onnx::dequantizedWeight(Node &node, const std::array<size_t, 3> &inputs, int64_t axis, int64_t block,
                                   int32_t to) {
  Importer &im = node.im;
  Val *data = node.in(inputs[0]), *scale = node.in(inputs[1]), *zero = node.in(inputs[2]);
  bool constant = data->init && scale->init && (!zero || zero->init) && data->rank() >= 2 && scale->type == to &&
                  (to == Float || to == Float16 || to == BFloat16);
  bool isSigned = data->type == Int8 || data->type == Int4 || data->type == Int2;
  if (!constant || (!isSigned && data->type != UInt8 && data->type != UInt4 && data->type != UInt2))
    return nullptr;
  SmallVector<int64_t> dims;
  for (const Expr &size : data->shape)
    dims.push_back(im.symbols.normalize(size).constant().value_or(0));
  int64_t rank = dims.size(), bits = elementBits(data->type), count = data->init->count;
  if (axis < -rank || axis >= rank || !count || dims[0] < 1)
    return nullptr;
  axis = axis < 0 ? axis + rank : axis;
  int64_t rows = dims[0], columns = count / rows, given = scale->init->count;
  if (columns * bits % 8 || (zero && zero->init->count != given))
    return nullptr;

  // One scale; one per index of an axis; one per block of a matrix' rows or columns.
  bool single = given == 1, kMajor, blocked = !single && scale->rank() > 1;
  if (blocked) {
    kMajor = axis == 0;
    int64_t length = dims[axis];
    if (rank != 2 || block < 16 || (block & (block - 1)) || (!kMajor && length % block) ||
        given != (kMajor ? int64_t(llvm::divideCeil(rows, block)) * columns : rows * (columns / block)))
      return nullptr;
  } else if (single) {
    kMajor = rank == 2 && !readByRows(node);
  } else {
    kMajor = rank == 2 && axis == 1;
    if ((!kMajor && axis != 0) || given != dims[axis])
      return nullptr;
  }
  if (!blocked)
    block = 0;
  int64_t lines = !blocked ? 1 : llvm::divideCeil(dims[axis], block), other = kMajor ? columns : rows;

  // The encoding wants a scale for each row, zero points in padded rows, and has a zero of 0 only for signed codes.
  auto owned = [&](const Initializer &of, std::string bytes, int32_t type) {
    Initializer made;
    made.name = of.name;
    made.type = type;
    made.owned = std::move(bytes);
    return im.keep(std::move(made));
  };
  const Initializer *scales = scale->init, *zeros = zero ? zero->init : nullptr;
  if (single && other > 1) {
    std::string repeated;
    for (int64_t i = 0; i < other; ++i)
      repeated.append(scales->bytes.data(), scales->bytes.size());
    scales = owned(*scales, repeated, to);
  }
  if (zeros && isSigned && llvm::all_of(zeros->bytes, [](char byte) { return byte == 0; }))
    zeros = nullptr;
  if (zeros || !isSigned) {
    int64_t zeroRows = kMajor ? lines : rows, zeroColumns = kMajor ? columns : lines;
    std::string bytes;
    if (!zeros) {
      bytes.assign(zeroRows * llvm::divideCeil(zeroColumns * bits, 8), 0);
    } else if (single) {
      unsigned code = uint8_t(zeros->bytes[0]) & ((1 << bits) - 1), all = 0;
      for (int64_t i = 0; i < 8; i += bits)
        all |= code << i;
      bytes.assign(zeroRows * llvm::divideCeil(zeroColumns * bits, 8), char(all));
    } else {
      bytes = padRows(zeros->bytes, zeroRows, zeroColumns, bits);
    }
    zeros = owned(zeros ? *zeros : *scales, bytes, UInt8);
  }
  Type element = elementType(im.context, to);
  auto encoding = BlockQuantAttr::get(im.context, bits, block, element, zeros != nullptr, isSigned, kMajor);
  auto type = RankedTensorType::get({rows, columns}, element, encoding);
  Tensor loaded{LoadOp::create(im.builder, im.loc, RankedTensorType::get({rows, columns}, element),
                               im.weight(*data->init, type, scales, zeros)),
                {rows, columns}};
  return im.make(to, im.reshape(loaded, toShape(dims)));
}

void pith::onnx::addQuantizedWeightOps(OpTable &table) {
  table.addContrib("MatMulNBits", matMulNBits);
  table.addContrib("GatherBlockQuantized", gatherBlockQuantized);
}
