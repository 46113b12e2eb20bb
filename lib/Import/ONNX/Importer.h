//===- Importer.h - the state of one import -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_IMPORT_ONNX_IMPORTER_H
#define PITH_IMPORT_ONNX_IMPORTER_H

#include "Expr.h"
#include "Model.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"
#include <array>
#include <deque>

namespace pith::onnx {

class Node;

/// A tensor of the program: an SSA value and its sizes as expressions.
struct Tensor {
  mlir::Value value;
  Shape shape;
  mlir::Type element() const { return llvm::cast<mlir::RankedTensorType>(value.getType()).getElementType(); }
  int64_t rank() const { return shape.size(); }
};

/// A value of the ONNX graph. It has one or more of: an SSA value, the constant that it is, the elements as
/// expressions (shape arithmetic). Code is emitted only when somebody asks for the SSA value.
struct Val {
  int32_t type = Undefined;
  Shape shape;
  mlir::Value value;
  const Initializer *init = nullptr; ///< same bytes, row-major, whatever the shape here
  std::optional<Shape> contents;     ///< the elements of a small integer or Bool tensor, row-major
  std::optional<llvm::SmallVector<Val *>> items; ///< of a sequence: it has nothing else
  bool absent = false;               ///< an optional without a value
  bool broken = false;               ///< an error stands behind it: use silently
  bool isTensor() const { return !items && !absent; }
  int64_t rank() const { return shape.size(); }
};

/// How values are rounded to floats of 8 bits.
struct CastMode {
  enum Round { Up, Down, Nearest };
  bool saturate = true; ///< beyond the range: the largest number, not infinity or NaN
  Round round = Up;     ///< to exponents (float8e8m0)
};

/// The names that a graph's nodes see: its own, and those of the graph around it.
class Scope {
public:
  explicit Scope(const Scope *outer = nullptr) : outer(outer) {}
  Val *find(llvm::StringRef name) const {
    auto found = own.find(name);
    return found != own.end() ? found->second : outer ? outer->find(name) : nullptr;
  }
  bool defines(llvm::StringRef name) const { return own.count(name); }
  /// Also an input of a function that the call leaves out, which has no value.
  bool knows(llvm::StringRef name) const { return own.count(name) || (outer && outer->knows(name)); }
  Val *&operator[](llvm::StringRef name) { return own[name]; }

private:
  llvm::StringMap<Val *> own;
  const Scope *outer;
};

/// Imports one model. The methods emit code at the end of the body or, for sizes that depend on the inputs'
/// dimensions alone, at its top.
class Importer {
public:
  Importer(mlir::MLIRContext *context, Model &model);
  mlir::OwningOpRef<mlir::ModuleOp> run();

  mlir::MLIRContext *context;
  Model &model;
  Symbols symbols;
  mlir::OpBuilder builder;
  mlir::Location loc;
  Node *current = nullptr;

  //===- Values.cpp: values of the graph ----------------------------------===//
  Val *make(int32_t type, const Tensor &tensor);
  Val *makeContents(int32_t type, Shape shape, Shape contents);
  Val *makeView(const Val &of, Shape shape); ///< same constant, another shape
  /// The value as a tensor of the program.
  Tensor tensor(Val *val);
  /// The elements, if they are known as expressions at import; null if not.
  const Shape *contents(Val *val);
  /// The elements of a small integer tensor, read at run time where they are not known.
  const Shape *elements(Val *val);
  /// The elements if they are constants.
  std::optional<llvm::SmallVector<int64_t>> constants(Val *val);
  /// The only element of a float or integer constant.
  std::optional<double> scalar(Val *val);

  //===- Values.cpp: sizes ------------------------------------------------===//
  mlir::Value index(const Expr &e);
  mlir::OpFoldResult fold(const Expr &e);
  mlir::SmallVector<mlir::Value> dynamicDims(llvm::ArrayRef<Expr> shape);
  /// A type with the sizes that are constants; reports sizes that no tensor can have.
  mlir::RankedTensorType typeOf(mlir::Type element, llvm::ArrayRef<Expr> shape);
  mlir::Value conform(const Tensor &tensor);
  bool sameShape(llvm::ArrayRef<Expr> a, llvm::ArrayRef<Expr> b);
  /// Product of the sizes.
  Expr count(llvm::ArrayRef<Expr> shape);

