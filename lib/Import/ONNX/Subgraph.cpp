//===- Subgraph.cpp - graphs inside nodes -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

Val *Importer::makeSequence(SmallVector<Val *> items) {
  Val &val = vals.emplace_back();
  val.items = std::move(items);
  return &val;
}

Val *Importer::makeAbsent() {
  Val &val = vals.emplace_back();
  val.absent = true;
  return &val;
}

bool Importer::importGraph(Node &node, const proto::GraphProto &graph, ArrayRef<Val *> arguments,
                           SmallVectorImpl<Val *> &results) {
  if (callDepth >= kMaxDepth) {
    node.error() << "functions and subgraphs nest more than " << kMaxDepth << " levels deep";
    return false;
  }
  if (graph.input_size() != int(arguments.size())) {
    node.error() << "its subgraph '" << graph.name() << "' has " << graph.input_size() << " inputs, expected "
                 << arguments.size();
    return false;
  }
  Scope scope(node.scope);
  for (auto [input, argument] : llvm::zip_equal(graph.input(), arguments))
    scope[input.name()] = argument;
  readInitializers(graph, scope);
  ++callDepth;
  importNodes(graph.node(), scope, *node.versions, &node);
  --callDepth;
  for (const proto::ValueInfoProto &output : graph.output()) {
    Val *val = scope.find(output.name());
    if (!val) {
      node.error() << "its subgraph '" << graph.name() << "' does not define its output '" << output.name() << "'";
      return false;
    }
    if (val->broken) { // reported where it broke
      node.failed = true;
      return false;
    }
    results.push_back(val);
  }
  return !node.failed;
}

bool Importer::isMadeIn(const Expr &e, Region &region) {
  return llvm::any_of(e.terms(), [&](const Expr::Term &term) {
    return llvm::any_of(term.factors, [&](SymbolId id) {
      const Symbols::Symbol &symbol = symbols[id];
      if (symbol.fromInputs)
        return false;
      if (Value value = symbol.value; symbol.kind == Symbols::Kind::Value)
        return region.isAncestor(value.getParentRegion());
      return isMadeIn(symbol.lhs, region) || isMadeIn(symbol.rhs, region);
    });
  });
}

void Importer::forget(Operation *code) {
  code->walk([&](Operation *op) {
    for (Value result : op->getResults())
      viewed.erase(result);
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (Value argument : block.getArguments())
          viewed.erase(argument);
  });
}

Importer::InnerCode::InnerCode(Importer &importer, Block *block)
    : im(importer), before(im.builder.saveInsertionPoint()), facts(im.symbols.facts()), values(im.insideValues.size()),
      contents(im.insideContents.size()), indices(im.insideIndices.size()), symbols(im.insideSymbols.size()) {
  im.builder.setInsertionPointToEnd(block);
}

Importer::InnerCode::~InnerCode() {
  for (Val *val : llvm::drop_begin(im.insideValues, values))
    val->value = {};
  for (Val *val : llvm::drop_begin(im.insideContents, contents))
    val->contents.reset();
  for (const Expr &e : llvm::drop_begin(im.insideIndices, indices))
    im.indices.erase(e);
  for (SymbolId id : llvm::drop_begin(im.insideSymbols, symbols))
    im.symbols[id].value = {};
  im.insideValues.resize(values);
  im.insideContents.resize(contents);
  im.insideIndices.resize(indices);
  im.insideSymbols.resize(symbols);
  im.symbols.setFacts(std::move(facts));
  im.builder.restoreInsertionPoint(before);
}
