//===- BuildLaunchers.cpp - declared kernels as host functions ------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A declared kernel becomes a host function that chooses among forms of the kernel by the number of rows, and
// starts them. Entries call it as they call the kernels of a CPU: @name(%ctx, %thread, pointers…, sizes…,
// strides…).
//
//===----------------------------------------------------------------------===//
#include "../Common/EntryRun.h"
#include "../Common/SpecAttributes.h"
#include "../Common/TeamCalls.h"
#include "Launcher.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "pith/Codegen/GPU/Machine.h"
#include "pith/Conversion/Passes.h"
#include "pith/Conversion/PithToGPU/Passes.h"
#include "pith/executable.h"

namespace pith {
#define GEN_PASS_DEF_BUILDGPULAUNCHERS
#include "pith/Conversion/PithToGPU/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

int64_t pith::attentionSplits(int64_t kvHeads) { return std::max<int64_t>(1, kAttentionBlocks / kvHeads); }

namespace {
/// The body of one launcher.
class LauncherBody {
public:
  LauncherBody(func::FuncOp host, DictionaryAttr spec, mlir::gpu::GPUModuleOp kernels,
               ArrayRef<pith::gpu::Machine> machines)
      : host(host), spec(spec), kernels(kernels), machines(machines), b(host.getContext()),
        loc(host.getLoc()), go((b.setInsertionPointToStart(host.addEntryBlock()), b), loc, host) {
    arguments.assign(host.getArguments().begin() + 2, host.getArguments().end());
  }

  LogicalResult build() {
    StringRef kind = text("kind");
    LogicalResult result = kind == "linear"      ? linear()
                           : kind == "kv_append" ? append()
                           : kind == "attention" ? flag("tensors") ? tensorAttention() : attention()
                           : kind == "tap" ? tap()
                           : kind == "embedding" ? embedding()
                           : kind == "draw"      ? draw()
                                                 : plain();
    b.setInsertionPointToEnd(&host.front());
    func::ReturnOp::create(b, loc);
    return failure(failed(result) || go.failed);
  }

private:
  using Changes = ArrayRef<std::pair<StringRef, Attribute>>;
  StringRef text(StringRef name) {
    auto value = spec.getAs<StringAttr>(name);
    return value ? value.getValue() : "";
  }
  int64_t number(StringRef name) {
    auto value = spec.getAs<IntegerAttr>(name);
    return value ? value.getInt() : 0;
  }
  bool flag(StringRef name) { return bool(spec.get(name)); }

  mlir::gpu::GPUFuncOp kernel(Changes changes = {}) {
    NamedAttrList list(spec);
    for (auto [name, value] : changes)
      if (value)
        list.set(name, value);
      else
        list.erase(name);
    return buildGPUKernel(kernels, list.getDictionary(host.getContext()), [&] { return host.emitError(); });
  }
  Attribute integer(int64_t value) { return b.getI64IntegerAttr(value); }

  LogicalResult plain() {
    mlir::gpu::GPUFuncOp only = kernel();
    if (only)
      go.launch(only, arguments);
    return success(only);
  }

  /// The kernel for so many rows at once on the matrix unit; null where the unit has no form for the weights
  /// or the block's shared memory is too small.
  mlir::gpu::GPUFuncOp matrixForm(int64_t tile, bool warpGroups = false) {
    pith::gpu::LinearSpec shape;
    kernels::Reader reader(spec, [&] { return host.emitError(); });
    reader.weights(shape.layout);
    reader.fusion(shape);
    shape.product = reader.choice<pith::gpu::Element>("product", kernels::elementNames);
    shape.parts = reader.number("parts", 1);
    shape.rowTile = tile;
    shape.warpGroups = warpGroups;
    if (warpGroups) // which pack_rows has done
      shape.norm = pith::gpu::Norm::None;
    if (!reader.failed)
      shape.stages = shape.stagesFor(takers(warpGroups));
    return formIfAny(reader, shape,
                     {{"row_tile", integer(tile)},
                      {"stages", integer(shape.stages)},
                      {"warp_groups", warpGroups ? b.getUnitAttr() : Attribute()},
                      {"norm", warpGroups ? b.getStringAttr("none") : spec.get("norm")},
                      {"input", warpGroups ? spec.get("product") : spec.get("input")}});
  }

