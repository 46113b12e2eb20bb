//===- KernelLowering.cpp - one GPU kernel becomes a host function --------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KernelLowering.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace pith::emulator;

KernelLowering::KernelLowering(func::FuncOp function, const SharedLayout &shared, unsigned warpSize)
    : b(function.getContext()), warpSize(warpSize), shared(shared), function(function),
      layout(function->getParentOfType<ModuleOp>()) {
  // In the order of the program: sites are numbered as they come, and lanes that have diverged meet by it.
  function.getBody().walk<WalkOrder::PreOrder>([&](Operation *op) { operations.push_back(op); });
}

//===----------------------------------------------------------------------===//
// Words for the handlers
//===----------------------------------------------------------------------===//

Value KernelLowering::constant(Type type, int64_t value) {
  return LLVM::ConstantOp::create(b, b.getUnknownLoc(), type, b.getIntegerAttr(type, value));
}

Value KernelLowering::i32Constant(int64_t value) { return constant(b.getI32Type(), int32_t(value)); }

Value KernelLowering::field(unsigned offset, Type type) {
  Location loc = function.getLoc();
  Value address = LLVM::GEPOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext()), b.getI8Type(),
                                      function.getArgument(0), ArrayRef<LLVM::GEPArg>{int32_t(offset)});
  // Nothing in it changes while the thread lives.
  return LLVM::LoadOp::create(b, loc, type, address, /*alignment=*/0, /*isVolatile=*/false,
                              /*isNonTemporal=*/false,
                              /*isInvariant=*/true);
}

Value KernelLowering::sharedBase() { return field(8, b.getI64Type()); }

Value KernelLowering::bitcast(Value value, Type type) {
  return value.getType() == type ? value : Value(LLVM::BitcastOp::create(b, value.getLoc(), type, value));
}

Value KernelLowering::plain(Value pointer) {
  auto type = LLVM::LLVMPointerType::get(b.getContext());
  return pointer.getType() == type ? pointer
                                   : Value(LLVM::AddrSpaceCastOp::create(b, pointer.getLoc(), type, pointer));
}

unsigned KernelLowering::siteOf(Operation *op) {
  auto [at, isNew] = knownSites.try_emplace(op, sites.size());
  if (!isNew)
    return at->second;
  Site site{op->getName().getStringRef().str(), ""};
  llvm::raw_string_ostream text(site.location);
  Location loc = op->getLoc();
  if (auto file = loc->findInstanceOf<FileLineColLoc>())
    text << file.getFilename().getValue() << ":" << file.getLine() << ":" << file.getColumn();
  else if (auto name = loc->findInstanceOf<NameLoc>())
    text << name.getName().getValue();
  sites.push_back(site);
  return at->second;
}

Value KernelLowering::call(unsigned offset, ArrayRef<Value> arguments) {
  Location loc = function.getLoc();
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  Value table = field(0, pointer);
  Value slot =
      LLVM::GEPOp::create(b, loc, pointer, b.getI8Type(), table, ArrayRef<LLVM::GEPArg>{int32_t(offset)});
  Value callee = LLVM::LoadOp::create(b, loc, pointer, slot, 0, false, false, /*isInvariant=*/true);
  SmallVector<Value> operands{callee, function.getArgument(0)};
  SmallVector<Type> types{pointer};
  for (Value argument : arguments) {
    operands.push_back(argument);
    types.push_back(argument.getType());
  }
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(b.getContext()), types);
  LLVM::CallOp::create(b, loc, type, operands);
  return {};
}

/// Whether a pointer leads to a variable of the thread's own.
static bool isPrivate(Value pointer) {
  if (cast<LLVM::LLVMPointerType>(pointer.getType()).getAddressSpace() == 5)
    return true;
  while (auto gep = pointer.getDefiningOp<LLVM::GEPOp>())
    pointer = gep.getBase();
  return pointer.getDefiningOp<LLVM::AllocaOp>() != nullptr;
}

void KernelLowering::check(Operation *op, Value pointer, Value bytes, unsigned alignment, unsigned flags) {
  if (isPrivate(pointer))
    return;
  switch (cast<LLVM::LLVMPointerType>(pointer.getType()).getAddressSpace()) {
  case 1: // global
  case 4: // constant
    flags |= PITH_EMU_GLOBAL;
    break;
  case 3: // shared
  case 7: // shared memory of a cluster
    flags |= PITH_EMU_SHARED;
    break;
  default:
    break;
  }
  call(offsetof(pith_emu_calls, access),
       {plain(pointer), bytes, i32Constant(alignment | flags), i32Constant(siteOf(op))});
}

