//===- PlanBuffers.cpp - give every buffer its place in one workspace -----===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// An entry is a straight line of operations, so a buffer lives from the first that uses it to the last. A
// buffer's size is a number of bytes times a product of dimensions that are known when the entry starts.
// Buffers with the same product form a class; in a class all sizes and offsets are multiples of that product,
// so that places are found at compile time as if the product were 1. The workspace is the classes one behind
// the other.
//
// What has no place stays an allocation, which the runtime serves: a buffer whose size depends on data, and
// one that a loop makes in one iteration for the next. It is released at the end of the iteration that made
// it if nothing that lives longer refers to it.
//
// Every place begins at a multiple of 64 bytes. Where an element of the class is small, its unit is the
// product rounded up to a multiple of 64; else each buffer's bytes per unit are.
//
//===----------------------------------------------------------------------===//
#include "EntrySizes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/Transforms/BufferViewFlowAnalysis.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include "pith/Conversion/PackedWeights.h"
#include "pith/Conversion/Passes.h"
#include "llvm/Support/MathExtras.h"

namespace pith {
#define GEN_PASS_DEF_PLANBUFFERS
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

using namespace mlir;

namespace {
constexpr int64_t alignment = 64;
/// From this many bytes per unit on, rounding them up to the alignment wastes little.
constexpr int64_t wideBytes = 1024;

/// The dimensions that a size is a multiple of, each as often as it occurs.
struct Product {
  int64_t number = 1;
  SmallVector<Value> factors;

  void multiply(Value value) {
    APInt constant;
    if (matchPattern(value, m_ConstantInt(&constant))) {
      number *= constant.getSExtValue();
      return;
    }
    if (auto product = value.getDefiningOp<arith::MulIOp>()) {
      multiply(product.getLhs());
      multiply(product.getRhs());
      return;
    }
    auto before = [](Value a, Value b) { return a.getAsOpaquePointer() < b.getAsOpaquePointer(); };
    factors.insert(llvm::upper_bound(factors, value, before), value);
  }
};

struct Buffer {
  memref::AllocOp op;
  int64_t bytes;        // per unit of its class
  unsigned first, last; // positions of the first and the last user
  int64_t offset = 0;   // in its class
};

struct SizeClass {
  SmallVector<Value> factors;
  bool wide = false;
  SmallVector<Buffer> buffers;
  int64_t bytes = 0; // per unit
  Value unit, base;
};

class Planner {
public:
  explicit Planner(func::FuncOp entry) : entry(entry), b(entry.getContext()), loc(entry.getLoc()) {}
  LogicalResult run();

private:
  LogicalResult sizeOutputs();
  LogicalResult collect();
  bool hasKnownSize(memref::AllocOp op, Product &size);
  void place(SizeClass &sizeClass);
  void rewrite();
  Value sizesArePossible();
  Value index(int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); }

  func::FuncOp entry;
  OpBuilder b;
  Location loc;
  pith::SizeHoister hoister{entry};
  SmallVector<SizeClass> classes;
};
} // namespace

bool Planner::hasKnownSize(memref::AllocOp op, Product &size) {
  MemRefType type = op.getType();
  size.number = pith::elementBytes(type.getElementType());
  for (int64_t d : type.getShape())
    if (!ShapedType::isDynamic(d))
      size.number *= d;
  for (OpOperand &d : op.getDynamicSizesMutable()) {
    if (failed(hoister.hoist(d.get())))
      return false;
    size.multiply(d.get());
  }
  return true;
}

/// The innermost loop around an operation.
static Operation *loopAround(Operation *op) {
  while ((op = op->getParentOp()) && !isa<LoopLikeOpInterface>(op))
    ;
  return op;
}