  Value hasFlag(int64_t flag, bool wanted = true) {
    Value flags = go.field(offsetof(pith_exec_context, flags), go.i32);
    Value bit = arith::ConstantIntOp::create(b, loc, flag, 32);
    return arith::CmpIOp::create(b, loc, wanted ? arith::CmpIPredicate::ne : arith::CmpIPredicate::eq,
                                 arith::AndIOp::create(b, loc, flags, bit),
                                 arith::ConstantIntOp::create(b, loc, 0, 32));
  }
  /// Whether a row's sums may depend on the rows beside it.
  Value isFree() { return hasFlag(PITH_EXEC_DETERMINISTIC, false); }

  /// The kernel with `changes`, which `shape` has been read for; null where there is none for it or a block's
  /// shared memory is too small.
  template <typename Spec>
  mlir::gpu::GPUFuncOp formIfAny(const kernels::Reader &reader, const Spec &shape, Changes changes) {
    if (reader.failed) {
      go.failed = true;
      return {};
    }
    if (llvm::Error none = shape.check()) {
      llvm::consumeError(std::move(none));
      return {};
    }
    mlir::gpu::GPUFuncOp form = kernel(changes);
    if (!form) {
      go.failed = true;
    } else if (!fits(form)) {
      form.erase(); // the newest, so that no other's number changes
      form = {};
    }
    return form;
  }

  bool fits(mlir::gpu::GPUFuncOp form) {
    int64_t bytes = form->getAttrOfType<IntegerAttr>(pith::gpu::kSharedBytesAttr).getInt();
    return llvm::all_of(takers(form->hasAttr(pith::gpu::kWarpGroupsAttr)),
                        [&](const pith::gpu::Machine &machine) { return bytes <= machine.sharedBytes; });
  }

  /// The chips that get a kernel, by whether it needs warp groups.
  SmallVector<pith::gpu::Machine> takers(bool warpGroups) {
    SmallVector<pith::gpu::Machine> found;
    llvm::copy_if(machines, std::back_inserter(found),
                  [&](const pith::gpu::Machine &machine) { return machine.wgmma || !warpGroups; });
    return found;
  }
  bool someGroup() { return !takers(true).empty(); }
  bool allGroup() { return takers(true).size() == machines.size(); }

  /// Two forms for the same, the first where the image in use has warp groups; one of them may be null. What
  /// is built last, the second, may go elsewhere.
  void byChip(bool hasFirst, bool hasSecond, llvm::function_ref<void()> first,
              llvm::function_ref<void()> second) {
    if (!hasFirst || !hasSecond)
      return hasFirst ? first() : second();
    auto choice = scf::IfOp::create(b, loc, hasFlag(PITH_EXEC_WARP_GROUPS), /*withElseRegion=*/true);
    b.setInsertionPointToStart(choice.thenBlock());
    first();
    b.setInsertionPointToStart(choice.elseBlock());
    second();
  }

