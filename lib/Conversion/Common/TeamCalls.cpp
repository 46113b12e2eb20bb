//===- TeamCalls.cpp - what a team asks the runtime for -------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "TeamCalls.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "pith/Conversion/PackedWeights.h"
#include "pith/Dialect/Pith/IR/PithDataOps.h"
#include "pith/executable.h"

using namespace mlir;
using namespace pith;

Value pith::loadField(OpBuilder &b, Location loc, Value context, int64_t offset, Type type) {
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  Value address = LLVM::GEPOp::create(b, loc, pointer, b.getI8Type(), context,
                                      ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(offset)});
  return LLVM::LoadOp::create(b, loc, type, address);
}

Value pith::describeBuffer(OpBuilder &b, Location loc, MemRefType type, Value data, ArrayRef<Value> dims) {
  int64_t rank = type.getRank();
  auto number = [&](int64_t value) -> Value {
    return LLVM::ConstantOp::create(b, loc, b.getI64Type(), value);
  };
  SmallVector<Type> fields{data.getType(), data.getType(), b.getI64Type()};
  if (rank > 0)
    fields.append(2, LLVM::LLVMArrayType::get(b.getI64Type(), rank));
  Value result = LLVM::PoisonOp::create(b, loc, LLVM::LLVMStructType::getLiteral(b.getContext(), fields));
  auto insert = [&](Value value, ArrayRef<int64_t> position) {
    result = LLVM::InsertValueOp::create(b, loc, result, value, position);
  };
  insert(data, 0);
  insert(data, 1);
  insert(number(0), 2);
  Value stride = number(1);
  for (int64_t i = rank - 1; i >= 0; --i) {
    insert(dims[i], {3, i});
    insert(stride, {4, i});
    if (i > 0)
      stride = LLVM::MulOp::create(b, loc, stride, dims[i]);
  }
  return UnrealizedConversionCastOp::create(b, loc, type, result).getResult(0);
}

/// Calls a function of the context.
static Value callContext(OpBuilder &b, Location loc, Value context, int64_t offset, Type result,
                         ArrayRef<Value> operands) {
  Value function = loadField(b, loc, context, offset, context.getType());
  SmallVector<Value> all{function};
  all.append(operands.begin(), operands.end());
  auto type = LLVM::LLVMFunctionType::get(result, llvm::to_vector(ValueRange(operands).getTypes()));
  auto call = LLVM::CallOp::create(b, loc, type, all);
  return call.getNumResults() ? call.getResult() : Value();
}

void pith::callBarrier(OpBuilder &b, Location loc, Value context, Value thread) {
  Value team = loadField(b, loc, context, offsetof(pith_exec_context, team), context.getType());
  callContext(b, loc, context, offsetof(pith_exec_context, barrier), LLVM::LLVMVoidType::get(b.getContext()),
              {team, thread});
}

bool pith::isTeamCall(Operation *op) {
  return isa<memref::AllocOp, memref::DeallocOp, OutputBufferOp, cf::AssertOp>(op);
}

bool pith::isTeamRegion(Operation *op) {
  if (!isa<scf::ForOp, scf::IfOp, scf::WhileOp>(op))
    return false;
  bool writes = false;
  WalkResult result = op->walk([&](Operation *inner) {
    writes |= isa<memref::StoreOp, memref::CopyOp>(inner);
    return isTeamCall(inner) || isa<linalg::LinalgOp, LaunchOp, ArgSortOp, scf::ParallelOp>(inner)
               ? WalkResult::interrupt()
               : WalkResult::advance();
  });
  return result.wasInterrupted() || (writes && !op->use_empty());
}

namespace {
class CallLowering {
public:
  CallLowering(Operation *op, Value context, Value thread)
      : b(op), loc(op->getLoc()), context(context), thread(thread), pointer(context.getType()) {}

  void allocate(memref::AllocOp op) {
    MemRefType type = op.getType();
    SmallVector<Value> dims = sizes(type, op.getDynamicSizes());
    Value bytes = number(elementBytes(type.getElementType()));
    for (Value dim : dims)
      bytes = LLVM::MulOp::create(b, loc, bytes, dim);
    Value data = callContext(b, loc, context, offsetof(pith_exec_context, allocate), pointer,
                             {context, thread, bytes});
    op.replaceAllUsesWith(describeBuffer(b, loc, type, data, dims));
  }

