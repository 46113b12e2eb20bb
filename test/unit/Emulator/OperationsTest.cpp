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

/// Empty, or what is wrong with the kernel.
std::string compile(EmulatedKernels &kernels, const std::string &text) {
  std::string error = kernels.parse(moduleOf(text));
  return error.empty() ? kernels.compile() : error;
}

/// Thread 0 fetches 512 bytes by the bulk unit, and a tile of a tensor behind them; all wait for the mbarrier
/// at 1024.
std::string runBulk(const std::string &announced, std::vector<float> &result) {
  const std::string text = R"(
  gpu.func @k(%in: !llvm.ptr<1>, %map: !llvm.ptr {llvm.byval = !llvm.struct<(array<16 x i64>)>, llvm.align = 64 : i64},
              %out: !llvm.ptr<1>) kernel attributes {pith.shared_bytes = 1032 : i64} {
    %id = gpu.thread_id x
    %t = arith.index_cast %id : index to i32
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c2 = arith.constant 2 : i32
    %ticks = arith.constant 1000 : i32
    %copied = arith.constant 512 : i32
    %announced = arith.constant )" +
                           announced + R"( : i32
    %first = arith.cmpi eq, %t, %c0 : i32
    %shared = llvm.mlir.addressof @shared : !llvm.ptr<3>
    %tile = llvm.getelementptr %shared[512] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %bar = llvm.getelementptr %shared[1024] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    nvvm.mbarrier.init %bar, %c1, predicate = %first : !llvm.ptr<3>, i32, i1
    gpu.barrier
    nvvm.mbarrier.arrive.expect_tx %bar, %announced, predicate = %first : !llvm.ptr<3>, i32, i1
    scf.if %first {
      nvvm.cp.async.bulk.shared.cluster.global %shared, %in, %bar, %copied : !llvm.ptr<3>, !llvm.ptr<1>
    }
    nvvm.cp.async.bulk.tensor.shared.cluster.global %tile, %map, %bar, box[%c2, %c1] predicate = %first : !llvm.ptr<3>, !llvm.ptr
    nvvm.mbarrier.try_wait.parity %bar, %c0, %ticks : !llvm.ptr<3>, i32, i32
    %p = llvm.getelementptr %shared[%t] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
    %v = llvm.load %p : !llvm.ptr<3> -> f32
    %to = llvm.getelementptr %out[%t] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
    llvm.store %v, %to : f32, !llvm.ptr<1>
    gpu.return
  }
)";
  EmulatedKernels kernels;
  if (std::string error = compile(kernels, text); !error.empty())
    return error;
  std::vector<float> values(128);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = float(i + 1);
  auto in = kernels.buffer(values), out = kernels.buffer<float>(256);
  // 8 rows of 16; the tile has 8 rows of 16 too and begins at row 1, column 2.
  const pith_emu_tensor_map map = {
      PITH_EMU_TENSOR_MAP, 2, 4, 0, reinterpret_cast<uintptr_t>(in.data()), {16, 8}, {64}, {16, 8}, 0};
  std::string error = kernels.launch("k", {}, {256}, {in, map, out});
  result = out.read();
  return error;
}

TEST(Operations, BulkAndTensorCopies) {
  std::vector<float> values;
  ASSERT_EQ(runBulk("1024", values), "");
  for (int i = 0; i < 128; ++i) {
    EXPECT_EQ(values[i], float(i + 1));
    const int row = i / 16 + 1, column = i % 16 + 2;
    EXPECT_EQ(values[128 + i], row < 8 && column < 16 ? float(16 * row + column + 1) : 0.f) << i;
  }
  EXPECT_TRUE(has(runBulk("1000", values), "-24 more bytes"));
}

