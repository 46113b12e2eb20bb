//===- KernelsTest.cpp - kernels from IR to their results on the emulator ---------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===------------------------------------------------------------------------------------===//
#include "EmulatedKernels.h"
#include "KernelText.h"
#include "gtest/gtest.h"

#include <string>
#include <vector>

using namespace pith::test;

namespace {

std::vector<float> ramp(size_t count, float step = 1) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i)
    values[i] = step * float(i);
  return values;
}

const char *const add = R"(
  gpu.func @add(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>, %z: !llvm.ptr<1>, %n: i32) kernel {
    %t = gpu.thread_id x
    %b = gpu.block_id x
    %d = gpu.block_dim x
    %first = arith.muli %b, %d : index
    %i = arith.addi %first, %t : index
    %i32 = arith.index_cast %i : index to i32
    %in = arith.cmpi slt, %i32, %n : i32
    scf.if %in {
      %px = llvm.getelementptr %x[%i32] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
      %py = llvm.getelementptr %y[%i32] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
      %pz = llvm.getelementptr %z[%i32] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
      %a = llvm.load %px : !llvm.ptr<1> -> f32
      %c = llvm.load %py : !llvm.ptr<1> -> f32
      %s = arith.addf %a, %c : f32
      llvm.store %s, %pz : f32, !llvm.ptr<1>
    }
    gpu.return
  }
)";

TEST(Kernels, AddsVectorsBehindAGuard) {
  EmulatedKernels kernels;
  ASSERT_EQ(kernels.parse(moduleOf(add)), "");
  ASSERT_EQ(kernels.compile(), "");
  const int32_t n = 1000;
  auto x = kernels.buffer(ramp(n)), y = kernels.buffer(ramp(n, 2)), z = kernels.buffer<float>(n);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    kernels.device.options.seed = seed;
    ASSERT_EQ(kernels.launch("add", {4}, {256}, {x, y, z, n}), "");
    EXPECT_EQ(z.read(), ramp(n, 3));
  }
}

TEST(Kernels, FindsAccessOutOfBounds) {
  EmulatedKernels kernels;
  ASSERT_EQ(kernels.parse(moduleOf(add)), "");
  ASSERT_EQ(kernels.compile(), "");
  auto x = kernels.buffer(ramp(1000)), y = kernels.buffer(ramp(1000)), z = kernels.buffer<float>(999);
  EXPECT_EQ(kernels.launch("add", {4}, {256}, {x, y, z, 1000}),
            "kernel \"add\": block (3,0,0), thread (231,0,0), llvm.store at kernel:19:7: writes 4 bytes at "
            "offset 3996 "
            "of an allocation of 3996 bytes in global memory");
  // The device goes on.
  EXPECT_EQ(kernels.launch("add", {4}, {256}, {x, y, z, 999}), "");
  EXPECT_NE(
      kernels.launch("add", {4}, {256}, {x, y, (const void *)16, 999}).find("where nothing is allocated"),
      std::string::npos);
  EXPECT_NE(kernels.launch("add", {4}, {2048}, {x, y, z, 999}).find("2048"), std::string::npos);
}

/// y[block] = sum of 256 values: through shared memory, in halves. `barrier` stands between the rounds.
std::string blockSum(const std::string &barrier, const std::string &guard = "") {
  return R"(
  gpu.func @sum(%x: !llvm.ptr<1>, %y: !llvm.ptr<1>) kernel attributes {known_block_size = array<i32: 256, 1, 1>,
                                                                      pith.shared_bytes = 1024 : i64} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c8 = arith.constant 8 : index
    %zero = arith.constant 0 : i32
    %half = arith.constant 128 : i32
    %one = arith.constant 1 : i32
    %sh = llvm.mlir.addressof @shared : !llvm.ptr<3>
    %ti = gpu.thread_id x
    %t = arith.index_cast %ti : index to i32
    %bi = gpu.block_id x
    %b = arith.index_cast %bi : index to i32
    %c256 = arith.constant 256 : i32
    %base = arith.muli %b, %c256 : i32
    %i = arith.addi %base, %t : i32
    %px = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    %v = llvm.load %px : !llvm.ptr<1> -> f32
    %mine = llvm.getelementptr %sh[%t] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
    llvm.store %v, %mine : f32, !llvm.ptr<3>
    gpu.barrier
    %last = scf.for %r = %c0 to %c8 step %c1 iter_args(%h = %half) -> (i32) {
      %in = arith.cmpi slt, %t, %h : i32
      scf.if %in {
        %o = arith.addi %t, %h : i32
        %po = llvm.getelementptr %sh[%o] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
        %a = llvm.load %mine : !llvm.ptr<3> -> f32
        %c = llvm.load %po : !llvm.ptr<3> -> f32
        %s = arith.addf %a, %c : f32
        llvm.store %s, %mine : f32, !llvm.ptr<3>
        )" +
         guard + R"(
      }
      )" +
         barrier + R"(
      %next = arith.shrui %h, %one : i32
      scf.yield %next : i32
    }
    %first = arith.cmpi eq, %t, %zero : i32
    scf.if %first {
      %s = llvm.load %sh : !llvm.ptr<3> -> f32
      %py = llvm.getelementptr %y[%b] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
      llvm.store %s, %py : f32, !llvm.ptr<1>
    }
    gpu.return
  }
)";
}

