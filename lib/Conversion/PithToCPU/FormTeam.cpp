//===- FormTeam.cpp - make entries run on every thread of the team --------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every thread runs the entry. Arithmetic on sizes is repeated by each, kernels and parallel loops are called
// by each and divide their work, anything else that writes memory is left to thread 0. Accesses since the
// last barrier are remembered; before an operation that touches what another thread may have written, or
// writes what another may have read or written, there is a barrier.
//
// A loop or a branch with work for the team in it is taken by all threads: what decides (a trip count, a
// condition) is a scalar that each thread computes, from memory that was written before a barrier. So all
// decide alike.
//
//===----------------------------------------------------------------------===//
#include "../Common/EntryRun.h"
#include "../Common/LowerReshapes.h"
#include "../Common/TeamCalls.h"
#include "TeamLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "pith/Conversion/Passes.h"
#include "pith/executable.h"

namespace pith {
#define GEN_PASS_DEF_FORMTEAM
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {
/// Bytes that an operation touches: a place of the workspace, an output, the sequences' caches, or it is not
/// known which.
struct Access {
  enum Kind { Place, Output, Cache, Unknown } kind = Unknown;
  int64_t number = 0, begin = 0, end = 0;
  bool write = false;
  bool firstOnly = false; // by thread 0 alone

  bool conflicts(const Access &o) const {
    if ((!write && !o.write) || (firstOnly && o.firstOnly))
      return false;
    if (kind == Unknown || o.kind == Unknown)
      return true;
    if (kind != o.kind || number != o.number)
      return false;
    return kind != Place || (begin < o.end && o.begin < end);
  }
};

class TeamFormer {
public:
  TeamFormer(func::FuncOp run, int64_t inputs, SymbolTable &symbols, LoopOutliner &outliner)
      : run(run), symbols(symbols), outliner(outliner), inputs(inputs) {
    context = run.getArgument(0);
    thread = run.getArgument(1);
  }
  LogicalResult form() { return formBlock(run.front()); }

private:
  LogicalResult formBlock(Block &block);
  void synchronize(Operation *op);
  void touch(Value buffer, bool write, SmallVectorImpl<Access> &accesses);
  void collect(Operation *op, SmallVectorImpl<Access> &accesses);
  void separate(Operation *op, ArrayRef<Access> accesses);
  LogicalResult guard(Operation *op);
  bool isSmall(scf::ParallelOp op);

  func::FuncOp run;
  SymbolTable &symbols;
  LoopOutliner &outliner;
  int64_t inputs;
  Value context, thread;
  SmallVector<Access> pending;
};
} // namespace

void TeamFormer::touch(Value buffer, bool write, SmallVectorImpl<Access> &accesses) {
  Access access;
  access.write = write;
  while (true) {
    if (auto argument = dyn_cast<BlockArgument>(buffer)) {
      if (argument.getOwner() != &run.front())
        break;
      access.number = static_cast<int64_t>(argument.getArgNumber()) - 2;
      if (access.number < inputs)
        return; // never written
      access.kind = Access::Output;
      break;
    }
    Operation *def = buffer.getDefiningOp();
    if (isa<memref::GetGlobalOp, PackedAddressOp>(def))
      return; // never written
    if (auto place = def->getAttrOfType<DenseI64ArrayAttr>("pith.place")) {
      access.kind = Access::Place;
      access.number = place[0];
      access.begin = place[1];
      access.end = place[2];
      break;
    }
    auto view = dyn_cast<ViewLikeOpInterface>(def);
    if (!view)
      break;
    buffer = view.getViewSource();
  }
  accesses.push_back(access);
}

void TeamFormer::collect(Operation *root, SmallVectorImpl<Access> &accesses) {
  root->walk([&](Operation *op) {
    if (auto load = dyn_cast<memref::LoadOp>(op))
      return touch(load.getMemRef(), false, accesses);
    if (auto store = dyn_cast<memref::StoreOp>(op))
      return touch(store.getMemRef(), true, accesses);
    if (auto launch = dyn_cast<LaunchOp>(op)) {
      for (auto [i, operand] : llvm::enumerate(launch.getOperands())) {
        if (!isa<MemRefType>(operand.getType()))
          continue;
        bool output = llvm::is_contained(launch.getOutputs(), static_cast<int64_t>(i));
        touch(operand, output, accesses);
      }
      auto kernel = symbols.lookup<func::FuncOp>(launch.getKernel());
      auto spec = kernel ? kernel->getAttrOfType<DictionaryAttr>(kKernelAttr) : DictionaryAttr();
      if (auto cache = spec ? spec.getAs<StringAttr>("cache") : StringAttr()) {
        Access access;
        access.kind = Access::Cache;
        access.write = cache.getValue() == "write";
        accesses.push_back(access);
      }
      return;
    }
    if (!op->hasTrait<OpTrait::HasRecursiveMemoryEffects>() && !isMemoryEffectFree(op)) {
      Access access;
      access.write = true;
      accesses.push_back(access);
    }
  });
}

/// A barrier before `op` if it needs one; then its accesses are pending.
void TeamFormer::separate(Operation *op, ArrayRef<Access> accesses) {
  bool conflict = llvm::any_of(accesses, [&](const Access &access) {
    return llvm::any_of(pending, [&](const Access &earlier) { return access.conflicts(earlier); });
  });
  if (conflict)
    synchronize(op);
  pending.append(accesses.begin(), accesses.end());
}

/// A barrier before `op` if anything has been touched since the last one.
void TeamFormer::synchronize(Operation *op) {
  if (pending.empty())
    return;
  OpBuilder b(op);
  callBarrier(b, op->getLoc(), context, thread);
  pending.clear();
}

/// Thread 0 alone.
LogicalResult TeamFormer::guard(Operation *op) {
  if (!op->use_empty())
    return op->emitError("writes memory and gives a value, which is not supported here");
  OpBuilder b(op);
  Value zero = arith::ConstantIntOp::create(b, op->getLoc(), 0, 32);
  Value isFirst = arith::CmpIOp::create(b, op->getLoc(), arith::CmpIPredicate::eq, thread, zero);
  auto choice = scf::IfOp::create(b, op->getLoc(), isFirst, /*withElseRegion=*/false);
  op->moveBefore(choice.thenBlock()->getTerminator());
  return success();
}

/// Not worth dividing: a few hundred operations at most.
bool TeamFormer::isSmall(scf::ParallelOp op) {
  constexpr int64_t fewIterations = 512;
  int64_t total = 1;
  auto count = [&](Value lower, Value upper) {
    std::optional<int64_t> l = getConstantIntValue(lower), u = getConstantIntValue(upper);
    total = l && u && total <= fewIterations ? total * (*u - *l) : fewIterations + 1;
  };
  for (auto [lower, upper] : llvm::zip_equal(op.getLowerBound(), op.getUpperBound()))
    count(lower, upper);
  op.getBody()->walk([&](scf::ForOp loop) { count(loop.getLowerBound(), loop.getUpperBound()); });
  return total <= fewIterations;
}

LogicalResult TeamFormer::formBlock(Block &block) {
  SmallVector<Operation *> ops;
  for (Operation &op : block.without_terminator())
    ops.push_back(&op);
  for (Operation *op : ops) {
    if (isTeamCall(op)) {
      // A check that holds goes by without waiting.
      if (!isa<cf::AssertOp>(op))
        pending.clear();
      lowerTeamCall(op, context, thread);
      continue;
    }
    if (isTeamRegion(op)) {
      // Nothing is pending where threads come from different places: before, after, and between iterations.
      synchronize(op);
      for (Region &region : op->getRegions())
        if (!region.empty()) {
          if (failed(formBlock(region.front())))
            return failure();
          synchronize(region.front().getTerminator());
        }
      continue;
    }
    SmallVector<Access> accesses;
    collect(op, accesses);
    bool writes = llvm::any_of(accesses, [](const Access &access) { return access.write; });
    if (auto launch = dyn_cast<LaunchOp>(op)) {
      separate(launch, accesses);
      if (failed(callKernel(launch, symbols, context, thread)))
        return failure();
      continue;
    }
    auto loop = dyn_cast<scf::ParallelOp>(op);
    bool divided = loop && !isSmall(loop);
    if (writes && !divided)
      for (Access &access : accesses)
        access.firstOnly = true;
    if (!accesses.empty())
      separate(op, accesses);
    if (divided)
      outliner.outline(loop, context, thread);
    else if (writes && failed(guard(op)))
      return failure();
  }
  return success();
}

namespace {
struct FormTeam : pith::impl::FormTeamBase<FormTeam> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SymbolTable symbols(module);
    LoopOutliner outliner(module, symbols);
    for (auto entry : llvm::to_vector(module.getOps<func::FuncOp>())) {
      if (!entry->hasAttr(kEntryAttr) || entry.isExternal())
        continue;
      func::FuncOp run = separateRun(entry, symbols);
      if (!run)
        return signalPassFailure();
      if (failed(TeamFormer(run, inputsOf(entry), symbols, outliner).form()))
        return signalPassFailure();
      lowerReshapes(run);
    }
  }
};
} // namespace