LogicalResult Planner::collect() {
  DenseMap<Operation *, unsigned> positions;
  for (auto [i, op] : llvm::enumerate(entry.front()))
    positions[&op] = i;
  BufferViewFlowAnalysis aliases(entry);
  SmallVector<memref::AllocOp> allocs;
  entry.walk([&](memref::AllocOp op) { allocs.push_back(op); });
  for (memref::AllocOp op : allocs) {
    if (op->getParentOfType<scf::ParallelOp>())
      return op.emitError("a buffer inside a parallel loop cannot be planned");
    Operation *loop = loopAround(op);
    bool outlives = false, local = true;
    unsigned first = ~0u, last = 0;
    for (Value alias : aliases.resolve(op.getResult())) {
      // A value outside the iteration: a result or an argument of the loop.
      Block *block = alias.getParentBlock();
      outlives |= loop && (block->getParentOp() == loop ? isa<BlockArgument>(alias)
                                                        : !loop->isProperAncestor(block->getParentOp()));
      local &= op->getParentRegion()->isAncestor(block->getParent());
      for (Operation *user : alias.getUsers()) {
        Operation *top = entry.front().findAncestorOpInBlock(*user);
        if (isa<ViewLikeOpInterface>(user) && top == user)
          continue;
        first = std::min(first, positions[top]);
        last = std::max(last, positions[top]);
      }
    }
    Product size;
    if (outlives || !hasKnownSize(op, size)) {
      if (loop && !outlives && local) {
        OpBuilder end(op->getBlock()->getTerminator());
        memref::DeallocOp::create(end, op.getLoc(), op);
      }
      continue;
    }
    if (first == ~0u)
      first = last = positions[entry.front().findAncestorOpInBlock(*op)];
    bool wide = size.factors.empty() || size.number >= wideBytes;
    auto known =
        llvm::find_if(classes, [&](SizeClass &c) { return c.factors == size.factors && c.wide == wide; });
    if (known == classes.end()) {
      classes.emplace_back();
      known = std::prev(classes.end());
      known->factors = size.factors;
      known->wide = wide;
    }
    known->buffers.push_back(
        {op, wide ? static_cast<int64_t>(llvm::alignTo(size.number, alignment)) : size.number, first, last});
  }
  return success();
}

/// Largest first, each at the lowest offset that is free during its life.
void Planner::place(SizeClass &sizeClass) {
  SmallVector<Buffer *> order, placed;
  for (Buffer &buffer : sizeClass.buffers)
    order.push_back(&buffer);
  llvm::stable_sort(order, [](Buffer *x, Buffer *y) { return x->bytes > y->bytes; });
  for (Buffer *buffer : order) {
    int64_t offset = 0;
    for (Buffer *other : placed) { // in order of offsets
      if (other->last < buffer->first || other->first > buffer->last)
        continue;
      if (offset + buffer->bytes <= other->offset)
        break;
      offset = std::max(offset, other->offset + other->bytes);
    }
    buffer->offset = offset;
    placed.insert(
        llvm::upper_bound(placed, buffer, [](Buffer *x, Buffer *y) { return x->offset < y->offset; }),
        buffer);
    sizeClass.bytes = std::max(sizeClass.bytes, offset + buffer->bytes);
  }
}

/// Sizes that follow from a caller's inputs may be negative, or so large that their products overflow.
Value Planner::sizesArePossible() {
  Type f64 = b.getF64Type();
  auto number = [&](double value) -> Value {
    return arith::ConstantOp::create(b, loc, b.getFloatAttr(f64, value));
  };
  Value possible = arith::ConstantIntOp::create(b, loc, 1, 1);
  auto demand = [&](Value condition) { possible = arith::AndIOp::create(b, loc, possible, condition); };
  for (SizeClass &sizeClass : classes) {
    Value bytes = number(static_cast<double>(sizeClass.bytes));
    for (Value factor : sizeClass.factors) {
      demand(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, factor, index(0)));
      Value asInteger = arith::IndexCastOp::create(b, loc, b.getI64Type(), factor);
      bytes = arith::MulFOp::create(b, loc, bytes, arith::SIToFPOp::create(b, loc, f64, asInteger));
    }
    demand(arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OLT, bytes, number(0x1p46)));
  }
  return possible;
}

