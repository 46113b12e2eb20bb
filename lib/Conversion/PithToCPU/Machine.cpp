//===- Machine.cpp - the machine that code is generated for, in the IR ----===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "mlir/IR/Builders.h"
#include "pith/Conversion/Passes.h"

using namespace mlir;
using namespace pith;

void pith::setMachine(ModuleOp module, const cpu::Machine &machine) {
  Builder b(module.getContext());
  auto flag = [&](StringRef name, bool value) { return b.getNamedAttr(name, b.getBoolAttr(value)); };
  module->setAttr(kMachineAttr, b.getDictionaryAttr(
                                    {b.getNamedAttr("cpu", b.getStringAttr(machine.cpu)),
                                     b.getNamedAttr("features", b.getStringAttr(machine.features)),
                                     b.getNamedAttr("vector_bytes", b.getI64IntegerAttr(machine.vectorBytes)),
                                     flag("vnni", machine.vnni), flag("avx_vnni", machine.avxVnni),
                                     flag("bf16", machine.bf16), flag("vbmi", machine.vbmi)}));
}

FailureOr<cpu::Machine> pith::getMachine(ModuleOp module, StringRef fallback) {
  auto attribute = module->getAttrOfType<DictionaryAttr>(kMachineAttr);
  if (!attribute) {
    std::optional<cpu::Machine> machine = cpu::Machine::fromName(fallback);
    if (!machine)
      return module.emitError("unknown CPU '") << fallback << "', or one without AVX2";
    setMachine(module, *machine);
    return *machine;
  }
  cpu::Machine machine;
  auto text = [&](StringRef name) {
    auto value = attribute.getAs<StringAttr>(name);
    return value ? value.str() : std::string();
  };
  auto flag = [&](StringRef name) {
    auto value = attribute.getAs<BoolAttr>(name);
    return value && value.getValue();
  };
  machine.cpu = text("cpu");
  machine.features = text("features");
  auto bytes = attribute.getAs<IntegerAttr>("vector_bytes");
  if (machine.cpu.empty() || !bytes || (bytes.getInt() != 32 && bytes.getInt() != 64))
    return module.emitError("attribute '")
           << kMachineAttr << "' needs 'cpu' and 'vector_bytes' of 32 or 64, but is " << attribute;
  machine.vectorBytes = static_cast<int>(bytes.getInt());
  machine.vnni = flag("vnni");
  machine.avxVnni = flag("avx_vnni");
  machine.bf16 = flag("bf16");
  machine.vbmi = flag("vbmi");
  return machine;
}
