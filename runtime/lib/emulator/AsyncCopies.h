//===- AsyncCopies.h - copies that are under way ----------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_EMULATOR_ASYNCCOPIES_H
#define PITH_RUNTIME_EMULATOR_ASYNCCOPIES_H

#include "Shadow.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pith::runtime::emulator {

/// What a thread has committed in groups: how many of its deeds there were when each group ended.
struct Groups {
  std::vector<uint32_t> ends;
  void commit(size_t deeds) { ends.push_back(uint32_t(deeds)); }
  /// Leaves the latest `left` groups; how many deeds are in those before.
  size_t take(size_t left) {
    if (ends.size() <= left)
      return 0;
    const size_t over = ends.size() - left, count = ends[over - 1];
    ends.erase(ends.begin(), ends.begin() + over);
    for (uint32_t &end : ends)
      end -= uint32_t(count);
    return count;
  }
};

/// A thread's own copies (cp.async): carried out when the thread waits for them, pending until then.
struct AsyncCopies {
  struct Copy {
    uint32_t to; ///< offset in shared memory
    uint32_t bytes, used;
    const void *from;
  };
  std::vector<Copy> copies; ///< in the order of issue
  Groups groups;
  void clear() {
    copies.clear();
    groups.ends.clear();
  }
};

/// Shared memory that an asynchronous unit may still be reading: it must find what was there when it was
/// asked.
struct PendingReads {
  struct Read {
    uint32_t offset, bytes, site;
    uint64_t sum;
  };
  std::vector<Read> reads;
  Groups groups;
  void clear() {
    reads.clear();
    groups.ends.clear();
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

/// What the bulk unit (bulk and tensor copies) is loading, and the mbarriers that say when.
struct BulkCopies {
  struct Load {
    uint32_t mbarrier, to; ///< offsets
    std::vector<uint8_t> data;
  };
  std::vector<Load> loads;
  std::vector<Mbarrier> barriers;
  void clear() {
    loads.clear();
    barriers.clear();
  }
};

} // namespace pith::runtime::emulator
#endif // PITH_RUNTIME_EMULATOR_ASYNCCOPIES_H