  void release(memref::DeallocOp op) {
    Value address = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, op.getMemref());
    Value data = LLVM::IntToPtrOp::create(b, loc, pointer, asI64(address));
    callContext(b, loc, context, offsetof(pith_exec_context, release), none(), {context, thread, data});
  }

  void giveOutput(OutputBufferOp op) {
    auto type = cast<MemRefType>(op.getResult().getType());
    SmallVector<Value> dims = sizes(type, op.getDims());
    Value list;
    {
      // At the function's start, where it costs stack once.
      OpBuilder start = OpBuilder::atBlockBegin(&op->getParentOfType<func::FuncOp>().front());
      Value count = LLVM::ConstantOp::create(start, loc, b.getI64Type(), std::max<int64_t>(dims.size(), 1));
      list = LLVM::AllocaOp::create(start, loc, pointer, b.getI64Type(), count);
    }
    for (auto [i, dim] : llvm::enumerate(dims))
      LLVM::StoreOp::create(b, loc, dim,
                            LLVM::GEPOp::create(b, loc, pointer, b.getI64Type(), list,
                                                ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(i)}));
    Value index = LLVM::ConstantOp::create(b, loc, b.getI32Type(), static_cast<int64_t>(op.getOutput()));
    Value data = callContext(b, loc, context, offsetof(pith_exec_context, give_output), pointer,
                             {context, thread, index, list});
    op.replaceAllUsesWith(describeBuffer(b, loc, type, data, dims));
  }

  void check(cf::AssertOp op) {
    auto module = op->getParentOfType<ModuleOp>();
    std::string text = op.getMsg().str() + '\0';
    auto type = LLVM::LLVMArrayType::get(b.getI8Type(), text.size());
    OpBuilder top = OpBuilder::atBlockEnd(module.getBody());
    unsigned number = 0;
    while (module.lookupSymbol("pith_message_" + std::to_string(number)))
      ++number;
    auto global = LLVM::GlobalOp::create(top, loc, type, /*isConstant=*/true, LLVM::Linkage::Internal,
                                         "pith_message_" + std::to_string(number), top.getStringAttr(text));
    Value wrong = arith::XOrIOp::create(b, loc, op.getArg(), arith::ConstantIntOp::create(b, loc, 1, 1));
    auto choice = scf::IfOp::create(b, loc, wrong, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(choice.thenBlock());
    Value message = LLVM::AddressOfOp::create(b, loc, global);
    callContext(b, loc, context, offsetof(pith_exec_context, fail), none(), {context, thread, message});
  }

private:
  Value number(int64_t value) { return LLVM::ConstantOp::create(b, loc, b.getI64Type(), value); }
  Value asI64(Value index) { return arith::IndexCastOp::create(b, loc, b.getI64Type(), index); }
  Type none() { return LLVM::LLVMVoidType::get(b.getContext()); }
  SmallVector<Value> sizes(MemRefType type, ValueRange dynamic) {
    SmallVector<Value> result;
    for (int64_t size : type.getShape()) {
      result.push_back(ShapedType::isDynamic(size) ? asI64(dynamic.front()) : number(size));
      if (ShapedType::isDynamic(size))
        dynamic = dynamic.drop_front();
    }
    return result;
  }

  OpBuilder b;
  Location loc;
  Value context, thread;
  Type pointer;
};
} // namespace

void pith::lowerTeamCall(Operation *op, Value context, Value thread) {
  CallLowering lowering(op, context, thread);
  if (auto alloc = dyn_cast<memref::AllocOp>(op))
    lowering.allocate(alloc);
  else if (auto dealloc = dyn_cast<memref::DeallocOp>(op))
    lowering.release(dealloc);
  else if (auto output = dyn_cast<OutputBufferOp>(op))
    lowering.giveOutput(output);
  else
    lowering.check(cast<cf::AssertOp>(op));
  op->erase();
}
