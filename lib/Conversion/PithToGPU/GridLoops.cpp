//===- GridLoops.cpp - loops as kernels -----------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel sees a buffer as a pointer, the sizes and the strides that are not known here. Its loads and
// stores are computed from them: kernels have no memrefs.
//
//===----------------------------------------------------------------------===//
#include "GridLoops.h"
#include "../Common/EntryRun.h"
#include "../Common/FlatLoop.h"
#include "Launcher.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "pith/Codegen/GPU/Kernels.h"
#include "pith/Conversion/PackedWeights.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallBitVector.h"

using namespace mlir;
using namespace pith;

static constexpr int64_t blockThreads = 256;

namespace {
/// What a kernel has to know of a buffer.
struct View {
  Value start;                      // !llvm.ptr<1>
  SmallVector<Value> dims, strides; // index
};

/// Sizes and strides of a type that only a run knows: their places.
struct Unknown {
  SmallVector<unsigned> dims, strides;
  explicit Unknown(MemRefType type) {
    for (int64_t i = 0; i < type.getRank(); ++i)
      if (type.isDynamicDim(i))
        dims.push_back(i);
    if (type.getLayout().isIdentity())
      return;
    auto [fixed, offset] = type.getStridesAndOffset();
    for (int64_t i = 0; i < type.getRank(); ++i)
      if (ShapedType::isDynamic(fixed[i]))
        strides.push_back(i);
  }
};

/// The type by which a kernel gets a number.
Type passedAs(Type type) {
  Builder b(type.getContext());
  if (type.isIndex())
    return b.getI64Type();
  return b.getIntegerType(type.getIntOrFloatBitWidth() > 32 ? 64 : 32);
}

/// Writes the kernel of one loop.
class KernelWriter {
public:
  KernelWriter(scf::ParallelOp loop, ArrayRef<Value> captured)
      : loop(loop), captured(captured), b(loop.getContext()), loc(loop.getLoc()) {}

  mlir::gpu::GPUFuncOp write();

private:
  void bind(Value value, Block *entry, unsigned &next);
  Value outside(Value value);
  LogicalResult cloneBlock(Block &block);
  LogicalResult clone(Operation &op);
  Value address(const View &view, ValueRange indices, Type element);
  Value index(int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); }

  scf::ParallelOp loop;
  ArrayRef<Value> captured;
  OpBuilder b;
  Location loc;
  IRMapping map;
  llvm::DenseMap<Value, View> views;
};
} // namespace

/// A captured value from the arguments that stand for it.
void KernelWriter::bind(Value value, Block *entry, unsigned &next) {
  auto type = dyn_cast<MemRefType>(value.getType());
  auto asIndex = [&](Value i64) -> Value {
    return arith::IndexCastOp::create(b, loc, b.getIndexType(), i64);
  };
  if (!type) {
    Value given = entry->getArgument(next++);
    if (value.getType().isIndex()) {
      given = asIndex(given);
    } else {
      unsigned width = value.getType().getIntOrFloatBitWidth();
      if (given.getType().getIntOrFloatBitWidth() > width)
        given = arith::TruncIOp::create(b, loc, b.getIntegerType(width), given);
      if (given.getType() != value.getType())
        given = arith::BitcastOp::create(b, loc, value.getType(), given);
    }
    map.map(value, given);
    return;
  }
  View view;
  view.start = entry->getArgument(next++);
  Unknown unknown(type);
  view.dims.resize(type.getRank());
  view.strides.resize(type.getRank());
  for (unsigned i : unknown.dims)
    view.dims[i] = asIndex(entry->getArgument(next++));
  for (unsigned i : unknown.strides)
    view.strides[i] = asIndex(entry->getArgument(next++));
  bool identity = type.getLayout().isIdentity();
  SmallVector<int64_t> fixed;
  if (!identity)
    fixed = type.getStridesAndOffset().first;
  for (int64_t i = type.getRank() - 1; i >= 0; --i) {
    if (!view.dims[i])
      view.dims[i] = index(type.getDimSize(i));
    if (!identity && !view.strides[i])
      view.strides[i] = index(fixed[i]);
    else if (identity)
      view.strides[i] =
          i + 1 == type.getRank()
              ? index(1)
              : arith::MulIOp::create(b, loc, view.strides[i + 1], view.dims[i + 1]).getResult();
  }
  views[value] = view;
}

/// Constants from outside are made anew.
Value KernelWriter::outside(Value value) {
  if (Value known = map.lookupOrNull(value))
    return known;
  Operation *def = value.getDefiningOp();
  if (!isConstant(value) || loop->isAncestor(def))
    return value;
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(
      &b.getInsertionBlock()->getParent()->getParentOfType<mlir::gpu::GPUFuncOp>().getBody().front());
  Value copy = b.clone(*def)->getResult(0);
  map.map(value, copy);
  return copy;
}

