//===- Importer.cpp - ONNX models to the pith dialect -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "pith/Import/ONNX/Import.h"

#include "Node.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

/// The versions of the standard's ops whose meaning the handlers know.
static constexpr int64_t kOldestOpset = 7, kNewestOpset = 28;

/// Ops that mean in older versions what they mean since. Others broadcast or keep statistics differently.
static bool isOldAsItIs(StringRef op) {
  static const llvm::StringSet<> names = {"Abs",     "Ceil",    "Constant", "Elu",     "Exp",
                                          "Flatten", "Floor",    "Gather",  "Identity", "LeakyRelu",  "Log",     "MatMul",
                                          "Neg",     "Not",      "Reciprocal", "Relu",     "Selu",    "Shape",
                                          "Sigmoid", "Size",     "Softmax", "Softplus", "Softsign",   "Sqrt",    "Squeeze",
                                          "Tanh",    "Transpose", "Unsqueeze"};
  return names.contains(op);
}

Importer::Importer(MLIRContext *context, Model &model)
    : context(context), model(model), builder(context), loc(UnknownLoc::get(context)) {}

InFlightDiagnostic Importer::error(Location where) {
  failed = true;
  ++problems;
  return emitError(where);
}

bool Importer::readOpsets() {
  bool good = true;
  for (const proto::OperatorSetIdProto &set : model.proto().opset_import()) {
    StringRef domain = set.domain() == "ai.onnx" ? StringRef() : StringRef(set.domain());
    opsets[domain] = set.version();
    if (domain.empty() && (set.version() < 1 || set.version() > kNewestOpset)) {
      error(main.getLoc()) << "the model uses opset " << set.version() << "; supported are " << kOldestOpset << " to "
                           << kNewestOpset;
      good = false;
    }
  }
  return good;
}

void Importer::readInitializers(const proto::GraphProto &graph, Scope &scope) {
  for (const proto::TensorProto &tensor : graph.initializer()) {
    if (Val *known = constantVals.lookup(&tensor)) { // a body that is imported again
      scope[tensor.name()] = known;
      continue;
    }
    std::string why;
    Location where = NameLoc::get(builder.getStringAttr(tensor.name()));
    std::unique_ptr<Initializer> init = model.initializer(tensor, why);
    if (!init)
      error(where) << "initializer '" << tensor.name() << "' " << why;
    if (scope.defines(tensor.name())) {
      error(where) << "initializer '" << tensor.name() << "' is defined twice";
      continue;
    }
    if (!init) {
      vals.emplace_back();
      vals.back().broken = true;
      scope[tensor.name()] = &vals.back();
      continue;
    }
    scope[tensor.name()] = constantVals[&tensor] = initializerVal(*init);
    initializers.push_back(std::move(init));
  }
  for (const proto::SparseTensorProto &tensor : graph.sparse_initializer()) {
    StringRef name = tensor.values().name();
    error(NameLoc::get(builder.getStringAttr(name))) << "initializer '" << name << "' is sparse, which is not supported";
    vals.emplace_back();
    vals.back().broken = true;
    scope[name] = &vals.back();
  }
}

const proto::FunctionProto *Importer::findFunction(StringRef domain, StringRef name, StringRef overload) {
  for (const proto::FunctionProto &function : model.proto().functions())
    if (function.name() == name && function.overload() == overload &&
        (function.domain() == "ai.onnx" ? StringRef() : StringRef(function.domain())) == domain)
      return &function;
  return nullptr;
}

LogicalResult Importer::callFunction(Node &node, const proto::FunctionProto &function) {
  for (Node *call = node.caller; call; call = call->caller)
    if (call->callsFunction && findFunction(call->domain(), call->op(), call->proto.overload()) == &function)
      return node.fail("the function calls itself");
  if (callDepth >= kMaxDepth)
    return node.fail("functions and subgraphs nest more than " + Twine(kMaxDepth) + " levels deep");
  if (node.inputs.size() > size_t(function.input_size()) || node.results.size() > size_t(function.output_size()))
    return node.fail("has more inputs or outputs than the function that it calls");
  node.callsFunction = true;
  Scope scope;
  for (auto [i, name] : llvm::enumerate(function.input()))
    scope[name] = node.in(i);
  llvm::StringMap<int64_t> versions;
  for (const proto::OperatorSetIdProto &set : function.opset_import())
    versions[set.domain() == "ai.onnx" ? "" : set.domain()] = set.version();
  ++callDepth;
  importNodes(function.node(), scope, versions, &node);
  --callDepth;
  for (size_t i = 0; i < node.results.size(); ++i) {
    Val *found = scope.find(function.output(i));
    if (!found)
      return node.fail("the function that it calls does not define its output '" + function.output(i) + "'");
    node.set(i, found);
  }
  return success();
}

