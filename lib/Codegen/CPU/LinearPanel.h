//===- LinearPanel.h - where things stand in a panel of weights -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A panel holds 16 output features ("rows" of the weight matrix) and all of K, in lines of 64 bytes that a
// kernel reads one after the other. Element (row, j) of a line's `lineK` input features stands so:
//
//   F32    lineK 1   [16 rows] f32
//   F16    lineK 2   [2 k][16 rows] f16
//   BF16   lineK 2   [16 rows][2 k] bf16: a shift and a mask make two f32 vectors of one register
//   Int8   lineK 4   [16 rows][4 k] u8: one vpdpbusd
//   Int4   lineK 8   [16 rows][4 bytes]: byte c has k = c in the low and k = 4 + c in the high nibble
//
// Float formats are lines only. Integer formats begin with one line of 16 f32 factors, one per row; then
// groups follow: a header with the scales of the group's blocks (f16, [block][16 rows]) and, where the layout
// has them, their zero points (u8, [block][16 rows]), then the blocks' lines. 2 blocks (4 with zero points)
// fill whole header lines, so that no line of weights straddles two cache lines. A weight is factor * scale *
// (code - zero). The factor is a power of two that brings the row's largest scale near f16's largest number:
// scales that came as f16 stay exact. Wide scales are f32, and all factors 1.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_CPU_LINEARPANEL_H
#define PITH_LIB_CODEGEN_CPU_LINEARPANEL_H

#include "pith/Codegen/CPU/Kernels.h"
#include <algorithm>

namespace pith::cpu {

struct PanelShape {
  static constexpr int64_t rows = 16, lineBytes = 64;

  explicit PanelShape(const LinearLayout &layout);

  WeightFormat format;
  bool integers; // Int8 or Int4
  bool zeroPoints;
  int64_t k, lineK;
  int64_t lines; // of weights
  // Integers only.
  int64_t block = 0; // input features per block; a multiple of lineK except when there is one block
  int64_t blocks = 0;
  int64_t blockLines = 0; // of a full block
  int64_t groupBlocks = 0;
  int64_t scaleBytes = 2;  // of one scale: f16, or f32 with wide scales
  int64_t zerosOffset = 0; // in the group's header
  int64_t headerBytes = 0;
  int64_t groupBytes = 0;  // of a full group
  int64_t defaultZero = 0; // where the layout has no zero points

  int64_t paddedK() const { return lines * lineK; }
  int64_t linesOf(int64_t b) const { return std::min(blockLines, lines - b * blockLines); }
  int64_t groupOffset(int64_t group) const { return lineBytes + group * groupBytes; }
  int64_t scaleOffset(int64_t b) const { return groupOffset(b / groupBlocks) + b % groupBlocks * rows * scaleBytes; }
  int64_t zeroOffset(int64_t b) const {
    return groupOffset(b / groupBlocks) + zerosOffset + b % groupBlocks * rows;
  }
  /// First byte of a block's lines; of the panel's lines for floats (b = 0).
  int64_t blockOffset(int64_t b) const {
    if (!integers)
      return 0;
    return groupOffset(b / groupBlocks) + headerBytes + b % groupBlocks * blockLines * lineBytes;
  }
  int64_t bytes() const;
};

/// Panels of a layout; with glu, gate and up are padded to whole panels each.
int64_t panelCount(const LinearLayout &layout);

} // namespace pith::cpu

#endif // PITH_LIB_CODEGEN_CPU_LINEARPANEL_H
