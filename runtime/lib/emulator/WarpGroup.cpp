//===- WarpGroup.cpp - wgmma: products whose operands stay in shared memory -------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// The product is formed when it is issued, each of the group's four warps doing its 16 rows; the bytes that
// it read must be the same when it is waited for, since the real unit may read them until then.
//
//===----------------------------------------------------------------------------------===//
#include "Numbers.h"
#include "Operations.h"

namespace pith::runtime::emulator {
namespace {

/// A matrix in shared memory, 64 rows or n columns by K of 32 bytes.
struct Operand {
  uint64_t address, leading, stride;
  uint32_t swizzle; // 0 none, 1 128 bytes, 2 64, 3 32
  bool transposed;  // K is not the direction in which bytes are neighbours

  Operand(uint64_t descriptor, bool transposed)
      : address((descriptor & 0x3fff) << 4), leading((descriptor >> 16 & 0x3fff) << 4),
        stride((descriptor >> 32 & 0x3fff) << 4), swizzle(descriptor >> 62 & 3), transposed(transposed) {}

  uint32_t spanBytes() const { return swizzle ? 256u >> swizzle : 16; }

  /// The offset in shared memory of element k of row (or column) r.
  uint64_t offset(uint32_t r, uint32_t k, uint32_t elementBytes) const {
    const uint32_t span = spanBytes();
    uint64_t at = address;
    if (transposed) {
      const uint32_t perSpan = span / elementBytes;
      at += r / perSpan * leading + k / 8 * stride + k % 8 * span + r % perSpan * elementBytes;
    } else {
      const uint32_t byte = k * elementBytes;
      at += r / 8 * stride + r % 8 * span + byte / span * leading + byte % span;
    }
    // Chunks of 16 bytes change places by the row of 128 bytes that they are in.
    const uint64_t bits = (span >> 4) - 1;
    return swizzle ? at ^ (at >> 3 & bits << 4) : at;
  }
};

struct Product {
  Multiprocessor &multiprocessor;
  Warp &warp;
  const Lane &first;

  /// Copies the elements [rows][k] of an operand to `out`; false when an access is wrong.
  bool gather(const Operand &operand, uint32_t firstRow, uint32_t rows, uint32_t type, float *out);
};

bool Product::gather(const Operand &operand, uint32_t firstRow, uint32_t rows, uint32_t type, float *out) {
  const uint32_t bytes = bitsOfType(type) / 8, depth = 32 / bytes;
  uint64_t checked = ~UINT64_C(0);
  for (uint32_t r = 0; r < rows; ++r)
    for (uint32_t k = 0; k < depth; ++k) {
      const uint64_t at = operand.offset(firstRow + r, k, bytes), chunk = at & ~UINT64_C(15);
      if (chunk != checked) {
        checked = chunk;
        if (!multiprocessor.checkShared(first, chunk, 16, PITH_EMU_SHARED, first.site) ||
            !checkFenced(multiprocessor, first, uint32_t(chunk), 16))
          return false;
        beginRead(multiprocessor, warp.products, uint32_t(chunk), 16, first.site);
      }
      uint32_t word = 0;
      std::memcpy(&word, multiprocessor.window + at, bytes);
      out[r * depth + k] =
          isIntegerType(type) ? float(elementAsInteger(type, &word, 0)) : elementAsFloat(type, &word, 0);
    }
  return true;
}

bool issue(Multiprocessor &multiprocessor, Warp &warp) {
  const Lane &first = warp.lanes[0];
  const uint64_t imm = immediates(first);
  const uint32_t n = 8 * (imm & 0x3f), typeA = imm >> 6 & 15, typeB = imm >> 10 & 15, typeD = imm >> 14 & 15;
  const bool registers = imm >> 18 & 1, majorA = imm >> 19 & 1, majorB = imm >> 20 & 1;
  const float sign = (imm >> 21 & 1) != (imm >> 22 & 1) ? -1.f : 1.f;
  const uint32_t depth = 256 / bitsOfType(typeA), words = n / 2;
  const uint32_t *operands = first.frame + 2 * words;
  if (n < 8 || n > 256 || bitsOfType(typeA) != bitsOfType(typeB) || bitsOfType(typeD) != 32) {
    multiprocessor.fail(first, first.site, "has a shape or types that the emulator does not know");
    return false;
  }
  Product product{multiprocessor, warp, first};
  std::vector<float> a(16 * depth), b(size_t(n) * depth);
  const Operand operandB(pair(operands + (registers ? 4 : 2)), majorB);
  if (((!registers && majorA) || majorB) && (bitsOfType(typeA) != 16 || !operandB.swizzle)) {
    multiprocessor.fail(first, first.site,
                        "may have K in the outer dimension for swizzled 16-bit operands only");
    return false;
  }
  if (registers) {
    for (uint32_t l = 0; l < 32; ++l)
      for (uint32_t i = 0; i < 16 * depth / 32; ++i) {
        const uint32_t each = 32 / bitsOfType(typeA), r = i / each;
        const uint32_t row = l / 4 + 8 * (r % 2), k = each * (l % 4) + i % each + 4 * each * (r / 2);
        const uint32_t *in = warp.lanes[l].frame + 2 * words;
        a[row * depth + k] =
            isIntegerType(typeA) ? float(elementAsInteger(typeA, in, i)) : elementAsFloat(typeA, in, i);
      }
  } else if (!product.gather(Operand(pair(operands), majorA), 16 * (warp.index % 4), 16, typeA, a.data())) {
    return false;
  }
  if (!product.gather(operandB, 0, n, typeB, b.data()))
    return false;
  for (uint32_t l = 0; l < 32; ++l) {
    uint32_t *frame = warp.lanes[l].frame;
    const uint32_t counts = frame[2 * words + (registers ? 6 : 4)];
    for (uint32_t i = 0; i < words; ++i) {
      const uint32_t row = l / 4 + 8 * (i / 2 % 2), column = 8 * (i / 4) + 2 * (l % 4) + i % 2;
      double sum = 0;
      for (uint32_t k = 0; k < depth; ++k)
        sum += double(a[row * depth + k]) * b[column * depth + k];
      const uint32_t old = counts & 1 ? frame[words + i] : 0;
      frame[i] = typeD == PITH_EMU_S32 ? old + uint32_t(int32_t(sign * sum))
                                       : bitsOf(float(floatOf(old) + sign * sum));
    }
  }
  return true;
}

} // namespace

bool warpGroup(Multiprocessor &multiprocessor, Warp &warp, uint64_t group) {
  const Lane &first = warp.lanes[__builtin_ctzll(group)];
  if (warp.count != 32 || multiprocessor.warps.size() % 4) {
    multiprocessor.fail(first, first.site, "needs groups of four warps of 32 lanes");
    return false;
  }
  if (!needLanes(multiprocessor, warp, group, ~UINT64_C(0)))
    return false;
  switch (first.code & 0xffff) {
  case PITH_EMU_WGMMA:
    return issue(multiprocessor, warp);
  case PITH_EMU_WGMMA_COMMIT:
    warp.products.groups.commit(warp.products.reads.size());
    return true;
  case PITH_EMU_WGMMA_WAIT:
    return finishReads(multiprocessor, first, warp.products, immediates(first));
  default:
    return true; // the fence orders registers, which nothing here reorders
  }
}

} // namespace pith::runtime::emulator
