//===- KernelBuilder.cpp - words that GPU kernels are written in ----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KernelBuilder.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "pith/Codegen/GPU/TileOps.h"
#include <algorithm>

using namespace mlir;
using namespace pith::gpu;
using namespace pith;

/// The symbol of a module's shared memory. It has no size of its own: a launch says how much the kernel gets.
static constexpr const char *sharedName = "pith_shared";

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

Value KernelBuilder::thread() {
  // At the kernel's start, so that one value serves all regions.
  if (!threadId) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&function.getBody().front());
    Value id = mlir::gpu::ThreadIdOp::create(b, loc, mlir::gpu::Dimension::x);
    threadId = arith::IndexCastOp::create(b, loc, i32, id);
  }
  return threadId;
}

Value KernelBuilder::block(mlir::gpu::Dimension dimension) {
  return arith::IndexCastOp::create(b, loc, i32, mlir::gpu::BlockIdOp::create(b, loc, dimension));
}

Value KernelBuilder::atWide(Value base, Value position, int64_t bytes) {
  return at(base, mul(zext(position, i64), bytes));
}

Value KernelBuilder::loadChunk(Value address) {
  auto load = LLVM::LoadOp::create(b, loc, vec(4, i32), address, 16);
  load.setInvariant(true);
  return load;
}

Type KernelBuilder::typeOf(Element element) {
  return element == Element::F32 ? f32 : element == Element::F16 ? f16 : bf16;
}

Value KernelBuilder::loadFloats(Element element, Value address, int64_t count, int64_t align) {
  Type type = typeOf(element);
  int64_t bytes = kernels::elementBytes(element);
  if (count == 1)
    return toF32(load(type, address, bytes));
  // What is aligned to less than a vector comes in smaller ones.
  int64_t step = std::min(count, std::max<int64_t>(1, std::min<int64_t>(align, 16) / bytes));
  Value all;
  for (int64_t i = 0; i < count; i += step) {
    Value part = load(vec(step, type), at(address, i * bytes), step * bytes);
    all = all ? concat(all, part) : part;
  }
  return toF32(all);
}

void KernelBuilder::storeFloats(Element element, Value value, Value address, int64_t align) {
  store(fromF32(value, typeOf(element)), address, align);
}

Value KernelBuilder::orZero(Value condition, Value value) {
  return select(condition, value, constant(value.getType(), 0));
}

//===----------------------------------------------------------------------===//
// Lanes and blocks
//===----------------------------------------------------------------------===//

Value KernelBuilder::shuffleXor(Value value, int64_t offset) {
  return mlir::gpu::ShuffleOp::create(b, loc, value, index(offset), index(subgroupLanes),
                                      mlir::gpu::ShuffleMode::XOR)
      .getShuffleResult();
}

KernelBuilder::Values KernelBuilder::combineLanes(ArrayRef<Value> values, int64_t width, int64_t from,
                                                  llvm::function_ref<Value(Value, Value)> combine) {
  // All values step by step: their exchanges overlap.
  Values result(values);
  for (int64_t offset = width / 2; offset >= from; offset /= 2) {
    Values others;
    for (Value value : result)
      others.push_back(shuffleXor(value, offset));
    for (auto [value, other] : llvm::zip(result, others))
      value = combine(value, other);
  }
  return result;
}

KernelBuilder::Values KernelBuilder::sumLanes(ArrayRef<Value> values, int64_t width, int64_t from) {
  return combineLanes(values, width, from, [&](Value x, Value y) { return fadd(x, y); });
}

KernelBuilder::Values KernelBuilder::maxLanes(ArrayRef<Value> values, int64_t width, int64_t from) {
  return combineLanes(values, width, from, [&](Value x, Value y) { return fmax(x, y); });
}

TilePlace KernelBuilder::place(tile::What what, int64_t index) {
  auto op = tile::PlaceOp::create(b, loc, i32, i32, what, uint32_t(index));
  return {op.getRow(), op.getColumn()};
}

KernelBuilder::Values KernelBuilder::split(Value x, Element element, int64_t parts) {
  Values result;
  if (element == Element::F16) { // a large value rather than infinity
    Type type = x.getType();
    x = fmin(fmax(x, constant(type, -65504)), constant(type, 65504));
  }
  for (int64_t p = 0; p < parts; ++p) {
    result.push_back(fromF32(x, typeOf(element)));
    if (p + 1 < parts)
      x = fsub(x, toF32(result.back()));
  }
  return result;
}

/// The lowest three bits of the row in another order: rows that differ in the lowest bit alone are 64 bytes
/// apart.
Value KernelBuilder::octetOffset(Value row, Value octet, int64_t pitch) {
  Value bits = bitOr(shiftLeft(bitAnd(row, 1), 2), bitAnd(shiftRight(row, 1), 3));
  return add(mul(row, pitch), mul(arith::XOrIOp::create(b, loc, octet, bits), 16));
}

Value KernelBuilder::shared(int64_t offset) {
  auto type = LLVM::LLVMPointerType::get(b.getContext(), 3);
  auto module = function->getParentOfType<mlir::gpu::GPUModuleOp>();
  if (!module.lookupSymbol(sharedName)) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    LLVM::GlobalOp::create(b, module.getLoc(), LLVM::LLVMArrayType::get(i8, 0), /*isConstant=*/false,
                           LLVM::Linkage::External, sharedName, Attribute(), /*alignment=*/1024,
                           /*addrSpace=*/3);
  }
  return at(Value(LLVM::AddressOfOp::create(b, loc, type, sharedName)), offset);
}

