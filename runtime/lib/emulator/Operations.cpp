//===- Operations.cpp - where operations go, and the plain collectives -----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Operations.h"

#include <cmath>

namespace pith::runtime::emulator {
namespace {

/// Memory before is visible to the warp behind.
bool warpBarrier(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  const Lane &first = warp.lanes[__builtin_ctzll(group)];
  if (!needLanes(multiprocessor, warp, group, first.frame[0] == ~0u ? ~UINT64_C(0) : first.frame[0]))
    return false;
  warp.view.seen[warp.index] = multiprocessor.tick();
  return true;
}

bool elect(Multiprocessor &, Warp &warp, uint64_t group) {
  const uint32_t first = uint32_t(__builtin_ctzll(group));
  forEach(warp, group, [&](Lane &lane) { lane.frame[0] = lane.lane == first; });
  return true;
}

using Collective = bool (*)(Multiprocessor &, Warp &, uint64_t group);

Collective collectiveOf(uint32_t operation) {
  switch (operation) {
  case PITH_EMU_WARP_BARRIER:
    return warpBarrier;
  case PITH_EMU_SHUFFLE:
    return shuffle;
  case PITH_EMU_VOTE:
  case PITH_EMU_BALLOT:
    return vote;
  case PITH_EMU_REDUX:
    return reduce;
  case PITH_EMU_ELECT:
    return elect;
  case PITH_EMU_BPERMUTE:
  case PITH_EMU_SWIZZLE:
  case PITH_EMU_DPP:
  case PITH_EMU_PERMLANE:
  case PITH_EMU_READLANE:
  case PITH_EMU_READFIRSTLANE:
    return permute;
  case PITH_EMU_MMA:
  case PITH_EMU_MFMA:
  case PITH_EMU_WMMA:
    return multiply;
  case PITH_EMU_LDMATRIX:
    return loadMatrix;
  case PITH_EMU_WGMMA:
  case PITH_EMU_WGMMA_FENCE:
  case PITH_EMU_WGMMA_COMMIT:
  case PITH_EMU_WGMMA_WAIT:
    return warpGroup;
  default:
    return nullptr;
  }
}

} // namespace

void Multiprocessor::operate(Lane &lane, uint64_t code, uint32_t *frame, uint32_t site) {
  lane.site = site;
  lane.code = code;
  lane.frame = frame;
  const uint32_t operation = code & 0xffff;
  switch (operation) {
  case PITH_EMU_BARRIER:
    return arrive(lane, 0, 0, /*waits=*/true, site);
  case PITH_EMU_NAMED_BARRIER:
    return arrive(lane, frame[0], frame[1], /*waits=*/!(code >> 16 & 1), site);
  case PITH_EMU_YIELD:
    return suspend(lane, State::Yielding);
  case PITH_EMU_TRAP:
    return fail(lane, site, "the kernel gives up");
  default:
    break;
  }
  if (collectiveOf(operation))
    return suspend(lane, State::Collective);
  performAsync(*this, lane);
}

bool performCollective(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  return collectiveOf(warp.lanes[__builtin_ctzll(group)].code & 0xffff)(multiprocessor, warp, group);
}

bool needLanes(Multiprocessor &multiprocessor, Warp &warp, uint64_t group, uint64_t wanted) {
  const uint64_t missing = wanted & warp.all & ~group;
  if (!missing)
    return true;
  const Lane &lane = warp.lanes[__builtin_ctzll(group)], &other = warp.lanes[__builtin_ctzll(missing)];
  const pith_emu_site &site = multiprocessor.launch->kernel.sites[other.site];
  const bool ended = other.state == State::Ended;
  multiprocessor.fail(lane, lane.site, "divergent warp: %d of its %u lanes take part, lane %u %s%s%s%s",
                      __builtin_popcountll(group), warp.count, other.lane, ended ? "has ended" : "waits in ",
                      ended ? "" : site.op, ended || !*site.location ? "" : " at ",
                      ended ? "" : site.location);
  return false;
}

bool shuffle(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  bool fine = true;
  forEach(warp, group, [&](Lane &lane) {
    uint32_t *frame = lane.frame;
    const uint32_t top = lane.warp_size - 1, l = lane.lane, b = frame[5], c = frame[6];
    const uint32_t segment = c >> 8 & top, clamp = c & top;
    const uint32_t last = (l & segment) | (clamp & ~segment), base = l & segment;
    const int64_t self = l;
    int64_t source = self;
    bool valid = true;
    switch (immediates(lane)) {
    case 0:
      source = base | (b & ~segment & top);
      valid = source <= last;
      break;
    case 1:
      source = self - (b & top);
      valid = source >= int64_t(last);
      break;
    case 2:
      source = self + (b & top);
      valid = source <= last;
      break;
    default:
      source = l ^ (b & top);
      valid = source <= last;
      break;
    }
    if (!valid)
      source = self;
    // A mask of 32 ones means the whole warp, of whatever width.
    const uint64_t mask = frame[7] == ~0u ? ~UINT64_C(0) : frame[7];
    if (fine)
      fine = needLanes(multiprocessor, warp, group, mask);
    if (fine && !(group & UINT64_C(1) << source)) {
      multiprocessor.fail(lane, lane.site, "reads lane %lld of the warp, which does not take part",
                          (long long)source);
      fine = false;
    }
    if (!fine)
      return;
    setPair(frame, pair(warp.lanes[source].frame + 3));
    frame[2] = valid;
  });
  return fine;
}

bool vote(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  const Lane &first = warp.lanes[__builtin_ctzll(group)];
  const bool ballot = (first.code & 0xffff) == PITH_EMU_BALLOT;
  uint64_t set = 0;
  forEach(warp, group,
          [&](Lane &lane) { set |= uint64_t((lane.frame[ballot ? 2 : 1] & 1) != 0) << lane.lane; });
  if (!ballot &&
      !needLanes(multiprocessor, warp, group, first.frame[2] == ~0u ? ~UINT64_C(0) : first.frame[2]))
    return false;
  forEach(warp, group, [&](Lane &lane) {
    if (ballot)
      return setPair(lane.frame, set);
    const uint32_t results[] = {set != 0, set == group, set == 0 || set == group, uint32_t(set)};
    lane.frame[0] = results[immediates(lane) & 3];
  });
  return true;
}

bool reduce(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  const Lane &first = warp.lanes[__builtin_ctzll(group)];
  if (!needLanes(multiprocessor, warp, group, first.frame[2] == ~0u ? ~UINT64_C(0) : first.frame[2]))
    return false;
  const auto asFloat = [](uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  };
  uint32_t total = first.frame[1];
  const uint64_t kind = immediates(first);
  forEach(warp, group & (group - 1), [&](Lane &lane) {
    const uint32_t value = lane.frame[1];
    switch (kind) {
    case 0:
      total += value;
      break;
    case 1:
      total = std::min(total, value);
      break;
    case 2:
      total = std::max(total, value);
      break;
    case 3:
      total = uint32_t(std::min(int32_t(total), int32_t(value)));
      break;
    case 4:
      total = uint32_t(std::max(int32_t(total), int32_t(value)));
      break;
    case 5:
      total &= value;
      break;
    case 6:
      total |= value;
      break;
    case 7:
      total ^= value;
      break;
    default: {
      const float a = asFloat(total), b = asFloat(value),
                  chosen = kind == 8 ? std::fmin(a, b) : std::fmax(a, b);
      std::memcpy(&total, &chosen, 4);
    }
    }
  });
  forEach(warp, group, [&](Lane &lane) { lane.frame[0] = total; });
  return true;
}

} // namespace pith::runtime::emulator
