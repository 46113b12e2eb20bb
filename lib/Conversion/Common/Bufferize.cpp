//===- Bufferize.cpp - from tensors to buffers ----------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The caller owns inputs and outputs. So results become arguments that are written, and because the caller
// must know their sizes before it can pass them, the entry returns those instead. Where a size depends on
// data, it returns -1, and asks for the memory when it knows.
//
//===----------------------------------------------------------------------===//
#include "../PithToLinalg/TensorBuilder.h"
#include "mlir/Dialect/Arith/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/Transforms/OneShotAnalysis.h"
#include "mlir/Dialect/Bufferization/Transforms/Transforms.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Linalg/Transforms/SubsetInsertionOpInterfaceImpl.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/IR/TensorInferTypeOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/Transforms/SubsetInsertionOpInterfaceImpl.h"
#include "pith/Conversion/Passes.h"
#include "pith/Dialect/Pith/IR/PithDataOps.h"

namespace pith {
#define GEN_PASS_DEF_BUFFERIZEENTRIES
#include "pith/Conversion/Passes.h.inc"
} // namespace pith

using namespace mlir;
using namespace mlir::bufferization;
using namespace pith;

//===----------------------------------------------------------------------===//
// pith.launch
//===----------------------------------------------------------------------===//

namespace {
struct LaunchModel : BufferizableOpInterface::ExternalModel<LaunchModel, LaunchOp> {
  static std::optional<unsigned> outputOf(LaunchOp op, OpOperand &operand) {
    auto position = static_cast<int64_t>(operand.getOperandNumber());
    unsigned result = 0;
    for (int64_t output : op.getOutputs()) {
      if (output == position)
        return result;
      if (isa<TensorType>(op.getOperands()[output].getType()))
        ++result;
    }
    return std::nullopt;
  }

  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand, const AnalysisState &) const {
    auto launch = cast<LaunchOp>(op);
    return !outputOf(launch, operand) ||
           llvm::is_contained(launch.getUpdates(), static_cast<int64_t>(operand.getOperandNumber()));
  }

  bool bufferizesToMemoryWrite(Operation *op, OpOperand &operand, const AnalysisState &) const {
    return outputOf(cast<LaunchOp>(op), operand).has_value();
  }

  AliasingValueList getAliasingValues(Operation *op, OpOperand &operand, const AnalysisState &) const {
    if (std::optional<unsigned> result = outputOf(cast<LaunchOp>(op), operand))
      return {{op->getResult(*result), BufferRelation::Equivalent}};
    return {};
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter, const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto launch = cast<LaunchOp>(op);
    Location loc = op->getLoc();
    auto kernel = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(op, launch.getKernelAttr());
    auto spec = kernel ? kernel->getAttrOfType<DictionaryAttr>(kKernelAttr) : DictionaryAttr();
    auto strides = spec ? spec.getAs<DenseI64ArrayAttr>("strides") : DenseI64ArrayAttr();
    SmallVector<Value> operands, results;
    SmallVector<std::pair<Value, Value>> written; // a dense buffer, and where its elements belong
    for (auto [i, operand] : llvm::enumerate(launch.getOperands())) {
      if (!isa<TensorType>(operand.getType())) {
        operands.push_back(operand);
        continue;
      }
      FailureOr<Value> buffer = getBuffer(rewriter, operand, options, state);
      if (failed(buffer))
        return failure();
      int64_t position = i;
      bool takesStride = strides && llvm::is_contained(strides.asArrayRef(), position);
      bool isOutput = llvm::is_contained(launch.getOutputs(), position);
      operands.push_back(*buffer);
      if (isAddressable(cast<MemRefType>(buffer->getType()), takesStride))
        continue;
      FailureOr<Value> dense = allocateLike(rewriter, loc, *buffer, options);
      if (failed(dense))
        return failure();
      operands.back() = *dense;
      if (!isOutput || llvm::is_contained(launch.getUpdates(), position))
        memref::CopyOp::create(rewriter, loc, *buffer, *dense);
      if (isOutput)
        written.push_back({*dense, *buffer});
    }
    for (int64_t output : launch.getOutputs())
      if (isa<TensorType>(launch.getOperands()[output].getType()))
        results.push_back(operands[output]);
    LaunchOp::create(rewriter, loc, TypeRange(), launch.getKernelAttr(), operands, launch.getOutputsAttr(),
                     launch.getUpdatesAttr());
    for (auto [dense, place] : written) {
      memref::CopyOp::create(rewriter, loc, dense, place);
      llvm::replace(results, dense, place);
    }
    replaceOpWithBufferizedValues(rewriter, op, results);
    return success();
  }

