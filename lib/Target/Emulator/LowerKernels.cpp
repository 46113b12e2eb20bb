//===- LowerKernels.cpp - the kernels of a module for the emulator --------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KernelLowering.h"
#include "mlir/Conversion/AMDGPUToROCDL/AMDGPUToROCDL.h"
#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Pass/PassManager.h"
#include "pith/Target/Emulator/Target.h"
#include "pith/Target/X86/Target.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace pith::emulator;

namespace {

struct Kernel {
  std::string name;
  unsigned arguments, warpSize;
  uint64_t staticBytes, dynamicBytes;
  SmallVector<int32_t, 3> blockSize;
  SmallVector<KernelLowering::Site> sites;
};

/// The threads of a warp: what the kernel says, or its module, or the module's target.
FailureOr<unsigned> warpSizeOf(gpu::GPUFuncOp kernel) {
  auto module = kernel->getParentOfType<gpu::GPUModuleOp>();
  for (Operation *op : {kernel.getOperation(), module.getOperation()})
    if (auto stated = op->getAttrOfType<IntegerAttr>(kSubgroupAttr)) {
      if (stated.getInt() != 32 && stated.getInt() != 64)
        return kernel.emitOpError("has warps of ") << stated.getInt() << " threads, expected 32 or 64";
      return unsigned(stated.getInt());
    }
  if (ArrayAttr targets = module.getTargetsAttr())
    for (Attribute target : targets)
      if (auto rocdl = dyn_cast<ROCDL::ROCDLTargetAttr>(target))
        return rocdl.getChip().starts_with("gfx9") ? 64 : 32;
  return defaultWarpSize;
}

FailureOr<SharedLayout> layoutShared(gpu::GPUModuleOp module) {
  SharedLayout layout;
  DataLayout sizes(module->getParentOfType<ModuleOp>());
  uint64_t alignment = 16;
  SmallVector<LLVM::GlobalOp> dynamic;
  for (auto global : module.getOps<LLVM::GlobalOp>()) {
    if (global.getAddrSpace() != 3)
      continue;
    uint64_t bytes = sizes.getTypeSize(global.getType()), align = global.getAlignment().value_or(16);
    if (!bytes) {
      alignment = std::max(alignment, align);
      dynamic.push_back(global);
      continue;
    }
    layout.staticBytes = llvm::alignTo(layout.staticBytes, align);
    layout.offsets[global.getSymName()] = layout.staticBytes;
    layout.staticBytes += bytes;
  }
  layout.dynamicOffset = llvm::alignTo(layout.staticBytes, alignment);
  // What has no size begins where all that has ends.
  for (LLVM::GlobalOp global : dynamic)
    layout.offsets[global.getSymName()] = layout.dynamicOffset;
  if (!dynamic.empty())
    layout.staticBytes = layout.dynamicOffset;
  return layout;
}

/// A host function with the kernel's body, and two arguments before the kernel's own: @name(%thread,
/// %arguments, …).
FailureOr<func::FuncOp> createFunction(gpu::GPUFuncOp kernel, ModuleOp module) {
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  if (kernel.getNumWorkgroupAttributions() || kernel.getNumPrivateAttributions())
    return kernel.emitOpError("has memory attributions, which the emulator does not know");
  if (module.lookupSymbol(kernel.getName()))
    return kernel.emitOpError("is not the only kernel of its name");
  auto function =
      func::FuncOp::create(b, kernel.getLoc(), kernel.getName(), b.getFunctionType({pointer, pointer}, {}));
  IRMapping mapping;
  kernel.getBody().cloneInto(&function.getBody(), mapping);
  Block &entry = function.getBody().front();
  entry.insertArgument(0u, pointer, kernel.getLoc());
  entry.insertArgument(1u, pointer, kernel.getLoc());
  return function;
}

/// The kernel's own arguments come from the list that the launch passes.
LogicalResult bindArguments(gpu::GPUFuncOp kernel, func::FuncOp function) {
  Block &entry = function.getBody().front();
  OpBuilder b = OpBuilder::atBlockBegin(&entry);
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  Location loc = kernel.getLoc();
  for (unsigned i = 0, count = kernel.getNumArguments(); i < count; ++i) {
    BlockArgument argument = entry.getArgument(2);
    Type type = argument.getType();
    Value slot = LLVM::GEPOp::create(b, loc, pointer, pointer, entry.getArgument(1),
                                     ArrayRef<LLVM::GEPArg>{int32_t(i)});
    Value value = LLVM::LoadOp::create(b, loc, pointer, slot);
    // What is passed by value stays where the launch has it.
    if (!kernel.getArgAttr(i, LLVM::LLVMDialect::getByValAttrName())) {
      if (!isa<LLVM::LLVMPointerType, IntegerType, FloatType>(type) || type.isInteger(1))
        return kernel.emitOpError("argument ")
               << i << " is " << type << ", expected a pointer, an integer or a float";
      value = LLVM::LoadOp::create(b, loc, isa<LLVM::LLVMPointerType>(type) ? Type(pointer) : type, value);
    }
    if (value.getType() != type)
      value = LLVM::AddrSpaceCastOp::create(b, loc, type, value);
    argument.replaceAllUsesWith(value);
    entry.eraseArgument(2);
  }
  return success();
}

/// Constants and functions of the table.
class TableWriter {
public:
  explicit TableWriter(ModuleOp module)
      : module(module), b(OpBuilder::atBlockEnd(module.getBody())), loc(module.getLoc()),
        pointer(LLVM::LLVMPointerType::get(b.getContext())), i32(b.getI32Type()) {}