void Planner::rewrite() {
  b.setInsertionPoint(hoister.marker);
  Value total = index(0);
  for (SizeClass &sizeClass : classes) {
    Value unit = index(1);
    for (Value factor : sizeClass.factors)
      unit = arith::MulIOp::create(b, loc, unit, factor);
    if (!sizeClass.wide) {
      Value rounded = arith::AddIOp::create(b, loc, unit, index(alignment - 1));
      unit = arith::MulIOp::create(b, loc, arith::DivUIOp::create(b, loc, rounded, index(alignment)),
                                   index(alignment));
    }
    sizeClass.unit = unit;
    sizeClass.base = total;
    total = arith::AddIOp::create(b, loc, total, arith::MulIOp::create(b, loc, unit, index(sizeClass.bytes)));
  }
  if (entry->getAttrOfType<StringAttr>(pith::kEntryAttr).getValue() != "step")
    total = arith::SelectOp::create(b, loc, sizesArePossible(), total, index(-1));
  Value workspace = entry.front().addArgument(MemRefType::get({ShapedType::kDynamic}, b.getI8Type()), loc);
  for (auto [number, sizeClass] : llvm::enumerate(classes))
    for (Buffer &buffer : sizeClass.buffers) {
      b.setInsertionPoint(hoister.marker);
      Value offset = arith::MulIOp::create(b, loc, sizeClass.unit, index(buffer.offset));
      offset = arith::AddIOp::create(b, loc, sizeClass.base, offset);
      b.setInsertionPoint(buffer.op);
      auto view = memref::ViewOp::create(b, buffer.op.getLoc(), buffer.op.getType(), workspace, offset,
                                         buffer.op.getDynamicSizes());
      view->setAttr("pith.place", b.getDenseI64ArrayAttr({static_cast<int64_t>(number), buffer.offset,
                                                          buffer.offset + buffer.bytes}));
      buffer.op.replaceAllUsesWith(view.getResult());
      buffer.op.erase();
    }
  Operation *ret = entry.front().getTerminator();
  ret->insertOperands(0, total);
}

/// Outputs' sizes are computed first; what asks a buffer for them later is given those.
LogicalResult Planner::sizeOutputs() {
  Operation *ret = entry.front().getTerminator();
  for (Value size : ret->getOperands())
    if (failed(hoister.hoist(size)))
      return entry.emitError("the size of an output is returned, but depends on data");
  auto inputs = static_cast<unsigned>(entry->getAttrOfType<IntegerAttr>("pith.inputs").getInt());
  unsigned next = 0;
  for (BlockArgument out : entry.getArguments().drop_front(inputs)) {
    auto type = cast<MemRefType>(out.getType());
    SmallVector<Value> sizes(type.getRank());
    for (int64_t d = 0; d < type.getRank(); ++d)
      if (type.isDynamicDim(d))
        sizes[d] = ret->getOperand(next++);
    for (Operation *user : llvm::make_early_inc_range(out.getUsers()))
      if (auto dim = dyn_cast<memref::DimOp>(user))
        if (std::optional<int64_t> d = dim.getConstantIndex(); d && *d < type.getRank() && sizes[*d]) {
          dim.replaceAllUsesWith(sizes[*d]);
          dim.erase();
        }
  }
  return success();
}

LogicalResult Planner::run() {
  if (failed(sizeOutputs()) || failed(collect()))
    return failure();
  for (SizeClass &sizeClass : classes)
    place(sizeClass);
  rewrite();
  Operation *ret = entry.front().getTerminator();
  ArrayAttr attributes = entry.getArgAttrsAttr();
  entry.setType(b.getFunctionType(entry.front().getArgumentTypes(), ret->getOperandTypes()));
  SmallVector<Attribute> all(entry.getNumArguments(), b.getDictionaryAttr({}));
  if (attributes)
    llvm::copy(attributes, all.begin());
  entry.setArgAttrsAttr(b.getArrayAttr(all));
  return success();
}

/// Inputs, then outputs, whose dynamic sizes are returned.
static bool isBufferized(func::FuncOp entry) {
  auto inputs = entry->getAttrOfType<IntegerAttr>("pith.inputs");
  if (!inputs || inputs.getInt() < 0 || inputs.getInt() > entry.getNumArguments())
    return false;
  int64_t sizes = 0;
  for (Type type : entry.getArgumentTypes()) {
    auto buffer = dyn_cast<MemRefType>(type);
    if (!buffer)
      return false;
    sizes += buffer.getNumDynamicDims();
  }
  for (Type type : entry.getArgumentTypes().take_front(inputs.getInt()))
    sizes -= cast<MemRefType>(type).getNumDynamicDims();
  return sizes == entry.getNumResults();
}

namespace {
struct PlanBuffers : pith::impl::PlanBuffersBase<PlanBuffers> {
  void runOnOperation() override {
    for (auto entry : getOperation().getOps<func::FuncOp>())
      if (entry->hasAttr(pith::kEntryAttr) && !entry.isExternal()) {
        if (!isBufferized(entry)) {
          entry.emitError("is not in the form that pith-bufferize gives");
          return signalPassFailure();
        }
        if (failed(Planner(entry).run()))
          return signalPassFailure();
      }
  }
};
} // namespace
