//===- FillWeights.cpp - made-up weights for a stripped file --------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   pith-fill-weights STRIPPED.pith OUT.pith
//
// A file that `pith compile --stripped` wrote is a few megabytes whatever the model; this puts pseudo-random
// weights where its own would be. Every 16 bits are a number of f16 and of bf16 whose size is below 0.07, so
// nothing overflows whatever format the kernels read.
//
//===----------------------------------------------------------------------===//
#include "pith/file.h"
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

static int fail(const std::string &text) {
  std::cerr << "pith-fill-weights: " << text << "\n";
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 3)
    return fail("usage: pith-fill-weights STRIPPED.pith OUT.pith"), 2;
  std::ifstream in(argv[1], std::ios::binary | std::ios::ate);
  const uint64_t size = in ? uint64_t(in.tellg()) : 0;
  pith_file_trailer trailer;
  if (size < sizeof trailer)
    return fail(std::string(argv[1]) + ": no .pith file");
  in.seekg(int64_t(size - sizeof trailer));
  in.read(reinterpret_cast<char *>(&trailer), sizeof trailer);
  const bool stripped = in && !memcmp(trailer.magic, PITH_FILE_MAGIC, 8) &&
                        size == trailer.elf_size + trailer.manifest_size + sizeof trailer;
  if (!stripped)
    return fail(std::string(argv[1]) + ": no file that `pith compile --stripped` wrote");
  std::vector<char> code(trailer.elf_size), manifest(trailer.manifest_size);
  in.seekg(0);
  in.read(code.data(), int64_t(code.size()));
  in.read(manifest.data(), int64_t(manifest.size()));

  std::ofstream out(argv[2], std::ios::binary);
  out.write(code.data(), int64_t(code.size()));
  const std::vector<char> padding(trailer.weights_offset - trailer.elf_size);
  out.write(padding.data(), int64_t(padding.size()));
  trailer.weights_checksum = PITH_FILE_CHECKSUM_SEED;
  std::vector<uint64_t> piece(1 << 17);
  uint64_t state = 0x9e3779b97f4a7c15;
  for (uint64_t done = 0; done < trailer.weights_size && out;) {
    for (uint64_t &word : piece) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      word = (state & 0x83ff83ff83ff83ff) | 0x2800280028002800;
    }
    const uint64_t bytes = std::min<uint64_t>(piece.size() * 8, trailer.weights_size - done);
    trailer.weights_checksum = pith_file_checksum(trailer.weights_checksum, piece.data(), bytes);
    out.write(reinterpret_cast<const char *>(piece.data()), int64_t(bytes));
    done += bytes;
  }
  trailer.trailer_checksum =
      pith_file_checksum(PITH_FILE_CHECKSUM_SEED, &trailer, offsetof(pith_file_trailer, trailer_checksum));
  out.write(manifest.data(), int64_t(manifest.size()));
  out.write(reinterpret_cast<const char *>(&trailer), sizeof trailer);
  out.close();
  if (!out) {
    std::remove(argv[2]);
    return fail(std::string("cannot write ") + argv[2]);
  }
  return 0;
}
