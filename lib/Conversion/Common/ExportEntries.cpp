//===- ExportEntries.cpp - the runtime's calling convention ---------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For each entry @main, whose sizes @main(buffers…) returns and whose work @main_run(ctx, thread, buffers…)
// does:
//
//   pith_main_run(const pith_exec_context *, uint32_t thread)
//   pith_main_prepare(const pith_exec_context *, int64_t *output_dims) -> int64_t
//
// which take the buffers from the context, and the exported table of all entries. Addresses of packed weights
// are resolved here too.
//
//===----------------------------------------------------------------------===//
#include "EntryManifest.h"
#include "TeamCalls.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"
#include "pith/Conversion/ExecTable.h"
#include "pith/Conversion/Passes.h"
#include "pith/executable.h"

namespace pith {
#define GEN_PASS_DEF_EXPORTENTRIES
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

namespace {
class EntryExporter {
public:
  EntryExporter(ModuleOp module, func::FuncOp entry)
      : module(module), entry(entry), b(module.getContext()), loc(entry.getLoc()),
        pointer(LLVM::LLVMPointerType::get(module.getContext())), kind(kindOf(entry)),
        inputs(entry->getAttrOfType<IntegerAttr>("pith.inputs").getInt()),
        outputs(entry.getNumArguments() - 1 - inputs) {}

  LogicalResult exportRun(func::FuncOp run);
  LogicalResult exportPrepare();
  uint32_t entryKind() { return kind; }
  std::string runName() { return ("pith_" + entry.getSymName() + "_run").str(); }
  std::string prepareName() { return ("pith_" + entry.getSymName() + "_prepare").str(); }

private:
  LLVM::LLVMFuncOp declare(StringRef name, Type result, ArrayRef<Type> arguments);
  Value field(int64_t offset, Type type) { return loadField(b, loc, context, offset, type); }
  Value constant(int64_t value) { return LLVM::ConstantOp::create(b, loc, b.getI64Type(), value); }
  Value at(Value base, int64_t bytes) {
    return LLVM::GEPOp::create(b, loc, pointer, b.getI8Type(), base,
                               ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(bytes)});
  }
  Value describe(MemRefType type, Value data, ArrayRef<Value> dims) {
    return describeBuffer(b, loc, type, data, dims);
  }
  Value invokeBuffer(MemRefType type, Value tensor, bool withData, bool dimsKnown);
  Value rowsBuffer(unsigned argument, bool withData);
  static uint32_t kindOf(func::FuncOp entry) {
    StringRef kind = entry->getAttrOfType<StringAttr>(kEntryAttr).getValue();
    return kind == "step"        ? PITH_EXEC_STEP
           : kind == "condition" ? PITH_EXEC_CONDITION
           : kind == "sample"    ? PITH_EXEC_SAMPLE
                                 : PITH_EXEC_INVOKE;
  }
  SmallVector<Value> buffers(bool running);

  ModuleOp module;
  func::FuncOp entry;
  OpBuilder b;
  Location loc;
  Type pointer;
  uint32_t kind;
  int64_t inputs, outputs;
  Value context;
};
} // namespace

LLVM::LLVMFuncOp EntryExporter::declare(StringRef name, Type result, ArrayRef<Type> arguments) {
  b.setInsertionPointToEnd(module.getBody());
  auto function = LLVM::LLVMFuncOp::create(b, loc, name, LLVM::LLVMFunctionType::get(result, arguments));
  function.setVisibility(SymbolTable::Visibility::Private);
  b.setInsertionPointToStart(function.addEntryBlock(b));
  context = function.getArgument(0);
  return function;
}

/// From `pith_exec_tensor *tensor`.
Value EntryExporter::invokeBuffer(MemRefType type, Value tensor, bool withData, bool dimsKnown) {
  Value data = withData ? loadField(b, loc, tensor, offsetof(pith_exec_tensor, data), pointer)
                        : LLVM::ZeroOp::create(b, loc, pointer).getResult();
  Value sizes = dimsKnown ? loadField(b, loc, tensor, offsetof(pith_exec_tensor, dims), pointer) : Value();
  SmallVector<Value> dims;
  for (int64_t i = 0; i < type.getRank(); ++i) {
    if (!type.isDynamicDim(i))
      dims.push_back(constant(type.getDimSize(i)));
    else if (dimsKnown)
      dims.push_back(LLVM::LoadOp::create(b, loc, b.getI64Type(), at(sizes, 8 * i)));
    else
      dims.push_back(constant(0));
  }
  return describe(type, data, dims);
}