  void write(ArrayRef<Kernel> kernels);

private:
  using Fields = SmallVector<Value>;
  Value text(StringRef string);
  Value number(uint64_t value) {
    return LLVM::ConstantOp::create(b, loc, i32, b.getI32IntegerAttr(int32_t(value)));
  }
  /// A constant array of structures; `fields(i)` builds the values of one.
  LLVM::GlobalOp array(StringRef name, ArrayRef<Type> types, size_t count,
                       llvm::function_ref<Fields(size_t)> fields, LLVM::Linkage linkage);

  ModuleOp module;
  OpBuilder b;
  Location loc;
  Type pointer, i32;
  llvm::StringMap<LLVM::GlobalOp> texts;
};

Value TableWriter::text(StringRef string) {
  LLVM::GlobalOp &global = texts[string];
  if (!global) {
    std::string bytes = string.str() + '\0';
    OpBuilder top = OpBuilder::atBlockBegin(module.getBody());
    auto type = LLVM::LLVMArrayType::get(top.getI8Type(), bytes.size());
    global = LLVM::GlobalOp::create(top, loc, type, /*isConstant=*/true, LLVM::Linkage::Internal,
                                    "pith_text_" + std::to_string(texts.size()), top.getStringAttr(bytes));
  }
  return LLVM::AddressOfOp::create(b, loc, global);
}

LLVM::GlobalOp TableWriter::array(StringRef name, ArrayRef<Type> types, size_t count,
                                  llvm::function_ref<Fields(size_t)> fields, LLVM::Linkage linkage) {
  auto structure = LLVM::LLVMStructType::getLiteral(b.getContext(), types);
  Type type = LLVM::LLVMArrayType::get(structure, count);
  b.setInsertionPointToEnd(module.getBody());
  auto global = LLVM::GlobalOp::create(b, loc, type, /*isConstant=*/true, linkage, name, Attribute());
  b.createBlock(&global.getInitializerRegion());
  Value list = LLVM::UndefOp::create(b, loc, type);
  for (size_t i = 0; i < count; ++i)
    for (auto [j, value] : llvm::enumerate(fields(i)))
      list = LLVM::InsertValueOp::create(b, loc, list, value, ArrayRef<int64_t>{int64_t(i), int64_t(j)});
  LLVM::ReturnOp::create(b, loc, list);
  return global;
}

void TableWriter::write(ArrayRef<Kernel> kernels) {
  SmallVector<LLVM::GlobalOp> sites;
  for (auto [i, kernel] : llvm::enumerate(kernels))
    sites.push_back(array(
        "pith_sites_" + std::to_string(i), {pointer, pointer}, kernel.sites.size(),
        [&, &kernel = kernel](size_t s) {
          return Fields{text(kernel.sites[s].op), text(kernel.sites[s].location)};
        },
        LLVM::Linkage::Internal));
  // pith_emu_kernel
  SmallVector<Type> types(3, pointer);
  types.append(9, i32);
  LLVM::GlobalOp list = array(
      "pith_kernels", types, kernels.size(),
      [&](size_t i) {
        const Kernel &kernel = kernels[i];
        return Fields{text(kernel.name),
                      LLVM::AddressOfOp::create(b, loc, pointer, kernel.name),
                      LLVM::AddressOfOp::create(b, loc, sites[i]),
                      number(kernel.sites.size()),
                      number(kernel.arguments),
                      number(kernel.warpSize),
                      number(kernel.dynamicBytes),
                      number(kernel.blockSize[0]),
                      number(kernel.blockSize[1]),
                      number(kernel.blockSize[2]),
                      number(kernel.staticBytes),
                      number(0)};
      },
      LLVM::Linkage::Internal);
  array(
      PITH_EMULATED_SYMBOL, {i32, i32, pointer}, 1,
      [&](size_t) {
        return Fields{number(PITH_EMULATED_VERSION), number(kernels.size()),
                      LLVM::AddressOfOp::create(b, loc, list)};
      },
      LLVM::Linkage::External);
}

FailureOr<Kernel> lowerKernel(gpu::GPUFuncOp source, ModuleOp module, const SharedLayout &shared) {
  Kernel kernel;
  FailureOr<unsigned> warpSize = warpSizeOf(source);
  FailureOr<func::FuncOp> function = createFunction(source, module);
  if (failed(warpSize) || failed(function))
    return failure();
  kernel.name = source.getName().str();
  kernel.arguments = source.getNumArguments();
  kernel.warpSize = *warpSize;
  kernel.staticBytes = shared.staticBytes;
  auto dynamic = source->getAttrOfType<IntegerAttr>("pith.shared_bytes");
  kernel.dynamicBytes = dynamic ? dynamic.getInt() : 0;
  if (DenseI32ArrayAttr size = source.getKnownBlockSizeAttr())
    kernel.blockSize.assign(size.asArrayRef().begin(), size.asArrayRef().end());
  kernel.blockSize.resize(3, kernel.blockSize.empty() ? 0 : 1);
  KernelLowering lowering(*function, shared, *warpSize);
  if (failed(bindArguments(source, *function)) || failed(lowering.run()))
    return failure();
  kernel.sites = std::move(lowering.sites);
  return kernel;
}

} // namespace

