//===- Matrix.cpp - products of small matrices in registers -----------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// A fragment layout says which element of a matrix is element i of lane l. Everything else is the same for
// all units: gather A, B and C from the lanes, multiply, scatter D. Products are exact and summed in double
// precision: real units sum in an order of their own, and results must not depend on it.
//
//===----------------------------------------------------------------------------------===//
#include "Numbers.h"
#include "Operations.h"

namespace pith::runtime::emulator {
namespace {

struct Position {
  uint32_t row, column;
};

/// What the layouts depend on.
struct Shape {
  uint32_t operation, m, n, k, typeA, typeB, typeC;
  bool halves; // gfx12
};

/// NVIDIA: a register holds the elements that lie side by side along K; registers alternate between rows g
/// and g + 8.
Position mmaA(const Shape &shape, uint32_t lane, uint32_t i) {
  const uint32_t each = 32 / bitsOfType(shape.typeA), r = i / each;
  return {lane / 4 + 8 * (r % 2), each * (lane % 4) + i % each + 4 * each * (r / 2)};
}
Position mmaB(const Shape &shape, uint32_t lane, uint32_t i) {
  const uint32_t each = 32 / bitsOfType(shape.typeB), r = i / each;
  return {each * (lane % 4) + i % each + 4 * each * r, lane / 4};
}
Position mmaC(const Shape &, uint32_t lane, uint32_t i) {
  return {lane / 4 + 8 * (i / 2), 2 * (lane % 4) + i % 2};
}

/// CDNA: a lane holds a row of A (a column of B), and neighbouring elements along K; lanes beyond the rows go
/// on along K.
Position mfmaA(const Shape &shape, uint32_t lane, uint32_t i) {
  const uint32_t each = shape.k * shape.m / 64;
  return {lane % shape.m, each * (lane / shape.m) + i};
}
Position mfmaB(const Shape &shape, uint32_t lane, uint32_t i) {
  const Position a = mfmaA(shape, lane, i);
  return {a.column, a.row};
}
Position mfmaC(const Shape &shape, uint32_t lane, uint32_t i) {
  if (shape.m == 16)
    return {4 * (lane / 16) + i, lane % 16};
  return {8 * (i / 4) + 4 * (lane / 32) + i % 4, lane % 32};
}

/// RDNA3: both half-waves hold all of the inputs. RDNA4: each holds half of K.
Position wmmaA(const Shape &shape, uint32_t lane, uint32_t i) {
  if (!shape.halves)
    return {lane % 16, i};
  if (bitsOfType(shape.typeA) == 16)
    return {lane % 16, 8 * (i / 4) + 4 * (lane / 16) + i % 4};
  return {lane % 16, 8 * (lane / 16) + i};
}
Position wmmaB(const Shape &shape, uint32_t lane, uint32_t i) {
  const Position a = wmmaA(shape, lane, i);
  return {a.column, a.row};
}
Position wmmaC(const Shape &shape, uint32_t lane, uint32_t i) {
  return {shape.halves ? 8 * (lane / 16) + i : 2 * i + lane / 16, lane % 16};
}

struct Unit {
  Position (*a)(const Shape &, uint32_t lane, uint32_t i);
  Position (*b)(const Shape &, uint32_t lane, uint32_t i);
  Position (*c)(const Shape &, uint32_t lane, uint32_t i);
  uint32_t lanes;
};

Unit unitOf(uint32_t operation) {
  switch (operation) {
  case PITH_EMU_MMA:
    return {mmaA, mmaB, mmaC, 32};
  case PITH_EMU_MFMA:
    return {mfmaA, mfmaB, mfmaC, 64};
  default:
    return {wmmaA, wmmaB, wmmaC, 32};
  }
}

template <typename T>
T element(uint32_t type, const uint32_t *words, uint32_t i);
template <>
float element<float>(uint32_t type, const uint32_t *words, uint32_t i) {
  return elementAsFloat(type, words, i);
}
template <>
int32_t element<int32_t>(uint32_t type, const uint32_t *words, uint32_t i) {
  return elementAsInteger(type, words, i);
}

/// Wide enough for exact products and their sum.
template <typename T>
struct SumOf;
template <>
struct SumOf<float> {
  using Type = double;
};
template <>
struct SumOf<int32_t> {
  using Type = uint32_t; // wraps
};

template <typename T>
bool product(Multiprocessor &multiprocessor, Warp &warp, const Shape &shape) {
  using Sum = typename SumOf<T>::Type;
  constexpr uint32_t most = 32 * 64;
  const Unit unit = unitOf(shape.operation);
  // Both half-waves of RDNA3 hold the inputs.
  const uint32_t copies = shape.operation == PITH_EMU_WMMA && !shape.halves ? 2 : 1;
  const uint32_t countA = shape.m * shape.k * copies / unit.lanes,
                 countB = shape.n * shape.k * copies / unit.lanes;
  const uint32_t countC = shape.m * shape.n / unit.lanes;
  const uint32_t wordsA = (countA * bitsOfType(shape.typeA) + 31) / 32;
  const uint32_t wordsB = (countB * bitsOfType(shape.typeB) + 31) / 32;
  const uint32_t wordsC = (countC * bitsOfType(shape.typeC) + 31) / 32;
  T a[most], b[most];
  for (uint32_t l = 0; l < unit.lanes; ++l) {
    const Lane &lane = warp.lanes[l];
    const uint32_t *inA = lane.frame + wordsC, *inB = inA + wordsA;
    if (copies == 2 && l >= 16 &&
        std::memcmp(inA, warp.lanes[l - 16].frame + wordsC, (wordsA + wordsB) * sizeof(uint32_t))) {
      multiprocessor.fail(lane, lane.site,
                          "holds other inputs than lane %u: both half-waves need all of them", l - 16);
      return false;
    }
    for (uint32_t i = 0; i < countA; ++i) {
      const Position at = unit.a(shape, l, i);
      a[at.row * shape.k + at.column] = element<T>(shape.typeA, inA, i);
    }
    for (uint32_t i = 0; i < countB; ++i) {
      const Position at = unit.b(shape, l, i);
      b[at.column * shape.k + at.row] = element<T>(shape.typeB, inB, i);
    }
  }
  for (uint32_t l = 0; l < unit.lanes; ++l) {
    uint32_t *out = warp.lanes[l].frame;
    const uint32_t *in = out + wordsC + wordsA + wordsB;
    for (uint32_t i = 0; i < countC; ++i) {
      const Position at = unit.c(shape, l, i);
      Sum sum = Sum(element<T>(shape.typeC, in, i));
      for (uint32_t k = 0; k < shape.k; ++k)
        sum += Sum(a[at.row * shape.k + k]) * Sum(b[at.column * shape.k + k]);
      if (shape.typeC == PITH_EMU_F16) {
        const uint32_t half = floatToHalf(float(sum));
        out[i / 2] = i % 2 ? (out[i / 2] & 0xffff) | half << 16 : half;
      } else if (shape.typeC == PITH_EMU_S32) {
        out[i] = uint32_t(sum);
      } else {
        out[i] = bitsOf(float(sum));
      }
    }
  }
  return true;
}

} // namespace

bool multiply(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  const Lane &first = warp.lanes[__builtin_ctzll(group)];
  const uint64_t imm = immediates(first);
  const uint32_t operation = first.code & 0xffff;
  const Shape shape = {operation,
                       uint32_t(imm & 0xff),
                       uint32_t(imm >> 8 & 0xff),
                       uint32_t(imm >> 16 & 0xff),
                       uint32_t(imm >> 24 & 15),
                       uint32_t(imm >> 28 & 15),
                       uint32_t(imm >> 32 & 15),
                       bool(imm >> 36 & 1)};
  const uint32_t lanes = unitOf(operation).lanes;
  if (warp.count != lanes) {
    multiprocessor.fail(first, first.site, "needs a warp of %u lanes, has %u", lanes, warp.count);
    return false;
  }
  if (shape.m > 32 || shape.n > 32 || shape.k > 64 || !shape.m || !shape.n || !shape.k) {
    multiprocessor.fail(first, first.site, "has shape %ux%ux%u, which no unit knows", shape.m, shape.n,
                        shape.k);
    return false;
  }
  if (!needLanes(multiprocessor, warp, group, ~UINT64_C(0)))
    return false;
  return isIntegerType(shape.typeA) ? product<int32_t>(multiprocessor, warp, shape)
                                    : product<float>(multiprocessor, warp, shape);
}

bool loadMatrix(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  const Lane &first = warp.lanes[__builtin_ctzll(group)];
  const uint32_t count = immediates(first) & 0xff;
  const bool transposed = immediates(first) >> 8 & 1;
  if (!needLanes(multiprocessor, warp, group, ~UINT64_C(0)))
    return false;
  for (uint32_t matrix = 0; matrix < count; ++matrix) {
    uint16_t elements[8][8];
    for (uint32_t row = 0; row < 8; ++row) {
      // Lane 8m + r has the address of row r of matrix m.
      const Lane &lane = warp.lanes[8 * matrix + row];
      const uint8_t *address = reinterpret_cast<const uint8_t *>(pair(lane.frame + count));
      const uint64_t offset = multiprocessor.sharedOffset(address);
      if (offset % 16) {
        multiprocessor.fail(lane, lane.site,
                            "reads a row at offset %llu of shared memory, not aligned to 16 bytes",
                            (unsigned long long)offset);
        return false;
      }
      if (!multiprocessor.checkShared(lane, offset, 16, PITH_EMU_SHARED, lane.site))
        return false;
      std::memcpy(elements[row], address, 16);
    }
    forEach(warp, group, [&](Lane &lane) {
      const uint32_t g = lane.lane / 4, t = 2 * (lane.lane % 4);
      const uint16_t low = transposed ? elements[t][g] : elements[g][t];
      const uint16_t high = transposed ? elements[t + 1][g] : elements[g][t + 1];
      lane.frame[matrix] = uint32_t(high) << 16 | low;
    });
  }
  return true;
}

} // namespace pith::runtime::emulator
