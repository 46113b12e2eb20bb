//===- MatrixKernelsTest.cpp - products of 64 x 64 x 64 by matrix units -----------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===------------------------------------------------------------------------------------===//
#include "EmulatedKernels.h"
#include "KernelText.h"
#include "emulator/Numbers.h"

#include <string>
#include <vector>

using namespace pith::test;
using pith::runtime::emulator::floatToHalf;

namespace {

constexpr int size = 64;

/// Through shared memory by cp.async, to registers by ldmatrix, multiplied by mma.sync. Each of four warps
/// has 16 rows.
std::string mmaKernel(bool wait, bool barrier) {
  KernelText k;
  const std::string shared = k.value("llvm.mlir.addressof @shared : !llvm.ptr<3>"), t = k.thread();
  for (int i = 0; i < 4; ++i)
    for (int matrix = 0; matrix < 2; ++matrix) {
      const std::string offset = k.mul(k.add(t, 128 * i), 16);
      const std::string to = k.at(shared, k.add(offset, 8192 * matrix), 3),
                        from = k.at(matrix ? "%b" : "%a", offset, 1);
      k.line("nvvm.cp.async.shared.global " + to + ", " + from +
             ", 16, cache = cg : !llvm.ptr<3>, !llvm.ptr<1>");
    }
  k.line("nvvm.cp.async.commit.group");
  if (wait)
    k.line("nvvm.cp.async.wait.group 0");
  if (barrier)
    k.line("gpu.barrier");
  const std::string lane = k.modulo(t, 32), warp = k.divide(t, 32);
  const std::string row = k.add(k.mul(warp, 16), k.modulo(lane, 16));
  const std::string fromA = k.at(shared, k.add(k.mul(row, 128), k.mul(k.divide(lane, 16), 16)), 3);
  const std::string fromB =
      k.at(shared,
           k.add(k.add(k.mul(k.modulo(lane, 8), 128), k.mul(k.modulo(k.divide(lane, 8), 2), 16)), 8192), 3);
  const auto ldmatrix = [&](const std::string &from, int byte, int count) {
    const std::string result = count == 4 ? "!llvm.struct<(i32, i32, i32, i32)>" : "!llvm.struct<(i32, i32)>";
    const std::string loaded =
        k.value("nvvm.ldmatrix " + k.at(from, k.constant(byte), 3) + " {num = " + std::to_string(count) +
                " : i32, layout = #nvvm.mma_layout<row>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, "
                "eltType = #nvvm.ld_st_matrix_elt_type<b16>} : (!llvm.ptr<3>) -> " +
                result);
    std::string list;
    for (int i = 0; i < count; ++i) {
      const std::string word =
          k.value("llvm.extractvalue " + loaded + "[" + std::to_string(i) + "] : " + result);
      list += (i ? ", " : "") + k.value("llvm.bitcast " + word + " : i32 to vector<2xf16>");
    }
    return list;
  };
  const std::string zero = k.value("arith.constant 0.0 : f32"),
                    sumType = "!llvm.struct<(f32, f32, f32, f32)>";
  for (int n = 0; n < size; n += 8) {
    std::vector<std::string> sums(4, zero);
    for (int depth = 0; depth < size; depth += 16) {
      const std::string a = ldmatrix(fromA, 2 * depth, 4), b = ldmatrix(fromB, 2 * depth + 128 * n, 2);
      const std::string d = k.value("nvvm.mma.sync A[" + a + "] B[" + b + "] C[" + sums[0] + ", " + sums[1] +
                                    ", " + sums[2] + ", " + sums[3] +
                                    "] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, "
                                    "shape = #nvvm.shape<m = 16, n = 8, k = "
                                    "16>} : (vector<2xf16>, vector<2xf16>, f32) -> " +
                                    sumType);
      for (int i = 0; i < 4; ++i)
        sums[i] = k.value("llvm.extractvalue " + d + "[" + std::to_string(i) + "] : " + sumType);
    }
    for (int i = 0; i < 4; ++i) {
      const std::string outRow = k.add(k.add(k.mul(warp, 16), k.divide(lane, 4)), 8 * (i / 2));
      const std::string column = k.add(k.mul(k.modulo(lane, 4), 2), n + i % 2);
      k.store(sums[i], k.at("%c", k.mul(k.add(k.mul(outRow, size), column), 4), 1), "f32", 1);
    }
  }
  return moduleOf("gpu.func @product(%a: !llvm.ptr<1>, %b: !llvm.ptr<1>, %c: !llvm.ptr<1>) kernel attributes "
                  "{known_block_size = array<i32: 128, 1, 1>, pith.shared_bytes = 16384 : i64} {\n" +
                  k.text + "    gpu.return\n}\n");
}

/// Straight from global memory to registers; each of four waves of 64 has 16 rows.
std::string mfmaKernel() {
  KernelText k;
  const std::string t = k.thread(), lane = k.modulo(t, 64), wave = k.divide(t, 64);
  const std::string inner = k.mul(k.divide(lane, 16), 8), outer = k.modulo(lane, 16), none = k.constant(0);
  for (int n = 0; n < size; n += 16) {
    std::string sum = k.value("arith.constant dense<0.0> : vector<4xf32>");
    for (int depth = 0; depth < size; depth += 16) {
      const auto operand = [&](const std::string &base, const std::string &row) {
        return k.load(k.at(base, k.add(k.add(k.mul(row, 2 * size), inner), 2 * depth), 1), "vector<4xf16>",
                      1);
      };
      const std::string a = operand("%a", k.add(k.mul(wave, 16), outer)), b = operand("%b", k.add(outer, n));
      sum = k.value("rocdl.mfma.f32.16x16x16f16 " + a + ", " + b + ", " + sum + ", " + none + ", " + none +
                    ", " + none +
                    " : (vector<4xf16>, vector<4xf16>, vector<4xf32>, i32, i32, i32) -> vector<4xf32>");
    }
    for (int i = 0; i < 4; ++i) {
      const std::string row = k.add(k.add(k.mul(wave, 16), k.mul(k.divide(lane, 16), 4)), i);
      const std::string element =
          k.value("vector.extract " + sum + "[" + std::to_string(i) + "] : f32 from vector<4xf32>");
      k.store(element, k.at("%c", k.mul(k.add(k.add(k.mul(row, size), outer), n), 4), 1), "f32", 1);
    }
  }
  return moduleOf("gpu.func @product(%a: !llvm.ptr<1>, %b: !llvm.ptr<1>, %c: !llvm.ptr<1>) kernel attributes "
                  "{known_block_size = array<i32: 256, 1, 1>, pith.subgroup = 64 : i32} {\n" +
                  k.text + "    gpu.return\n}\n");
}

int valueAt(int matrix, int i, int j) { return (i * 5 + j * 3 + i * j + matrix) % 17 - 8; }

/// c = a * transpose(b), in halves; what the launch says.
std::string run(const std::string &text, uint32_t threads) {
  EmulatedKernels kernels;
  if (std::string error = kernels.parse(text); !error.empty())
    return error;
  if (std::string error = kernels.compile(); !error.empty())
    return error;
  std::vector<uint16_t> a(size * size), b(size * size);
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      a[i * size + j] = uint16_t(floatToHalf(float(valueAt(0, i, j))));
      b[i * size + j] = uint16_t(floatToHalf(float(valueAt(1, i, j))));
    }
  auto deviceA = kernels.buffer(a), deviceB = kernels.buffer(b);
  for (uint64_t seed = 0; seed < 5; ++seed) {
    auto deviceC = kernels.buffer(std::vector<float>(size * size, -1.f));
    kernels.device.options.seed = seed;
    if (std::string error = kernels.launch("product", {}, {threads}, {deviceA, deviceB, deviceC});
        !error.empty())
      return error;
    const std::vector<float> c = deviceC.read();
    for (int i = 0; i < size; ++i)
      for (int j = 0; j < size; ++j) {
        int sum = 0;
        for (int k = 0; k < size; ++k)
          sum += valueAt(0, i, k) * valueAt(1, j, k);
        if (c[i * size + j] != float(sum))
          return "element " + std::to_string(i) + ", " + std::to_string(j) + " is " +
                 std::to_string(c[i * size + j]) + ", expected " + std::to_string(sum);
      }
  }
  return "";
}

TEST(MatrixKernels, ProductByMma) { EXPECT_EQ(run(mmaKernel(true, true), 128), ""); }

TEST(MatrixKernels, MissingWaitIsFound) {
  EXPECT_TRUE(has(run(mmaKernel(false, true), 128), "where an asynchronous copy is pending"));
}

TEST(MatrixKernels, MissingBarrierIsFound) {
  const std::string error = run(mmaKernel(true, false), 128);
  EXPECT_TRUE(has(error, "nvvm.ldmatrix at kernel:"));
  EXPECT_TRUE(has(error, "shared memory"));
}

TEST(MatrixKernels, ProductByMfma) { EXPECT_EQ(run(mfmaKernel(), 256), ""); }

} // namespace