/// A stage that thread 0 fills twice by the bulk unit and a warp group multiplies by its registers: both
/// halves of `in` are 8 rows of 16 f16. `parity`: of the second wait; `early`: the stage is released before
/// the wait for the products, not behind it; `expected`: bytes of the second copy.
std::string runRing(const std::string &parity, bool early, const std::string &expected,
                    std::vector<float> &result) {
  const std::string release = "scf.if %one { nvvm.mbarrier.arrive %empty : !llvm.ptr<3> }\n";
  const std::string asmText =
      "= llvm.inline_asm has_side_effects asm_dialect = att "
      "\"wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 "
      "{$0, $1, $2, $3}, {$8, $9, $10, $11}, $12, 1, 1, 1, 0;\", \"=f,=f,=f,=f,0,1,2,3,r,r,r,r,l\" ";
  const std::string
      sums = "!llvm.struct<(f32, f32, f32, f32)>",
      types = " : (f32, f32, f32, f32, i32, i32, i32, i32, i64) -> " + sums + "\n",
      fence = " = llvm.inline_asm has_side_effects asm_dialect = att \"wgmma.fence.sync.aligned;\", "
              "\"=r,=r,0,1\" %ones, %ones : (i32, i32) -> !llvm.struct<(i32, i32)>\n";
  const std::string text = R"(
  gpu.func @k(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) kernel attributes {pith.shared_bytes = 272 : i64} {
    %id = gpu.thread_id x
    %t = arith.index_cast %id : index to i32
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c128 = arith.constant 128 : i32
    %ticks = arith.constant 1000 : i32
    %copied = arith.constant 256 : i32
    %expected = arith.constant )" +
                           expected +
                           R"( : i32
    %parity = arith.constant )" +
                           parity + R"( : i32
    %zero = arith.constant 0.0 : f32
    %ones = llvm.mlir.constant(1006648320 : i32) : i32
    %first = arith.cmpi eq, %t, %c0 : i32
    %c31 = arith.constant 31 : i32
    %four = arith.constant 4 : i32
    %lane = arith.andi %t, %c31 : i32
    %one = arith.cmpi eq, %lane, %c0 : i32
    %produces = arith.cmpi ult, %t, %c128 : i32
    %shared = llvm.mlir.addressof @shared : !llvm.ptr<3>
    %full = llvm.getelementptr %shared[256] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %empty = llvm.getelementptr %shared[264] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %address = llvm.ptrtoint %shared : !llvm.ptr<3> to i64
    %c4 = arith.constant 4 : i64
    %chunk = arith.shrui %address, %c4 : i64
    %strides = llvm.mlir.constant(34360262656 : i64) : i64
    %desc = arith.ori %chunk, %strides : i64
    scf.if %first {
      nvvm.mbarrier.init %full, %c1 : !llvm.ptr<3>, i32
      nvvm.mbarrier.init %empty, %four : !llvm.ptr<3>, i32
    }
    gpu.barrier
    scf.if %produces {
      scf.if %first {
        nvvm.mbarrier.arrive.expect_tx %full, %copied : !llvm.ptr<3>, i32
        nvvm.cp.async.bulk.shared.cluster.global %shared, %in, %full, %copied : !llvm.ptr<3>, !llvm.ptr<1>
        nvvm.mbarrier.try_wait.parity %empty, %c0, %ticks : !llvm.ptr<3>, i32, i32
        %more = llvm.getelementptr %in[256] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i8
        nvvm.mbarrier.arrive.expect_tx %full, %expected : !llvm.ptr<3>, i32
        nvvm.cp.async.bulk.shared.cluster.global %shared, %more, %full, %copied : !llvm.ptr<3>, !llvm.ptr<1>
      }
    } else {
      nvvm.mbarrier.try_wait.parity %full, %c0, %ticks : !llvm.ptr<3>, i32, i32
      %a0)" + fence + R"(
      %a = llvm.extractvalue %a0[0] : !llvm.struct<(i32, i32)>
      %d )" + asmText + "%zero, %zero, %zero, %zero, %a, %ones, %ones, %ones, %desc" +
                           types + "nvvm.wgmma.commit.group.sync.aligned\n" + (early ? release : "") +
                           // The producer may go on before the products are waited for.
                           (early ? "nvvm.nanosleep %ticks\n" : "") +
                           "nvvm.wgmma.wait.group.sync.aligned 0\n" + (early ? "" : release) + R"(
      %d0 = llvm.extractvalue %d[0] : )" +
                           sums + "\n%d1 = llvm.extractvalue %d[1] : " + sums +
                           "\n%d2 = llvm.extractvalue %d[2] : " + sums +
                           "\n%d3 = llvm.extractvalue %d[3] : " + sums + R"(
      nvvm.mbarrier.try_wait.parity %full, %parity, %ticks : !llvm.ptr<3>, i32, i32
      %e )" + asmText + "%d0, %d1, %d2, %d3, %ones, %ones, %ones, %ones, %desc" +
                           types + R"(
      nvvm.wgmma.commit.group.sync.aligned
      %e0 = llvm.extractvalue %e[0] : )" +
                           sums + "\n%e1 = llvm.extractvalue %e[1] : " + sums + R"(
      %end = llvm.inline_asm has_side_effects asm_dialect = att "wgmma.wait_group.sync.aligned 0;", "=f,=f,0,1" %e0, %e1 : (f32, f32) -> !llvm.struct<(f32, f32)>
      %r = llvm.extractvalue %end[1] : !llvm.struct<(f32, f32)>
      %place = arith.subi %t, %c128 : i32
      %p = llvm.getelementptr %out[%place] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
      llvm.store %r, %p : f32, !llvm.ptr<1>
    }
    gpu.return
  }
)";
  EmulatedKernels kernels;
  if (std::string error = compile(kernels, text); !error.empty())
    return error;
  std::vector<_Float16> values(256);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = _Float16(float(i % 100));
  auto in = kernels.buffer(values);
  auto out = kernels.buffer<float>(128);
  std::string error = kernels.launch("k", {}, {256}, {in, out});
  result = out.read();
  return error;
}

TEST(Operations, RingOfStages) {
  std::vector<float> found;
  ASSERT_EQ(runRing("1", false, "256", found), "");
  for (uint32_t t = 0; t < 128; ++t) {
    float sum = 0;
    for (uint32_t stage = 0; stage < 2; ++stage)
      for (uint32_t k = 0; k < 16; ++k)
        sum += float((128 * stage + 64 * (k / 8) + 8 * (2 * (t % 4) + 1) + k % 8) % 100);
    EXPECT_EQ(found[t], sum) << t;
  }
  // The first copy has arrived: who looks for it again reads what the second one replaces.
  EXPECT_TRUE(has(runRing("0", false, "256", found), "race on shared memory"));
  // Nobody ever sends the rest.
  EXPECT_TRUE(has(runRing("1", false, "272", found), "deadlock: waits for phase 1 of the mbarrier"));
  EXPECT_TRUE(has(runRing("1", true, "256", found), "which products of warp"));
}

} // namespace