  //===- Tensors.cpp: code ------------------------------------------------===//
  Tensor splat(mlir::Type element, double value, llvm::ArrayRef<Expr> shape = {});
  Tensor splatInt(mlir::Type element, int64_t value, llvm::ArrayRef<Expr> shape = {});
  Tensor fromExpr(mlir::Type element, const Expr &e);
  Tensor iota(mlir::Type element, llvm::ArrayRef<Expr> shape, int64_t axis);
  Tensor reshape(const Tensor &source, llvm::ArrayRef<Expr> shape);
  Tensor broadcast(const Tensor &source, llvm::ArrayRef<Expr> shape);
  Tensor transpose(const Tensor &source, llvm::ArrayRef<int64_t> permutation);
  Tensor slice(const Tensor &source, llvm::ArrayRef<Expr> offsets, llvm::ArrayRef<Expr> sizes,
               llvm::ArrayRef<int64_t> steps = {});
  /// [offset, offset + size) of one dimension.
  Tensor sliceDim(const Tensor &source, int64_t axis, const Expr &offset, const Expr &size);
  Tensor concat(llvm::ArrayRef<Tensor> parts, int64_t axis);
  Tensor gather(const Tensor &source, const Tensor &indices, int64_t axis);
  Tensor gatherND(const Tensor &source, const Tensor &indices, int64_t batchDims, llvm::ArrayRef<Expr> shape);
  Tensor reduce(ReduceKind kind, const Tensor &source, llvm::ArrayRef<int64_t> axes);
  Tensor matmul(const Tensor &lhs, const Tensor &rhs);
  /// Converts elements with ONNX's meaning of Cast.
  Tensor cast(const Tensor &source, int32_t from, int32_t to, const CastMode &mode = {});
  Tensor castTo(const Tensor &source, mlir::Type to); ///< between float types, or signed integers

  /// Elementwise code on operands of one shape. On scalar constants that are broadcast, it is done before broadcasting.
  Tensor elementwise(llvm::ArrayRef<Tensor> operands, llvm::function_ref<mlir::Value(llvm::ArrayRef<mlir::Value>)> code);
  template <typename OpTy> Tensor unary(const Tensor &x) {
    return elementwise(x, [&](auto v) { return builder.createOrFold<OpTy>(loc, v[0]); });
  }
  template <typename OpTy> Tensor binary(const Tensor &a, const Tensor &b) {
    return elementwise({a, b}, [&](auto v) { return builder.createOrFold<OpTy>(loc, v[0], v[1]); });
  }
  Tensor compare(mlir::arith::CmpIPredicate predicate, const Tensor &a, const Tensor &b);
  Tensor compare(mlir::arith::CmpFPredicate predicate, const Tensor &a, const Tensor &b);
  Tensor select(const Tensor &condition, const Tensor &a, const Tensor &b);
  /// Whether all elements are this constant.
  bool isRepeated(const Tensor &x, double value);
  // Arithmetic that picks the op by the element type, operands of one shape.
  Tensor add(const Tensor &a, const Tensor &b);
  Tensor sub(const Tensor &a, const Tensor &b);
  Tensor mul(const Tensor &a, const Tensor &b);
  Tensor div(const Tensor &a, const Tensor &b); ///< floats
  Tensor add(const Tensor &a, double b) { return add(a, splat(a.element(), b, a.shape)); }
  Tensor mul(const Tensor &a, double b) { return mul(a, splat(a.element(), b, a.shape)); }

  //===- SmallTypes.cpp: types of a byte or less without arithmetic -------===//
  mlir::DenseElementsAttr smallElementsOf(const Initializer &init);
  /// A constant of elements that the file holds packed.
  Tensor unpacked(const Initializer &init);
  Tensor castFromSmall(const Tensor &source, int32_t from, int32_t to, const CastMode &mode);
  Tensor castToSmall(const Tensor &source, int32_t from, int32_t to, const CastMode &mode);

  //===- Weights.cpp ------------------------------------------------------===//
  /// The symbol of a weight with these bytes, made on first use. The scales' and zeros' initializers are null for
  /// dense weights.
  mlir::FlatSymbolRefAttr weight(const Initializer &data, mlir::RankedTensorType type,
                                 const Initializer *scales = nullptr, const Initializer *zeros = nullptr);
  mlir::DenseElementsAttr elementsOf(const Initializer &init);
  /// Constants made from others; `owned` has the bytes, and lives as long as the importer.
  const Initializer *keep(Initializer made);
  /// Part `which` of a constant whose first dimension is divided among `parts`; null if it cannot be.
  const Initializer *rowsOf(const Initializer &of, int64_t parts, int64_t which);
  Val *makeConstant(const Initializer &init, Shape shape);
  /// A constant tensor of a node's attribute.
  Val *constant(Node &node, const proto::TensorProto &tensor);
  Val *initializerVal(const Initializer &init);

