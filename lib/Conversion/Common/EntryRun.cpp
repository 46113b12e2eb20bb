//===- EntryRun.cpp - the code of an entry beside its sizes ---------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "EntryRun.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/IRMapping.h"
#include "pith/Conversion/PackedWeights.h"
#include "pith/Conversion/Passes.h"

using namespace mlir;
using namespace pith;

Value pith::startOf(OpBuilder &b, Location loc, Value buffer) {
  auto type = cast<MemRefType>(buffer.getType());
  Value start = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, buffer);
  if (!type.getLayout().isIdentity()) {
    auto metadata = memref::ExtractStridedMetadataOp::create(b, loc, buffer);
    Value bytes = arith::ConstantIndexOp::create(b, loc, elementBytes(type.getElementType()));
    start = arith::AddIOp::create(b, loc, start, arith::MulIOp::create(b, loc, metadata.getOffset(), bytes));
  }
  return arith::IndexCastOp::create(b, loc, b.getI64Type(), start);
}

DictionaryAttr pith::specOf(func::FuncOp kernel) {
  auto spec = kernel->getAttrOfType<DictionaryAttr>(kKernelAttr);
  if (!spec)
    kernel.emitError("attribute '") << kKernelAttr << "' should be a dictionary";
  return spec;
}

/// Pointers to the buffers, then the sizes given, then the row strides that the kernel asks for.
LogicalResult pith::callKernel(LaunchOp op, SymbolTable &symbols, Value context, Value thread) {
  auto kernel = symbols.lookup<func::FuncOp>(op.getKernel());
  if (!kernel)
    return op.emitError("no kernel @") << op.getKernel();
  auto spec = kernel->getAttrOfType<DictionaryAttr>(kKernelAttr);
  auto strides = spec ? spec.getAs<DenseI64ArrayAttr>("strides") : DenseI64ArrayAttr();
  OpBuilder b(op);
  Location loc = op.getLoc();
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  auto asI64 = [&](Value index) -> Value {
    return arith::IndexCastOp::create(b, loc, b.getI64Type(), index);
  };
  SmallVector<Value> operands{context, thread}, sizes;
  for (auto [i, operand] : llvm::enumerate(op.getOperands())) {
    auto type = dyn_cast<MemRefType>(operand.getType());
    if (!type) {
      sizes.push_back(operand.getType().isIndex() ? asI64(operand) : operand);
      continue;
    }
    operands.push_back(LLVM::IntToPtrOp::create(b, loc, pointer, startOf(b, loc, operand)));
  }
  for (int64_t i : strides ? strides.asArrayRef() : ArrayRef<int64_t>()) {
    Value operand = op.getOperands()[i];
    auto type = cast<MemRefType>(operand.getType());
    Value stride;
    if (type.getLayout().isIdentity() && !type.isDynamicDim(type.getRank() - 1))
      stride = arith::ConstantIndexOp::create(b, loc, type.getShape().back());
    else
      stride = memref::ExtractStridedMetadataOp::create(b, loc, operand).getStrides()[type.getRank() - 2];
    sizes.push_back(asI64(stride));
  }
  operands.append(sizes);
  if (!llvm::equal(kernel.getFunctionType().getInputs(), ValueRange(operands).getTypes()))
    return op.emitError("kernel @") << op.getKernel() << " is " << kernel.getFunctionType()
                                    << ", but called with " << ValueRange(operands).getTypes();
  func::CallOp::create(b, loc, kernel, operands);
  op.erase();
  return success();
}

/// What is left of the entry: the arithmetic that gives the sizes it returns.
static void keepSizesOnly(func::FuncOp entry) {
  SmallVector<Operation *> ops;
  for (Operation &op : entry.front().without_terminator())
    ops.push_back(&op);
  for (Operation *op : llvm::reverse(ops))
    if (op->use_empty())
      op->erase();
}

int64_t pith::inputsOf(func::FuncOp entry) {
  auto inputs = entry->getAttrOfType<IntegerAttr>("pith.inputs");
  return inputs ? inputs.getInt() : -1;
}

func::FuncOp pith::separateRun(func::FuncOp entry, SymbolTable &symbols) {
  if (inputsOf(entry) < 0) {
    entry.emitError("is not in the form that pith-bufferize gives");
    return {};
  }
  Builder b(entry.getContext());
  SmallVector<Type> types{LLVM::LLVMPointerType::get(b.getContext()), b.getI32Type()};
  llvm::append_range(types, entry.getArgumentTypes());
  auto run =
      func::FuncOp::create(entry.getLoc(), (entry.getSymName() + "_run").str(), b.getFunctionType(types, {}));
  run.setPrivate();
  IRMapping map;
  entry.getBody().cloneInto(&run.getBody(), map);
  run.front().insertArgument(0u, types[0], run.getLoc());
  run.front().insertArgument(1u, types[1], run.getLoc());
  run.front().getTerminator()->setOperands({});
  symbols.insert(run, std::next(entry->getIterator()));
  keepSizesOnly(entry);
  return run;
}