  /// Few rows stream the weights once, in f32; more go through matrix units, whose sums have another order:
  /// where a row's sums must not depend on the others, rows stay few. Every form is one more kernel to
  /// compile: there are as few as keep a step's cost near its rows. For warp groups, rows are packed first
  /// into memory that the caller gives.
  LogicalResult linear() {
    Value rows = arguments.back(), packed;
    if (flag("warp_groups")) {
      packed = arguments[3];
      arguments.erase(arguments.begin() + 3);
    }
    auto upTo = [&](int64_t tile) -> Value {
      return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sle, rows, go.constant(tile));
    };
    auto choose = [&](Value condition, mlir::gpu::GPUFuncOp form) {
      auto choice = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/true);
      b.setInsertionPointToStart(choice.thenBlock());
      go.launch(form, arguments);
      b.setInsertionPointToStart(choice.elseBlock());
    };
    mlir::gpu::GPUFuncOp one = kernel({{"row_tile", integer(1)}}), four = kernel({{"row_tile", integer(4)}});
    if (!one || !four)
      return failure();
    choose(upTo(1), one);
    Value fixedOrder = arith::XOrIOp::create(b, loc, isFree(), arith::ConstantIntOp::create(b, loc, 1, 1));
    choose(arith::OrIOp::create(b, loc, fixedOrder, upTo(4)), four);
    mlir::gpu::GPUFuncOp some = matrixForm(16), many, pack, group, largeGroup;
    if (packed) {
      pack = kernel({{"kind", b.getStringAttr("pack_rows")}});
      group = matrixForm(128, /*warpGroups=*/true);
      largeGroup = matrixForm(256, /*warpGroups=*/true);
      if (!pack || !group)
        return failure();
    }
    for (int64_t tile : {128, 64, 32})
      if (!many && !(group && allGroup()))
        many = matrixForm(tile);
    if (!some)
      some = kernel({{"row_tile", integer(8)}});
    if (!some)
      return failure();
    if (many || group)
      choose(upTo(16), some);
    auto byGroups = [&] {
      SmallVector<Value> all(arguments), rowsIn = {arguments[0], packed, rows};
      if (text("norm") != "none") {
        rowsIn.insert(rowsIn.begin() + 1, all[3]);
        arguments.erase(arguments.begin() + 3);
      }
      go.launch(pack, rowsIn);
      arguments[0] = packed;
      if (largeGroup)
        choose(upTo(128), group);
      go.launch(largeGroup ? largeGroup : group, arguments);
      arguments = all;
    };
    byChip(bool(group), !group || !allGroup(), byGroups, [&] { go.launch(many ? many : some, arguments); });
    return success();
  }

  Value rows() {
    return arith::ExtUIOp::create(b, loc, go.i64, go.field(offsetof(pith_exec_context, rows), go.i32));
  }
  Value rowLanes() { return go.field(offsetof(pith_exec_context, row_lanes), go.pointer); }
  Value lanes() { return go.field(offsetof(pith_exec_context, lane), go.pointer); }
  Value layer() { return go.constant(number("layer_offset") / 64); }

  /// (k, v, ldk, ldv)
  LogicalResult append() {
    mlir::gpu::GPUFuncOp form = kernel({{"rotary_dim", integer(0)}});
    if (form)
      go.launch(form, {arguments[0], arguments[1], rowLanes(), lanes(), rows(), arguments[2], arguments[3],
                       layer()});
    return success(form);
  }

