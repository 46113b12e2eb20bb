//===- Launcher.cpp - host code that starts kernels -----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Launcher.h"
#include "../Common/TeamCalls.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "pith/Codegen/GPU/Kernels.h"
#include "pith/executable.h"

using namespace mlir;
using namespace pith;

mlir::gpu::GPUModuleOp pith::kernelsOf(ModuleOp module) {
  for (auto kernels : module.getOps<mlir::gpu::GPUModuleOp>())
    return kernels;
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  return mlir::gpu::GPUModuleOp::create(b, module.getLoc(), "kernels");
}

Launcher::Launcher(OpBuilder &b, Location loc, func::FuncOp host)
    : i32(b.getI32Type()), i64(b.getI64Type()), pointer(LLVM::LLVMPointerType::get(b.getContext())), b(b),
      loc(loc), host(host) {}

Value Launcher::constant(int64_t value) { return arith::ConstantIntOp::create(b, loc, value, 64); }

Value Launcher::field(int64_t offset, Type type) {
  return loadField(b, loc, host.getArgument(0), offset, type);
}

Value Launcher::slot(Value array, Type element, int64_t index) {
  return LLVM::GEPOp::create(b, loc, pointer, element, array,
                             ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(index)});
}

/// As the kernel declares it, a pointer as the host's.
Value Launcher::argument(Value given, Type wanted) {
  if (isa<LLVM::LLVMPointerType>(wanted) || given.getType() == wanted)
    return given;
  if (given.getType().isIndex())
    given = arith::IndexCastOp::create(b, loc, i64, given);
  unsigned have = given.getType().getIntOrFloatBitWidth(), want = wanted.getIntOrFloatBitWidth();
  if (have > want)
    return arith::TruncIOp::create(b, loc, wanted, given);
  return have < want ? arith::ExtUIOp::create(b, loc, wanted, given).getResult() : given;
}

void Launcher::call(mlir::gpu::GPUFuncOp kernel, ArrayRef<Value> arguments, ArrayRef<Value> blocks) {
  size_t count = arguments.size();
  auto fits = [](Value value, Type type) {
    return isa<LLVM::LLVMPointerType>(value.getType()) == isa<LLVM::LLVMPointerType>(type);
  };
  if (count != kernel.getNumArguments() || !llvm::all_of_zip(arguments, kernel.getArgumentTypes(), fits)) {
    host.emitError("kernel @") << kernel.getName() << " takes " << kernel.getArgumentTypes()
                               << ", but is launched with " << ValueRange(arguments).getTypes();
    failed = true;
    return;
  }
  lists.resize(std::max(lists.size(), count + 1));
  {
    // Stack is taken once, where the function starts.
    OpBuilder start = OpBuilder::atBlockBegin(&host.front());
    auto array = [&](Type type, int64_t size) -> Value {
      Value number = LLVM::ConstantOp::create(start, loc, i64, std::max<int64_t>(size, 1));
      return LLVM::AllocaOp::create(start, loc, pointer, type, number, 8);
    };
    if (!grid)
      grid = array(i32, 3);
    if (!lists[count].first)
      lists[count] = {array(i64, count), array(pointer, count)};
  }
  auto [values, pointers] = lists[count];
  for (auto [i, value, type] : llvm::enumerate(arguments, kernel.getArgumentTypes())) {
    Value to = slot(values, i64, i);
    LLVM::StoreOp::create(b, loc, argument(value, type), to);
    LLVM::StoreOp::create(b, loc, to, slot(pointers, pointer, i));
  }
  for (int64_t i = 0; i < 3; ++i) {
    Value size = i < static_cast<int64_t>(blocks.size()) ? blocks[i] : constant(1);
    if (size.getType().isIndex())
      size = arith::IndexCastOp::create(b, loc, i64, size);
    LLVM::StoreOp::create(b, loc, arith::TruncIOp::create(b, loc, i32, size), slot(grid, i32, i));
  }
  // Kernels are only ever added at the end, so a place is a number for good.
  auto all = kernel->getParentOfType<mlir::gpu::GPUModuleOp>().getOps<mlir::gpu::GPUFuncOp>();
  int64_t number = 0;
  for (mlir::gpu::GPUFuncOp other : all) {
    if (other == kernel)
      break;
    ++number;
  }
  Value index = LLVM::ConstantOp::create(b, loc, i32, number);
  auto type =
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), {pointer, i32, pointer, pointer});
  Value operands[] = {field(offsetof(pith_exec_context, launch), pointer), host.getArgument(0), index, grid,
                      pointers};
  LLVM::CallOp::create(b, loc, type, operands);
}

void Launcher::launch(mlir::gpu::GPUFuncOp kernel, ArrayRef<Value> arguments, Value blocks) {
  call(kernel, arguments, blocks);
}

void Launcher::launch(mlir::gpu::GPUFuncOp kernel, ArrayRef<Value> arguments) {
  AffineMap map = kernel->getAttrOfType<AffineMapAttr>(gpu::kGridAttr).getValue();
  SmallVector<Value> sizes, blocks;
  for (auto [value, type] : llvm::zip_equal(arguments, kernel.getArgumentTypes()))
    if (type.isInteger(32))
      sizes.push_back(value.getType().isIndex()
                          ? value
                          : arith::IndexCastOp::create(b, loc, b.getIndexType(), value).getResult());
  for (AffineExpr expr : map.getResults())
    blocks.push_back(
        affine::expandAffineExpr(b, loc, expr, ArrayRef(sizes).take_front(map.getNumDims()), {}));
  call(kernel, arguments, blocks);
}
