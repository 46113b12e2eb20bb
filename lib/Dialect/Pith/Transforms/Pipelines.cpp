//===- Pipelines.cpp - the phase raise ---------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "pith/Dialect/Pith/Transforms/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

void pith::buildRaisePipeline(OpPassManager &pm, const RaiseOptions &options) {
  auto simplify = [&] {
    pm.addPass(createCanonicalizerPass());
    pm.addPass(createCSEPass());
  };
  if (options.step)
    pm.addPass(createSpecializeSwitch());
  pm.addPass(createWidenFloats());
  pm.addPass(createSimplifyGathers());
  simplify();
  // Each recognises what the ones before have named, and all see through views: norms and activations need
  // only arithmetic, projections clear the way to heads, rotation must be known before the products of
  // attention are.
  pm.addPass(createRaiseNorms());
  pm.addPass(createRaiseActivations());
  pm.addPass(createRaiseLinear());
  simplify();
  pm.addPass(createRaiseRotary());
  simplify();
  pm.addPass(createRaiseAttention());
  simplify();
  if (options.step) {
    RaiseKVCacheOptions cache;
    cache.cacheElement = options.cacheElement;
    pm.addPass(createRaiseKVCache(cache));
    simplify();
  }
  pm.addPass(createFuseProjections());
  simplify();
  pm.addPass(createFormBlocks());
  simplify();
  pm.addPass(createRemoveUnusedWeights());
}