FailureOr<OwningOpRef<ModuleOp>> pith::emulator::lowerKernels(ModuleOp source) {
  source.getContext()
      ->loadDialect<arith::ArithDialect, cf::ControlFlowDialect, func::FuncDialect, LLVM::LLVMDialect,
                    scf::SCFDialect, vector::VectorDialect>();
  OwningOpRef<ModuleOp> module = ModuleOp::create(source.getLoc());
  SmallVector<Kernel> kernels;
  for (auto gpuModule : source.getOps<gpu::GPUModuleOp>()) {
    FailureOr<SharedLayout> shared = layoutShared(gpuModule);
    if (failed(shared))
      return failure();
    for (Operation &op : gpuModule.getBody()->without_terminator()) {
      if (isa<LLVM::GlobalOp>(op))
        continue;
      auto kernel = dyn_cast<gpu::GPUFuncOp>(op);
      if (!kernel || !kernel.isKernel())
        return op.emitOpError(
            "is not a kernel: the emulator takes kernels and variables in shared memory only");
      FailureOr<Kernel> lowered = lowerKernel(kernel, *module, *shared);
      if (failed(lowered))
        return failure();
      kernels.push_back(std::move(*lowered));
    }
  }
  PassManager passes(source.getContext());
  x86::buildLowerToLLVM(passes);
  if (failed(passes.run(*module)))
    return failure();
  TableWriter(*module).write(kernels);
  return module;
}

llvm::Expected<SmallVector<char, 0>> pith::emulator::compileKernels(ModuleOp source,
                                                                    const cpu::Machine &machine) {
  std::string errors;
  ScopedDiagnosticHandler handler(source.getContext(), [&](Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
      return failure();
    llvm::raw_string_ostream(errors) << (errors.empty() ? "" : "; ") << diagnostic;
    return success();
  });
  auto fail = [&] {
    return llvm::createStringError(llvm::inconvertibleErrorCode(),
                                   "cannot compile kernels for the emulator: " + errors);
  };
  FailureOr<OwningOpRef<ModuleOp>> module = lowerKernels(source);
  if (failed(module))
    return fail();
  return x86::emitObject(**module, machine);
}
