//===- PithToGPU.cpp - choose GPU kernels ---------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../Common/KernelChooser.h"
#include "../Common/SpecAttributes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "pith/Codegen/GPU/Kernels.h"
#include "pith/Codegen/GPU/Machine.h"
#include "pith/Conversion/KernelSpec.h"
#include "pith/Conversion/Passes.h"
#include "pith/Conversion/PithToGPU/Passes.h"

namespace pith {
#define GEN_PASS_DEF_CONVERTPITHTOGPU
#define GEN_PASS_DEF_MOVECONSTANTS
#include "pith/Conversion/PithToGPU/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace pith;

static pith::gpu::LinearLayout layoutOf(const kernels::LinearWeights &weights) {
  pith::gpu::LinearLayout layout;
  static_cast<kernels::LinearWeights &>(layout) = weights;
  return layout;
}

namespace {
class GPUKernels : public KernelFamily {
public:
  /// `warpGroups`: a chip has them.
  GPUKernels(bool exact, bool warpGroups) : exact(exact), warpGroups(warpGroups) {}
  std::string lacks(const cpu::LinearLayout &weights) const override {
    return llvm::toString(layoutOf(weights).check());
  }
  std::string lacks(const cpu::AttentionSpec &spec) const override {
    pith::gpu::AttentionSpec all;
    static_cast<kernels::AttentionSpec &>(all) = spec;
    return llvm::toString(all.check());
  }
  bool normsInFront(cpu::Norm norm) const override { return norm == cpu::Norm::RMS; }
  int64_t packedBytes(const cpu::LinearLayout &weights) const override {
    return layoutOf(weights).sizeBytes();
  }
  /// For rows as warp groups read them.
  std::optional<Scratch> scratch(const cpu::LinearSpec &spec) const override {
    if (!takesWarpGroups(spec.layout))
      return std::nullopt;
    using Rows = pith::gpu::PackRowsSpec;
    int64_t row = Rows::of(groupSpec(spec.layout)).rowBytes();
    return Scratch{row, row * (Rows::tileRows - 1)};
  }
  /// Of the blocks that share a row's tokens, each leaves what it found.
  std::optional<Scratch> scratch(const cpu::AttentionSpec &spec) const override {
    if (spec.tensors)
      return std::nullopt;
    int64_t part = spec.heads * (2 + spec.cache.valueDim) * 4;
    return Scratch{0, part * attentionSplits(spec.cache.kvHeads)};
  }
  DictionaryAttr finish(DictionaryAttr spec) const override {
    NamedAttrList list(spec);
    Builder b(spec.getContext());
    for (StringRef name : {"input", "output"})
      list.set(name, b.getStringAttr("f32"));
    // On matrix units f32 is three bf16. Balanced, activations are rounded as the weights are.
    StringRef kind = spec.getAs<StringAttr>("kind").getValue();
    auto multiply = [&](StringRef element, int64_t parts) {
      list.set("product", b.getStringAttr(element));
      list.set("parts", b.getI64IntegerAttr(parts));
    };
    if (kind == "linear") {
      kernels::LinearWeights weights;
      kernels::Reader reader(spec, [&] { return emitError(UnknownLoc::get(spec.getContext())); });
      reader.weights(weights);
      pith::gpu::LinearSpec product = groupSpec(weights);
      multiply(kernels::elementNames[int(product.product)], product.parts);
      if (takesWarpGroups(weights))
        list.set("warp_groups", b.getUnitAttr());
    } else if (kind == "attention") {
      // A cache of f32 was asked for; tensors have no element that anyone chose.
      StringRef element = spec.getAs<StringAttr>("element").getValue();
      if (element != "f32")
        multiply(element, exact ? 2 : 1);
      else if (exact || !spec.get("tensors"))
        multiply("bf16", 3);
      else
        multiply("f16", 1);
    }
    return list.getDictionary(spec.getContext());
  }
  DictionaryAttr finishLayout(DictionaryAttr layout) const override {
    NamedAttrList list(layout);
    list.set(kDeviceKey, StringAttr::get(layout.getContext(), "gpu"));
    return list.getDictionary(layout.getContext());
  }

private:
  /// How a layer of such weights multiplies, by warp groups if there are.
  pith::gpu::LinearSpec groupSpec(const kernels::LinearWeights &weights) const {
    using pith::gpu::Element;
    using pith::gpu::WeightFormat;
    pith::gpu::LinearSpec spec;
    spec.layout = layoutOf(weights);
    bool whole = exact || weights.format == WeightFormat::F32;
    spec.product = whole || weights.format == WeightFormat::BF16 ? Element::BF16 : Element::F16;
    spec.parts = whole ? 3 : 1;
    spec.rowTile = 128;
    spec.warpGroups = true;
    return spec;
  }
  bool takesWarpGroups(const kernels::LinearWeights &weights) const {
    return warpGroups && llvm::toString(groupSpec(weights).check()).empty();
  }
  bool exact, warpGroups;
};

/// Constants become weights: what a kernel reads has to be on the device. One value in all places is filled
/// in there.
class ConstantMover {
public:
  explicit ConstantMover(ModuleOp module) : module(module), symbols(module), weights(module) {}