Value KernelWriter::address(const View &view, ValueRange indices, Type element) {
  Value offset;
  for (auto [i, position] : llvm::enumerate(indices)) {
    Value part = arith::MulIOp::create(b, loc, position, view.strides[i]);
    offset = offset ? arith::AddIOp::create(b, loc, offset, part).getResult() : part;
  }
  if (!offset)
    return view.start;
  Value bytes = arith::MulIOp::create(b, loc, offset, index(elementBytes(element)));
  Value wide = arith::IndexCastOp::create(b, loc, b.getI64Type(), bytes);
  return LLVM::GEPOp::create(b, loc, view.start.getType(), b.getI8Type(), view.start,
                             ArrayRef<LLVM::GEPArg>{wide});
}

LogicalResult KernelWriter::clone(Operation &op) {
  loc = op.getLoc();
  for (Value operand : op.getOperands())
    if (!isa<MemRefType>(operand.getType()))
      (void)outside(operand);
  auto indices = [&](ValueRange given) {
    return llvm::map_to_vector(given, [&](Value value) { return map.lookupOrDefault(value); });
  };
  auto viewOf = [&](Value buffer) -> const View * {
    auto found = views.find(buffer);
    return found == views.end() ? nullptr : &found->second;
  };
  // In memory an index takes 8 bytes, and less than a byte takes one.
  auto stored = [&](Type type) -> Type {
    if (type.isIndex())
      return b.getI64Type();
    return type.isIntOrFloat() && type.getIntOrFloatBitWidth() < 8 ? Type(b.getI8Type()) : type;
  };
  if (auto load = dyn_cast<memref::LoadOp>(op)) {
    const View *view = viewOf(load.getMemRef());
    if (!view)
      return op.emitError("reads a buffer that a kernel cannot take");
    Type type = load.getType(), inMemory = stored(type);
    Value value = LLVM::LoadOp::create(b, loc, inMemory, address(*view, indices(load.getIndices()), type),
                                       static_cast<unsigned>(elementBytes(type)));
    if (type.isIndex())
      value = arith::IndexCastOp::create(b, loc, type, value);
    else if (type != inMemory)
      value = arith::TruncIOp::create(b, loc, type, value);
    map.map(load.getResult(), value);
    return success();
  }
  if (auto store = dyn_cast<memref::StoreOp>(op)) {
    const View *view = viewOf(store.getMemRef());
    if (!view)
      return op.emitError("writes a buffer that a kernel cannot take");
    Value value = map.lookupOrDefault(store.getValue());
    Type type = value.getType(), inMemory = stored(type);
    if (type.isIndex())
      value = arith::IndexCastOp::create(b, loc, inMemory, value);
    else if (type != inMemory)
      value = arith::ExtUIOp::create(b, loc, inMemory, value);
    LLVM::StoreOp::create(b, loc, value, address(*view, indices(store.getIndices()), type),
                          static_cast<unsigned>(elementBytes(type)));
    return success();
  }
  if (auto dim = dyn_cast<memref::DimOp>(op)) {
    const View *view = viewOf(dim.getSource());
    std::optional<int64_t> place = dim.getConstantIndex();
    if (!view || !place)
      return op.emitError("asks for a size that a kernel does not know");
    map.map(dim.getResult(), view->dims[*place]);
    return success();
  }
  if (auto slice = dyn_cast<memref::SubViewOp>(op)) {
    const View *from = viewOf(slice.getSource());
    if (!from)
      return op.emitError("takes a part of a buffer that a kernel cannot take");
    auto value = [&](OpFoldResult size) -> Value {
      if (std::optional<int64_t> known = getConstantIntValue(size))
        return index(*known);
      return map.lookupOrDefault(cast<Value>(size));
    };
    SmallVector<Value> offsets = llvm::map_to_vector(slice.getMixedOffsets(), value);
    View view;
    view.start = address(*from, offsets, slice.getType().getElementType());
    llvm::SmallBitVector dropped = slice.getDroppedDims();
    for (auto [i, size, step] : llvm::enumerate(slice.getMixedSizes(), slice.getMixedStrides())) {
      if (dropped.test(i))
        continue;
      view.dims.push_back(value(size));
      view.strides.push_back(arith::MulIOp::create(b, loc, from->strides[i], value(step)));
    }
    views[slice.getResult()] = view;
    return success();
  }
  if (llvm::any_of(op.getResultTypes(), llvm::IsaPred<MemRefType>) ||
      llvm::any_of(op.getOperandTypes(), llvm::IsaPred<MemRefType>))
    return op.emitOpError("has no form inside a kernel");
  if (op.getNumRegions() == 0) {
    b.clone(op, map);
    return success();
  }
  Operation *copy = b.cloneWithoutRegions(op, map);
  for (auto [from, to] : llvm::zip_equal(op.getRegions(), copy->getRegions())) {
    for (Block &block : from) {
      Block *fresh = new Block;
      to.push_back(fresh);
      for (BlockArgument argument : block.getArguments())
        map.map(argument, fresh->addArgument(argument.getType(), argument.getLoc()));
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToEnd(fresh);
      for (Operation &inner : block)
        if (failed(clone(inner)))
          return failure();
    }
  }
  return success();
}