  //===- Importer.cpp -----------------------------------------------------===//
  mlir::InFlightDiagnostic error(mlir::Location where);
  bool isUsed(llvm::StringRef name) const { return uses.count(name); }
  const proto::FunctionProto *findFunction(llvm::StringRef domain, llvm::StringRef name, llvm::StringRef overload);
  mlir::LogicalResult callFunction(Node &node, const proto::FunctionProto &function);

  //===- Subgraph.cpp -----------------------------------------------------===//
  Val *makeSequence(llvm::SmallVector<Val *> items);
  Val *makeAbsent(); ///< an optional without a value
  /// The nodes of a subgraph of `node`, where the builder stands. False after an error.
  bool importGraph(Node &node, const proto::GraphProto &graph, llvm::ArrayRef<Val *> arguments,
                   llvm::SmallVectorImpl<Val *> &results);
  /// Whether `e` needs what is computed in `region`.
  bool isMadeIn(const Expr &e, mlir::Region &region);
  /// Code goes away: so does what is remembered of its values.
  void forget(mlir::Operation *code);

  /// While code is imported that may not run, or that runs more than once: what it computes, and what it takes for
  /// granted, holds inside only. The builder goes to the end of `block`, and back.
  class InnerCode {
  public:
    InnerCode(Importer &importer, mlir::Block *block);
    ~InnerCode();

  private:
    Importer &im;
    mlir::OpBuilder::InsertPoint before;
    llvm::DenseMap<SymbolId, Expr> facts;
    size_t values, contents, indices, symbols;
  };

  bool failed = false;
  /// Subgraphs and functions nest at most this deep.
  static constexpr unsigned kMaxDepth = 16;
  /// A tensor has at most this many elements, which keeps byte counts within 64 bits.
  static constexpr int64_t kMaxElements = int64_t(1) << 50;

  /// While code is written inside an operation's region, sizes that it asks for are computed before the operation.
  class Inside {
  public:
    Inside(Importer &im, mlir::Operation *op) : im(im), outer(im.writingInside) {
      if (!outer)
        im.writingInside = op;
    }
    ~Inside() { im.writingInside = outer; }

  private:
    Importer &im;
    mlir::Operation *outer;
  };

private:
  using Nodes = google::protobuf::RepeatedPtrField<proto::NodeProto>;

  bool readOpsets();
  void readInitializers(const proto::GraphProto &graph, Scope &scope);
  void noteUses(const proto::GraphProto &graph);
  bool readInputs(Scope &scope);
  void importNodes(const Nodes &nodes, Scope &scope, const llvm::StringMap<int64_t> &opsets, Node *caller);
  void importNode(Node &node);
  bool setOutputs(Scope &scope);
  void refineInputs();
  bool orderNodes(const Nodes &nodes, const Scope &scope, Node *caller, llvm::SmallVectorImpl<int> &order);
  mlir::Value materialize(const Expr &e);
  mlir::Value materialize(SymbolId id);
  void settleSymbols();

  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::func::FuncOp main;
  mlir::Operation *prologueEnd = nullptr;
  mlir::Operation *writingInside = nullptr;
  std::map<Expr, mlir::Value> indices;
  llvm::DenseMap<mlir::Value, Shape> viewed; ///< sizes of what has been reshaped
  std::deque<Val> vals;
  llvm::DenseMap<const proto::TensorProto *, Val *> constantVals; ///< of attributes and initializers
  // What was made inside a region, in order: values and elements of graph values, values of expressions and symbols.
  std::vector<Val *> insideValues, insideContents;
  std::vector<Expr> insideIndices;
  std::vector<SymbolId> insideSymbols;
  std::vector<Shape> inputShapes;
  std::vector<std::unique_ptr<Initializer>> initializers;
  std::map<std::array<const void *, 4>, mlir::FlatSymbolRefAttr> weights; ///< by initializers and type
  std::map<std::tuple<const Initializer *, int64_t, int64_t>, const Initializer *> parts; ///< what rowsOf has made
  llvm::StringSet<> symbolNames, uses;
  llvm::StringMap<int64_t> opsets;
  SymbolId settled = 0;
  unsigned callDepth = 0, problems = 0;
};

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_IMPORTER_H