  /// A kernel sees a pointer, and a row stride where it asks for one. Anything else would be read as dense.
  static bool isAddressable(MemRefType type, bool takesStride) {
    if (type.getLayout().isIdentity())
      return true;
    SmallVector<int64_t> strides;
    int64_t offset, dense = 1, rank = type.getRank();
    if (failed(type.getStridesAndOffset(strides, offset)))
      return false;
    for (int64_t d = rank - 1; d >= 0; --d) {
      if (type.getDimSize(d) == 1)
        continue; // its stride is never used
      if (takesStride && d == rank - 2)
        return rank == 2;
      if (strides[d] != dense || ShapedType::isDynamic(dense))
        return false;
      dense = type.isDynamicDim(d) ? ShapedType::kDynamic : dense * type.getDimSize(d);
    }
    return true;
  }

  static FailureOr<Value> allocateLike(RewriterBase &rewriter, Location loc, Value buffer,
                                       const BufferizationOptions &options) {
    auto type = cast<MemRefType>(buffer.getType());
    SmallVector<Value> sizes;
    for (int64_t d = 0; d < type.getRank(); ++d)
      if (type.isDynamicDim(d))
        sizes.push_back(memref::DimOp::create(rewriter, loc, buffer, d));
    return options.createAlloc(rewriter, loc, MemRefType::get(type.getShape(), type.getElementType()), sizes);
  }
};
} // namespace

namespace {
struct ArgSortModel : DstBufferizableOpInterfaceExternalModel<ArgSortModel, ArgSortOp> {
  /// What `order` and `scratch` held before is not read.
  bool bufferizesToMemoryRead(Operation *, OpOperand &operand, const AnalysisState &) const {
    return operand.getOperandNumber() == 0;
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter, const BufferizationOptions &options,
                          BufferizationState &state) const {
    SmallVector<Value> buffers;
    for (Value operand : op->getOperands()) {
      FailureOr<Value> buffer = getBuffer(rewriter, operand, options, state);
      if (failed(buffer))
        return failure();
      buffers.push_back(*buffer);
    }
    ArgSortOp::create(rewriter, op->getLoc(), TypeRange(), buffers, op->getAttrs());
    replaceOpWithBufferizedValues(rewriter, op, ArrayRef(buffers).drop_front());
    return success();
  }
};
} // namespace

void pith::registerBufferizationModels(DialectRegistry &registry) {
  arith::registerBufferizableOpInterfaceExternalModels(registry);
  linalg::registerBufferizableOpInterfaceExternalModels(registry);
  linalg::registerSubsetOpInterfaceExternalModels(registry);
  scf::registerBufferizableOpInterfaceExternalModels(registry);
  tensor::registerBufferizableOpInterfaceExternalModels(registry);
  tensor::registerInferTypeOpInterfaceExternalModels(registry);
  tensor::registerSubsetOpInterfaceExternalModels(registry);
  registry.addExtension(+[](MLIRContext *context, PithDialect *) {
    LaunchOp::attachInterface<LaunchModel>(*context);
    ArgSortOp::attachInterface<ArgSortModel>(*context);
  });
}

//===----------------------------------------------------------------------===//
// Entries
//===----------------------------------------------------------------------===//

static MemRefType bufferType(RankedTensorType type) {
  return MemRefType::get(type.getShape(), type.getElementType());
}

/// Arguments as buffers that are only read.
static void takeInputs(func::FuncOp entry) {
  OpBuilder b = OpBuilder::atBlockBegin(&entry.front());
  for (BlockArgument argument : entry.getArguments()) {
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (!type)
      continue;
    argument.setType(bufferType(type));
    auto tensor =
        ToTensorOp::create(b, argument.getLoc(), type, argument, /*restrict=*/true, /*writable=*/false);
    argument.replaceAllUsesExcept(tensor, tensor);
  }
  entry.setType(b.getFunctionType(entry.front().getArgumentTypes(), entry.getResultTypes()));
}

/// Whether a size is arithmetic on the sizes of the entry's arguments, and on elements of its inputs. `known`
/// has the answers given before.
static bool isKnownAtStart(Value size, DenseMap<Value, bool> &known) {
  auto [entry, fresh] = known.try_emplace(size, false);
  if (!fresh)
    return entry->second;
  Operation *op = size.getDefiningOp();
  if (!op || op->getNumRegions() || !isMemoryEffectFree(op) || !isa<func::FuncOp>(op->getParentOp()))
    return false;
  bool result;
  if (auto dim = dyn_cast<tensor::DimOp>(op))
    result = isa<BlockArgument>(dim.getSource()) && dim.getConstantIndex();
  else if (auto element = dyn_cast<tensor::ExtractOp>(op))
    result = isa<BlockArgument>(element.getTensor()) &&
             llvm::all_of(element.getIndices(), [&](Value i) { return isKnownAtStart(i, known); });
  else
    result = llvm::all_of(op->getOperands(), [&](Value operand) {
      return !isa<ShapedType>(operand.getType()) && isKnownAtStart(operand, known);
    });
  return known[size] = result;
}

