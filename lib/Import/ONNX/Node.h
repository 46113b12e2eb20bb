//===- Node.h - one node of an ONNX graph, as handlers see it -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_IMPORT_ONNX_NODE_H
#define PITH_IMPORT_ONNX_NODE_H

#include "Importer.h"

namespace pith::onnx {

/// One node: inputs, attributes, and where the results go. Reading an attribute of the wrong kind reports an error
/// and gives the default, so that handlers need not check.
class Node {
public:
  Node(Importer &im, const proto::NodeProto &proto, int64_t number, int64_t opset, Node *caller)
      : im(im), proto(proto), number(number), opset(opset), caller(caller),
        results(proto.output_size(), nullptr) {}

  Importer &im;
  const proto::NodeProto &proto;
  int64_t number; ///< in the graph
  int64_t opset;  ///< version of the op's domain
  Node *caller;   ///< the node whose function or subgraph this node is in
  const Scope *scope = nullptr;                         ///< the names that it sees
  const llvm::StringMap<int64_t> *versions = nullptr;   ///< of the domains
  bool callsFunction = false;
  llvm::SmallVector<Val *> inputs;
  llvm::SmallVector<Val *> results;
  bool failed = false;

  llvm::StringRef op() const { return proto.op_type(); }
  llvm::StringRef domain() const; ///< "" for ai.onnx
  /// What diagnostics call it: the name, or the number of a node without one.
  std::string label() const;
  mlir::Location location() const;

  Val *in(size_t i) const { return i < inputs.size() ? inputs[i] : nullptr; }
  bool wants(size_t i) const;
  void set(size_t i, Val *val) {
    if (i < results.size())
      results[i] = val;
  }
  mlir::LogicalResult done(Val *val) {
    set(0, val);
    return mlir::success(!failed);
  }

  mlir::InFlightDiagnostic error();
  mlir::LogicalResult fail(const llvm::Twine &message) { return error() << message; }
  /// Checks the number of inputs, and that the first `required` are there.
  bool arity(size_t required, size_t most = 64);
  /// Checks an input's element type.
  bool needFloat(size_t i);
  bool needInteger(size_t i);
  bool sameType(llvm::ArrayRef<size_t> which);

  const proto::AttributeProto *attribute(llvm::StringRef name);
  /// A subgraph; reports a missing one.
  const proto::GraphProto *graph(llvm::StringRef name);
  bool has(llvm::StringRef name) { return attribute(name); }
  int64_t getInt(llvm::StringRef name, int64_t otherwise);
  /// One that is computed with, such as a number of heads; reports numbers beyond 2^24.
  int64_t getSmallInt(llvm::StringRef name, int64_t otherwise);
  float getFloat(llvm::StringRef name, float otherwise);
  std::string getString(llvm::StringRef name, llvm::StringRef otherwise);
  std::optional<llvm::SmallVector<int64_t>> getInts(llvm::StringRef name);

  /// An axis of a tensor of `rank`, negative ones counted from the end. Reports one outside.
  std::optional<int64_t> axis(int64_t value, int64_t rank);
  /// Integers that were an attribute in old versions and are an input since: constants in either case. Absent is
  /// not an error; `present` says which it was.
  std::optional<llvm::SmallVector<int64_t>> constantList(llvm::StringRef name, size_t input, bool &present);

  /// The shape that operands broadcast to; reports operands that do not fit.
  std::optional<Shape> broadcastShapes(llvm::ArrayRef<llvm::ArrayRef<Expr>> shapes);
};

/// "tensor<?x4xf32>"-like text with symbolic sizes, for diagnostics.
std::string describe(const Importer &im, const Val *val);

using Handler = mlir::LogicalResult (*)(Node &);

/// Which op is imported by which function.
class OpTable {
public:
  static const OpTable &get();
  void add(llvm::StringRef op, Handler handler) { table[op] = handler; }
  void addContrib(llvm::StringRef op, Handler handler) { table[("com.microsoft:" + op).str()] = handler; }
  /// For ops whose inputs may be sequences or optionals.
  void addForSequences(llvm::StringRef op, Handler handler) {
    add(op, handler);
    sequenceOps.insert(op);
  }
  bool takesSequences(llvm::StringRef op) const { return sequenceOps.contains(op); }
  /// Null if the op is not supported.
  Handler find(llvm::StringRef domain, llvm::StringRef op) const;
  /// Every op, "Op" or "domain:Op", sorted.
  std::vector<std::string> names() const;

private:
  llvm::StringMap<Handler> table;
  llvm::StringSet<> sequenceOps;
};

// One per family.
void addAttentionOps(OpTable &table);
void addContribOps(OpTable &table);
void addControlFlowOps(OpTable &table);
void addDataSizeOps(OpTable &table);
void addSequenceOps(OpTable &table);
void addConvOps(OpTable &table);
void addEinsumOps(OpTable &table);
void addElementwiseOps(OpTable &table);
void addFoldOps(OpTable &table);
void addIndexingOps(OpTable &table);
void addLinearAttentionOps(OpTable &table);
void addLossOps(OpTable &table);
void addMatMulOps(OpTable &table);
void addMixtureOfExpertsOps(OpTable &table);
void addNormOps(OpTable &table);
void addPoolOps(OpTable &table);
void addQuantizationOps(OpTable &table);
void addQuantizedContribOps(OpTable &table);
void addQuantizedWeightOps(OpTable &table);
void addRandomOps(OpTable &table);
void addRearrangeOps(OpTable &table);
void addRecurrentOps(OpTable &table);
void addReductionOps(OpTable &table);
void addResizeOps(OpTable &table);
void addSampleOps(OpTable &table);
void addShapeOps(OpTable &table);
void addSignalOps(OpTable &table);
void addSliceOps(OpTable &table);
void addTransformerOps(OpTable &table);
void addUnaryOps(OpTable &table);

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_NODE_H
