//===- OpTable.cpp - which op is imported by which function -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "pith/Import/ONNX/Import.h"

#include "Node.h"

using namespace pith::onnx;

const OpTable &OpTable::get() {
  static const OpTable table = [] {
    OpTable t;
    addAttentionOps(t);
    addContribOps(t);
    addControlFlowOps(t);
    addDataSizeOps(t);
    addSequenceOps(t);
    addConvOps(t);
    addEinsumOps(t);
    addElementwiseOps(t);
    addFoldOps(t);
    addIndexingOps(t);
    addLinearAttentionOps(t);
    addLossOps(t);
    addMatMulOps(t);
    addMixtureOfExpertsOps(t);
    addNormOps(t);
    addPoolOps(t);
    addQuantizationOps(t);
    addQuantizedContribOps(t);
    addQuantizedWeightOps(t);
    addRandomOps(t);
    addRearrangeOps(t);
    addRecurrentOps(t);
    addReductionOps(t);
    addResizeOps(t);
    addSampleOps(t);
    addShapeOps(t);
    addSignalOps(t);
    addSliceOps(t);
    addTransformerOps(t);
    addUnaryOps(t);
    return t;
  }();
  return table;
}

Handler OpTable::find(llvm::StringRef domain, llvm::StringRef op) const {
  auto it = table.find(domain.empty() ? op.str() : (domain + ":" + op).str());
  return it == table.end() ? nullptr : it->second;
}

std::vector<std::string> OpTable::names() const {
  std::vector<std::string> names;
  for (llvm::StringRef name : table.keys())
    names.push_back(name.str());
  llvm::sort(names);
  return names;
}

std::vector<std::string> pith::onnx::supportedOps() { return OpTable::get().names(); }
