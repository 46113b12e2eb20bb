//===- AssembleTest.cpp - every kernel on every chip ----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// KernelUse.txt says what each kernel takes on each chip. PITH_WRITE_TABLE=1 in the environment writes it
// anew.
//
//===----------------------------------------------------------------------===//
#include "KernelSet.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/IR/Verifier.h"
#include "pith/Codegen/GPU/Machine.h"
#include "pith/Target/NVVM/Target.h"
#include "pith/Target/ROCDL/Target.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

using namespace mlir;
using namespace pith::gpu;
using namespace pith::gpu::test;

namespace pith::gpu {
static void PrintTo(const Machine &machine, std::ostream *out) { *out << machine.name(); }
} // namespace pith::gpu

namespace {
const char *tablePath = PITH_GPU_TEST_DIR "/KernelUse.txt";

/// "chip kernel" → what the kernel takes, as text.
using Table = std::map<std::string, std::string>;

Table readTable() {
  Table table;
  std::ifstream in(tablePath);
  for (std::string line; std::getline(in, line);) {
    size_t split = line.find(": ");
    if (line[0] != '#' && split != std::string::npos)
      table[line.substr(0, split)] = line.substr(split + 2);
  }
  return table;
}

/// Registers and spills may differ by an eighth, or by 8: which of two independent operations of a kernel
/// comes first is up to the compiler that this program was built with, where both are arguments of a call. No
/// spills are no spills.
testing::AssertionResult agree(const std::string &expected, const std::string &found) {
  std::istringstream a(expected), b(found);
  std::string wordA, wordB;
  bool same = true;
  while (same && (a >> wordA)) {
    if (!(b >> wordB)) {
      same = false;
    } else if (std::isdigit(static_cast<unsigned char>(wordA[0])) && a.peek() != EOF) {
      long x = std::atol(wordA.c_str()), y = std::atol(wordB.c_str()), far = std::labs(x - y);
      std::string unit = expected.substr(size_t(a.tellg()));
      same = unit == " bytes shared" ? far == 0 : (x == 0) == (y == 0) && far <= std::max(8L, x / 8);
    } else {
      same = wordA == wordB;
    }
  }
  if (same && !expected.empty() && !(b >> wordB))
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << "the table has \"" << expected << "\", found \"" << found
                                     << "\"; if this is meant, run with PITH_WRITE_TABLE=1";
}

/// Another ptxas takes other registers: the table is that of one version.
bool isTableVersion(const std::string &ptxas) {
  std::FILE *out = popen(("'" + ptxas + "' --version").c_str(), "r");
  if (!out)
    return false;
  std::string text;
  for (char buffer[256]; std::fgets(buffer, sizeof buffer, out);)
    text += buffer;
  pclose(out);
  return text.find("V13.0.88") != std::string::npos;
}

class Assemble : public testing::TestWithParam<Machine> {
protected:
  Assemble() { context.loadDialect<mlir::gpu::GPUDialect>(); }

  mlir::gpu::GPUModuleOp build(const NamedKernel &kernel) {
    Location loc = UnknownLoc::get(&context);
    module = ModuleOp::create(loc);
    OpBuilder b(module->getBodyRegion());
    auto kernels = mlir::gpu::GPUModuleOp::create(b, loc, "kernels");
    kernel.build(kernels);
    EXPECT_TRUE(succeeded(verify(*module))) << kernel.name;
    return kernels;
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

Table written;
} // namespace

TEST_P(Assemble, AllKernels) {
  const Machine &machine = GetParam();
  Table table = readTable();
  bool write = std::getenv("PITH_WRITE_TABLE");
  std::string ptxas = pith::nvvm::findPtxas();
  if (machine.vendor == Vendor::CUDA && ptxas.empty())
    std::cerr << "SKIPPED: no ptxas; PTX for " << machine.chip.str() << " is emitted, not assembled\n";
  bool compare = !write;
  if (machine.vendor == Vendor::CUDA && !ptxas.empty() && !isTableVersion(ptxas)) {
    std::cerr << "SKIPPED: the table is that of ptxas 13.0.88; registers are not compared\n";
    compare = false;
  }
  for (const NamedKernel &kernel : allKernels()) {
    SCOPED_TRACE(kernel.name);
    if (kernel.warpGroups && !machine.wgmma)
      continue;
    mlir::gpu::GPUModuleOp kernels = build(kernel);
    int64_t shared = 0;
    kernels.walk([&](mlir::gpu::GPUFuncOp function) {
      shared = std::max(shared, function->getAttrOfType<IntegerAttr>(kSharedBytesAttr).getInt());
    });
    EXPECT_LE(shared, machine.sharedBytes);
    std::ostringstream use;
    bool spills = false;
    if (machine.vendor == Vendor::CUDA) {
      llvm::Expected<std::string> ptx = pith::nvvm::emitPTX(kernels, machine);
      ASSERT_TRUE(bool(ptx)) << toString(ptx.takeError());
      if (ptxas.empty())
        continue;
      llvm::Expected<pith::nvvm::Cubin> cubin = pith::nvvm::assemble(ptxas, *ptx, machine);
      ASSERT_TRUE(bool(cubin)) << toString(cubin.takeError()) << *ptx;
      EXPECT_EQ(cubin->messages, "");
      for (const pith::nvvm::KernelUse &k : cubin->kernels) {
        use << k.registers << " registers, " << k.spillStores + k.spillLoads << " bytes spilled; ";
        spills |= k.spillStores + k.spillLoads + k.stackBytes > 0;
      }
    } else {
      llvm::Expected<std::string> isa = pith::rocdl::emitISA(kernels, machine);
      ASSERT_TRUE(bool(isa)) << toString(isa.takeError());
      for (const pith::rocdl::KernelUse &k : pith::rocdl::readUse(*isa)) {
        use << k.vectorRegisters << " vector and " << k.scalarRegisters << " scalar registers, " << k.spilled
            << " spilled; ";
        spills |= k.spilled + k.scratchBytes > 0;
      }
      llvm::Expected<llvm::SmallVector<char, 0>> object = pith::rocdl::emitHSACO(kernels, machine);
      ASSERT_TRUE(bool(object)) << toString(object.takeError());
      EXPECT_EQ(llvm::StringRef(object->data(), 4), llvm::StringRef("\177ELF", 4));
    }
    use << shared << " bytes shared";
    EXPECT_FALSE(kernel.hot && spills) << use.str();
    std::string key = machine.chip.str() + " " + kernel.name;
    written[key] = use.str();
    if (compare)
      EXPECT_TRUE(agree(table[key], use.str()));
  }
  if (!write)
    return;
  for (const auto &[key, value] : written)
    table[key] = value;
  std::ofstream out(tablePath);
  out << "# What ptxas 13.0.88 and LLVM 22.1.8 say that each kernel takes; checked by PithGPUAssembleTest.\n";
  for (const auto &[key, value] : table)
    out << key << ": " << value << "\n";
}

INSTANTIATE_TEST_SUITE_P(Chips, Assemble, testing::ValuesIn(machines().begin(), machines().end()),
                         [](const testing::TestParamInfo<Machine> &info) { return info.param.chip.str(); });