/// Kernels have no index type: what was one is an i64.
static void useI64(mlir::gpu::GPUFuncOp kernel) {
  Type i64 = IntegerType::get(kernel.getContext(), 64);
  auto change = [&](Value value) {
    if (value.getType().isIndex())
      value.setType(i64);
  };
  SmallVector<Operation *> casts;
  kernel.walk<WalkOrder::PreOrder>([&](Operation *op) {
    for (Region &region : op->getRegions())
      for (Block &block : region)
        llvm::for_each(block.getArguments(), change);
    if (isa<mlir::gpu::ThreadIdOp, mlir::gpu::BlockIdOp>(op)) {
      OpBuilder b(op->getContext());
      b.setInsertionPointAfter(op);
      auto cast = arith::IndexCastUIOp::create(b, op->getLoc(), i64, op->getResult(0));
      op->getResult(0).replaceAllUsesExcept(cast, cast);
      return;
    }
    if (auto constant = dyn_cast<arith::ConstantOp>(op); constant && constant.getType().isIndex())
      constant.setValueAttr(IntegerAttr::get(i64, cast<IntegerAttr>(constant.getValue()).getInt()));
    llvm::for_each(op->getResults(), change);
    if (isa<arith::IndexCastOp, arith::IndexCastUIOp>(op) && !op->getOperand(0).getType().isIndex())
      casts.push_back(op);
  });
  for (Operation *op : casts) {
    Value from = op->getOperand(0);
    Type to = op->getResult(0).getType();
    if (isa_and_nonnull<mlir::gpu::ThreadIdOp, mlir::gpu::BlockIdOp>(from.getDefiningOp()))
      continue;
    OpBuilder b(op);
    unsigned have = from.getType().getIntOrFloatBitWidth(), want = to.getIntOrFloatBitWidth();
    if (have > want)
      from = arith::TruncIOp::create(b, op->getLoc(), to, from);
    else if (have < want && isa<arith::IndexCastUIOp>(op))
      from = arith::ExtUIOp::create(b, op->getLoc(), to, from);
    else if (have < want)
      from = arith::ExtSIOp::create(b, op->getLoc(), to, from);
    op->getResult(0).replaceAllUsesWith(from);
    op->erase();
  }
}

mlir::gpu::GPUFuncOp KernelWriter::write() {
  auto pointer = LLVM::LLVMPointerType::get(b.getContext(), 1);
  SmallVector<Type> types;
  for (Value value : captured) {
    auto type = dyn_cast<MemRefType>(value.getType());
    if (!type) {
      types.push_back(passedAs(value.getType()));
      continue;
    }
    Unknown unknown(type);
    types.push_back(pointer);
    types.append(unknown.dims.size() + unknown.strides.size(), b.getI64Type());
  }
  auto kernel = mlir::gpu::GPUFuncOp::create(b, loc, "loop", b.getFunctionType(types, {}));
  kernel->setAttr(mlir::gpu::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  kernel.setKnownBlockSizeAttr(b.getDenseI32ArrayAttr({blockThreads, 1, 1}));
  kernel->setAttr(pith::gpu::kSharedBytesAttr, b.getI64IntegerAttr(0));
  Block *entry = &kernel.getBody().front();
  b.setInsertionPointToStart(entry);
  unsigned next = 0;
  for (Value value : captured)
    bind(value, entry, next);

  FlatLoop flat(b, loop, [&](Value value) { return outside(value); });
  Value block = mlir::gpu::BlockIdOp::create(b, loc, mlir::gpu::Dimension::x);
  Value thread = mlir::gpu::ThreadIdOp::create(b, loc, mlir::gpu::Dimension::x);
  Value mine =
      arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, block, index(blockThreads)), thread);
  Value real = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, mine, flat.total);
  auto work = scf::IfOp::create(b, loc, real, /*withElseRegion=*/false);
  mlir::gpu::ReturnOp::create(b, loc);
  b.setInsertionPointToStart(work.thenBlock());
  flat.bind(b, mine, map);
  for (Operation &op : loop.getBody()->without_terminator())
    if (failed(clone(op))) {
      kernel.erase();
      return {};
    }
  useI64(kernel);
  return kernel;
}