void KernelBuilder::barrier() { mlir::gpu::BarrierOp::create(b, loc); }

KernelBuilder::Values KernelBuilder::sumBlock(ArrayRef<Value> values, int64_t offset) {
  Values sums = sumLanes(values);
  int64_t count = values.size();
  if (subgroups() == 1)
    return sums;
  ifThen(equal(lane(), 0), [&] {
    Value mine = at(shared(offset), mul(subgroup(), count * 4));
    for (int64_t i = 0; i < count; ++i)
      store(sums[i], at(mine, i * 4));
  });
  barrier();
  // Every thread adds them up in the same order.
  Values total;
  for (int64_t i = 0; i < count; ++i) {
    Value sum;
    for (int64_t s = 0; s < subgroups(); ++s) {
      Value part = load(f32, shared(offset + (s * count + i) * 4));
      sum = sum ? fadd(sum, part) : part;
    }
    total.push_back(sum);
  }
  return total;
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

Value KernelBuilder::fdiv(Value x, Value y) {
  auto flags =
      arith::FastMathFlagsAttr::get(b.getContext(), arith::FastMathFlags::afn | arith::FastMathFlags::arcp);
  return arith::DivFOp::create(b, loc, x, y, flags);
}

Value KernelBuilder::exp2(Value x, int degree) {
  auto flags = LLVM::FastmathFlagsAttr::get(b.getContext(), LLVM::FastmathFlags::afn);
  return LLVM::Exp2Op::create(b, loc, x.getType(), x, flags);
}

Value KernelBuilder::exp(Value x) { return exp2(fmul(x, constant(x.getType(), 1.44269504088896340736))); }

Value KernelBuilder::fmin(Value x, Value y) { return LLVM::MinNumOp::create(b, loc, x, y); }
Value KernelBuilder::fmax(Value x, Value y) { return LLVM::MaxNumOp::create(b, loc, x, y); }

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

int64_t pith::gpu::alignmentOf(int64_t stride, int64_t wanted) {
  int64_t align = std::min<int64_t>(wanted, 16);
  while (stride % align != 0)
    align /= 2;
  return align;
}

llvm::StringRef pith::gpu::nameOf(Element element) {
  return element == Element::F32 ? "f32" : element == Element::F16 ? "f16" : "bf16";
}

mlir::gpu::GPUFuncOp
pith::gpu::getOrCreateKernel(mlir::gpu::GPUModuleOp module, StringRef name, ArrayRef<Argument> arguments,
                             const KernelShape &shape,
                             llvm::function_ref<void(KernelBuilder &, ArrayRef<Value>)> body) {
  if (auto existing = module.lookupSymbol<mlir::gpu::GPUFuncOp>(name))
    return existing;
  MLIRContext *context = module.getContext();
  context->loadDialect<arith::ArithDialect, mlir::gpu::GPUDialect, LLVM::LLVMDialect, NVVM::NVVMDialect,
                       math::MathDialect, scf::SCFDialect, pith::tile::TileDialect, vector::VectorDialect>();
  OpBuilder b(context);
  Location loc = NameLoc::get(b.getStringAttr(name));
  auto pointer = LLVM::LLVMPointerType::get(context, 1);
  SmallVector<Type> types;
  unsigned sizes = 0;
  for (Argument argument : arguments) {
    types.push_back(argument == Argument::Size ? Type(b.getI32Type()) : pointer);
    sizes += argument == Argument::Size;
  }

  b.setInsertionPointToEnd(module.getBody());
  auto function = mlir::gpu::GPUFuncOp::create(b, loc, name, b.getFunctionType(types, {}));
  function->setAttr(mlir::gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  function.setKnownBlockSizeAttr(b.getDenseI32ArrayAttr({int32_t(shape.threads), 1, 1}));
  function->setAttr(kSharedBytesAttr, b.getI64IntegerAttr(shape.sharedBytes));
  if (shape.oneBlock)
    function->setAttr(kOneBlockAttr, b.getUnitAttr());
  if (shape.warpGroups)
    function->setAttr(kWarpGroupsAttr, b.getUnitAttr());
  SmallVector<AffineExpr> grid(shape.grid);
  grid.resize(3, b.getAffineConstantExpr(1));
  function->setAttr(kGridAttr, AffineMapAttr::get(AffineMap::get(sizes, 0, grid, context)));
  for (auto [i, argument] : llvm::enumerate(arguments)) {
    if (argument == Argument::Constant)
      function.setArgAttr(i, LLVM::LLVMDialect::getNoAliasAttrName(), b.getUnitAttr());
    if (argument == Argument::Constant || argument == Argument::In)
      function.setArgAttr(i, LLVM::LLVMDialect::getReadonlyAttrName(), b.getUnitAttr());
  }
  Block *entry = &function.getBody().front();
  b.setInsertionPointToStart(entry);
  SmallVector<Value> values(entry->getArguments().begin(), entry->getArguments().end());
  KernelBuilder k(b, loc, function, shape.threads);
  body(k, values);
  mlir::gpu::ReturnOp::create(b, loc);
  return function;
}
