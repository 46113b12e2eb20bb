//===- Evaluator.h - concrete evaluation of tensor code ----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Computes values of shape, mask and position code for given inputs, index by index: what a proof by cases
// looks at, and the plain semantics of these operations. Shapes are computed without the data where that
// suffices, so the shape of a value behind a whole network costs nothing.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_DIALECT_PITH_TRANSFORMS_EVALUATOR_H
#define PITH_DIALECT_PITH_TRANSFORMS_EVALUATOR_H

#include "pith/Dialect/Pith/IR/Pith.h"

#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/DenseMap.h"
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace pith {

/// One element: a float as double (already rounded to its type), anything else as a sign-extended integer
/// (i1: 0, 1).
union Element {
  double real;
  int64_t integer;
};

/// A tensor, or a scalar as rank 0, with its elements in row-major order.
struct ConcreteTensor {
  llvm::SmallVector<int64_t> shape;
  std::vector<Element> elements;

  static ConcreteTensor integers(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<int64_t> values);
  static ConcreteTensor filled(llvm::ArrayRef<int64_t> shape, Element value);
};

/// Evaluates values of one function for one binding of its arguments.
class Evaluator {
public:
  using Shape = llvm::SmallVector<int64_t>;
  /// The element at a row-major position.
  using Reader = std::function<Element(int64_t)>;
  /// A value while it is known only by its shape, or by a function from positions to elements, or as a whole.
  struct Node {
    std::optional<Shape> shape;
    Reader read;
    std::vector<Element> elements;
    int64_t count() const;
  };

  /// Values of at most `wholeLimit` elements are computed once and kept; larger ones element by element on
  /// demand.
  explicit Evaluator(int64_t wholeLimit = 1 << 16) : wholeLimit(wholeLimit) {}

  void bind(mlir::Value value, ConcreteTensor tensor);
  /// For an argument whose data nothing may depend on.
  void bindShape(mlir::Value value, llvm::ArrayRef<int64_t> shape);

  /// The sizes of a tensor (empty for a scalar); null, with a reason, if they cannot be computed.
  const Shape *shape(mlir::Value value);
  /// The value with a reader; null, with a reason, if it cannot be evaluated.
  const Node *evaluate(mlir::Value value);
  /// The value of a scalar or of a tensor with one element, integers only.
  std::optional<int64_t> scalar(mlir::Value value);

  /// Why the last query failed, as a phrase, and the operation at fault (null: an argument).
  llvm::StringRef reason() const { return failure; }
  mlir::Operation *culprit() const { return failedOp; }

private:
  Node &node(mlir::Value value);
  bool run(mlir::Value value, bool data);
  bool computeShape(mlir::OpResult value, Node &result);
  bool computeData(mlir::OpResult value, Node &result);
  bool fail(mlir::Operation *op, const llvm::Twine &why);

  llvm::DenseMap<mlir::Value, std::unique_ptr<Node>> nodes;
  int64_t wholeLimit;
  std::string failure;
  mlir::Operation *failedOp = nullptr;
};

/// The reader of `op`'s result, given its operands and the result's shape; null if `op` is not one that can
/// be evaluated. The readers of elementwise operations, and of all others (EvaluatorElementwise.cpp,
/// EvaluatorTensor.cpp).
Evaluator::Reader readElementwise(mlir::Operation *op, llvm::ArrayRef<Evaluator::Node *> operands);
Evaluator::Reader readTensorOp(mlir::Operation *op, llvm::ArrayRef<Evaluator::Node *> operands,
                               const Evaluator::Shape &result);

/// `value` as an element of `type` holds it: rounded to the float type, or wrapped to the integer's width.
double roundToType(mlir::Type type, double value);
int64_t wrapToType(mlir::Type type, int64_t value);

} // namespace pith

#endif // PITH_DIALECT_PITH_TRANSFORMS_EVALUATOR_H
