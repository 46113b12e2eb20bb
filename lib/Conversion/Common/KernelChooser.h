//===- KernelChooser.h - transformer operations to kernel launches -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_COMMON_KERNELCHOOSER_H
#define PITH_LIB_CONVERSION_COMMON_KERNELCHOOSER_H

#include "../PithToLinalg/TensorBuilder.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "pith/Codegen/CPU/Kernels.h"
#include "pith/Conversion/PackedWeights.h"
#include <optional>
#include <string>

namespace pith {

/// What a choice has to know of a machine's kernels. Specifications are written as the CPU's; `finish` adds
/// what else this machine's kernels ask.
class KernelFamily {
public:
  virtual ~KernelFamily() = default;
  /// Bytes that a launch needs beside its operands and results, for each row and once.
  struct Scratch {
    int64_t perRow = 0, fixed = 0;
  };

  /// Why there is no kernel for it; nothing where there is one.
  virtual std::string lacks(const cpu::LinearLayout &weights) const = 0;
  virtual std::string lacks(const cpu::AttentionSpec &spec) const = 0;
  /// Whether a linear's kernel can normalize its rows so.
  virtual bool normsInFront(cpu::Norm norm) const = 0;
  virtual int64_t packedBytes(const cpu::LinearLayout &weights) const = 0;
  /// Nothing: such launches have no operand for it.
  virtual std::optional<Scratch> scratch(const cpu::LinearSpec &spec) const = 0;
  virtual std::optional<Scratch> scratch(const cpu::AttentionSpec &spec) const = 0;
  virtual mlir::DictionaryAttr finish(mlir::DictionaryAttr spec) const = 0;
  /// The same for a layout of packed weights.
  virtual mlir::DictionaryAttr finishLayout(mlir::DictionaryAttr layout) const = 0;
};

/// Replaces operations by launches, one at a time. Each `choose…` says whether it did: an operation that no
/// kernel covers stays, with a remark, and is lowered to plain loops later.
class KernelChooser {
public:
  KernelChooser(mlir::ModuleOp module, const KernelFamily &family, bool exact)
      : module(module), family(family), exact(exact), weights(module), symbols(module) {}

  /// All operations of a function. `stateOnly`: only those that have no plain form.
  void choose(mlir::func::FuncOp function, bool stateOnly);

private:
  bool chooseLinear(LinearOp op);
  bool chooseEmbedding(EmbeddingOp op);
  bool chooseNorm(mlir::Operation *op);
  bool chooseRope(RopeOp op);
  bool chooseAppend(KVAppendOp op);
  bool chooseCacheAttention(CacheAttentionOp op);
  bool chooseAttention(AttentionOp op);
  void chooseTap(TapOp op);

  struct Part {
    WeightOp weight;
    cpu::LinearLayout layout; // of this weight alone
  };
  /// One kernel call in the making: pointers first, then sizes.
  struct Call {
    llvm::SmallVector<mlir::Value> pointers, sizes;
    llvm::SmallVector<int64_t> outputs;
    void in(mlir::Value value) { pointers.push_back(value); }
    void out(mlir::Value value) {
      outputs.push_back(pointers.size());
      pointers.push_back(value);
    }
  };

  std::optional<Part> describe(mlir::Operation *user, mlir::Attribute name, bool kMajor);
  bool describe(LinearOp op, llvm::SmallVectorImpl<Part> &parts, cpu::LinearLayout &layout);
  PackedOp pack(llvm::ArrayRef<mlir::Attribute> sources, const cpu::LinearLayout &layout, bool kMajor);
  mlir::Value address(TensorBuilder &t, PackedOp packed);
  mlir::Value packVectors(TensorBuilder &t, mlir::Operation *user, llvm::ArrayRef<mlir::Attribute> names);
  void scratch(TensorBuilder &t, Call &call, std::optional<KernelFamily::Scratch> bytes,
               mlir::OpFoldResult rows);
  mlir::Operation::result_range launch(TensorBuilder &t, mlir::DictionaryAttr spec, const Call &call);
  mlir::Value rows2D(TensorBuilder &t, mlir::Value x);
  bool stay(mlir::Operation *op, const llvm::Twine &why);
  static bool isF32(mlir::Value tensor);
  StateOp stateOf(mlir::Value cache);

  mlir::ModuleOp module;
  const KernelFamily &family;
  bool exact;
  PackedWeights weights;
  mlir::SymbolTable symbols;
  llvm::DenseMap<mlir::Attribute, mlir::func::FuncOp> kernels;
  llvm::StringMap<unsigned> counts;
};

} // namespace pith

#endif // PITH_LIB_CONVERSION_COMMON_KERNELCHOOSER_H
