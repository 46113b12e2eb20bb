//===- OperationsTest.cpp - exchanges and small operations, one by one ------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===------------------------------------------------------------------------------------===//
#include "EmulatedKernels.h"
#include "KernelText.h"

#include <functional>
#include <string>
#include <vector>

using namespace pith::test;

namespace {

/// A kernel that stores what `body` (a value of i32, from %x and %t) makes of 100 + lane, and what lane l
/// gets.
struct Case {
  const char *name, *body;
  int lanes;
  std::function<uint32_t(uint32_t lane)> expected;
};

/// %t is the lane, %x is 100 + lane, the constants have their value in their name; %r is the result.
std::string kernelOf(const Case &testCase) {
  return "gpu.func @" + std::string(testCase.name) +
         R"((%out: !llvm.ptr<1>) kernel attributes {pith.subgroup = )" + std::to_string(testCase.lanes) +
         R"( : i32} {
    %id = gpu.thread_id x
    %t = arith.index_cast %id : index to i32
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c3 = arith.constant 3 : i32
    %c31 = arith.constant 31 : i32
    %c100 = arith.constant 100 : i32
    %all = arith.constant -1 : i32
    %x = arith.addi %t, %c100 : i32
    %odd = arith.trunci %t : i32 to i1
)" + testCase.body +
         R"(
    %p = llvm.getelementptr %out[%t] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
    llvm.store %r, %p : i32, !llvm.ptr<1>
    gpu.return
  }
)";
}

const std::vector<Case> cases = {
    {"down", "%r = nvvm.shfl.sync down %all, %x, %c3, %c31 : i32 -> i32", 32,
     [](uint32_t l) { return 100 + (l + 3 < 32 ? l + 3 : l); }},
    {"up", "%r = nvvm.shfl.sync up %all, %x, %c3, %c0 : i32 -> i32", 32,
     [](uint32_t l) { return 100 + (l >= 3 ? l - 3 : l); }},
    {"index", "%r = nvvm.shfl.sync idx %all, %x, %c3, %c31 : i32 -> i32", 32, [](uint32_t) { return 103u; }},
    {"valid", R"(
    %s = nvvm.shfl.sync down %all, %x, %c1, %c31 {return_value_and_is_valid} : i32 -> !llvm.struct<(i32, i1)>
    %v = llvm.extractvalue %s[1] : !llvm.struct<(i32, i1)>
    %r = arith.extui %v : i1 to i32)",
     32, [](uint32_t l) { return uint32_t(l != 31); }},
    {"redux", "%r = nvvm.redux.sync add %x, %all : i32 -> i32", 32, [](uint32_t) { return 3200u + 496; }},
    {"ballot", "%r = nvvm.vote.sync ballot %all, %odd -> i32", 32, [](uint32_t) { return 0xaaaaaaaau; }},
    {"ballot64", "%b = rocdl.ballot %odd : i64\n %r = arith.trunci %b : i64 to i32", 64,
     [](uint32_t) { return 0xaaaaaaaau; }},
    {"quad", "%r = rocdl.update.dpp %c0, %x with 177, 15, 15, true : i32", 64,
     [](uint32_t l) { return 100 + (l ^ 1); }},
    {"row_shr", "%r = rocdl.update.dpp %c0, %x with 273, 15, 15, false : i32", 64,
     [](uint32_t l) { return l % 16 ? 99 + l : 0; }},
    {"swizzle", "%m = arith.constant 16415 : i32\n %r = rocdl.ds_swizzle %x, %m : (i32, i32) -> i32", 64,
     [](uint32_t l) { return 100 + (l ^ 16); }},
    {"bpermute", R"(
    %c4 = arith.constant 4 : i32
    %n = arith.addi %t, %c1 : i32
    %a = arith.muli %n, %c4 : i32
    %r = rocdl.ds_bpermute %a, %x : (i32, i32) -> i32)",
     64, [](uint32_t l) { return 100 + (l + 1) % 64; }},
    {"permlanex16", R"(
    %low = arith.constant 0x76543210 : i32
    %high = arith.constant 0xfedcba98 : i32
    %r = rocdl.permlanex16 %x, %x, %low, %high, true, false : i32, i32)",
     32, [](uint32_t l) { return 100 + (l ^ 16); }},
    {"readlane", "%r = rocdl.readlane %x, %c3 : (i32, i32) -> i32", 64, [](uint32_t) { return 103u; }},
    {"mbcnt",
     "%h = rocdl.mbcnt.lo %all, %c0 : (i32, i32) -> i32\n %r = rocdl.mbcnt.hi %all, %h : (i32, i32) -> i32",
     64, [](uint32_t l) { return l; }},
    {"dp4a", R"(
    %v = llvm.bitcast %x : i32 to vector<4xi8>
    %w = llvm.bitcast %all : i32 to vector<4xi8>
    %r = nvvm.dot.accumulate.4way %v <signed>, %w <signed>, %c3 : vector<4xi8>, vector<4xi8>)",
     32, [](uint32_t l) { return 3 - uint32_t(int8_t(100 + l)); }},
    {"sdot4", R"(
    %no = llvm.mlir.constant(false) : i1
    %r = llvm.call_intrinsic "llvm.amdgcn.sdot4"(%x, %all, %c3, %no) : (i32, i32, i32, i1) -> i32)",
     64, [](uint32_t l) { return 3 - uint32_t(int8_t(100 + l)); }},
    {"lop3",
     R"(%r = nvvm.inline_ptx "lop3.b32 {$w0}, {$r0}, {$r1}, {$r2}, 0xea;" ro(%x, %c31, %c1 : i32, i32, i32) -> i32)",
     32, [](uint32_t l) { return ((100 + l) & 31) | 1; }},
};

