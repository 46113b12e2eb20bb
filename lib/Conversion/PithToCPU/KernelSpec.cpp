//===- KernelSpec.cpp - kernels' specifications as attributes -------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "pith/Conversion/KernelSpec.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace pith;
using namespace pith::cpu;

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

static constexpr llvm::StringLiteral formatNames[] = {"f32", "f16", "bf16", "int8", "int4"};
static constexpr llvm::StringLiteral normNames[] = {"none", "rms", "layer"};
static constexpr llvm::StringLiteral activationNames[] = {"none", "relu",      "silu",
                                                          "gelu", "gelu_tanh", "quick_gelu"};
static constexpr llvm::StringLiteral elementNames[] = {"f32", "f16", "bf16"};

namespace {
class Writer {
public:
  Writer(MLIRContext *context, StringRef kind) : b(context) { text("kind", kind); }
  Writer &text(StringRef name, StringRef value) { return add(name, b.getStringAttr(value)); }
  Writer &number(StringRef name, int64_t value) { return add(name, b.getI64IntegerAttr(value)); }
  Writer &real(StringRef name, float value) { return add(name, b.getF32FloatAttr(value)); }
  /// A flag is there or not.
  Writer &flag(StringRef name, bool value) { return value ? add(name, b.getUnitAttr()) : *this; }
  Writer &strides(ArrayRef<int64_t> operands) { return add("strides", b.getDenseI64ArrayAttr(operands)); }
  Writer &layout(const LinearLayout &l) {
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
  DictionaryAttr done() { return b.getDictionaryAttr(entries); }

private:
  Writer &add(StringRef name, Attribute value) {
    entries.push_back(b.getNamedAttr(name, value));
    return *this;
  }
  Builder b;
  SmallVector<NamedAttribute> entries;
};

class Reader {
public:
  Reader(DictionaryAttr dictionary, EmitError emitError) : dictionary(dictionary), emitError(emitError) {}
  bool failed = false;