  /// (q, out, scratch, [sinks], [alibi], [bias], ldq, ldo). Blocks share a row's tokens where rows alone
  /// would leave the device idle.
  LogicalResult attention() {
    Value q = arguments[0], out = arguments[1], parts = arguments[2], sinks, slopes, bias, conditions;
    size_t next = 3;
    if (flag("sinks"))
      sinks = arguments[next++];
    if (flag("alibi"))
      slopes = arguments[next++];
    if (number("bias") > 0)
      bias = arguments[next++];
    if (flag("condition"))
      conditions = go.field(offsetof(pith_exec_context, conditions), go.pointer);
    Value ldq = arguments[next], ldo = arguments[next + 1], count = rows(), many = layer();
    mlir::gpu::GPUFuncOp whole = kernel(), split = kernel({{"split", b.getUnitAttr()}}),
                         merge = kernel({{"kind", b.getStringAttr("attention_merge")}});
    if (!whole || !split || !merge)
      return failure();
    int64_t most = attentionSplits(number("kv_heads"));
    // How a row's tokens are shared depends on the others, where that may be.
    Value few = arith::AndIOp::create(
        b, loc, isFree(), arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, count, go.constant(most)));
    auto choice = scf::IfOp::create(b, loc, few, /*withElseRegion=*/true);
    auto given = [](ArrayRef<Value> all) {
      SmallVector<Value> result;
      llvm::copy_if(all, std::back_inserter(result), [](Value value) { return bool(value); });
      return result;
    };
    b.setInsertionPointToStart(choice.thenBlock());
    Value splits = arith::DivUIOp::create(b, loc, go.constant(most),
                                          arith::MaxUIOp::create(b, loc, count, go.constant(1)));
    go.launch(split,
              given({q, rowLanes(), lanes(), conditions, slopes, bias, parts, count, ldq, many, splits}));
    go.launch(merge, given({parts, sinks, out, count, ldo, splits}));
    b.setInsertionPointToStart(choice.elseBlock());
    SmallVector<Value> operands =
        given({q, rowLanes(), lanes(), conditions, sinks, slopes, bias, out, count, ldq, ldo, many});
    tileOr(whole, isFree(), operands);
    return success();
  }

  /// Starts attention's form on matrix units, if there is one, where the condition holds; else `whole`.
  void tileOr(mlir::gpu::GPUFuncOp whole, Value condition, ArrayRef<Value> operands) {
    mlir::gpu::GPUFuncOp group, tile;
    if (spec.get("product")) {
      pith::gpu::AttentionSpec shape;
      kernels::Reader reader(spec, [&] { return host.emitError(); });
      reader.attention(shape);
      shape.product = reader.choice<pith::gpu::Element>("product", kernels::elementNames);
      shape.parts = reader.number("parts", 1);
      shape.tile = true;
      shape.warpGroups = true;
      if (someGroup())
        group = formIfAny(reader, shape, {{"tile", b.getUnitAttr()}, {"warp_groups", b.getUnitAttr()}});
      shape.warpGroups = false;
      if (!(group && allGroup()) && !go.failed)
        tile = formIfAny(reader, shape, {{"tile", b.getUnitAttr()}});
    }
    if (group || tile) {
      auto choice = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/true);
      b.setInsertionPointToStart(choice.thenBlock());
      byChip(
          bool(group), bool(tile), [&] { go.launch(group, operands); }, [&] { go.launch(tile, operands); });
      b.setInsertionPointToStart(choice.elseBlock());
    }
    go.launch(whole, operands);
  }

  /// (q, out, k, v, [mask], [sinks], rows, queries, tokens, [mask's steps], ldq, ldo, ldk, ldv). Matrix units
  /// take 16 queries at least; without tokens there is nothing to take.
  LogicalResult tensorAttention() {
    mlir::gpu::GPUFuncOp whole = kernel();
    if (!whole)
      return failure();
    bool masked = text("mask") != "none";
    size_t next = 4 + masked + flag("sinks");
    ArrayRef<Value> all = arguments, constants = all.slice(4, next - 4), sizes = all.drop_front(next),
                    strides = all.take_back(4);
    if (sizes.size() != (masked ? 11u : 7u))
      return host.emitError("attention over tensors takes other operands than ") << host.getArgumentTypes();
    SmallVector<Value> operands = {all[0], all[2], all[3]};
    llvm::append_range(operands, constants);
    operands.push_back(all[1]);
    operands.push_back(sizes[0]);
    llvm::append_range(operands, strides);
    llvm::append_range(operands, sizes.slice(1, sizes.size() - 5));
    auto atLeast = [&](Value x, int64_t least) -> Value {
      return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, x, go.constant(least));
    };
    Value many = arith::AndIOp::create(b, loc, atLeast(sizes[1], 16), atLeast(sizes[2], 1));
    tileOr(whole, arith::AndIOp::create(b, loc, isFree(), many), operands);
    return success();
  }

  /// (x, [scale], [bias], slot, ldx): nothing where none of the rows is wanted.
  LogicalResult tap() {
    mlir::gpu::GPUFuncOp form = kernel({{"kind", b.getStringAttr("norm")}, {"gather", b.getUnitAttr()}});
    if (!form)
      return failure();
    Value taps = go.field(offsetof(pith_exec_context, taps), go.pointer);
    Value slot = arguments[arguments.size() - 2], ldx = arguments.back();
    Value wanted =
        LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::ne, taps, LLVM::ZeroOp::create(b, loc, go.pointer));
    auto any = scf::IfOp::create(b, loc, wanted, /*withElseRegion=*/false);
    b.setInsertionPointToStart(any.thenBlock());
    Value offset = arith::MulIOp::create(b, loc, slot, go.constant(sizeof(pith_exec_tap)));
    Value tap = LLVM::GEPOp::create(b, loc, go.pointer, b.getI8Type(), taps, ArrayRef<LLVM::GEPArg>{offset});
    auto part = [&](int64_t at, Type type) { return loadField(b, loc, tap, at, type); };
    SmallVector<Value> operands(arguments.begin(), arguments.end() - 2);
    operands.push_back(part(offsetof(pith_exec_tap, out), go.pointer));
    operands.push_back(part(offsetof(pith_exec_tap, row_index), go.pointer));
    operands.push_back(part(offsetof(pith_exec_tap, rows), go.i32));
    operands.push_back(ldx);
    go.launch(form, operands);
    return success();
  }

  /// (tokens, weights, out, rows), and rows that the application gives in place of tokens.
  LogicalResult embedding() {
    if (!flag("takes_rows"))
      return plain();
    mlir::gpu::GPUFuncOp tokens = kernel({{"takes_rows", Attribute()}}), either = kernel();
    if (!tokens || !either)
      return failure();
    Value given = go.field(offsetof(pith_exec_context, embedding_rows), go.pointer);
    Value any = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::ne, given,
                                     LLVM::ZeroOp::create(b, loc, go.pointer));
    auto choice = scf::IfOp::create(b, loc, any, /*withElseRegion=*/true);
    b.setInsertionPointToStart(choice.thenBlock());
    go.launch(either, {arguments[0], arguments[1], arguments[2], given, arguments[3]});
    b.setInsertionPointToStart(choice.elseBlock());
    go.launch(tokens, arguments);
    return success();
  }

  /// (logits, draws, drawn, count)
  LogicalResult draw() {
    mlir::gpu::GPUFuncOp best = kernel({{"kind", b.getStringAttr("argmax")}}),
                         any = kernel({{"kind", b.getStringAttr("sample")}});
    if (!best || !any)
      return failure();
    auto choice = scf::IfOp::create(b, loc, hasFlag(PITH_EXEC_GREEDY), /*withElseRegion=*/true);
    b.setInsertionPointToStart(choice.thenBlock());
    go.launch(best, arguments);
    b.setInsertionPointToStart(choice.elseBlock());
    go.launch(any, arguments);
    return success();
  }

  func::FuncOp host;
  DictionaryAttr spec;
  mlir::gpu::GPUModuleOp kernels;
  ArrayRef<pith::gpu::Machine> machines;
  OpBuilder b;
  Location loc;
  Launcher go;
  SmallVector<Value> arguments;
};

struct BuildGPULaunchers : pith::impl::BuildGPULaunchersBase<BuildGPULaunchers> {
  using BuildGPULaunchersBase::BuildGPULaunchersBase;
  void runOnOperation() override {
    ModuleOp module = getOperation();
    llvm::Expected<SmallVector<pith::gpu::Machine>> machines = pith::gpu::parseTarget(target);
    if (!machines) {
      module.emitError(llvm::toString(machines.takeError()));
      return signalPassFailure();
    }
    for (auto host : llvm::to_vector(module.getOps<func::FuncOp>())) {
      if (!host.isExternal() || !host->hasAttr(kKernelAttr))
        continue;
      DictionaryAttr spec = specOf(host);
      if (!spec)
        return signalPassFailure();
      if (failed(LauncherBody(host, spec, kernelsOf(module), *machines).build()))
        return signalPassFailure();
    }
  }
};
} // namespace
