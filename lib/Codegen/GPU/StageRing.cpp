//===- StageRing.cpp - stages of shared memory that one warp fills --------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "StageRing.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace pith::gpu;

void StageRing::init(int64_t consumers) {
  k.ifThen(k.equal(k.thread(), 0), [&] {
    for (int64_t s = 0; s < stages; ++s) {
      Place place{k.index(s), k.index(0)};
      NVVM::MBarrierInitOp::create(k.b, k.loc, full(place), k.index(1), Value());
      NVVM::MBarrierInitOp::create(k.b, k.loc, empty(place), k.index(consumers), Value());
    }
    NVVM::FenceMbarrierInitOp::create(k.b, k.loc); // the bulk unit sees them
  });
  k.barrier();
}

StageRing::Place StageRing::after(Place place) {
  Value next = k.add(place.slot, 1), wraps = k.equal(next, stages);
  return {k.select(wraps, k.index(0), next),
          k.select(wraps, arith::XOrIOp::create(k.b, k.loc, place.phase, k.index(1)), place.phase)};
}

StageRing::Place StageRing::before(Place place) {
  Value wraps = k.equal(place.slot, 0);
  return {k.select(wraps, k.index(stages - 1), k.sub(place.slot, 1)),
          k.select(wraps, arith::XOrIOp::create(k.b, k.loc, place.phase, k.index(1)), place.phase)};
}

void StageRing::wait(Value barrier, Value phase) {
  // How long the hardware may sleep before it looks again, in nanoseconds.
  NVVM::MBarrierTryWaitParityOp::create(k.b, k.loc, barrier, phase, k.index(10000000));
}

void StageRing::waitFull(Place place) { wait(full(place), place.phase); }

/// Before its first use a stage is empty: the phase in front of the first counts as complete.
void StageRing::waitEmpty(Place place) {
  wait(empty(place), arith::XOrIOp::create(k.b, k.loc, place.phase, k.index(1)));
}

void StageRing::expect(Place place, Value bytes) {
  NVVM::MBarrierArriveExpectTxOp::create(k.b, k.loc, Type(), full(place), bytes, NVVM::MemScopeKind::CTA,
                                         /*relaxed=*/false, Value());
}

void StageRing::copy(Place place, Value from, Value to, Value bytes) {
  auto cluster = LLVM::LLVMPointerType::get(k.b.getContext(), 7);
  Value there = LLVM::AddrSpaceCastOp::create(k.b, k.loc, cluster, to);
  NVVM::CpAsyncBulkGlobalToSharedClusterOp::create(k.b, k.loc, there, from, full(place), bytes, Value(),
                                                   Value());
}

void StageRing::release(Place place) {
  NVVM::MBarrierArriveOp::create(k.b, k.loc, Type(), empty(place), Value());
}
