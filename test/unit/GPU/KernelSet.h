//===- KernelSet.h - one of each kernel, in shapes of real models -*- C++ -*-==//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_GPU_KERNELSET_H
#define PITH_TEST_UNIT_GPU_KERNELSET_H

#include "pith/Codegen/GPU/Kernels.h"
#include "pith/Codegen/GPU/Sampling.h"
#include <functional>
#include <string>
#include <vector>

namespace pith::gpu::test {

struct NamedKernel {
  std::string name; // short, for the table of what kernels take
  std::function<void(mlir::gpu::GPUModuleOp)> build;
  bool hot;                // runs for every token: must not spill
  bool warpGroups = false; // for chips that have them
};

inline LinearSpec linearOf(WeightFormat format, int64_t n, int64_t k, int64_t rowTile) {
  LinearSpec spec;
  spec.layout.format = format;
  spec.layout.n = n;
  spec.layout.k = k;
  if (format == WeightFormat::Int4)
    spec.layout.block = 128;
  spec.rowTile = rowTile;
  return spec;
}

inline std::vector<NamedKernel> allKernels() {
  std::vector<NamedKernel> all;
  auto linear = [&](std::string name, LinearSpec spec) {
    all.push_back({name, [spec](mlir::gpu::GPUModuleOp m) { getOrCreateLinear(m, spec); }, true});
  };
  static constexpr const char *names[] = {"f32", "f16", "bf16", "int8", "int4"};
  for (WeightFormat format :
       {WeightFormat::F32, WeightFormat::F16, WeightFormat::BF16, WeightFormat::Int8, WeightFormat::Int4})
    for (int64_t rows : {1, 4})
      linear(std::string("linear-") + names[int(format)] + "-8192x8192-r" + std::to_string(rows),
             linearOf(format, 8192, 8192, rows));
  LinearSpec mlp = linearOf(WeightFormat::Int4, 28672, 4096, 1);
  mlp.layout.glu = true;
  mlp.layout.zeroPoints = true;
  mlp.norm = Norm::RMS;
  mlp.normEpsilon = 1e-5f;
  mlp.activation = Activation::Silu;
  mlp.output = Element::F16;
  linear("linear-int4-rms-glu", mlp);
  LinearSpec small = linearOf(WeightFormat::Int4, 250, 100, 2);
  small.layout.block = 32;
  small.bias = small.residual = true;
  small.activation = Activation::Gelu;
  linear("linear-int4-250x100", small);

  auto tile = [&](std::string name, LinearSpec spec, int64_t rows, Element product = Element::F16,
                  int64_t parts = 1) {
    spec.rowTile = rows;
    spec.product = product;
    spec.parts = parts;
    linear(name, spec);
  };
  LinearSpec halves = linearOf(WeightFormat::F16, 8192, 8192, 128);
  halves.input = halves.output = Element::F16;
  tile("tile-f16-8192x8192-r128", halves, 128);
  tile("tile-f16-8192x8192-r128-f32", linearOf(WeightFormat::F16, 8192, 8192, 128), 128);
  tile("tile-f16-4096x4096-r32-exact", linearOf(WeightFormat::F16, 4096, 4096, 64), 32, Element::BF16, 3);
  for (int64_t rows : {16, 64, 128})
    tile("tile-int4-8192x8192-r" + std::to_string(rows), linearOf(WeightFormat::Int4, 8192, 8192, rows),
         rows);
  auto group = [&](std::string name, LinearSpec spec, int64_t rows, Element product = Element::F16,
                   int64_t parts = 1, int64_t stages = 4) {
    spec.warpGroups = true;
    spec.stages = stages;
    tile("wgmma-" + name + "-r" + std::to_string(rows), spec, rows, product, parts);
    all.back().warpGroups = true;
  };
  for (int64_t rows : {128, 256}) {
    group("f16-8192x8192", halves, rows);
    group("bf16-8192x8192", linearOf(WeightFormat::BF16, 8192, 8192, rows), rows, Element::BF16);
    group("int8-8192x8192", linearOf(WeightFormat::Int8, 8192, 8192, rows), rows);
    group("int4-8192x8192", linearOf(WeightFormat::Int4, 8192, 8192, rows), rows, Element::F16, 1, 6);
    LinearSpec gated = mlp;
    gated.norm = Norm::None;
    gated.layout.block = 32;
    group("int4-glu", gated, rows, Element::F16, 1, 5);
  }
  for (WeightFormat format : {WeightFormat::F16, WeightFormat::BF16, WeightFormat::Int8, WeightFormat::Int4})
    group(std::string(names[int(format)]) + "-4096x4104-exact", linearOf(format, 4096, 4104, 128), 128,
          Element::BF16, 3, 3);
  for (bool normed : {false, true}) {
    PackRowsSpec rows;
    rows.k = 8192;
    rows.octets = rows.norm == Norm::None;
    if (normed) {
      rows.norm = Norm::RMS;
      rows.octets = false;
      rows.product = Element::BF16;
      rows.parts = 3;
    }
    all.push_back({normed ? "pack-rows-8192-rms-exact" : "pack-rows-8192-octets",
                   [=](mlir::gpu::GPUModuleOp m) { getOrCreatePackRows(m, rows); }, true});
  }
  tile("tile-int8-4096x4096-r64-exact", linearOf(WeightFormat::Int8, 4096, 4096, 64), 64, Element::BF16, 3);
  tile("tile-int4-rms-glu-r32", mlp, 32);

  auto norm = [&](std::string name, Norm kind, int64_t k, int64_t heads, bool bias, Element output) {
    NormSpec spec;
    spec.kind = kind;
    spec.k = k;
    spec.heads = heads;
    spec.epsilon = 1e-5f;
    spec.bias = bias;
    spec.output = output;
    all.push_back({name, [spec](mlir::gpu::GPUModuleOp m) { getOrCreateNorm(m, spec); }, true});
  };
  norm("norm-rms-4096", Norm::RMS, 4096, 1, false, Element::F16);
  norm("norm-rms-32x128", Norm::RMS, 128, 32, false, Element::F32);
  norm("norm-layer-3001", Norm::Layer, 3001, 1, true, Element::BF16);

  EmbeddingSpec embedding;
  embedding.layout = linearOf(WeightFormat::Int4, 128256, 2048, 1).layout;
  all.push_back(
      {"embedding-int4", [=](mlir::gpu::GPUModuleOp m) { getOrCreateEmbedding(m, embedding); }, false});
  all.push_back({"argmax-128256", [=](mlir::gpu::GPUModuleOp m) { getOrCreateArgmax(m, 128256); }, true});
  all.push_back({"softmax-128256", [=](mlir::gpu::GPUModuleOp m) { getOrCreateSoftmax(m, 128256); }, true});
  all.push_back({"sample-128256", [=](mlir::gpu::GPUModuleOp m) { getOrCreateSample(m, 128256); }, true});
  QuantizeSpec codes;
  codes.k = 4096;
  codes.block = 32;
  all.push_back({"quantize-4096-32", [=](mlir::gpu::GPUModuleOp m) { getOrCreateQuantize(m, codes); }, true});
  all.push_back(
      {"dequantize-4096-32", [=](mlir::gpu::GPUModuleOp m) { getOrCreateDequantize(m, codes); }, true});
  RopeSpec rope;
  rope.heads = 32;
  rope.headDim = rope.rotaryDim = 128;
  all.push_back({"rope-32x128", [=](mlir::gpu::GPUModuleOp m) { getOrCreateRope(m, rope); }, true});
  AppendSpec append;
  append.cache.element = Element::F16;
  append.cache.kvHeads = 8;
  append.cache.headDim = append.cache.valueDim = 128;
  append.rotaryDim = 64;
  all.push_back({"kv-append-8x128", [=](mlir::gpu::GPUModuleOp m) { getOrCreateKVAppend(m, append); }, true});

  auto attention = [&](std::string name, AttentionSpec spec) {
    all.push_back({name, [spec](mlir::gpu::GPUModuleOp m) { getOrCreateAttention(m, spec); }, true});
  };
  AttentionSpec a;
  a.cache = append.cache;
  a.heads = 32;
  a.scale = 0.088388347f;
  a.split = true;
  attention("attention-32-8x128-split", a);
  all.push_back(
      {"attention-merge", [=](mlir::gpu::GPUModuleOp m) { getOrCreateAttentionMerge(m, a); }, true});
  a.split = false;
  a.heads = 8;
  attention("attention-8-8x128", a);
  a.cache.headDim = a.cache.valueDim = 64;
  a.heads = 64;
  a.window = 128;
  a.sinks = true;
  attention("attention-64-8x64-sinks", a);
  AttentionSpec rows;
  rows.cache = append.cache;
  rows.heads = 32;
  rows.scale = 0.088388347f;
  rows.tile = true;
  attention("attention-tile-32-8x128", rows);
  AttentionSpec byGroups = rows;
  byGroups.warpGroups = true;
  byGroups.input = byGroups.output = Element::F16;
  attention("attention-wgmma-32-8x128", byGroups);
  all.back().warpGroups = true;
  rows.cache.headDim = rows.cache.valueDim = 64;
  rows.parts = 2;
  rows.window = 4096;
  // On MFMA, masks of the window spill a few scalar registers.
  all.push_back({"attention-tile-32-8x64-exact",
                 [=](mlir::gpu::GPUModuleOp m) { getOrCreateAttention(m, rows); }, false});
  // T5's: a bias by distance, and its encoder's output.
  AttentionSpec biased = rows;
  biased.parts = 1;
  biased.window = 0;
  biased.heads = biased.cache.kvHeads;
  biased.bias = 128;
  attention("attention-tile-8-8x64-bias", biased);
  biased.tile = false;
  attention("attention-8-8x64-bias", biased);
  AttentionSpec condition = rows;
  condition.parts = 1;
  condition.window = 0;
  condition.condition = true;
  attention("attention-tile-32-8x64-condition", condition);
  // Encoders': BERT with a mask, rounded and exactly; a vision transformer.
  AttentionSpec tensors;
  tensors.tensors = true;
  tensors.causal = false;
  tensors.cache = {Element::F32, 12, 64, 64, 0};
  tensors.heads = 12;
  tensors.scale = 0.125f;
  attention("attention-tensors-12x64", tensors);
  tensors.tile = true;
  attention("attention-tensors-tile-12x64", tensors);
  AttentionSpec grouped = tensors;
  grouped.warpGroups = true;
  attention("attention-tensors-wgmma-12x64", grouped);
  all.back().warpGroups = true;
  tensors.mask = Mask::Add;
  attention("attention-tensors-tile-12x64-mask", tensors);
  tensors.product = Element::BF16;
  tensors.parts = 3;
  // Three parts of everything: scalar registers spill on MFMA, and a few others of wide heads.
  attention("attention-tensors-tile-12x64-mask-exact", tensors);
  all.back().hot = false;
  tensors.cache.headDim = tensors.cache.valueDim = 128;
  tensors.mask = Mask::None;
  tensors.causal = true;
  attention("attention-tensors-tile-12x128-exact", tensors);
  all.back().hot = false;
  AttentionSpec odd;
  odd.cache = {Element::F32, 2, 80, 20, 0};
  odd.heads = 6;
  odd.softcap = 50;
  odd.alibi = true;
  attention("attention-6-2x80x20-softcap-alibi", odd);
  return all;
}

} // namespace pith::gpu::test

#endif // PITH_TEST_UNIT_GPU_KERNELSET_H
