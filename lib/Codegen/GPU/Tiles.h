//===- Tiles.h - tile shapes, and why -----------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block is four teams of 64 threads (TileOps.td). Of a tile, the rows decide all but the number of stages: the features
// and k of a stage, and how the teams share them. So kernels for a chip differ from those for another in the stages only,
// and a launch chooses by the rows. No shape has been timed on a GPU yet: the reasons are counts.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_CODEGEN_GPU_TILES_H
#define PITH_LIB_CODEGEN_GPU_TILES_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>

namespace pith::gpu {

inline constexpr int64_t teamThreads = 64, teamCount = 4;
inline constexpr int64_t ownRows = 32, commonRows = 16, productK = 32; // of one product of a team

struct TileShape {
  int64_t rows;                      // of activations: common
  int64_t features;                  // of weights: own
  int64_t k;                         // of a stage
  int64_t teamsOnFeatures, teamsOnRows, teamsOnK;
  int64_t ownTiles() const { return features / (ownRows * teamsOnFeatures); }
  int64_t commonTiles() const { return rows / (commonRows * teamsOnRows); }
  int64_t groups() const { return k / (productK * teamsOnK); } // products of a stage along K
};

inline constexpr TileShape tileShapes[] = {
    // Decode of a few sequences: bound by the weights' bytes, so a tile has few features and many blocks read at once (256
    // for 8192 features); the teams share K, so that a stage is 32 k for each.
    {16, 32, 128, 1, 1, 4},
    // Between: two teams on K keep blocks small enough to fill a large chip with 4096 features.
    {32, 64, 64, 2, 1, 2},
    // Each team has 32 features: 32 sums a lane. Room for three parts of the activations (exact).
    {64, 128, 64, 4, 1, 1},
    // 64 sums a lane; of shared memory a team reads 6 bytes for 64 products of 16-bit operands, which a
    // multiprocessor of sm_80 delivers (128 bytes a cycle, 1024 products).
    {128, 128, 64, 2, 2, 1},
};

// By wgmma (LinearGroup.cpp): two warp groups of 64 features, 128 or 256 rows. 256 rows: of what L2 and shared memory
// deliver, a product takes three quarters of what it takes with 128, which matters where the matrix units are to be busy. 128:
// for up to as many rows; and where sums of a block are kept beside the others (64 and 64 registers) or rows are in parts,
// of which 3 take 48 KB of a stage.
inline constexpr int64_t groupFeatures = 128, groupK = 64, groupRows[] = {128, 256};
// Six of 32 KB fill shared memory; more bring nothing.
inline constexpr int64_t groupMaxStages = 6;

inline const TileShape *tileShapeOf(int64_t rows) {
  for (const TileShape &shape : tileShapes)
    if (shape.rows == rows)
      return &shape;
  return nullptr;
}

struct ChipTiles {
  llvm::StringRef chip;
  int64_t rows;        // the largest tile
  int64_t stageBytes;  // of shared memory for all stages
  int64_t stages;      // more bring nothing
};

inline constexpr ChipTiles chipTiles[] = {
    // 164 KB for a multiprocessor: two blocks, so that one computes while the other waits at a barrier.
    {"sm_80", 128, 80 << 10, 4},
    // 100 KB: one block of the largest tile, two or three of smaller ones.
    {"sm_86", 128, 98 << 10, 3},
    {"sm_89", 128, 98 << 10, 3},
    // 228 KB, and memory that is farther away (more cycles at the same latency): a stage more.
    {"sm_90a", 128, 112 << 10, 4},
    // No asynchronous copies: a stage in registers, one in use. 64 KB for a block.
    {"gfx90a", 128, 64 << 10, 2},
    {"gfx942", 128, 64 << 10, 2},
    {"gfx1100", 128, 64 << 10, 2},
    {"gfx1201", 128, 64 << 10, 2},
};

} // namespace pith::gpu

#endif // PITH_LIB_CODEGEN_GPU_TILES_H
