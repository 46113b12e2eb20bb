//===- EntryManifest.cpp - what a file says of its entries ----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "EntryManifest.h"
#include "pith/Conversion/Passes.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace pith;

static std::string typeName(Type type) {
  if (type.isInteger(1))
    return "bool";
  if (auto integer = dyn_cast<IntegerType>(type))
    return (integer.isUnsigned() ? "u" : "i") + std::to_string(integer.getWidth());
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return text;
}

/// {name, type, dims} of an argument: what the model says, else what the buffer shows.
static DictionaryAttr describeTensor(func::FuncOp entry, unsigned argument, const Twine &defaultName) {
  Builder b(entry.getContext());
  auto type = cast<MemRefType>(entry.getArgumentTypes()[argument]);
  auto name = entry.getArgAttrOfType<StringAttr>(argument, kNameAttr);
  auto element = entry.getArgAttrOfType<StringAttr>(argument, "pith.type");
  auto given = entry.getArgAttrOfType<ArrayAttr>(argument, kDimsAttr);
  SmallVector<Attribute> dims;
  for (auto [i, size] : llvm::enumerate(type.getShape())) {
    if (!ShapedType::isDynamic(size))
      dims.push_back(b.getI64IntegerAttr(size));
    else if (given && i < given.size() && isa<StringAttr>(given[i]))
      dims.push_back(given[i]);
    else
      dims.push_back(b.getStringAttr(defaultName + "_dim_" + Twine(i)));
  }
  return b.getDictionaryAttr(
      {b.getNamedAttr("dims", b.getArrayAttr(dims)),
       b.getNamedAttr("name", name ? name : b.getStringAttr(defaultName)),
       b.getNamedAttr("type", element ? element : b.getStringAttr(typeName(type.getElementType())))});
}

static FailureOr<DictionaryAttr> describeStep(func::FuncOp entry) {
  Builder b(entry.getContext());
  ArrayRef<Type> types = entry.getArgumentTypes();
  auto isVector = [](Type type) {
    auto buffer = dyn_cast<MemRefType>(type);
    return buffer && buffer.getRank() == 1 && buffer.getElementType().isInteger(32);
  };
  auto logits = types.size() > 3 ? dyn_cast<MemRefType>(types[3]) : MemRefType();
  if (types.size() != 5 || !isVector(types[0]) || !isVector(types[1]) || !isVector(types[2]) || !logits ||
      logits.getRank() != 2 || logits.isDynamicDim(1) || !logits.getElementType().isF32())
    return entry.emitError("a step entry takes tokens, positions and rows as tensor<?xi32> and gives "
                           "tensor<?xVxf32>, but this is ")
           << entry.getFunctionType();
  auto maxRows = entry->getAttrOfType<IntegerAttr>(kMaxRowsAttr);
  // Every kernel and every loop forms a row's sums in an order of its own (linear layers on request).
  SmallVector<NamedAttribute> fields = {
      b.getNamedAttr("deterministic", b.getBoolAttr(true)), b.getNamedAttr("kind", b.getStringAttr("step")),
      b.getNamedAttr("max_rows", maxRows ? maxRows : b.getI64IntegerAttr(ScheduleOptions().maxRows)),
      b.getNamedAttr("name", b.getStringAttr(entry.getSymName())),
      b.getNamedAttr("vocab", b.getI64IntegerAttr(logits.getDimSize(1)))};
  if (Attribute rows = entry->getAttr(kEmbeddingRowsAttr))
    fields.push_back(b.getNamedAttr("embedding_rows", rows));
  if (Attribute taps = entry->getAttr(kTapsAttr))
    fields.push_back(b.getNamedAttr("taps", taps));
  return b.getDictionaryAttr(fields);
}

/// The entry that takes an encoder's output.
static FailureOr<DictionaryAttr> describeCondition(func::FuncOp entry) {
  Builder b(entry.getContext());
  ArrayRef<Type> types = entry.getArgumentTypes();
  auto rows = types.empty() ? MemRefType() : dyn_cast<MemRefType>(types[0]);
  auto positions = types.size() == 3 ? dyn_cast<MemRefType>(types[1]) : MemRefType();
  if (!rows || rows.getRank() != 2 || rows.isDynamicDim(1) || !rows.getElementType().isF32() || !positions ||
      positions.getRank() != 1 || !positions.getElementType().isInteger(32))
    return entry.emitError(
               "a condition entry takes rows as tensor<?xDxf32> and positions as tensor<?xi32> and "
               "gives nothing, but this is ")
           << entry.getFunctionType();
  auto maxRows = entry->getAttrOfType<IntegerAttr>(kMaxRowsAttr);
  return b.getDictionaryAttr(
      {b.getNamedAttr("inputs", b.getArrayAttr({describeTensor(entry, 0, "rows")})),
       b.getNamedAttr("kind", b.getStringAttr("condition")),
       b.getNamedAttr("max_rows", maxRows ? maxRows : b.getI64IntegerAttr(ScheduleOptions().maxRows)),
       b.getNamedAttr("name", b.getStringAttr(entry.getSymName()))});
}