/// Passes the captured values as the kernel takes them, on a grid with a thread for each iteration.
static func::FuncOp writeHost(scf::ParallelOp loop, ArrayRef<Value> captured, mlir::gpu::GPUFuncOp kernel) {
  OpBuilder b(loop.getContext());
  Location loc = loop.getLoc();
  SmallVector<Type> types{LLVM::LLVMPointerType::get(b.getContext()), b.getI32Type()};
  for (Value value : captured)
    types.push_back(value.getType());
  auto host = func::FuncOp::create(loc, "loop", b.getFunctionType(types, {}));
  host.setPrivate();
  Block *entry = host.addEntryBlock();
  b.setInsertionPointToStart(entry);
  Launcher go(b, loc, host);
  auto asI64 = [&](Value index) -> Value {
    return arith::IndexCastOp::create(b, loc, b.getI64Type(), index);
  };
  IRMapping map;
  SmallVector<Value> arguments;
  for (auto [i, original] : llvm::enumerate(captured)) {
    Value value = entry->getArgument(i + 2);
    map.map(original, value);
    auto type = dyn_cast<MemRefType>(value.getType());
    if (!type) {
      if (isa<FloatType>(value.getType()))
        value = arith::BitcastOp::create(b, loc, b.getIntegerType(value.getType().getIntOrFloatBitWidth()),
                                         value);
      arguments.push_back(value);
      continue;
    }
    arguments.push_back(
        LLVM::IntToPtrOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext()), startOf(b, loc, value)));
    Unknown unknown(type);
    for (unsigned dim : unknown.dims)
      arguments.push_back(asI64(memref::DimOp::create(b, loc, value, dim)));
    if (!unknown.strides.empty()) {
      auto metadata = memref::ExtractStridedMetadataOp::create(b, loc, value);
      for (unsigned stride : unknown.strides)
        arguments.push_back(asI64(metadata.getStrides()[stride]));
    }
  }
  auto outside = [&](Value value) {
    return isConstant(value) ? b.clone(*value.getDefiningOp())->getResult(0) : map.lookup(value);
  };
  Value total = go.constant(1);
  for (auto [l, u, s] : llvm::zip_equal(loop.getLowerBound(), loop.getUpperBound(), loop.getStep())) {
    Value distance = arith::SubIOp::create(b, loc, outside(u), outside(l));
    Value count = arith::CeilDivSIOp::create(b, loc, distance, outside(s));
    total =
        arith::MulIOp::create(b, loc, total, arith::MaxSIOp::create(b, loc, asI64(count), go.constant(0)));
  }
  go.launch(kernel, arguments, arith::CeilDivSIOp::create(b, loc, total, go.constant(blockThreads)));
  func::ReturnOp::create(b, loc);
  return host;
}

LogicalResult GridOutliner::outline(scf::ParallelOp loop, Value context, Value thread) {
  llvm::SetVector<Value> captured = capturedBy(loop);
  for (Value value : captured)
    if (Operation *def = value.getDefiningOp(); isa_and_nonnull<memref::GetGlobalOp>(def))
      return (*value.user_begin())->emitError("reads a buffer that is not in the device's memory");
  mlir::gpu::GPUFuncOp kernel = KernelWriter(loop, captured.getArrayRef()).write();
  if (!kernel)
    return failure();
  std::string text;
  llvm::raw_string_ostream stream(text);
  kernel.print(stream, OpPrintingFlags().useLocalScope().printGenericOpForm());
  auto [known, fresh] = kernels.try_emplace(text, kernel);
  if (fresh) {
    kernelsOf(module).getBody()->push_back(kernel);
    kernel.setName(("loop_" + Twine(kernels.size() - 1)).str());
  } else {
    kernel.erase();
    kernel = known->second;
  }
  // One kernel may be started with buffers of several types.
  llvm::interleaveComma(ValueRange(captured.getArrayRef()).getTypes(), stream);
  func::FuncOp &host = hosts[text];
  if (!host) {
    host = writeHost(loop, captured.getArrayRef(), kernel);
    symbols.insert(host);
  }
  OpBuilder b(loop);
  SmallVector<Value> operands{context, thread};
  operands.append(captured.begin(), captured.end());
  func::CallOp::create(b, loop.getLoc(), host, operands);
  loop.erase();
  return success();
}
