//===- MatMul.cpp - matrix products -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Blocks.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

std::optional<Tensor> pith::onnx::multiply(Node &node, Tensor a, Tensor b) {
  Importer &im = node.im;
  if (a.rank() == 0 || b.rank() == 0) {
    node.error() << "operands must have rank 1 or more, found " << im.symbols.print(a.shape) << " and "
                 << im.symbols.print(b.shape);
    return std::nullopt;
  }
  bool row = a.rank() == 1, column = b.rank() == 1;
  if (row)
    a = im.reshape(a, {1, a.shape[0]});
  if (column)
    b = im.reshape(b, {b.shape[0], 1});
  if (!im.symbols.assumeEqual(a.shape.back(), b.shape[b.rank() - 2])) {
    node.error() << "inner sizes differ: " << im.symbols.print(a.shape) << " and " << im.symbols.print(b.shape);
    return std::nullopt;
  }
  ArrayRef<Expr> batchA = ArrayRef(a.shape).drop_back(2), batchB = ArrayRef(b.shape).drop_back(2);
  if (!batchB.empty()) {
    std::optional<Shape> batch = node.broadcastShapes({batchA, batchB});
    if (!batch)
      return std::nullopt;
    for (Tensor *operand : {&a, &b}) {
      Shape shape = *batch;
      shape.append(operand->shape.end() - 2, operand->shape.end());
      *operand = im.broadcast(*operand, shape);
    }
  }
  Tensor result = im.matmul(a, b);
  if (row || column) {
    Shape shape = result.shape;
    if (column)
      shape.pop_back();
    if (row)
      shape.erase(shape.end() - (column ? 1 : 2));
    result = im.reshape(result, shape);
  }
  return result;
}

static LogicalResult matMul(Node &node) {
  if (!node.arity(2, 2) || !node.sameType({0, 1}))
    return failure();
  int32_t type = node.in(0)->type;
  if (!isFloat(type) && !isInteger(type))
    return node.fail("inputs must have numbers as elements, found " + describe(node.im, node.in(0)));
  std::optional<Tensor> result = multiply(node, node.im.tensor(node.in(0)), node.im.tensor(node.in(1)));
  return result ? node.done(node.im.make(type, *result)) : failure();
}

static LogicalResult gemm(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 3) || !node.sameType({0, 1, 2}))
    return failure();
  for (size_t i : {0, 1})
    if (node.in(i)->rank() != 2)
      return node.fail("input " + Twine(i) + " must be a matrix, found " + describe(im, node.in(i)));
  int32_t type = node.in(0)->type;
  if (!isFloat(type) && !isInteger(type))
    return node.fail("inputs must have numbers as elements, found " + describe(im, node.in(0)));
  float alpha = node.getFloat("alpha", 1), beta = node.getFloat("beta", 1);
  if (!isFloat(type) && (alpha != 1 || beta != 1))
    return node.fail("alpha and beta must be 1 for integers");
  Tensor a = im.tensor(node.in(0)), b = im.tensor(node.in(1));
  if (node.getInt("transA", 0))
    a = im.transpose(a, {1, 0});
  if (node.getInt("transB", 0))
    b = im.transpose(b, {1, 0});
  std::optional<Tensor> product = multiply(node, a, b);
  if (!product)
    return failure();
  if (alpha != 1)
    product = im.mul(*product, alpha);
  if (node.in(2) && beta != 0) {
    std::optional<Shape> shape = node.broadcastShapes({product->shape, node.in(2)->shape});
    if (!shape || !im.sameShape(*shape, product->shape))
      return node.failed ? failure()
                         : node.fail("input 2 " + describe(im, node.in(2)) + " does not broadcast to the product " +
                                     im.symbols.print(product->shape));
    Tensor c = im.broadcast(im.tensor(node.in(2)), product->shape);
    product = im.add(*product, beta == 1 ? c : im.mul(c, beta));
  }
  return node.done(im.make(type, *product));
}

/// alpha * op(A) * op(B); with transBatch the matrix's row dimension is stored before the batch dimensions.
static LogicalResult fusedMatMul(Node &node) {
  Importer &im = node.im;
  if (!node.arity(2, 2) || !node.sameType({0, 1}) || !node.needFloat(0))
    return failure();
  auto operand = [&](size_t i, StringRef transpose, StringRef transposeBatch) {
    Tensor x = im.tensor(node.in(i));
    int64_t rank = x.rank();
    if (rank < 2)
      return x;
    SmallVector<int64_t> permutation;
    for (int64_t k = 0; k < rank; ++k)
      permutation.push_back(k);
    if (node.getInt(transposeBatch, 0))
      std::rotate(permutation.begin(), permutation.begin() + 1, permutation.end() - 1);
    if (node.getInt(transpose, 0))
      std::swap(permutation[rank - 1], permutation[rank - 2]);
    return im.transpose(x, permutation);
  };
  Tensor a = operand(0, "transA", "transBatchA"), b = operand(1, "transB", "transBatchB");
  std::optional<Tensor> result = multiply(node, a, b);
  if (!result)
    return failure();
  float alpha = node.getFloat("alpha", 1);
  return node.done(im.make(node.in(0)->type, alpha == 1 ? *result : im.mul(*result, alpha)));
}

void pith::onnx::addMatMulOps(OpTable &table) {
  table.add("MatMul", matMul);
  table.add("Gemm", gemm);
  table.addContrib("FusedMatMul", fusedMatMul);
  table.addContrib("TransposeMatMul", fusedMatMul);
}
