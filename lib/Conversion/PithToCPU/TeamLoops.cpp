//===- TeamLoops.cpp - loops that the team divides ------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "TeamLoops.h"
#include "../Common/FlatLoop.h"
#include "../Common/TeamCalls.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "pith/executable.h"

using namespace mlir;
using namespace pith;

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

  FlatLoop flatLoop(b, loop, outside);
  auto asIndex = [&](Value i32) -> Value {
    return arith::IndexCastUIOp::create(b, loc, b.getIndexType(), i32);
  };
  Value threads =
      asIndex(loadField(b, loc, entry->getArgument(0), offsetof(pith_exec_context, threads), b.getI32Type()));
  Value thread = asIndex(entry->getArgument(1));
  auto share = [&](Value number) -> Value {
    return arith::DivUIOp::create(b, loc, arith::MulIOp::create(b, loc, flatLoop.total, number), threads);
  };
  Value begin = share(thread), end = share(arith::AddIOp::create(b, loc, thread, index(1)));
  auto flat = scf::ForOp::create(b, loc, begin, end, index(1));
  func::ReturnOp::create(b, loc);
  b.setInsertionPointToStart(flat.getBody());
  flatLoop.bind(b, flat.getInductionVar(), map);
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
  if (innermost && flatLoop.dimensions() == 1)
    markVectorizable(flat);
  return function;
}

void LoopOutliner::outline(scf::ParallelOp loop, Value context, Value thread) {
  llvm::SetVector<Value> captured = capturedBy(loop);
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
