//===- KernelBuilder.cpp - words that CPU kernels are written in ----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"
#include "pith/executable.h"
#include <cstddef>

using namespace mlir;
using namespace pith::cpu;

void KernelBuilder::prefetch(Value address) {
  LLVM::Prefetch::create(b, loc, address, /*rw=*/0, /*hint=*/3, /*cache=*/1);
}

Value KernelBuilder::stackBuffer(int64_t bytes) {
  return LLVM::AllocaOp::create(b, loc, ptr, i8, index(bytes), 64);
}

Value KernelBuilder::threads(Value context) {
  return zext(load(i32, at(context, int64_t(offsetof(pith_exec_context, threads)))), i64);
}

Value KernelBuilder::isNull(Value pointer) {
  return LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::eq, pointer, LLVM::ZeroOp::create(b, loc, ptr));
}

Value KernelBuilder::laterPointer(Value context, int64_t offset) {
  Value size = zext(load(i32, at(context, int64_t(offsetof(pith_exec_context, struct_size)))), i64);
  return ifElse(
      lessThan(size, offset + 8), {ptr},
      [&] { return Values{LLVM::ZeroOp::create(b, loc, ptr).getResult()}; },
      [&] { return Values{load(ptr, at(context, offset))}; })[0];
}

KernelBuilder::Range KernelBuilder::share(Value context, Value thread, Value count) {
  Value team = threads(context);
  Value me = thread.getType() == i64 ? thread : zext(thread, i64);
  return {div(mul(me, count), team), div(mul(add(me, 1), count), team)};
}

void KernelBuilder::barrier(Value context, Value thread) {
  Value function = load(ptr, at(context, int64_t(offsetof(pith_exec_context, barrier))));
  Value team = load(ptr, at(context, int64_t(offsetof(pith_exec_context, team))));
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), {ptr, i32});
  LLVM::CallOp::create(b, loc, type, ValueRange{function, team, thread});
}

func::FuncOp pith::cpu::getOrCreateKernel(ModuleOp module, StringRef name, unsigned pointers, unsigned sizes,
                                          llvm::function_ref<void(KernelBuilder &, ArrayRef<Value>)> body) {
  if (auto existing = module.lookupSymbol<func::FuncOp>(name))
    return existing;
  MLIRContext *context = module.getContext();
  context->loadDialect<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect,
                       scf::SCFDialect, vector::VectorDialect>();
  OpBuilder b(context);
  Location loc = NameLoc::get(b.getStringAttr(name));
  KernelBuilder k(b, loc);
  SmallVector<Type> types = {k.ptr, k.i32};
  types.append(pointers, k.ptr);
  types.append(sizes, k.i64);

  b.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(b, loc, name, b.getFunctionType(types, {}));
  function.setPrivate();
  // A kernel is called from one place per layer; inlining it would only slow the compiler down.
  function->setAttr("passthrough", b.getStrArrayAttr({"noinline"}));
  Block *entry = function.addEntryBlock();
  b.setInsertionPointToStart(entry);
  SmallVector<Value> arguments(entry->getArguments().begin(), entry->getArguments().end());
  body(k, arguments);
  func::ReturnOp::create(b, loc);
  return function;
}