/// Results as buffers to write; their dynamic sizes are what the entry returns.
static LogicalResult giveOutputs(func::FuncOp entry) {
  auto ret = cast<func::ReturnOp>(entry.front().getTerminator());
  OpBuilder b(ret);
  SmallVector<Value> sizes;
  SmallVector<DictionaryAttr> attributes;
  DenseMap<Value, bool> known;
  bool isStep = entry->getAttrOfType<StringAttr>(kEntryAttr).getValue() == "step";
  for (unsigned i = 0; i < entry.getNumResults(); ++i)
    attributes.push_back(entry.getResultAttrDict(i));
  for (auto [i, value] : llvm::enumerate(ret.getOperands())) {
    auto type = dyn_cast<RankedTensorType>(value.getType());
    if (!type)
      return entry.emitError("result ") << i << " is " << value.getType() << ", expected a tensor";
    Value out = entry.front().addArgument(bufferType(type), value.getLoc());
    SmallVector<Value> dims;
    for (int64_t d = 0; d < type.getRank(); ++d)
      if (type.isDynamicDim(d))
        dims.push_back(getValueOrCreateConstantIndexOp(b, ret.getLoc(), getDim(b, ret.getLoc(), value, d)));
    if (isStep || llvm::all_of(dims, [&](Value size) { return isKnownAtStart(size, known); })) {
      llvm::append_range(sizes, dims);
    } else {
      out = OutputBufferOp::create(b, ret.getLoc(), bufferType(type), i, dims);
      sizes.append(dims.size(), arith::ConstantIndexOp::create(b, ret.getLoc(), -1));
    }
    auto write = MaterializeInDestinationOp::create(b, ret.getLoc(), /*result=*/Type(), value, out);
    write.setRestrict(true);
    write.setWritable(true);
  }
  SmallVector<Type> indices(sizes.size(), b.getIndexType());
  func::ReturnOp::create(b, ret.getLoc(), sizes);
  ret.erase();
  unsigned inputs = entry.getNumArguments();
  SmallVector<Type> types(entry.front().getArgumentTypes());
  entry.removeResAttrsAttr();
  SmallVector<Attribute> all;
  for (unsigned i = 0; i < inputs; ++i)
    all.push_back(entry.getArgAttrDict(i) ? entry.getArgAttrDict(i) : b.getDictionaryAttr({}));
  for (DictionaryAttr attribute : attributes)
    all.push_back(attribute ? attribute : b.getDictionaryAttr({}));
  entry.setType(b.getFunctionType(types, indices));
  entry.setArgAttrsAttr(b.getArrayAttr(all));
  return success();
}

namespace {
struct BufferizeEntries : pith::impl::BufferizeEntriesBase<BufferizeEntries> {
  void getDependentDialects(DialectRegistry &registry) const override {
    BufferizeEntriesBase::getDependentDialects(registry);
    registerBufferizationModels(registry);
  }

  void runOnOperation() override {
    ModuleOp module = getOperation();
    for (auto entry : module.getOps<func::FuncOp>())
      if (entry->hasAttr(kEntryAttr) && !entry.isExternal()) {
        unsigned inputs = entry.getNumArguments();
        if (failed(giveOutputs(entry)))
          return signalPassFailure();
        entry->setAttr("pith.inputs", OpBuilder(entry).getI64IntegerAttr(inputs));
        takeInputs(entry);
      }
    OneShotBufferizationOptions options;
    options.setFunctionBoundaryTypeConversion(LayoutMapOption::IdentityLayoutMap);
    options.bufferizeFunctionBoundaries = false;
    options.allowReturnAllocsFromLoops = true;
    IRRewriter rewriter(&getContext());
    BufferizationState state;
    for (auto entry : module.getOps<func::FuncOp>()) {
      if (!entry->hasAttr(kEntryAttr) || entry.isExternal())
        continue;
      if (failed(eliminateEmptyTensors(rewriter, entry)) ||
          failed(runOneShotBufferize(entry, options, state)))
        return signalPassFailure();
    }
  }
};
} // namespace