/// A step's arguments are fields of the context: tokens, positions, out_rows; logits. A condition's are its
/// rows and their positions; a sampler's the logits, the draws and what is drawn.
Value EntryExporter::rowsBuffer(unsigned argument, bool withData) {
  struct Field {
    int64_t data, rows;
  };
  static const Field ofStep[] = {
      {offsetof(pith_exec_context, tokens), offsetof(pith_exec_context, rows)},
      {offsetof(pith_exec_context, positions), offsetof(pith_exec_context, rows)},
      {offsetof(pith_exec_context, out_row_index), offsetof(pith_exec_context, out_rows)},
      {offsetof(pith_exec_context, logits), offsetof(pith_exec_context, out_rows)}};
  static const Field ofCondition[] = {
      {offsetof(pith_exec_context, condition_rows), offsetof(pith_exec_context, rows)},
      {offsetof(pith_exec_context, positions), offsetof(pith_exec_context, rows)}};
  static const Field ofSample[] = {
      {offsetof(pith_exec_context, logits), offsetof(pith_exec_context, out_rows)},
      {offsetof(pith_exec_context, draws), offsetof(pith_exec_context, out_rows)},
      {offsetof(pith_exec_context, drawn), offsetof(pith_exec_context, out_rows)}};
  const Field &place = kind == PITH_EXEC_STEP     ? ofStep[argument]
                       : kind == PITH_EXEC_SAMPLE ? ofSample[argument]
                                                  : ofCondition[argument];
  auto type = cast<MemRefType>(entry.getArgumentTypes()[argument]);
  Value data = withData ? field(place.data, pointer) : LLVM::ZeroOp::create(b, loc, pointer).getResult();
  Value rows = LLVM::ZExtOp::create(b, loc, b.getI64Type(), field(place.rows, b.getI32Type()));
  SmallVector<Value> dims{rows};
  if (type.getRank() == 2)
    dims.push_back(constant(type.getDimSize(1)));
  return describe(type, data, dims);
}

SmallVector<Value> EntryExporter::buffers(bool running) {
  SmallVector<Value> result;
  if (kind != PITH_EXEC_INVOKE) {
    for (unsigned i = 0, e = inputs + outputs; i < e; ++i)
      result.push_back(rowsBuffer(i, running));
  } else {
    Value ins = field(offsetof(pith_exec_context, inputs), pointer);
    for (int64_t i = 0; i < inputs; ++i)
      result.push_back(invokeBuffer(cast<MemRefType>(entry.getArgumentTypes()[i]),
                                    at(ins, i * sizeof(pith_exec_tensor)), /*withData=*/true, true));
    Value outs = running ? field(offsetof(pith_exec_context, outputs), pointer) : Value();
    for (int64_t i = 0; i < outputs; ++i)
      result.push_back(invokeBuffer(cast<MemRefType>(entry.getArgumentTypes()[inputs + i]),
                                    running ? at(outs, i * sizeof(pith_exec_tensor)) : Value(), running,
                                    running));
  }
  auto type = cast<MemRefType>(entry.getArgumentTypes().back());
  Value workspace = running ? field(offsetof(pith_exec_context, workspace), pointer)
                            : LLVM::ZeroOp::create(b, loc, pointer).getResult();
  result.push_back(describe(type, workspace, constant(std::numeric_limits<int64_t>::max())));
  return result;
}

LogicalResult EntryExporter::exportRun(func::FuncOp run) {
  LLVM::LLVMFuncOp function =
      declare(runName(), LLVM::LLVMVoidType::get(b.getContext()), {pointer, b.getI32Type()});
  SmallVector<Value> operands{function.getArgument(0), function.getArgument(1)};
  operands.append(buffers(/*running=*/true));
  func::CallOp::create(b, loc, run, operands);
  LLVM::ReturnOp::create(b, loc, ValueRange());
  return success();
}

LogicalResult EntryExporter::exportPrepare() {
  LLVM::LLVMFuncOp function = declare(prepareName(), b.getI64Type(), {pointer, pointer});
  SmallVector<Value> operands = buffers(/*running=*/false);
  auto sizes = func::CallOp::create(b, loc, entry, operands);
  auto asI64 = [&](Value index) -> Value {
    return arith::IndexCastOp::create(b, loc, b.getI64Type(), index);
  };
  // -1 announces a size that the run finds out; one that is computed here and impossible must not look like
  // it.
  auto announced = [&](unsigned result) -> Value {
    Value size = asI64(sizes.getResult(result));
    if (matchPattern(entry.front().getTerminator()->getOperand(result), m_Constant()))
      return size;
    Value impossible = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::slt, size, constant(0));
    return LLVM::SelectOp::create(b, loc, impossible, constant(-2), size);
  };
  if (kind == PITH_EXEC_INVOKE) {
    unsigned next = 1;
    int64_t position = 0;
    for (int64_t i = 0; i < outputs; ++i)
      for (int64_t size : cast<MemRefType>(entry.getArgumentTypes()[inputs + i]).getShape()) {
        Value value = ShapedType::isDynamic(size) ? announced(next++) : constant(size);
        LLVM::StoreOp::create(b, loc, value, at(function.getArgument(1), 8 * position++));
      }
  }
  LLVM::ReturnOp::create(b, loc, asI64(sizes.getResult(0)));
  return success();
}

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

