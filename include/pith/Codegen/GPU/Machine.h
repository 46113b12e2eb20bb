//===- Machine.h - what a GPU can do ----------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One table row per chip. Whatever a chip lacks is refused by this table: LLVM's back ends abort on instructions that
// they cannot select, and a compiler must not.
//
//===----------------------------------------------------------------------===//
#ifndef PITH_CODEGEN_GPU_MACHINE_H
#define PITH_CODEGEN_GPU_MACHINE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>

namespace pith::gpu {

enum class Vendor { CUDA, HIP };

/// The chip's instruction for products of small matrices.
enum class MatrixUnit {
  MmaSync,   // 32 lanes, 16x8x16
  Mfma,      // 64 lanes, 16x16x16
  WmmaRdna3, // 32 lanes, 16x16x16, both half-waves hold the inputs
  WmmaRdna4, // 32 lanes, 16x16x16, each half-wave holds half of K
};

struct Machine {
  llvm::StringRef chip;     // "sm_80", "gfx942": LLVM's name
  Vendor vendor;
  int subgroup;             // lanes that run in step: 32 or 64
  int64_t sharedBytes;      // shared memory that one block can have
  MatrixUnit matrix;
  int64_t mfmaInt8K;        // K of the 8-bit MFMA: 16 (gfx90a) or 32; others abort in LLVM
  bool asyncCopy;           // cp.async: 16 bytes from global to shared memory past the registers
  bool wgmma;               // wgmma and TMA
  llvm::StringRef features; // for LLVM

  /// "cuda:sm_80"
  std::string name() const;
};

/// All chips that are known.
llvm::ArrayRef<Machine> machines();

/// "cuda:sm_80,sm_90a" or "hip:gfx90a,gfx942": chips of one vendor. The error names what is known.
llvm::Expected<llvm::SmallVector<Machine>> parseTarget(llvm::StringRef text);

} // namespace pith::gpu

#endif // PITH_CODEGEN_GPU_MACHINE_H
