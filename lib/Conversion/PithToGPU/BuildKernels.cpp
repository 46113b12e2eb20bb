//===- BuildKernels.cpp - generate the bodies of declared kernels ---------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../Common/EntryRun.h"
#include "../Common/SpecAttributes.h"
#include "Launcher.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "pith/Codegen/GPU/Machine.h"
#include "pith/Codegen/GPU/Sampling.h"
#include "pith/Conversion/Passes.h"
#include "pith/Conversion/PithToGPU/Passes.h"

namespace pith {
#define GEN_PASS_DEF_BUILDGPUKERNELS
#include "pith/Conversion/PithToGPU/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;
using pith::kernels::elementNames;

mlir::gpu::GPUFuncOp pith::buildGPUKernel(mlir::gpu::GPUModuleOp module, DictionaryAttr attribute,
                                          llvm::function_ref<InFlightDiagnostic()> emitError) {
  kernels::Reader r(attribute, emitError);
  auto element = [&](StringRef name) { return r.choice<pith::gpu::Element>(name, elementNames); };
  auto refused = [&](llvm::Error error) {
    if (!error)
      return false;
    emitError() << "no kernel for " << llvm::toString(std::move(error));
    return true;
  };
  StringRef kind = r.text("kind");
  if (kind == "linear") {
    pith::gpu::LinearSpec spec;
    r.weights(spec.layout);
    r.fusion(spec);
    spec.input = element("input");
    spec.output = element("output");
    spec.rowTile = r.number("row_tile", 1);
    if (spec.onMatrixUnit()) {
      spec.product = element("product");
      spec.parts = r.number("parts", 1);
      spec.stages = r.number("stages", 2);
      spec.warpGroups = r.flag("warp_groups");
    }
    if (r.failed || refused(spec.check()))
      return {};
    return pith::gpu::getOrCreateLinear(module, spec);
  }
  if (kind == "pack_rows") { // for a linear layer
    pith::gpu::LinearSpec spec;
    r.weights(spec.layout);
    r.fusion(spec);
    spec.input = element("input");
    spec.product = element("product");
    spec.parts = r.number("parts", 1);
    if (r.failed || refused(spec.layout.check()))
      return {};
    return pith::gpu::getOrCreatePackRows(module, pith::gpu::PackRowsSpec::of(spec));
  }
  if (kind == "norm") {
    pith::gpu::NormSpec spec;
    r.norm(spec);
    spec.gather = r.flag("gather");
    spec.input = element("input");
    spec.output = element("output");
    return r.failed ? mlir::gpu::GPUFuncOp() : pith::gpu::getOrCreateNorm(module, spec);
  }
  if (kind == "embedding") {
    pith::gpu::EmbeddingSpec spec;
    r.weights(spec.layout);
    spec.scale = r.real("scale");
    spec.takesRows = r.flag("takes_rows");
    spec.output = element("output");
    if (r.failed || refused(spec.layout.check()))
      return {};
    return pith::gpu::getOrCreateEmbedding(module, spec);
  }
  if (kind == "argmax") {
    int64_t n = r.number("n", 1);
    return r.failed ? mlir::gpu::GPUFuncOp() : pith::gpu::getOrCreateArgmax(module, n);
  }
  if (kind == "softmax" || kind == "sample") {
    int64_t n = r.number("n", 1);
    if (r.failed)
      return {};
    return kind == "sample" ? pith::gpu::getOrCreateSample(module, n)
                            : pith::gpu::getOrCreateSoftmax(module, n);
  }
  if (kind == "quantize" || kind == "dequantize") {
    pith::gpu::QuantizeSpec spec;
    spec.k = r.number("k", 1);
    spec.block = r.number("block");
    spec.element = element("element");
    if (r.failed)
      return {};
    return kind == "quantize" ? pith::gpu::getOrCreateQuantize(module, spec)
                              : pith::gpu::getOrCreateDequantize(module, spec);
  }
  if (kind == "rope") {
    pith::gpu::RopeSpec spec;
    r.rope(spec);
    spec.input = element("input");
    spec.output = element("output");
    return r.failed ? mlir::gpu::GPUFuncOp() : pith::gpu::getOrCreateRope(module, spec);
  }
  if (kind == "kv_append") {
    pith::gpu::AppendSpec spec;
    spec.cache = r.cache();
    spec.rotaryDim = r.number("rotary_dim");
    spec.interleaved = r.flag("interleaved");
    spec.input = element("input");
    return r.failed ? mlir::gpu::GPUFuncOp() : pith::gpu::getOrCreateKVAppend(module, spec);
  }
  if (kind == "attention" || kind == "attention_merge") {
    pith::gpu::AttentionSpec spec;
    r.attention(spec);
    spec.input = element("input");
    spec.output = element("output");
    spec.split = r.flag("split");
    if ((spec.tile = r.flag("tile"))) {
      spec.product = element("product");
      spec.parts = r.number("parts", 1);
      spec.warpGroups = r.flag("warp_groups");
    }
    if (r.failed || refused(spec.check()))
      return {};
    return kind == "attention" ? pith::gpu::getOrCreateAttention(module, spec)
                               : pith::gpu::getOrCreateAttentionMerge(module, spec);
  }
  if (!r.failed)
    emitError() << "no GPU kernel of kind '" << kind << "'";
  return {};
}

namespace {
struct BuildGPUKernels : pith::impl::BuildGPUKernelsBase<BuildGPUKernels> {
  using BuildGPUKernelsBase::BuildGPUKernelsBase;
  void runOnOperation() override {
    ModuleOp module = getOperation();
    llvm::Expected<SmallVector<pith::gpu::Machine>> machines = pith::gpu::parseTarget(target);
    if (!machines) {
      module.emitError(llvm::toString(machines.takeError()));
      return signalPassFailure();
    }
    SmallVector<func::FuncOp> declared;
    for (auto function : module.getOps<func::FuncOp>())
      if (function.isExternal() && function->hasAttr(kKernelAttr))
        declared.push_back(function);
    if (declared.empty())
      return;
    mlir::gpu::GPUModuleOp kernels = kernelsOf(module);
    for (func::FuncOp function : declared) {
      DictionaryAttr spec = specOf(function);
      if (!spec)
        return signalPassFailure();
      mlir::gpu::GPUFuncOp kernel = buildGPUKernel(kernels, spec, [&] { return function.emitError(); });
      if (!kernel)
        return signalPassFailure();
      int64_t shared = kernel->getAttrOfType<IntegerAttr>(pith::gpu::kSharedBytesAttr).getInt();
      for (const pith::gpu::Machine &machine : *machines)
        if (shared > machine.sharedBytes) {
          function.emitError("the kernel needs ")
              << shared << " bytes of shared memory; " << machine.name() << " has " << machine.sharedBytes;
          return signalPassFailure();
        }
      kernel->setAttr(kKernelAttr, spec);
      function.erase();
    }
  }
};
} // namespace
