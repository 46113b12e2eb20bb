//===- StageRing.h - stages of shared memory that one warp fills -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// For sm_90a: a producer begins copies by the bulk unit (TMA's form without a tensor map), which count their bytes at the
// stage's mbarrier `full`; consumers wait for it and say at `empty` when they have done with the stage. No thread waits for
// the whole block.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_STAGERING_H
#define PITH_LIB_CODEGEN_GPU_STAGERING_H

#include "KernelBuilder.h"

namespace pith::gpu {

class StageRing {
public:
  using Value = mlir::Value;
  /// Of mbarriers, for a stage.
  static constexpr int64_t barrierBytes = 16;
  /// A stage, and whether it is gone through for an even or odd time: both i32.
  struct Place {
    Value slot, phase;
  };

  StageRing(KernelBuilder &k, int64_t stages, int64_t stageBytes, int64_t barriersOffset)
      : k(k), stages(stages), stageBytes(stageBytes), barriersOffset(barriersOffset) {}

  /// By all threads of the block, which may use the ring afterwards. `consumers`: how often a stage is released.
  void init(int64_t consumers);
  Place first() { return {k.index(0), k.index(0)}; }
  Place after(Place place);
  Place before(Place place);
  Value stage(Place place) { return k.at(k.shared(), k.mul(place.slot, stageBytes)); }

  // The producer, in this order.
  void waitEmpty(Place place);
  /// One thread says how many bytes will come.
  void expect(Place place, Value bytes);
  /// `from`, `to` (in shared memory) and `bytes` are multiples of 16.
  void copy(Place place, Value from, Value to, Value bytes);

  // Consumers.
  void waitFull(Place place);
  void release(Place place);

private:
  Value full(Place place) { return k.at(k.shared(barriersOffset), k.mul(place.slot, barrierBytes)); }
  Value empty(Place place) { return k.at(full(place), barrierBytes / 2); }
  void wait(Value barrier, Value phase);

  KernelBuilder &k;
  int64_t stages, stageBytes, barriersOffset;
};

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_STAGERING_H
