//===- KernelSpec.cpp - kernels' specifications as attributes -------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "pith/Conversion/KernelSpec.h"
#include "SpecAttributes.h"

using namespace mlir;
using namespace pith;
using namespace pith::cpu;
using namespace pith::kernels;

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
  Writer writer(context, "attention");
  if (spec.tensors)
    writer.flag("tensors", true)
        .flag("causal", spec.causal)
        .text("mask", maskNames[static_cast<int>(spec.mask)])
        .strides({0, 1, 2, 3});
  else
    writer.text("cache", "read").strides({0, 1});
  return writer.cache(spec.cache)
      .number("heads", spec.heads)
      .real("scale", spec.scale)
      .real("softcap", spec.softcap)
      .number("window", spec.window)
      .flag("sinks", spec.sinks)
      .flag("alibi", spec.alibi)
      .number("bias", spec.bias)
      .flag("condition", spec.condition)
      .done();
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

FailureOr<LinearLayout> pith::readLinearLayout(DictionaryAttr layout, bool &kMajor, EmitError emitError) {
  Reader reader(layout, emitError);
  LinearLayout result;
  reader.weights(result);
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
    r.weights(spec.layout);
    r.fusion(spec);
    spec.int8Activations = r.flag("int8_activations");
    return r.failed ? func::FuncOp() : getOrCreateLinear(module, machine, spec);
  }
  if (kind == "embedding") {
    LinearLayout layout;
    r.weights(layout);
    float scale = r.real("scale");
    bool takesRows = r.flag("takes_rows");
    return r.failed ? func::FuncOp() : getOrCreateEmbedding(module, machine, layout, scale, takesRows);
  }
  if (kind == "norm" || kind == "tap") {
    NormSpec spec;
    r.norm(spec);
    if (r.failed)
      return {};
    return kind == "tap" ? getOrCreateTap(module, machine, spec) : getOrCreateNorm(module, machine, spec);
  }
  if (kind == "rope") {
    RopeSpec spec;
    r.rope(spec);
    return r.failed ? func::FuncOp() : getOrCreateRope(module, machine, spec);
  }
  if (kind == "kv_append") {
    CacheLayout layout = r.cache();
    return r.failed ? func::FuncOp() : getOrCreateKVAppend(module, machine, layout);
  }
  if (kind == "attention") {
    AttentionSpec spec;
    r.attention(spec);
    return r.failed ? func::FuncOp() : getOrCreateAttention(module, machine, spec);
  }
  if (!r.failed)
    emitError() << "no kernel of kind '" << kind << "'";
  return {};
}
