//===- EmulatorErrorsTest.cpp - kernels that are wrong must be found --------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Each kernel is run as it should be, and with one fault.
//
//===----------------------------------------------------------------------------------===//
#include "EmulatorTest.h"
#include "cpu/Team.h"

#include <numeric>

using namespace pith::test;

namespace {

constexpr uint32_t shared = PITH_EMU_SHARED, global = PITH_EMU_GLOBAL;

std::vector<uint32_t> numbers(size_t count) {
  std::vector<uint32_t> values(count);
  std::iota(values.begin(), values.end(), 1);
  return values;
}

/// Every thread writes a word and reads its neighbour's.
std::string exchange(bool barrier, bool initialized = true) {
  Runner runner;
  return runner.run({}, {64}, 256, [&](const Thread &thread) {
    if (initialized || thread.x() != 7)
      thread.store<uint32_t>(thread.shared(4 * thread.x()), thread.x(), 0, shared);
    if (barrier)
      thread.barrier(1);
    thread.load<uint32_t>(thread.shared(4 * ((thread.x() + 1) % 64)), 2, shared);
  });
}

TEST(EmulatorErrors, MissingBarrier) {
  EXPECT_EQ(exchange(true), "");
  EXPECT_TRUE(says(exchange(false),
                   "kernel \"k\": block (0,0,0), thread (0,0,0), site 2: reads shared memory at offset "
                   "4, which nobody has written"));
  EXPECT_TRUE(
      says(exchange(true, false), "thread (6,0,0), site 2: reads shared memory at offset 28, which nobody"));
}

TEST(EmulatorErrors, MissingBarrierBeforeWriting) {
  const auto run = [](bool barrier) {
    Runner runner;
    return runner.run({}, {64}, 256, [&](const Thread &thread) {
      thread.store<uint32_t>(thread.shared(4 * thread.x()), 1, 0, shared);
      thread.barrier(1);
      thread.load<uint32_t>(thread.shared(0), 2, shared);
      if (barrier)
        thread.barrier(3);
      if (thread.x() == 0)
        thread.store<uint32_t>(thread.shared(0), 2, 4, shared);
      thread.barrier(5);
      thread.load<uint32_t>(thread.shared(0), 6, shared);
    });
  };
  EXPECT_EQ(run(true), "");
  EXPECT_TRUE(says(run(false),
                   "race on shared memory: reads offset 0, which thread (0,0,0) wrote without a barrier"));
}

TEST(EmulatorErrors, WarpBarrierOrdersItsWarpOnly) {
  const auto run = [](uint32_t neighbour) {
    Runner runner;
    runner.device.options.seed = 3;
    return runner.run({}, {64}, 256, [&](const Thread &thread) {
      thread.store<uint32_t>(thread.shared(4 * thread.x()), 1, 0, shared);
      thread.operate(PITH_EMU_WARP_BARRIER, 0, Thread::Frame().add(~0u), 1);
      thread.load<uint32_t>(thread.shared(4 * (thread.x() ^ neighbour)), 2, shared);
    });
  };
  EXPECT_EQ(run(1), "");
  EXPECT_NE(run(32), "");
}

/// Copies tiles of 16 bytes a thread through a ring of `stages`; thread x reads what its neighbour copied.
std::string pipeline(uint32_t stages, uint32_t left, uint32_t ahead) {
  Runner runner;
  constexpr uint32_t threads = 32, tiles = 8, tileBytes = 16 * threads;
  const uint32_t *from = runner.memory(numbers(tiles * tileBytes / 4));
  uint64_t sum = 0;
  const std::string error = runner.run({}, {threads}, stages * tileBytes, [&](const Thread &thread) {
    const auto fetch = [&](uint32_t tile) {
      if (tile < tiles)
        thread.copyAsync(tile % stages * tileBytes + 16 * thread.x(),
                         from + tile * tileBytes / 4 + 4 * thread.x(), 16, 16, 0);
      thread.commit(1);
    };
    for (uint32_t tile = 0; tile < ahead; ++tile)
      fetch(tile);
    for (uint32_t tile = 0; tile < tiles; ++tile) {
      thread.wait(left, 2);
      thread.barrier(3);
      fetch(tile + ahead);
      const uint32_t other = (thread.x() + 1) % threads;
      sum += thread.load<uint32_t>(thread.shared(tile % stages * tileBytes + 16 * other), 4, shared);
    }
  });
  if (error.empty()) {
    uint64_t expected = 0;
    for (uint32_t i = 0; i < tiles * threads; ++i)
      expected += 1 + 4 * i;
    EXPECT_EQ(sum, expected);
  }
  return error;
}

TEST(EmulatorErrors, Pipeline) {
  EXPECT_EQ(pipeline(4, 2, 3), "");
  EXPECT_TRUE(says(pipeline(4, 3, 3),
                   "site 4: reads shared memory at offset 16, where an asynchronous copy is pending"));
  // The ring is overwritten one stage early.
  EXPECT_TRUE(
      says(pipeline(3, 2, 3), "site 0: race on shared memory: writes offset 16, which thread (0,0,0) read"));
}

TEST(EmulatorErrors, ZeroFill) {
  Runner runner;
  const uint32_t *from = runner.memory(numbers(4));
  uint32_t words[4] = {9, 9, 9, 9};
  EXPECT_EQ(runner.run({}, {1}, 16,
                       [&](const Thread &thread) {
                         thread.copyAsync(0, from, 16, 8, 0);
                         thread.commit(1);
                         thread.wait(0, 2);
                         for (int i = 0; i < 4; ++i)
                           words[i] = thread.load<uint32_t>(thread.shared(4 * i), 3, shared);
                       }),
            "");
  EXPECT_EQ(std::vector<uint32_t>(words, words + 4), (std::vector<uint32_t>{1, 2, 0, 0}));
}

TEST(EmulatorErrors, DivergentBarrier) {
  const auto run = [](bool other) {
    Runner runner;
    return runner.run({}, {64}, 0, [&](const Thread &thread) {
      if (thread.x() < 40)
        thread.barrier(1);
      else if (other)
        thread.barrier(2);
    });
  };
  EXPECT_TRUE(
      says(run(false), "site 1: divergent barrier: 40 of 64 threads came, thread (40,0,0) has ended"));
  EXPECT_TRUE(says(run(true), "site 2: divergent barrier: thread (0,0,0) waits at another one, site 1"));
}

TEST(EmulatorErrors, NamedBarriers) {
  // A producer warp arrives, a consumer warp waits.
  const auto run = [](uint32_t count) {
    Runner runner;
    return runner.run({}, {64}, 128, [&](const Thread &thread) {
      const Thread::Frame frame = Thread::Frame().add(3u).add(count);
      if (thread.x() < 32) {
        thread.store<uint32_t>(thread.shared(4 * thread.x()), 1, 0, shared);
        thread.operate(PITH_EMU_NAMED_BARRIER, 1, frame, 1);
      } else {
        thread.operate(PITH_EMU_NAMED_BARRIER, 0, frame, 2);
        thread.load<uint32_t>(thread.shared(4 * (thread.x() - 32)), 3, shared);
      }
    });
  };
  EXPECT_EQ(run(64), "");
  EXPECT_TRUE(
      says(run(32), "")); // released by the producer alone, once for each: nothing to find but no hang
  EXPECT_TRUE(says(run(48), "expects 48 threads at barrier 3"));
}

TEST(EmulatorErrors, ShuffleFromInactiveLane) {
  const auto run = [](uint32_t lanes, uint32_t mask) {
    Runner runner;
    return runner.run({}, {32}, 0, [&](const Thread &thread) {
      if (thread.lane() < lanes) {
        EXPECT_EQ(thread.shuffleXor(thread.lane(), 16, mask, 1), thread.lane() ^ 16);
      }
    });
  };
  EXPECT_EQ(run(32, ~0u), "");
  EXPECT_TRUE(says(run(16, 0xffff), "reads lane 16 of the warp, which does not take part"));
  EXPECT_TRUE(says(run(16, ~0u), "divergent warp: 16 of its 32 lanes take part, lane 16 has ended"));
}

TEST(EmulatorErrors, OutOfBoundsByOneRow) {
  Runner runner;
  const uint32_t rows = 4, columns = 64;
  const uint32_t *from = runner.memory(numbers(rows * columns));
  const auto run = [&](uint32_t count) {
    return runner.run({count}, {columns}, 0, [&](const Thread &thread) {
      thread.load<uint32_t>(from + thread.thread->block[0] * columns + thread.x(), 1, global);
    });
  };
  EXPECT_EQ(run(rows), "");
  EXPECT_TRUE(says(run(rows + 1),
                   "block (4,0,0), thread (0,0,0), site 1: reads 4 bytes at offset 1024 of an allocation "
                   "of 1024 bytes in global memory"));
}

/// One thread loads rows by the bulk unit, all read them.
std::string bulk(uint32_t announced, uint32_t parity, bool initBarrier = true) {
  Runner runner;
  const uint32_t *from = runner.memory(numbers(64));
  return runner.run({}, {64}, 512, [&](const Thread &thread) {
    if (thread.x() == 0)
      thread.mbarrierInit(256, 1, 0);
    if (initBarrier)
      thread.barrier(1);
    if (thread.x() == 0) {
      thread.mbarrierExpect(256, announced, 2);
      thread.operate(PITH_EMU_BULK_COPY, 0,
                     Thread::Frame().add(thread.shared()).add(from).add(thread.shared(256)).add(256u), 3);
    }
    thread.mbarrierWait(256, parity, 4);
    EXPECT_EQ(thread.load<uint32_t>(thread.shared(4 * thread.x()), 5, shared), thread.x() + 1);
  });
}

TEST(EmulatorErrors, Mbarrier) {
  EXPECT_EQ(bulk(256, 0), "");
  EXPECT_TRUE(says(bulk(256, 0, false), "site 4: ")); // used before its initialisation was seen
  EXPECT_TRUE(says(bulk(512, 0),
                   "deadlock: waits for phase 0 of the mbarrier at offset 256, which expects 0 more "
                   "arrivals and 256 more bytes in phase 0"));
  EXPECT_TRUE(says(bulk(128, 0), "-128 more bytes"));
  EXPECT_TRUE(says(bulk(256, 1), "site 5: reads shared memory at offset 0, where an asynchronous copy is "
                                 "pending")); // the phase before counts as over
}

/// A tile of 8 x 64 halves of a tensor of 6 x 100, at (x, y), swizzled; and back.
TEST(EmulatorErrors, TensorCopy) {
  Runner runner;
  std::vector<uint16_t> values(6 * 100);
  std::iota(values.begin(), values.end(), 1);
  const uint16_t *from = runner.memory(values);
  uint16_t *to = runner.memory(std::vector<uint16_t>(6 * 100));
  for (const uint32_t swizzle : {0u, 128u}) {
    pith_emu_tensor_map map = {
        PITH_EMU_TENSOR_MAP, 2, 2, swizzle, reinterpret_cast<uintptr_t>(from), {100, 6}, {200}, {64, 8}, 0};
    pith_emu_tensor_map target = map;
    target.base = reinterpret_cast<uintptr_t>(to);
    const auto run = [&](bool fence) {
      return runner.run({}, {64}, 2048, [&](const Thread &thread) {
        if (thread.x() == 0)
          thread.mbarrierInit(1024, 1, 0);
        thread.barrier(1);
        const auto box = [&](const pith_emu_tensor_map &tensor) {
          return Thread::Frame().add(thread.shared()).add(&tensor);
        };
        if (thread.x() == 0) {
          thread.mbarrierExpect(1024, 1024, 2);
          thread.operate(PITH_EMU_TENSOR_COPY, 2,
                         box(map).add(thread.shared(1024)).add(64u).add(uint32_t(-1)), 3);
        }
        thread.mbarrierWait(1024, 0, 4);
        for (uint32_t row = 0; row < 8; ++row) {
          const uint32_t x = thread.x(), line = 128 * row + 2 * x, at = swizzle ? line ^ (row << 4) : line;
          const uint16_t value = thread.load<uint16_t>(thread.shared(at), 5, shared);
          const bool inside = row >= 1 && row <= 6 && 64 + x < 100;
          EXPECT_EQ(value, inside ? (row - 1) * 100 + 64 + x + 1 : 0) << row << ", " << x;
          thread.store<uint16_t>(thread.shared(at), uint16_t(value + 1), 6, shared);
        }
        if (fence)
          thread.operate(PITH_EMU_FENCE_ASYNC, 0, nullptr, 7);
        thread.barrier(8);
        if (thread.x() == 0) {
          thread.operate(PITH_EMU_TENSOR_COPY, 2 | 1 << 8, box(target).add(64u).add(uint32_t(-1)), 9);
          thread.operate(PITH_EMU_BULK_COMMIT, 0, nullptr, 10);
          thread.operate(PITH_EMU_BULK_WAIT, 0, nullptr, 11);
        }
      });
    };
    ASSERT_EQ(run(true), "");
    for (int row = 0; row < 6; ++row)
      for (int x = 64; x < 100; ++x)
        ASSERT_EQ(to[100 * row + x], row * 100 + x + 2);
    EXPECT_TRUE(says(run(false),
                     "site 9: reads shared memory at offset 0, which thread (0,0,0) wrote without a proxy "
                     "fence behind it"));
  }
}

/// D (64 x 16) = A (64 x 16) * B (16 x 16), both 128-byte swizzled and K-major, halves.
TEST(EmulatorErrors, Wgmma) {
  Runner runner;
  const auto a = [](uint32_t row, uint32_t k) { return float(int(row * 3 + k * 5) % 11 - 5); };
  const auto b = [](uint32_t k, uint32_t n) { return float(int(k * 7 + n * 2) % 13 - 6); };
  const uint32_t atB = 8192;
  const auto run = [&](bool fence, bool early) {
    std::vector<float> result(64 * 16);
    const std::string error = runner.run({}, {128}, atB + 2048, [&](const Thread &thread) {
      const auto place = [](uint32_t row, uint32_t k) { return row * 128 + ((2 * k) ^ (row % 8 << 4)); };
      for (uint32_t i = thread.x(); i < 64 * 16; i += 128)
        thread.store<uint16_t>(thread.shared(place(i / 16, i % 16)), uint16_t(floatToHalf(a(i / 16, i % 16))),
                               0, shared);
      for (uint32_t i = thread.x(); i < 16 * 16; i += 128)
        thread.store<uint16_t>(thread.shared(atB + place(i / 16, i % 16)),
                               uint16_t(floatToHalf(b(i % 16, i / 16))), 1, shared);
      if (fence)
        thread.operate(PITH_EMU_FENCE_ASYNC, 0, nullptr, 2);
      thread.barrier(3);
      const auto descriptor = [](uint64_t at) {
        return at >> 4 | UINT64_C(1) << 16 | UINT64_C(64) << 32 | UINT64_C(1) << 62;
      };
      Thread::Frame frame =
          Thread::Frame().reserve(16).addPair(descriptor(0)).addPair(descriptor(atB)).add(0u);
      const uint64_t immediates = 2 | PITH_EMU_F16 << 6 | PITH_EMU_F16 << 10 | PITH_EMU_F32 << 14;
      frame = thread.operate(PITH_EMU_WGMMA, immediates, frame, 4);
      thread.operate(PITH_EMU_WGMMA_COMMIT, 0, nullptr, 5);
      if (early) {
        thread.barrier(6);
        thread.store<uint16_t>(thread.shared(atB + place(thread.x() % 16, thread.x() / 16)), 0x7bff, 7,
                               shared);
      }
      thread.operate(PITH_EMU_WGMMA_WAIT, 0, nullptr, 8);
      for (uint32_t i = 0; i < 8; ++i) {
        const uint32_t l = thread.lane(), row = 16 * thread.thread->warp + l / 4 + 8 * (i / 2 % 2);
        result[row * 16 + 8 * (i / 4) + 2 * (l % 4) + i % 2] = floatOf(frame.words[i]);
      }
    });
    if (error.empty())
      for (uint32_t row = 0; row < 64; ++row)
        for (uint32_t n = 0; n < 16; ++n) {
          float sum = 0;
          for (uint32_t k = 0; k < 16; ++k)
            sum += a(row, k) * b(k, n);
          EXPECT_EQ(result[row * 16 + n], sum);
        }
    return error;
  };
  EXPECT_EQ(run(true, false), "");
  EXPECT_TRUE(says(run(false, false), "wrote without a proxy fence behind it"));
  EXPECT_TRUE(says(run(true, true), "which changed before this was waited for"));
}

TEST(EmulatorErrors, GlobalRaces) {
  Runner runner;
  runner.device.options.checkGlobalRaces = true;
  uint32_t *words = runner.memory(numbers(4));
  const auto run = [&](bool atomic) {
    return runner.run({2}, {1}, 0, [&](const Thread &thread) {
      thread.store<uint32_t>(words, 1, 0, global | (atomic ? uint32_t(PITH_EMU_ATOMIC) : 0));
    });
  };
  EXPECT_EQ(run(true), "");
  EXPECT_TRUE(says(run(false),
                   "race on global memory: writes offset 0 of an allocation, which block 0 of the grid has "
                   "written"));
}

/// A reduction over warps and shared memory gives the same bits in whatever order warps, lanes and blocks
/// run.
TEST(Emulator, SeedsDoNotMatter) {
  for (const uint32_t warpSize : {32u, 64u}) {
    std::vector<float> first;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      std::shared_ptr<pith::runtime::Team> team;
      ASSERT_TRUE(pith::runtime::Team::create(2, 0, team).ok());
      Runner runner(team);
      runner.warpSize = warpSize;
      runner.device.options.seed = seed;
      std::vector<float> sums(16);
      ASSERT_EQ(runner.run({16}, {256}, 32,
                           [&](const Thread &thread) {
                             float value = 1.f / float(1 + thread.x() + 256 * thread.thread->block[0]);
                             for (uint32_t offset = 16; offset; offset /= 2)
                               value += floatOf(thread.shuffleXor(bitsOf(value), offset, ~0u, 1));
                             if (thread.x() % 32 == 0)
                               thread.store<float>(thread.shared(thread.x() / 8), value, 2, shared);
                             thread.barrier(3);
                             float sum = 0;
                             for (uint32_t i = 0; i < 8; ++i)
                               sum += thread.load<float>(thread.shared(4 * i), 4, shared);
                             if (thread.x() == 0)
                               sums[thread.thread->block[0]] = sum;
                           }),
                "");
      if (!seed)
        first = sums;
      EXPECT_EQ(sums, first);
    }
  }
}

} // namespace