void Importer::importNode(Node &node) {
  Handler handler = OpTable::get().find(node.domain(), node.op());
  const proto::FunctionProto *function = findFunction(node.domain(), node.op(), node.proto.overload());
  if (!handler && !function) {
    InFlightDiagnostic diagnostic = node.error();
    diagnostic << "this op is not supported; its inputs are (";
    for (auto [i, val] : llvm::enumerate(node.inputs))
      diagnostic << (i ? ", " : "") << describe(*this, val);
    diagnostic << ")";
    return;
  }
  if (node.domain().empty() && node.opset < kOldestOpset && !isOldAsItIs(node.op())) {
    node.error() << "this op is supported from opset " << kOldestOpset << " on";
    return;
  }
  if (handler && node.results.empty()) {
    node.error() << "has no outputs";
    return;
  }
  for (Val *val : node.inputs)
    if (val && val->broken) {
      node.failed = true; // reported where it broke
      return;
    }
  if (handler && !OpTable::get().takesSequences(node.op()))
    for (auto [i, val] : llvm::enumerate(node.inputs))
      if (val && !val->isTensor()) {
        node.error() << "input " << i << " must be a tensor, found " << describe(*this, val);
        return;
      }
  Node *before = std::exchange(current, &node);
  Location whereBefore = std::exchange(loc, node.location());
  // A function of the model overrides nothing that the importer knows: exporters write them for tools that do not.
  LogicalResult result = handler ? handler(node) : callFunction(node, *function);
  if (llvm::failed(result) && !node.failed)
    node.error() << "cannot be imported";
  for (size_t i = 0; i < node.results.size() && !node.failed; ++i)
    if (!node.results[i] && node.wants(i))
      node.error() << "output " << i << " is not supported";
  current = before;
  loc = whereBefore;
  settleSymbols();
}

void Importer::importNodes(const Nodes &nodes, Scope &scope, const llvm::StringMap<int64_t> &versions, Node *caller) {
  SmallVector<int> order;
  orderNodes(nodes, scope, caller, order);
  for (int i : order) {
    const proto::NodeProto &proto = nodes[i];
    StringRef domain = proto.domain() == "ai.onnx" ? StringRef() : StringRef(proto.domain());
    auto version = versions.find(domain);
    // Files of IR version 1 and 2 may leave the standard's version out; contrib domains only have version 1.
    int64_t opset = version != versions.end() ? version->second : 1;
    Node node(*this, proto, i, opset, caller);
    node.scope = &scope;
    node.versions = &versions;
    for (const std::string &name : proto.input()) {
      if (name.empty()) {
        node.inputs.push_back(nullptr);
        continue;
      }
      Val *found = scope.find(name);
      if (!found && !scope.knows(name)) { // undefined or part of a cycle: reported
        vals.emplace_back();
        vals.back().broken = true;
        node.inputs.push_back(&vals.back());
        continue;
      }
      node.inputs.push_back(found);
    }
    importNode(node);
    for (size_t k = 0; k < node.results.size(); ++k) {
      Val *val = node.results[k];
      if (!val || node.failed) {
        vals.emplace_back();
        vals.back().broken = true;
        val = &vals.back();
      }
      if (!proto.output(k).empty())
        scope[proto.output(k)] = val;
    }
  }
}

OwningOpRef<ModuleOp> Importer::run() {
  context->loadDialect<PithDialect, func::FuncDialect, arith::ArithDialect, math::MathDialect, tensor::TensorDialect,
                       bufferization::BufferizationDialect, linalg::LinalgDialect, scf::SCFDialect,
                       cf::ControlFlowDialect>();
  Location top = NameLoc::get(builder.getStringAttr(model.path()));
  module = ModuleOp::create(top);
  builder.setInsertionPointToEnd(module->getBody());
  main = func::FuncOp::create(builder, top, "main", builder.getFunctionType({}, {}));
  main->setAttr(kEntryAttr, builder.getStringAttr("invoke"));
  symbolNames.insert("main");
  builder.setInsertionPointToEnd(main.addEntryBlock());

  const proto::GraphProto &graph = model.proto().graph();
  noteUses(graph);

  Scope scope;
  readOpsets();
  readInitializers(graph, scope);
  readInputs(scope);
  importNodes(graph.node(), scope, opsets, nullptr);
  setOutputs(scope);
  refineInputs();
  // Code that only served to find sizes, or outputs that nobody reads.
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(main.getBody().front())))
    if (isOpTriviallyDead(&op))
      op.erase();
  if (!failed && llvm::failed(verify(*module)))
    error(top) << "the importer made invalid code from this model; please report it";
  if (!failed)
    return std::move(module);
  if (problems > 1)
    emitError(top) << problems << " problems in the model; nothing was imported";
  module = nullptr;
  return nullptr;
}

OwningOpRef<ModuleOp> pith::onnx::importModel(MLIRContext *context, StringRef path) {
  context->loadDialect<PithDialect>();
  std::string why;
  std::unique_ptr<Model> model = Model::read(context, path, why);
  if (!model) {
    emitError(NameLoc::get(StringAttr::get(context, path))) << "'" << path << "': " << why;
    return nullptr;
  }
  return Importer(context, *model).run();
}