  LogicalResult move(arith::ConstantOp op) {
    auto elements = dyn_cast<DenseElementsAttr>(op.getValue());
    auto type = dyn_cast<RankedTensorType>(op.getType());
    if (!elements || !type || op->use_empty())
      return success();
    OpBuilder b(op);
    if (elements.isSplat()) {
      Value value = arith::ConstantOp::create(b, op.getLoc(), elements.getSplatValue<TypedAttr>());
      Value empty = tensor::EmptyOp::create(b, op.getLoc(), type.getShape(), type.getElementType());
      op.replaceAllUsesWith(linalg::FillOp::create(b, op.getLoc(), value, empty).getResult(0));
      op.erase();
      return success();
    }
    OpBuilder top = OpBuilder::atBlockBegin(module.getBody());
    auto weight = WeightOp::create(top, op.getLoc(), "constant", type, elements, Attribute(), Attribute());
    symbols.insert(weight); // under a name of its own
    FailureOr<PackedOp> packed = weights.getPlain(weight, type);
    if (failed(packed))
      return failure();
    auto buffer = MemRefType::get(type.getShape(), type.getElementType());
    Value address = PackedAddressOp::create(b, op.getLoc(), buffer, FlatSymbolRefAttr::get(*packed));
    op.replaceAllUsesWith(
        bufferization::ToTensorOp::create(b, op.getLoc(), type, address, /*restrict=*/true).getResult());
    op.erase();
    return success();
  }

private:
  ModuleOp module;
  SymbolTable symbols;
  PackedWeights weights;
};

struct MoveConstants : pith::impl::MoveConstantsBase<MoveConstants> {
  void runOnOperation() override {
    ConstantMover mover(getOperation());
    SmallVector<arith::ConstantOp> constants;
    getOperation().walk([&](arith::ConstantOp op) { constants.push_back(op); });
    for (arith::ConstantOp op : constants)
      if (failed(mover.move(op)))
        return signalPassFailure();
  }
};

struct ConvertPithToGPU : pith::impl::ConvertPithToGPUBase<ConvertPithToGPU> {
  using ConvertPithToGPUBase::ConvertPithToGPUBase;
  void runOnOperation() override {
    ModuleOp module = getOperation();
    bool warpGroups = false;
    if (!target.empty()) {
      llvm::Expected<SmallVector<pith::gpu::Machine>> machines = pith::gpu::parseTarget(target);
      if (!machines) {
        module.emitError(llvm::toString(machines.takeError()));
        return signalPassFailure();
      }
      warpGroups = llvm::any_of(*machines, [](const pith::gpu::Machine &machine) { return machine.wgmma; });
    }
    GPUKernels family(exact, warpGroups);
    KernelChooser chooser(module, family, exact);
    for (auto function : llvm::to_vector(module.getOps<func::FuncOp>()))
      if (!function.isExternal())
        chooser.choose(function, stateOnly);
  }
};
} // namespace