static void exportList(ModuleOp module, MutableArrayRef<EntryExporter> entries,
                       ArrayRef<func::FuncOp> functions) {
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  Location loc = module.getLoc();
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  auto i32 = b.getI32Type();
  // pith_exec_entry: name, kind, reserved, prepare, run
  auto entryType = LLVM::LLVMStructType::getLiteral(b.getContext(), {pointer, i32, i32, pointer, pointer});
  auto arrayType = LLVM::LLVMArrayType::get(entryType, functions.size());
  auto constant = [&](int64_t value) -> Value { return LLVM::ConstantOp::create(b, loc, i32, value); };

  auto array = LLVM::GlobalOp::create(b, loc, arrayType, /*isConstant=*/true, LLVM::Linkage::Internal,
                                      kEntriesSymbol, Attribute());
  b.createBlock(&array.getInitializerRegion());
  Value list = LLVM::UndefOp::create(b, loc, arrayType);
  for (auto [i, entry] : llvm::enumerate(entries)) {
    auto position = static_cast<int64_t>(i);
    Value fields[] = {textConstant(b, loc, module, func::FuncOp(functions[i]).getSymName()),
                      constant(entry.entryKind()), constant(0),
                      LLVM::AddressOfOp::create(b, loc, pointer, entry.prepareName()),
                      LLVM::AddressOfOp::create(b, loc, pointer, entry.runName())};
    for (auto [j, value] : llvm::enumerate(fields))
      list = LLVM::InsertValueOp::create(b, loc, list, value, {position, static_cast<int64_t>(j)});
  }
  LLVM::ReturnOp::create(b, loc, list);
}

/// Packed weights: the weight section's start plus the offset. Functions of the team get the context first.
static LogicalResult resolveAddresses(ModuleOp module) {
  SmallVector<PackedAddressOp> addresses;
  module.walk([&](PackedAddressOp op) { addresses.push_back(op); });
  SymbolTable symbols(module);
  for (PackedAddressOp op : addresses) {
    auto function = op->getParentOfType<func::FuncOp>();
    auto packed = symbols.lookup<PackedOp>(op.getPacked());
    if (!packed || !function || function.getNumArguments() == 0 ||
        !isa<LLVM::LLVMPointerType>(function.getArgumentTypes()[0]))
      return op.emitError("is not in the code of a team");
    OpBuilder b(op);
    Location loc = op.getLoc();
    auto pointer = LLVM::LLVMPointerType::get(b.getContext());
    auto type = cast<MemRefType>(op.getResult().getType());
    Value weights = loadField(b, loc, function.getArgument(0), offsetof(pith_exec_context, weights), pointer);
    Value offset = LLVM::ConstantOp::create(b, loc, b.getI64Type(), static_cast<int64_t>(packed.getOffset()));
    Value data = LLVM::GEPOp::create(b, loc, pointer, b.getI8Type(), weights, ArrayRef<LLVM::GEPArg>{offset});
    SmallVector<Value> dims;
    for (int64_t size : type.getShape())
      dims.push_back(LLVM::ConstantOp::create(b, loc, b.getI64Type(), size));
    op.replaceAllUsesWith(describeBuffer(b, loc, type, data, dims));
    op.erase();
  }
  return success();
}

namespace {
struct ExportEntries : pith::impl::ExportEntriesBase<ExportEntries> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<func::FuncOp> functions;
    for (auto function : module.getOps<func::FuncOp>())
      if (function->hasAttr(kEntryAttr) && !function.isExternal())
        functions.push_back(function);
    FailureOr<DictionaryAttr> manifest = describeEntries(module, functions);
    if (failed(manifest) || failed(resolveAddresses(module)))
      return signalPassFailure();
    module->setAttr(kManifestAttr, *manifest);
    SmallVector<EntryExporter> entries;
    for (func::FuncOp function : functions) {
      auto run = module.lookupSymbol<func::FuncOp>((function.getSymName() + "_run").str());
      if (!run) {
        function.emitError("is not in the form that pith-form-team gives");
        return signalPassFailure();
      }
      entries.emplace_back(module, function);
      if (failed(entries.back().exportRun(run)) || failed(entries.back().exportPrepare()))
        return signalPassFailure();
    }
    exportList(module, entries, functions);
    // Kernels of a device and their images come into the table when there is code for them
    // (pith-embed-images).
    if (module.getOps<mlir::gpu::GPUModuleOp>().empty())
      writeTable(module, {}, {});
    for (func::FuncOp function : functions)
      function.setPrivate();
  }
};
} // namespace
