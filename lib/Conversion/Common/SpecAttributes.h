//===- SpecAttributes.h - kernels' specifications as attributes -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The words in which specifications of all machines' kernels are written, and what reads and writes them.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CONVERSION_SPECATTRIBUTES_H
#define PITH_LIB_CONVERSION_SPECATTRIBUTES_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Diagnostics.h"
#include "pith/Codegen/Specs.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/Twine.h"

namespace pith::kernels {

using EmitError = llvm::function_ref<mlir::InFlightDiagnostic()>;

inline constexpr llvm::StringLiteral formatNames[] = {"f32", "f16", "bf16", "int8", "int4"};
inline constexpr llvm::StringLiteral normNames[] = {"none", "rms", "layer"};
inline constexpr llvm::StringLiteral activationNames[] = {"none", "relu",      "silu",
                                                          "gelu", "gelu_tanh", "quick_gelu"};
inline constexpr llvm::StringLiteral elementNames[] = {"f32", "f16", "bf16"};
inline constexpr llvm::StringLiteral maskNames[] = {"none", "add", "keep"};

class Writer {
public:
  Writer(mlir::MLIRContext *context, llvm::StringRef kind) : b(context) { text("kind", kind); }
  Writer &text(llvm::StringRef name, llvm::StringRef value) { return add(name, b.getStringAttr(value)); }
  Writer &number(llvm::StringRef name, int64_t value) { return add(name, b.getI64IntegerAttr(value)); }
  Writer &real(llvm::StringRef name, float value) { return add(name, b.getF32FloatAttr(value)); }
  /// A flag is there or not.
  Writer &flag(llvm::StringRef name, bool value) { return value ? add(name, b.getUnitAttr()) : *this; }
  Writer &strides(llvm::ArrayRef<int64_t> operands) {
    return add("strides", b.getDenseI64ArrayAttr(operands));
  }
  Writer &layout(const LinearWeights &l) {
    return text("format", formatNames[static_cast<int>(l.format)])
        .number("n", l.n)
        .number("k", l.k)
        .number("block", l.block)
        .flag("zero_points", l.zeroPoints)
        .flag("wide_scales", l.wideScales)
        .flag("glu", l.glu);
  }
  Writer &cache(const CacheLayout &c) {
    return text("element", elementNames[static_cast<int>(c.element)])
        .number("kv_heads", c.kvHeads)
        .number("head_dim", c.headDim)
        .number("value_dim", c.valueDim)
        .number("layer_offset", c.layerOffset);
  }
  Writer &norm(const NormSpec &spec) {
    return text("norm", normNames[static_cast<int>(spec.kind)])
        .number("k", spec.k)
        .number("heads", spec.heads)
        .real("epsilon", spec.epsilon)
        .flag("bias", spec.bias);
  }
  mlir::DictionaryAttr done() { return b.getDictionaryAttr(entries); }

private:
  Writer &add(llvm::StringRef name, mlir::Attribute value) {
    entries.push_back(b.getNamedAttr(name, value));
    return *this;
  }
  mlir::Builder b;
  llvm::SmallVector<mlir::NamedAttribute> entries;
};

class Reader {
public:
  Reader(mlir::DictionaryAttr dictionary, EmitError emitError)
      : dictionary(dictionary), emitError(emitError) {}
  bool failed = false;

  int64_t number(llvm::StringRef name, int64_t least = 0) {
    auto value = dictionary.getAs<mlir::IntegerAttr>(name);
    if (value && value.getValue().isSignedIntN(64) && value.getInt() >= least)
      return value.getInt();
    complain(name, "an integer of at least " + llvm::Twine(least));
    return least;
  }
  float real(llvm::StringRef name) {
    if (auto value = dictionary.getAs<mlir::FloatAttr>(name))
      return static_cast<float>(value.getValueAsDouble());
    complain(name, "a number");
    return 0;
  }
  bool flag(llvm::StringRef name) { return bool(dictionary.get(name)); }
  llvm::StringRef text(llvm::StringRef name) {
    if (auto value = dictionary.getAs<mlir::StringAttr>(name))
      return value.getValue();
    complain(name, "a string");
    return "";
  }
  template <typename E, size_t N>
  E choice(llvm::StringRef name, const llvm::StringLiteral (&names)[N]) {
    llvm::StringRef value = text(name);
    for (size_t i = 0; i < N; ++i)
      if (names[i] == value)
        return static_cast<E>(i);
    complain(name, "one of the names it can have");
    return E{};
  }
  void weights(LinearWeights &l) {
    l.format = choice<WeightFormat>("format", formatNames);
    l.n = number("n", 1);
    l.k = number("k", 1);
    l.block = number("block");
    l.zeroPoints = flag("zero_points");
    l.wideScales = flag("wide_scales");
    l.glu = flag("glu");
  }
  void fusion(LinearFusion &spec) {
    spec.norm = choice<Norm>("norm", normNames);
    spec.normEpsilon = real("epsilon");
    spec.normBias = flag("norm_bias");
    spec.bias = flag("bias");
    spec.activation = choice<Activation>("activation", activationNames);
    spec.residual = flag("residual");
  }
  void rope(RopeSpec &spec) {
    spec.heads = number("heads", 1);
    spec.headDim = number("head_dim", 1);
    spec.rotaryDim = number("rotary_dim");
    spec.interleaved = flag("interleaved");
  }
  void attention(AttentionSpec &spec) {
    spec.cache = cache();
    spec.heads = number("heads", 1);
    spec.scale = real("scale");
    spec.softcap = real("softcap");
    spec.window = number("window");
    spec.sinks = flag("sinks");
    spec.alibi = flag("alibi");
    spec.bias = number("bias");
    spec.condition = flag("condition");
    if ((spec.tensors = flag("tensors"))) {
      spec.causal = flag("causal");
      spec.mask = choice<Mask>("mask", maskNames);
    }
  }
  void norm(NormSpec &spec) {
    spec.kind = choice<Norm>("norm", normNames);
    spec.k = number("k", 1);
    spec.heads = number("heads", 1);
    spec.epsilon = real("epsilon");
    spec.bias = flag("bias");
  }
  CacheLayout cache() {
    CacheLayout c;
    c.element = choice<CacheLayout::Element>("element", elementNames);
    c.kvHeads = number("kv_heads", 1);
    c.headDim = number("head_dim", 1);
    c.valueDim = number("value_dim", 1);
    c.layerOffset = number("layer_offset");
    return c;
  }

private:
  void complain(llvm::StringRef name, const llvm::Twine &expected) {
    if (!failed)
      emitError() << "'" << name << "' in " << dictionary << " should be " << expected.str();
    failed = true;
  }
  mlir::DictionaryAttr dictionary;
  EmitError emitError;
};

} // namespace pith::kernels

#endif // PITH_LIB_CONVERSION_SPECATTRIBUTES_H
