//===- TeamLoops.cpp - loops that the team divides ------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "TeamLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Transforms/RegionUtils.h"
#include "pith/executable.h"

using namespace mlir;
using namespace pith;

void pith::markVectorizable(scf::ForOp loop) {
  MLIRContext *context = loop.getContext();
  auto vectorize = LLVM::LoopVectorizeAttr::get(context, /*disable=*/BoolAttr::get(context, false), {}, {},
                                                {}, {}, {}, {});
  loop->setAttr("loop_annotation", LLVM::LoopAnnotationAttr::get(context, {}, vectorize, {}, {}, {}, {}, {},
                                                                 {}, {}, {}, {}, {}, {}, {}, {}));
}

Value pith::loadField(OpBuilder &b, Location loc, Value context, int64_t offset, Type type) {
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  Value address = LLVM::GEPOp::create(b, loc, pointer, b.getI8Type(), context,
                                      ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(offset)});
  return LLVM::LoadOp::create(b, loc, type, address);
}

/// The loop's iterations as one number; each thread takes a contiguous share, whose sizes differ by at most
/// one.
func::FuncOp LoopOutliner::build(scf::ParallelOp loop, ArrayRef<Value> captured) {
  Location loc = loop.getLoc();
  OpBuilder b(loop.getContext());
  SmallVector<Type> types{LLVM::LLVMPointerType::get(b.getContext()), b.getI32Type()};
  for (Value value : captured)
    types.push_back(value.getType());
  auto function = func::FuncOp::create(loc, "loop", b.getFunctionType(types, {}));
  function.setPrivate();
  // Inlined, the loops of an entry would be one huge function that takes LLVM long.
  function->setAttr("passthrough", b.getArrayAttr(b.getStringAttr("noinline")));
  Block *entry = function.addEntryBlock();
  b.setInsertionPointToStart(entry);
  IRMapping map;
  for (auto [i, value] : llvm::enumerate(captured))
    map.map(value, entry->getArgument(i + 2));
  auto outside = [&](Value value) -> Value {
    APInt constant;
    if (matchPattern(value, m_ConstantInt(&constant)))
      return arith::ConstantIndexOp::create(b, loc, constant.getSExtValue());
    return map.lookup(value);
  };
  auto index = [&](int64_t value) -> Value { return arith::ConstantIndexOp::create(b, loc, value); };

  SmallVector<Value> lower, counts, steps;
  for (auto [l, u, s] : llvm::zip_equal(loop.getLowerBound(), loop.getUpperBound(), loop.getStep())) {
    lower.push_back(outside(l));
    steps.push_back(outside(s));
    Value distance = arith::SubIOp::create(b, loc, outside(u), lower.back());
    counts.push_back(arith::CeilDivSIOp::create(b, loc, distance, steps.back()));
  }
  Value total = counts.front();
  for (Value count : ArrayRef(counts).drop_front())
    total = arith::MulIOp::create(b, loc, total, count);
  auto asIndex = [&](Value i32) -> Value {
    return arith::IndexCastUIOp::create(b, loc, b.getIndexType(), i32);
  };
  Value threads =
      asIndex(loadField(b, loc, entry->getArgument(0), offsetof(pith_exec_context, threads), b.getI32Type()));
  Value thread = asIndex(entry->getArgument(1));
  auto share = [&](Value number) -> Value {
    return arith::DivUIOp::create(b, loc, arith::MulIOp::create(b, loc, total, number), threads);
  };
  Value begin = share(thread), end = share(arith::AddIOp::create(b, loc, thread, index(1)));
  auto flat = scf::ForOp::create(b, loc, begin, end, index(1));
  func::ReturnOp::create(b, loc);
  b.setInsertionPointToStart(flat.getBody());
  Value rest = flat.getInductionVar();
  for (int64_t i = counts.size() - 1; i >= 0; --i) {
    Value position = rest;
    if (i > 0) {
      position = arith::RemUIOp::create(b, loc, rest, counts[i]);
      rest = arith::DivUIOp::create(b, loc, rest, counts[i]);
    }
    Value scaled = arith::MulIOp::create(b, loc, position, steps[i]);
    map.map(loop.getInductionVars()[i], arith::AddIOp::create(b, loc, lower[i], scaled).getResult());
  }
  bool innermost = true;
  for (Operation &op : loop.getBody()->without_terminator()) {
    // Constants from outside are made anew.
    op.walk([&](Operation *inner) {
      innermost &= !isa<scf::ForOp, scf::WhileOp>(inner);
      for (Value operand : inner->getOperands())
        if (Operation *def = operand.getDefiningOp())
          if (def->hasTrait<OpTrait::ConstantLike>() && !loop->isAncestor(def) && !map.contains(operand))
            map.map(operand, b.clone(*def)->getResult(0));
    });
    b.clone(op, map);
  }
  if (innermost && counts.size() == 1)
    markVectorizable(flat);
  return function;
}

void LoopOutliner::outline(scf::ParallelOp loop, Value context, Value thread) {
  SetVector<Value> used(loop->operand_begin(), loop->operand_end()), captured;
  getUsedValuesDefinedAbove(loop->getRegions(), used);
  for (Value value : used) {
    Operation *def = value.getDefiningOp();
    if (!def || !def->hasTrait<OpTrait::ConstantLike>())
      captured.insert(value);
  }
  func::FuncOp function = build(loop, captured.getArrayRef());
  std::string text;
  llvm::raw_string_ostream stream(text);
  function.print(stream, OpPrintingFlags().useLocalScope().printGenericOpForm());
  auto [entry, fresh] = known.try_emplace(text, function);
  if (fresh) {
    symbols.insert(function);
  } else {
    function.erase();
    function = entry->second;
  }
  OpBuilder b(loop);
  SmallVector<Value> operands{context, thread};
  operands.append(captured.begin(), captured.end());
  func::CallOp::create(b, loop.getLoc(), function, operands);
  loop.erase();
}
