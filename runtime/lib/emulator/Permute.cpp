//===- Permute.cpp - AMD's exchanges between lanes --------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Operations.h"

namespace pith::runtime::emulator {
namespace {

/// The lane that a lane of a DPP operation reads.
int64_t dppSource(uint32_t control, uint32_t lane, uint32_t warpSize) {
  const uint32_t row = lane & ~15u, at = lane & 15, n = control & 15;
  if (control <= 0xff) // quad_perm
    return (lane & ~3u) | (control >> 2 * (lane & 3) & 3);
  switch (control & 0x1f0) {
  case 0x100: // row_shl
    return at + n < 16 ? int64_t(lane + n) : -1;
  case 0x110: // row_shr
    return at >= n ? int64_t(lane - n) : -1;
  case 0x120: // row_ror
    return row | ((at - n) & 15);
  case 0x150: // row_share (gfx10 and later)
    return row | n;
  case 0x160: // row_xmask (gfx10 and later)
    return row | (at ^ n);
  default:
    break;
  }
  switch (control) {
  case 0x130: // wave_shl:1
    return lane + 1 < warpSize ? int64_t(lane + 1) : -1;
  case 0x134: // wave_rol:1
    return (lane + 1) % warpSize;
  case 0x138: // wave_shr:1
    return int64_t(lane) - 1;
  case 0x13c: // wave_ror:1
    return (lane + warpSize - 1) % warpSize;
  case 0x140: // row_mirror
    return row | (15 - at);
  case 0x141: // row_half_mirror
    return row | (at & 8) | (7 - (at & 7));
  case 0x142: // row_bcast:15
    return row ? int64_t(row - 1) : -1;
  case 0x143: // row_bcast:31
    return lane >= 32 ? 31 : -1;
  default:
    return -2;
  }
}

bool dpp(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  bool fine = true;
  forEach(warp, group, [&](Lane &lane) {
    const uint64_t imm = immediates(lane);
    const uint32_t control = imm & 0x1ff, rows = imm >> 9 & 15, banks = imm >> 13 & 15;
    const bool bound = imm >> 17 & 1;
    uint32_t *frame = lane.frame;
    const uint32_t old = frame[1];
    frame[0] = old;
    const int64_t source = dppSource(control, lane.lane, lane.warp_size);
    if (source == -2 && fine) {
      multiprocessor.fail(lane, lane.site, "has DPP control 0x%x, which no chip knows", control);
      fine = false;
    }
    if (!(rows >> (lane.lane >> 4) % 4 & 1) || !(banks >> (lane.lane >> 2) % 4 & 1))
      return;
    const bool there = source >= 0 && group >> source & 1;
    frame[0] = there ? warp.lanes[source].frame[2] : bound ? 0 : old;
  });
  return fine;
}

bool permlane(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  forEach(warp, group, [&](Lane &lane) {
    const uint64_t imm = immediates(lane);
    uint32_t *frame = lane.frame;
    const uint32_t at = lane.lane & 15, select = (at < 8 ? frame[3] : frame[4]) >> 4 * (at & 7) & 15;
    const uint32_t row = (lane.lane & ~15u) ^ (imm & 1 ? 16 : 0), source = row | select;
    const bool there = group >> source & 1 || (imm & 2 && source < warp.count);
    frame[0] = there ? warp.lanes[source].frame[2] : imm & 4 ? 0 : frame[1];
  });
  return true;
}

/// ds_swizzle_b32: a bit mask inside 32 lanes, or a permutation of four.
bool swizzle(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  forEach(warp, group, [&](Lane &lane) {
    const uint32_t offset = immediates(lane) & 0xffff, at = lane.lane & 31;
    const uint32_t source = offset & 0x8000
                                ? (at & ~3u) | (offset >> 2 * (at & 3) & 3)
                                : (((at & (offset & 31)) | (offset >> 5 & 31)) ^ (offset >> 10 & 31));
    const uint32_t from = (lane.lane & ~31u) | source;
    lane.frame[0] = group >> from & 1 ? warp.lanes[from].frame[1] : 0;
  });
  return true;
}

bool bpermute(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  const uint32_t warpSize = warp.lanes[0].warp_size;
  const bool pushes = immediates(warp.lanes[__builtin_ctzll(group)]) & 1;
  if (pushes) {
    forEach(warp, group, [&](Lane &lane) { lane.frame[0] = 0; });
    forEach(warp, group, [&](Lane &lane) {
      const uint32_t to = (lane.frame[1] >> 2) % warpSize;
      if (group >> to & 1)
        warp.lanes[to].frame[0] = lane.frame[2];
    });
    return true;
  }
  forEach(warp, group, [&](Lane &lane) {
    const uint32_t from = (lane.frame[1] >> 2) % warpSize;
    lane.frame[0] = group >> from & 1 ? warp.lanes[from].frame[2] : 0;
  });
  return true;
}

bool readLane(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  const Lane &first = warp.lanes[__builtin_ctzll(group)];
  const bool named = (first.code & 0xffff) == PITH_EMU_READLANE;
  bool fine = true;
  forEach(warp, group, [&](Lane &lane) {
    const uint32_t from = named ? lane.frame[2] % lane.warp_size : first.lane;
    if (!(group >> from & 1) && fine) {
      multiprocessor.fail(lane, lane.site, "reads lane %u of the warp, which does not take part", from);
      fine = false;
    }
    if (fine)
      lane.frame[0] = warp.lanes[from].frame[1];
  });
  return fine;
}

} // namespace

bool permute(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  switch (warp.lanes[__builtin_ctzll(group)].code & 0xffff) {
  case PITH_EMU_BPERMUTE:
    return bpermute(multiprocessor, warp, group);
  case PITH_EMU_SWIZZLE:
    return swizzle(multiprocessor, warp, group);
  case PITH_EMU_DPP:
    return dpp(multiprocessor, warp, group);
  case PITH_EMU_PERMLANE:
    return permlane(multiprocessor, warp, group);
  default:
    return readLane(multiprocessor, warp, group);
  }
}

} // namespace pith::runtime::emulator
