//===- AddSampling.cpp - an entry that draws tokens -----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Beside a step, in the form that bufferization gives entries:
//
//   func.func private @draw(…) attributes {pith.kernel = {kind = "draw", n = V}}
//   func.func @sample(%logits: memref<?xVxf32>, %draws: memref<?x6xi32>, %drawn: memref<?xi32>, %workspace)
//       -> index attributes {pith.entry = "sample"} {
//     pith.launch @draw(%logits, %draws, %drawn, %count)
//
//===----------------------------------------------------------------------===//
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/SymbolTable.h"
#include "pith/Codegen/GPU/Sampling.h"
#include "pith/Conversion/Passes.h"
#include "pith/Conversion/PithToGPU/Passes.h"
#include "pith/Dialect/Pith/IR/Pith.h"
#include "pith/executable.h"

namespace pith {
#define GEN_PASS_DEF_ADDSAMPLING
#include "pith/Conversion/PithToGPU/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

static void addSampling(ModuleOp module, func::FuncOp step, int64_t vocab) {
  SymbolTable symbols(module);
  OpBuilder b(module.getContext());
  Location loc = step.getLoc();
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  Type i32 = b.getI32Type(), i64 = b.getI64Type(), index = b.getIndexType();
  auto kernel = func::FuncOp::create(
      loc, "draw", b.getFunctionType({pointer, i32, pointer, pointer, pointer, i64}, TypeRange()));
  kernel.setPrivate();
  kernel->setAttr(kKernelAttr, b.getDictionaryAttr({b.getNamedAttr("kind", b.getStringAttr("draw")),
                                                    b.getNamedAttr("n", b.getI64IntegerAttr(vocab))}));
  symbols.insert(kernel, std::next(step->getIterator()));

  constexpr int64_t many = ShapedType::kDynamic;
  Type arguments[] = {MemRefType::get({many, vocab}, b.getF32Type()),
                      MemRefType::get({many, sizeof(pith_exec_draw) / 4}, i32), MemRefType::get({many}, i32),
                      MemRefType::get({many}, b.getI8Type())};
  auto entry = func::FuncOp::create(loc, "sample", b.getFunctionType(arguments, index));
  entry->setAttr(kEntryAttr, b.getStringAttr("sample"));
  entry->setAttr("pith.inputs", b.getI64IntegerAttr(2));
  b.setInsertionPointToStart(entry.addEntryBlock());
  Value zero = arith::ConstantIndexOp::create(b, loc, 0);
  Value count = memref::DimOp::create(b, loc, entry.getArgument(2), zero);
  LaunchOp::create(b, loc, TypeRange(), kernel.getSymName(),
                   ValueRange{entry.getArgument(0), entry.getArgument(1), entry.getArgument(2), count},
                   ArrayRef<int64_t>{2}, ArrayRef<int64_t>());
  func::ReturnOp::create(b, loc, zero); // no workspace
  symbols.insert(entry, std::next(kernel->getIterator()));
}

namespace {
struct AddSampling : pith::impl::AddSamplingBase<AddSampling> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    for (auto entry : llvm::to_vector(module.getOps<func::FuncOp>())) {
      auto kind = entry->getAttrOfType<StringAttr>(kEntryAttr);
      if (!kind || kind.getValue() != "step" || entry.getNumArguments() < 4)
        continue;
      auto logits = dyn_cast<MemRefType>(entry.getArgumentTypes()[3]); // what is wrong with it is said later
      if (logits && logits.getRank() == 2 && !logits.isDynamicDim(1) &&
          logits.getDimSize(1) <= pith::gpu::kMostToDrawFrom)
        addSampling(module, entry, logits.getDimSize(1));
    }
  }
};
} // namespace