SmallVector<Value> KernelLowering::operate(Operation *op, unsigned operation, uint64_t immediates,
                                           ArrayRef<Type> results, ArrayRef<Value> operands) {
  Location loc = function.getLoc();
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  unsigned words = 0, resultWords = 0;
  auto place = [&](unsigned word) -> Value {
    return LLVM::GEPOp::create(b, loc, pointer, b.getI32Type(), frame, ArrayRef<LLVM::GEPArg>{int32_t(word)});
  };
  // Results of less than a word come in one.
  auto stored = [&](Type type) -> Type { return type.isInteger(1) ? b.getI32Type() : type; };
  for (Type type : results)
    resultWords += wordsOf(stored(type));
  words = resultWords;
  for (Value operand : operands) {
    Type type = operand.getType();
    if (isa<LLVM::LLVMPointerType>(type))
      operand = plain(operand);
    else if (type.isInteger() && type.getIntOrFloatBitWidth() < 32)
      operand = LLVM::ZExtOp::create(b, loc, b.getI32Type(), operand);
    LLVM::StoreOp::create(b, loc, operand, place(words), /*alignment=*/4);
    words += wordsOf(operand.getType());
  }
  frameWords = std::max(frameWords, words);
  call(offsetof(pith_emu_calls, operate), {constant(b.getI64Type(), int64_t(operation | immediates << 16)),
                                           Value(frame), i32Constant(siteOf(op))});
  SmallVector<Value> values;
  unsigned word = 0;
  for (Type type : results) {
    Value value = LLVM::LoadOp::create(b, loc, stored(type), place(word), /*alignment=*/4);
    word += wordsOf(stored(type));
    if (stored(type) != type)
      value = LLVM::TruncOp::create(b, loc, type, value);
    values.push_back(value);
  }
  return values;
}

LogicalResult KernelLowering::replaceByOperate(Operation *op, unsigned operation, uint64_t immediates,
                                               ArrayRef<Value> operands) {
  SmallVector<Type> results(op->getResultTypes());
  replace(op, operate(op, operation, immediates, results, operands));
  return success();
}

void KernelLowering::replace(Operation *op, ValueRange values) {
  op->replaceAllUsesWith(values);
  op->erase();
}

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

/// Whether an operation means the same on the host.
static bool isNeutral(Operation *op) {
  StringRef dialect = op->getName().getDialectNamespace();
  if (dialect != "llvm")
    return llvm::is_contained({"arith", "math", "scf", "cf", "vector", "index", "func", "ub"}, dialect);
  if (isa<LLVM::AllocaOp, LLVM::GEPOp, LLVM::AddrSpaceCastOp, LLVM::SelectOp, LLVM::ICmpOp, LLVM::FreezeOp,
          LLVM::LifetimeStartOp, LLVM::LifetimeEndOp>(op))
    return true;
  // Whatever else takes a pointer might look behind it, unchecked.
  return llvm::none_of(op->getOperandTypes(), llvm::IsaPred<LLVM::LLVMPointerType>) ||
         op->hasTrait<OpTrait::IsTerminator>();
}

static const Handlers &allHandlers() {
  static const Handlers handlers = [] {
    Handlers made;
    addMemoryHandlers(made);
    addThreadHandlers(made);
    addMatrixHandlers(made);
    addAsyncHandlers(made);
    return made;
  }();
  return handlers;
}

LogicalResult KernelLowering::run() {
  Block &entry = function.getBody().front();
  b.setInsertionPointToStart(&entry);
  frame = LLVM::AllocaOp::create(b, function.getLoc(), LLVM::LLVMPointerType::get(b.getContext()),
                                 b.getI32Type(), i32Constant(1), /*alignment=*/16);
  for (Operation *op : operations) {
    b.setInsertionPoint(op);
    auto handler = allHandlers().find(op->getName().getStringRef());
    if (handler != allHandlers().end()) {
      if (failed(handler->second(*this, op)))
        return failure();
    } else if (!isNeutral(op)) {
      return op->emitOpError("is not known to the emulator");
    }
  }
  b.setInsertionPoint(frame);
  frame.getArraySizeMutable().assign(i32Constant(frameWords));

  // One address space: what tells them apart has been done.
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  AttrTypeReplacer toPlain;
  toPlain.addReplacement([&](LLVM::LLVMPointerType) -> Type { return pointer; });
  toPlain.recursivelyReplaceElementsIn(function, /*replaceAttrs=*/true, /*replaceLocs=*/false,
                                       /*replaceTypes=*/true);
  function.walk([&](LLVM::AddrSpaceCastOp cast) {
    cast.replaceAllUsesWith(cast.getArg());
    cast.erase();
  });
  return success();
}