  int64_t number(StringRef name, int64_t least = 0) {
    auto value = dictionary.getAs<IntegerAttr>(name);
    if (value && value.getValue().isSignedIntN(64) && value.getInt() >= least)
      return value.getInt();
    complain(name, "an integer of at least " + Twine(least));
    return least;
  }
  float real(StringRef name) {
    if (auto value = dictionary.getAs<FloatAttr>(name))
      return static_cast<float>(value.getValueAsDouble());
    complain(name, "a number");
    return 0;
  }
  bool flag(StringRef name) { return bool(dictionary.get(name)); }
  StringRef text(StringRef name) {
    if (auto value = dictionary.getAs<StringAttr>(name))
      return value.getValue();
    complain(name, "a string");
    return "";
  }
  template <typename E, size_t N>
  E choice(StringRef name, const llvm::StringLiteral (&names)[N]) {
    StringRef value = text(name);
    for (size_t i = 0; i < N; ++i)
      if (names[i] == value)
        return static_cast<E>(i);
    complain(name, "one of the names it can have");
    return E{};
  }
  LinearLayout layout() {
    LinearLayout l;
    l.format = choice<WeightFormat>("format", formatNames);
    l.n = number("n", 1);
    l.k = number("k", 1);
    l.block = number("block");
    l.zeroPoints = flag("zero_points");
    l.wideScales = flag("wide_scales");
    l.glu = flag("glu");
    return l;
  }
  NormSpec norm() {
    NormSpec spec;
    spec.kind = choice<Norm>("norm", normNames);
    spec.k = number("k", 1);
    spec.heads = number("heads", 1);
    spec.epsilon = real("epsilon");
    spec.bias = flag("bias");
    return spec;
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
  void complain(StringRef name, const Twine &expected) {
    if (!failed)
      emitError() << "'" << name << "' in " << dictionary << " should be " << expected.str();
    failed = true;
  }
  DictionaryAttr dictionary;
  EmitError emitError;
};
} // namespace

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

DictionaryAttr pith::toAttribute(MLIRContext *context, const LinearLayout &layout, bool kMajor) {
  return Writer(context, "linear").layout(layout).flag("k_major", kMajor).done();
}

DictionaryAttr pith::toAttribute(MLIRContext *context, const LinearSpec &spec) {
  return Writer(context, "linear")
      .layout(spec.layout)
      .text("norm", normNames[static_cast<int>(spec.norm)])
      .real("epsilon", spec.normEpsilon)
      .flag("norm_bias", spec.normBias)
      .flag("bias", spec.bias)
      .text("activation", activationNames[static_cast<int>(spec.activation)])
      .flag("residual", spec.residual)
      .flag("int8_activations", spec.int8Activations)
      .done();
}

DictionaryAttr pith::toAttribute(MLIRContext *context, const LinearLayout &layout, float scale,
                                 bool takesRows) {
  return Writer(context, "embedding")
      .layout(layout)
      .real("scale", scale)
      .flag("takes_rows", takesRows)
      .done();
}

DictionaryAttr pith::toAttribute(MLIRContext *context, const NormSpec &spec) {
  return Writer(context, "norm").norm(spec).strides({0}).done();
}

DictionaryAttr pith::toTapAttribute(MLIRContext *context, const NormSpec &spec) {
  return Writer(context, "tap").norm(spec).strides({0}).done();
}

DictionaryAttr pith::toAttribute(MLIRContext *context, const RopeSpec &spec) {
  return Writer(context, "rope")
      .number("heads", spec.heads)
      .number("head_dim", spec.headDim)
      .number("rotary_dim", spec.rotaryDim)
      .flag("interleaved", spec.interleaved)
      .strides({0, 3})
      .done();
}

DictionaryAttr pith::toAttribute(MLIRContext *context, const CacheLayout &layout) {
  return Writer(context, "kv_append").cache(layout).text("cache", "write").strides({0, 1}).done();
}

DictionaryAttr pith::toAttribute(MLIRContext *context, const AttentionSpec &spec) {
  return Writer(context, "attention")
      .cache(spec.cache)
      .number("heads", spec.heads)
      .real("scale", spec.scale)
      .real("softcap", spec.softcap)
      .number("window", spec.window)
      .flag("sinks", spec.sinks)
      .flag("alibi", spec.alibi)
      .number("bias", spec.bias)
      .flag("condition", spec.condition)
      .text("cache", "read")
      .strides({0, 1})
      .done();
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

FailureOr<LinearLayout> pith::readLinearLayout(DictionaryAttr layout, bool &kMajor, EmitError emitError) {
  Reader reader(layout, emitError);
  LinearLayout result = reader.layout();
  kMajor = reader.flag("k_major");
  if (reader.failed)
    return failure();
  return result;
}

func::FuncOp pith::buildKernel(ModuleOp module, const Machine &machine, DictionaryAttr attribute,
                               EmitError emitError) {
  Reader r(attribute, emitError);
  StringRef kind = r.text("kind");
  if (kind == "linear") {
    LinearSpec spec;
    spec.layout = r.layout();
    spec.norm = r.choice<Norm>("norm", normNames);
    spec.normEpsilon = r.real("epsilon");
    spec.normBias = r.flag("norm_bias");
    spec.bias = r.flag("bias");
    spec.activation = r.choice<Activation>("activation", activationNames);
    spec.residual = r.flag("residual");
    spec.int8Activations = r.flag("int8_activations");
    return r.failed ? func::FuncOp() : getOrCreateLinear(module, machine, spec);
  }
  if (kind == "embedding") {
    LinearLayout layout = r.layout();
    float scale = r.real("scale");
    bool takesRows = r.flag("takes_rows");
    return r.failed ? func::FuncOp() : getOrCreateEmbedding(module, machine, layout, scale, takesRows);
  }
  if (kind == "norm" || kind == "tap") {
    NormSpec spec = r.norm();
    if (r.failed)
      return {};
    return kind == "tap" ? getOrCreateTap(module, machine, spec) : getOrCreateNorm(module, machine, spec);
  }
  if (kind == "rope") {
    RopeSpec spec;
    spec.heads = r.number("heads", 1);
    spec.headDim = r.number("head_dim", 1);
    spec.rotaryDim = r.number("rotary_dim");
    spec.interleaved = r.flag("interleaved");
    return r.failed ? func::FuncOp() : getOrCreateRope(module, machine, spec);
  }
  if (kind == "kv_append") {
    CacheLayout layout = r.cache();
    return r.failed ? func::FuncOp() : getOrCreateKVAppend(module, machine, layout);
  }
  if (kind == "attention") {
    AttentionSpec spec;
    spec.cache = r.cache();
    spec.heads = r.number("heads", 1);
    spec.scale = r.real("scale");
    spec.softcap = r.real("softcap");
    spec.window = r.number("window");
    spec.sinks = r.flag("sinks");
    spec.alibi = r.flag("alibi");
    spec.bias = r.number("bias");
    spec.condition = r.flag("condition");
    return r.failed ? func::FuncOp() : getOrCreateAttention(module, machine, spec);
  }
  if (!r.failed)
    emitError() << "no kernel of kind '" << kind << "'";
  return {};
}
