//===- Contrib.cpp - other ops of com.microsoft -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

//===----------------------------------------------------------------------===//
// Block-quantized weights
//===----------------------------------------------------------------------===//

/// The weight [rows, columns] whose codes, scales and zero points are three initializers. Ops that read the same
/// initializers share it.
static FlatSymbolRefAttr quantizedWeight(Node &node, size_t dataAt, size_t scalesAt, size_t zerosAt, int64_t rows,
                                         int64_t columns, int64_t bits, int64_t block) {
  Importer &im = node.im;
  for (size_t i : {dataAt, scalesAt, zerosAt})
    if (node.in(i) && !node.in(i)->init) {
      node.error() << "input " << i << " must be a constant, found " << describe(im, node.in(i));
      return {};
    }
  const Initializer *data = node.in(dataAt)->init, *scales = node.in(scalesAt)->init;
  const Initializer *zeros = node.in(zerosAt) ? node.in(zerosAt)->init : nullptr;
  if ((bits != 2 && bits != 4 && bits != 8) || block < 16 || block > (1 << 20) || (block & (block - 1))) {
    node.error() << "weights of " << bits << " bits in blocks of " << block
                 << " are not supported: bits must be 2, 4 or 8, blocks a power of two from 16 on";
    return {};
  }
  Type scale = elementType(im.context, scales->type);
  if (data->type != UInt8 || !isFloat(scales->type) || scales->type == Double || (zeros && zeros->type != UInt8)) {
    node.error() << "expected u8 codes, f32, f16 or bf16 scales and u8 zero points, found "
                 << describe(im, node.in(dataAt)) << ", " << describe(im, node.in(scalesAt)) << ", "
                 << describe(im, node.in(zerosAt));
    return {};
  }
  if (rows < 1 || columns < 1 || rows > (int64_t(1) << 32) || columns > (int64_t(1) << 32)) {
    node.error() << "a weight of " << rows << " rows and " << columns << " columns is not possible";
    return {};
  }
  auto encoding = BlockQuantAttr::get(im.context, bits, block, scale, zeros != nullptr);
  auto type = RankedTensorType::get({rows, columns}, scale, encoding);
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

static LogicalResult matMulNBits(Node &node) {
  enum { A, B, Scales, Zeros, GroupIndex, Bias };
  Importer &im = node.im;
  if (!node.arity(3, 6) || !node.needFloat(A))
    return failure();
  int64_t k = node.getInt("K", 0), n = node.getInt("N", 0), bits = node.getInt("bits", 4);
  int64_t block = node.getInt("block_size", 0);
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
  FlatSymbolRefAttr weight = quantizedWeight(node, B, Scales, Zeros, n, k, bits, block);
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
  return node.done(im.make(node.in(A)->type, vector ? im.reshape(y, {n}) : y));
}

static LogicalResult gatherBlockQuantized(Node &node) {
  enum { Data, Indices, Scales, Zeros };
  Importer &im = node.im;
  if (!node.arity(3, 4) || !node.needInteger(Indices))
    return failure();
  int64_t bits = node.getInt("bits", 4), block = node.getInt("block_size", 128);
  Val *data = node.in(Data);
  if (data->rank() != 2 || data->type != UInt8)
    return node.fail("only u8 data of rank 2 is supported, found " + describe(im, data));
  if (node.axis(node.getInt("gather_axis", 0), 2) != 0 || node.axis(node.getInt("quantize_axis", 1), 2) != 1)
    return node.fail("only gather_axis 0 with quantize_axis 1 is supported");
  std::optional<int64_t> rows = im.symbols.normalize(data->shape[0]).constant();
  std::optional<int64_t> bytes = im.symbols.normalize(data->shape[1]).constant();
  if (!rows || !bytes || bits < 1 || *bytes > (int64_t(1) << 32))
    return node.fail("input 0 must be a constant, found " + describe(im, data));
  int64_t columns = *bytes * 8 / bits;
  FlatSymbolRefAttr weight = quantizedWeight(node, Data, Scales, Zeros, *rows, columns, bits, block);
  if (!weight)
    return failure();
  int32_t type = node.in(Scales)->type;
  Tensor ids = im.tensor(node.in(Indices));
  Shape shape = ids.shape;
  shape.push_back(columns);
  auto result = EmbeddingOp::create(im.builder, im.loc, im.typeOf(elementType(im.context, type), shape), ids.value, weight,
                                    im.builder.getF32FloatAttr(1), UnitAttr());
  return node.done(im.make(type, {result, shape}));
}

//===----------------------------------------------------------------------===//
// Norms with the residual sum inside
//===----------------------------------------------------------------------===//

/// out0 = norm(input + skip + bias), out3 = the sum.
template <bool Centered>
static LogicalResult skipNormalization(Node &node) {
  enum { Input, Skip, Gamma };
  Importer &im = node.im;
  size_t betaAt = Centered ? 3 : 99, biasAt = Centered ? 4 : 3;
  if (!node.arity(3, Centered ? 5 : 4) || !node.sameType({Input, Skip, Gamma, betaAt, biasAt}) || !node.needFloat(Input))
    return failure();
  Tensor x = im.tensor(node.in(Input));
  std::optional<Shape> shape = node.broadcastShapes({x.shape, node.in(Skip)->shape});
  if (!shape || !im.sameShape(*shape, x.shape))
    return node.failed ? failure()
                       : node.fail("skip " + describe(im, node.in(Skip)) + " does not broadcast to " +
                                   describe(im, node.in(Input)));
  Tensor sum = im.add(x, im.broadcast(im.tensor(node.in(Skip)), x.shape));
  for (size_t i : {size_t(Gamma), betaAt, biasAt})
    if (node.in(i) && (node.in(i)->rank() != 1 || x.rank() < 1 ||
                       !im.symbols.assumeEqual(node.in(i)->shape[0], x.shape.back())))
      return node.fail("input " + Twine(i) + " must have one value per channel, found " + describe(im, node.in(i)));
  if (node.in(biasAt))
    sum = im.add(sum, im.broadcast(im.tensor(node.in(biasAt)), x.shape));
  Tensor gamma = im.tensor(node.in(Gamma)), beta;
  if (node.in(betaAt))
    beta = im.tensor(node.in(betaAt));
  float epsilon = node.getFloat("epsilon", 1e-12f);
  int64_t axis = x.rank() - 1;
  Tensor y = Centered ? layerNorm(node, sum, gamma, beta, axis, epsilon) : rmsNorm(node, sum, gamma, axis, epsilon);
  int32_t type = node.in(Input)->type;
  if (node.wants(1) || node.wants(2)) {
    auto [mean, inverse] = moments(node, sum, axis, epsilon, Centered);
    node.set(1, im.make(Float, mean));
    node.set(2, im.make(Float, inverse));
  }
  node.set(3, im.make(type, sum));
  return node.done(im.make(type, y));
}

//===----------------------------------------------------------------------===//
// Activations with a bias inside
//===----------------------------------------------------------------------===//

template <ActivationKind Kind>
static LogicalResult biasActivation(Node &node) {
  Importer &im = node.im;
  if (!node.arity(1, 2) || !node.needFloat(0) || !node.sameType({0, 1}))
    return failure();
  Tensor x = im.tensor(node.in(0));
  if (node.in(1)) {
    std::optional<Shape> shape = node.broadcastShapes({x.shape, node.in(1)->shape});
    if (!shape || !im.sameShape(*shape, x.shape))
      return node.failed ? failure()
                         : node.fail("bias " + describe(im, node.in(1)) + " does not broadcast to " +
                                     describe(im, node.in(0)));
    x = im.add(x, im.broadcast(im.tensor(node.in(1)), x.shape));
  }
  Tensor y{ActivationOp::create(im.builder, im.loc, x.value.getType(), Kind, x.value), x.shape};
  return node.done(im.make(node.in(0)->type, y));
}

void pith::onnx::addContribOps(OpTable &table) {
  table.addContrib("MatMulNBits", matMulNBits);
  table.addContrib("GatherBlockQuantized", gatherBlockQuantized);
  table.addContrib("SkipSimplifiedLayerNormalization", skipNormalization<false>);
  table.addContrib("SkipLayerNormalization", skipNormalization<true>);
  table.addContrib("BiasGelu", biasActivation<ActivationKind::Gelu>);
  table.addContrib("FastGelu", biasActivation<ActivationKind::GeluTanh>);
}