TEST(Operations, EachGivesWhatItShould) {
  for (const Case &testCase : cases) {
    EmulatedKernels kernels;
    ASSERT_EQ(kernels.parse(moduleOf(kernelOf(testCase))), "") << testCase.name;
    ASSERT_EQ(kernels.compile(), "") << testCase.name;
    auto out = kernels.buffer<uint32_t>(testCase.lanes);
    ASSERT_EQ(kernels.launch(testCase.name, {}, {uint32_t(testCase.lanes)}, {out}), "") << testCase.name;
    const std::vector<uint32_t> values = out.read();
    for (int l = 0; l < testCase.lanes; ++l)
      EXPECT_EQ(values[l], testCase.expected(uint32_t(l))) << testCase.name << ", lane " << l;
  }
}

TEST(Operations, AMDGPUOperationsTakeTheWayOfTheChip) {
  const char *const text = R"(
gpu.module @kernels [#rocdl.target<chip = "gfx942">] {
  gpu.func @k(%out: !llvm.ptr<1>) kernel {
    %id = gpu.thread_id x
    %t = arith.index_cast %id : index to i32
    %x = amdgpu.swizzle_bitmode %t 31 0 16 : i32
    amdgpu.lds_barrier
    %p = llvm.getelementptr %out[%t] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
    llvm.store %x, %p : i32, !llvm.ptr<1>
    gpu.return
  }
})";
  EmulatedKernels kernels;
  ASSERT_EQ(kernels.parse(text), "");
  ASSERT_EQ(kernels.compile(), "");
  auto out = kernels.buffer<uint32_t>(64);
  ASSERT_EQ(kernels.launch("k", {}, {64}, {out}), "");
  const std::vector<uint32_t> values = out.read();
  for (uint32_t l = 0; l < 64; ++l)
    EXPECT_EQ(values[l], l ^ 16);
}

/// D = A * B with A in registers (all ones) and B in shared memory, unswizzled: what wgmma has as text only.
TEST(Operations, WgmmaWithRegisters) {
  const char *const text = R"(
  gpu.func @k(%out: !llvm.ptr<1>) kernel attributes {pith.shared_bytes = 256 : i64} {
    %id = gpu.thread_id x
    %t = arith.index_cast %id : index to i32
    %shared = llvm.mlir.addressof @shared : !llvm.ptr<3>
    %c2 = arith.constant 2 : i32
    %b = arith.muli %t, %c2 : i32
    %place = llvm.getelementptr %shared[%b] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %f = arith.sitofp %t : i32 to f16
    llvm.store %f, %place : f16, !llvm.ptr<3>
    nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
    gpu.barrier
    %zero = arith.constant 0.0 : f32
    %ones = llvm.mlir.constant(1006648320 : i32) : i32
    %address = llvm.ptrtoint %shared : !llvm.ptr<3> to i64
    %c4 = arith.constant 4 : i64
    %chunk = arith.shrui %address, %c4 : i64
    %strides = llvm.mlir.constant(34360262656 : i64) : i64
    %desc = arith.ori %chunk, %strides : i64
    nvvm.wgmma.fence.aligned
    %d = llvm.inline_asm has_side_effects asm_dialect = att "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {$0, $1, $2, $3}, {$8, $9, $10, $11}, $12, 1, 1, 1, 0;", "=f,=f,=f,=f,0,1,2,3,r,r,r,r,l" %zero, %zero, %zero, %zero, %ones, %ones, %ones, %ones, %desc : (f32, f32, f32, f32, i32, i32, i32, i32, i64) -> !llvm.struct<(f32, f32, f32, f32)>
    nvvm.wgmma.commit.group.sync.aligned
    nvvm.wgmma.wait.group.sync.aligned 0
    %r = llvm.extractvalue %d[1] : !llvm.struct<(f32, f32, f32, f32)>
    %p = llvm.getelementptr %out[%t] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    llvm.store %r, %p : f32, !llvm.ptr<1>
    gpu.return
  }
)";
  EmulatedKernels kernels;
  ASSERT_EQ(kernels.parse(moduleOf(text)), "");
  ASSERT_EQ(kernels.compile(), "");
  auto out = kernels.buffer<float>(128);
  ASSERT_EQ(kernels.launch("k", {}, {128}, {out}), "");
  const std::vector<float> values = out.read();
  // Element 1 is column 2 * (lane % 4) + 1, whose 16 numbers lie in two blocks of eight rows of eight.
  for (uint32_t t = 0; t < 128; ++t) {
    float sum = 0;
    for (uint32_t k = 0; k < 16; ++k)
      sum += float(64 * (k / 8) + 8 * (2 * (t % 4) + 1) + k % 8);
    EXPECT_EQ(values[t], sum) << t;
  }
}

} // namespace
