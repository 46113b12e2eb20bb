//===- Contents.cpp - what goes into the file beside the code -------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "mlir/IR/Builders.h"
#include "pith/Conversion/Passes.h"
#include "pith/Package/Package.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace pith;

static llvm::json::Value toJSON(Attribute attribute) {
  if (auto text = dyn_cast<StringAttr>(attribute))
    return llvm::json::fixUTF8(text.getValue());
  if (auto flag = dyn_cast<BoolAttr>(attribute))
    return flag.getValue();
  if (auto number = dyn_cast<IntegerAttr>(attribute))
    return number.getInt();
  if (auto number = dyn_cast<FloatAttr>(attribute))
    return number.getValueAsDouble();
  if (auto list = dyn_cast<ArrayAttr>(attribute)) {
    llvm::json::Array array;
    for (Attribute element : list)
      array.push_back(toJSON(element));
    return array;
  }
  if (auto dictionary = dyn_cast<DictionaryAttr>(attribute)) {
    llvm::json::Object object;
    for (NamedAttribute entry : dictionary)
      object[entry.getName().getValue()] = toJSON(entry.getValue());
    return object;
  }
  std::string text;
  llvm::raw_string_ostream(text) << attribute;
  return llvm::json::fixUTF8(text);
}

/// What lies where in the weight section.
static llvm::json::Array describeWeights(ModuleOp module) {
  llvm::json::Array list;
  for (auto packed : module.getOps<PackedOp>()) {
    llvm::json::Array sources;
    for (Attribute source : packed.getSources())
      sources.push_back(llvm::json::fixUTF8(cast<FlatSymbolRefAttr>(source).getValue()));
    list.push_back(llvm::json::Object{{"name", llvm::json::fixUTF8(packed.getSymName())},
                                      {"sources", std::move(sources)},
                                      {"offset", packed.getOffset()},
                                      {"size", packed.getSize()},
                                      {"layout", toJSON(packed.getLayout())}});
  }
  return list;
}

llvm::Expected<PackageContents> pith::takeContents(ModuleOp module) {
  auto described = module->getAttrOfType<DictionaryAttr>(kManifestAttr);
  if (!described)
    return llvm::createStringError(llvm::inconvertibleErrorCode(), "the module has no '" + kManifestAttr +
                                                                       "': the phase 'kernels' has not run");
  llvm::json::Value manifest = toJSON(described);
  llvm::json::Object &object = *manifest.getAsObject();
  object["pith"] = 1;
  object["producer"] = "pith " PITH_VERSION_TEXT;
  if (auto model = module->getAttrOfType<DictionaryAttr>("pith.model"))
    object["model"] = toJSON(model);

  object["weights"] = describeWeights(module);

  PackageContents contents;
  contents.manifest = llvm::formatv("{0}", manifest).str();
  contents.weights = ModuleOp::create(module.getLoc());
  Block *body = contents.weights->getBody();
  for (Operation &op : llvm::make_early_inc_range(*module.getBody())) {
    if (isa<WeightOp, PackedOp>(op))
      op.moveBefore(body, body->end());
    else if (isa<StateOp>(op))
      op.erase();
  }
  // The target's translation knows nothing of these.
  for (StringRef name : {StringRef(kManifestAttr), StringRef(kMachineAttr), StringRef("pith.model")})
    module->removeAttr(name);
  return contents;
}