TEST(Kernels, SumsThroughSharedMemory) {
  EmulatedKernels kernels;
  ASSERT_EQ(kernels.parse(moduleOf(blockSum("gpu.barrier"))), "");
  ASSERT_EQ(kernels.compile(), "");
  auto x = kernels.buffer(ramp(1024)), y = kernels.buffer<float>(4);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    kernels.device.options.seed = seed;
    ASSERT_EQ(kernels.launch("sum", {4}, {256}, {x, y}), "");
    EXPECT_EQ(y.read(), (std::vector<float>{32640, 98176, 163712, 229248}));
  }
}

std::string runSum(const std::string &kernel, uint32_t sharedBytes = 0) {
  EmulatedKernels kernels;
  if (std::string error = kernels.parse(moduleOf(kernel)); !error.empty())
    return error;
  if (std::string error = kernels.compile(); !error.empty())
    return error;
  auto x = kernels.buffer(ramp(1024)), y = kernels.buffer<float>(4);
  return kernels.launch("sum", {4}, {256}, {x, y}, sharedBytes);
}

TEST(Kernels, FindsRaceWithoutBarrier) {
  const std::string error = runSum(blockSum(""));
  EXPECT_TRUE(
      has(error, "race on shared memory: writes offset 128, which thread (0,0,0) read without a barrier"));
  EXPECT_TRUE(has(error, "thread (32,0,0), llvm.store at kernel:"));
}

TEST(Kernels, FindsDivergentBarrier) {
  const std::string error = runSum(blockSum("", "gpu.barrier"));
  EXPECT_TRUE(has(error, "divergent barrier: 128 of 256 threads came, thread (128,0,0) has ended"));
  EXPECT_TRUE(has(error, "gpu.barrier at kernel:"));
}

TEST(Kernels, FindsSharedMemoryOutOfBounds) {
  EXPECT_TRUE(has(runSum(blockSum("gpu.barrier"), 512),
                  "writes 4 bytes at offset 512 of shared memory, which has 512 bytes"));
}

TEST(Kernels, FindsUninitializedSharedMemory) {
  std::string kernel = blockSum("gpu.barrier");
  const std::string store = "llvm.store %v, %mine : f32, !llvm.ptr<3>\n    gpu.barrier";
  kernel.replace(kernel.find(store), store.size(), "gpu.barrier");
  EXPECT_TRUE(has(runSum(kernel), "reads shared memory at offset 0, which nobody has written"));
}

TEST(Kernels, FindsMisalignedVector) {
  const std::string kernel = R"(
  gpu.func @k(%x: !llvm.ptr<1>, %i: i32) kernel {
    %p = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    %v = llvm.load %p : !llvm.ptr<1> -> vector<4xf32>
    llvm.store %v, %x : vector<4xf32>, !llvm.ptr<1>
    gpu.return
  })";
  EmulatedKernels kernels;
  ASSERT_EQ(kernels.parse(moduleOf(kernel)), "");
  ASSERT_EQ(kernels.compile(), "");
  auto x = kernels.buffer(ramp(16));
  EXPECT_EQ(kernels.launch("k", {}, {}, {x, 4}), "");
  EXPECT_TRUE(has(kernels.launch("k", {}, {}, {x, 3}),
                  "reads 16 bytes at offset 12 of global memory, which is not aligned to 16 bytes"));
}

TEST(Kernels, SumsByShuffles) {
  for (int width : {32, 64}) {
    std::string kernel = R"(
  gpu.func @sum(%x: !llvm.ptr<1>) kernel attributes {pith.subgroup = )" +
                         std::to_string(width) + R"( : i32} {
    %t = gpu.thread_id x
    %i = arith.index_cast %t : index to i32
    %w = arith.constant 32 : i32
    %p = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    %v0 = llvm.load %p : !llvm.ptr<1> -> f32
)";
    for (int step = 0; step < 5; ++step) {
      const std::string n = std::to_string(step), next = std::to_string(step + 1);
      kernel += "%o" + n + " = arith.constant " + std::to_string(16 >> step) + " : i32\n" + "%s" + n +
                ", %ok" + n + " = gpu.shuffle xor %v" + n + ", %o" + n + ", %w : f32\n" + "%v" + next +
                " = arith.addf %v" + n + ", %s" + n + " : f32\n";
    }
    kernel += "llvm.store %v5, %p : f32, !llvm.ptr<1>\n gpu.return\n }\n";
    EmulatedKernels kernels;
    ASSERT_EQ(kernels.parse(moduleOf(kernel)), "");
    ASSERT_EQ(kernels.compile(), "");
    auto x = kernels.buffer(ramp(128));
    ASSERT_EQ(kernels.launch("sum", {}, {128}, {x}), "");
    const std::vector<float> sums = x.read();
    for (int i = 0; i < 128; ++i)
      EXPECT_EQ(sums[i], float(32 * 31 / 2 + 32 * 32 * (i / 32)));
  }
}

TEST(Kernels, NamesWhatItDoesNotKnow) {
  EmulatedKernels kernels;
  ASSERT_EQ(kernels.parse(moduleOf(R"(
  gpu.func @k(%x: !llvm.ptr<1>) kernel {
    nvvm.cluster.arrive
    gpu.return
  })")),
            "");
  EXPECT_TRUE(has(kernels.compile(), "'nvvm.cluster.arrive' op is not known to the emulator"));
}

} // namespace
