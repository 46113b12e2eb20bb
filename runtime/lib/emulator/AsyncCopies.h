//===- AsyncCopies.h - copies that are under way ----------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_EMULATOR_ASYNCCOPIES_H
#define PITH_RUNTIME_EMULATOR_ASYNCCOPIES_H

#include "Shadow.h"

#include <cstdint>
#include <vector>

namespace pith::runtime::emulator {

/// A thread's own copies (cp.async): carried out when the thread waits for them, pending until then.
struct AsyncCopies {
  struct Copy {
    uint32_t to; ///< offset in shared memory
    uint32_t bytes, used;
    const void *from;
  };
  std::vector<Copy> copies;        ///< in the order of issue
  std::vector<uint32_t> groupEnds; ///< how many copies were issued when each group was committed
  void clear() {
    copies.clear();
    groupEnds.clear();
  }
};

/// An mbarrier object; its words in shared memory are opaque and hold only its address.
struct Mbarrier {
  uint32_t offset = 0;
  uint32_t count = 0;       ///< arrivals per phase
  uint32_t pending = 0;     ///< arrivals that are missing
  uint32_t phase = 0;       ///< phases completed
  int64_t bytes = 0;        ///< bytes that are announced and not yet there
  View arriving, completed; ///< what those who arrived had seen: in this phase, in all before
};

/// A read of shared memory that is under way: it must find what was there when it was issued.
struct SharedRead {
  uint32_t offset, bytes;
  uint64_t sum;
};

/// Copies by the bulk unit (bulk copies, tensor copies), and the reads of wgmma.
struct BulkCopies {
  struct Load {
    uint32_t mbarrier; ///< offset
    uint32_t to, bytes;
    std::vector<uint8_t> data;
  };
  struct Group {
    uint32_t lane; ///< index in the block
    uint32_t site;
    bool committed;
    std::vector<SharedRead> reads;
  };
  std::vector<Load> loads;
  std::vector<Group> stores;   ///< per issuing thread
  std::vector<Group> products; ///< wgmma: per issuing warp, `lane` is its first
  std::vector<Mbarrier> barriers;
  void clear() {
    loads.clear();
    stores.clear();
    products.clear();
    barriers.clear();
  }
};

} // namespace pith::runtime::emulator
#endif // PITH_RUNTIME_EMULATOR_ASYNCCOPIES_H