FailureOr<DictionaryAttr> pith::describeEntries(ModuleOp module, ArrayRef<func::FuncOp> entries) {
  Builder b(module.getContext());
  SmallVector<Attribute> list;
  SmallVector<NamedAttribute> manifest;
  for (func::FuncOp entry : entries) {
    StringRef kind = entry->getAttrOfType<StringAttr>(kEntryAttr).getValue();
    if (kind == "step") {
      FailureOr<DictionaryAttr> step = describeStep(entry);
      if (failed(step))
        return failure();
      list.push_back(*step);
      auto positions = entry->getAttrOfType<IntegerAttr>(kPositionsAttr);
      SmallVector<NamedAttribute> state = {
          b.getNamedAttr("page_bytes", b.getI64IntegerAttr(getPageBytes(module, /*condition=*/false))),
          b.getNamedAttr("page_tokens", b.getI64IntegerAttr(cpu::CacheLayout::pageTokens)),
          b.getNamedAttr("positions", b.getI64IntegerAttr(positions ? positions.getInt() : 0))};
      if (int64_t bytes = getPageBytes(module, /*condition=*/true))
        state.push_back(b.getNamedAttr("condition_page_bytes", b.getI64IntegerAttr(bytes)));
      manifest.push_back(b.getNamedAttr("state", b.getDictionaryAttr(state)));
      continue;
    }
    if (kind == "sample") // between the code and the runtime
      continue;
    if (kind == "condition") {
      FailureOr<DictionaryAttr> condition = describeCondition(entry);
      if (failed(condition))
        return failure();
      list.push_back(*condition);
      continue;
    }
    if (kind != "invoke")
      return entry.emitError("entry of kind '") << kind << "', expected 'invoke', 'step' or 'condition'";
    auto inputs = static_cast<unsigned>(entry->getAttrOfType<IntegerAttr>("pith.inputs").getInt());
    SmallVector<Attribute> ins, outs;
    // The last argument is the workspace.
    for (unsigned i = 0; i + 1 < entry.getNumArguments(); ++i) {
      if (i < inputs)
        ins.push_back(describeTensor(entry, i, "input_" + Twine(i)));
      else
        outs.push_back(describeTensor(entry, i, "output_" + Twine(i - inputs)));
    }
    list.push_back(b.getDictionaryAttr({b.getNamedAttr("inputs", b.getArrayAttr(ins)),
                                        b.getNamedAttr("kind", b.getStringAttr(kind)),
                                        b.getNamedAttr("name", b.getStringAttr(entry.getSymName())),
                                        b.getNamedAttr("outputs", b.getArrayAttr(outs))}));
  }
  manifest.push_back(b.getNamedAttr("entries", b.getArrayAttr(list)));
  return b.getDictionaryAttr(manifest);
}

static cpu::CacheLayout layoutOf(StateOp state) {
  auto type = cast<KVType>(state.getType());
  cpu::CacheLayout layout;
  layout.element = type.getElement().isF32()    ? cpu::CacheLayout::Element::F32
                   : type.getElement().isBF16() ? cpu::CacheLayout::Element::BF16
                                                : cpu::CacheLayout::Element::F16;
  layout.kvHeads = type.getKvHeads();
  layout.headDim = type.getHeadDim();
  layout.valueDim = type.getValueDim();
  return layout;
}

cpu::CacheLayout pith::getCacheLayout(ModuleOp module, StateOp wanted) {
  int64_t offset = 0;
  for (auto state : module.getOps<StateOp>()) {
    if (state == wanted)
      break;
    if (state.getCondition() == wanted.getCondition())
      offset = llvm::alignTo(offset + layoutOf(state).layerBytes(), 64);
  }
  cpu::CacheLayout layout = layoutOf(wanted);
  layout.layerOffset = offset;
  return layout;
}

int64_t pith::getPageBytes(ModuleOp module, bool condition) {
  int64_t bytes = 0;
  for (auto state : module.getOps<StateOp>())
    if (state.getCondition() == condition)
      bytes = llvm::alignTo(bytes + layoutOf(state).layerBytes(), 64);
  return bytes;
}
