/* The .pith file.
 *
 *   offset 0                an ELF shared object (code; see executable.h)
 *   weights_offset          packed weights, 4096-byte aligned, mapped read-only by the runtime
 *   manifest_offset         the manifest: UTF-8 JSON (docs/file-format.md), right behind the weights
 *   file size - 128         struct pith_file_trailer, little-endian
 *
 * Nothing lies behind the trailer. The runtime checks the trailer, the manifest and the ELF part
 * before any code is mapped; weights are checked only on request.
 *
 * Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */
#ifndef PITH_FILE_H
#define PITH_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PITH_FILE_MAGIC "PITHFILE"
#define PITH_FILE_VERSION 1u
#define PITH_FILE_WEIGHT_ALIGNMENT 4096u

typedef struct pith_file_trailer {
  uint64_t elf_size;
  uint64_t elf_checksum;
  uint64_t weights_offset;
  uint64_t weights_size;
  uint64_t weights_checksum;
  uint64_t manifest_offset;
  uint64_t manifest_size;
  uint64_t manifest_checksum;
  uint64_t reserved[5];
  uint64_t trailer_checksum; /* over the 104 bytes before it */
  uint32_t version;          /* PITH_FILE_VERSION */
  uint32_t trailer_size;     /* 128 */
  char magic[8];             /* PITH_FILE_MAGIC, no terminator */
} pith_file_trailer;

/* 64-bit checksum (FNV-1a over 8-byte little-endian words, then over the tail's bytes). Start with
 * PITH_FILE_CHECKSUM_SEED; chunks may be chained only if every chunk but the last has a length
 * that is a multiple of 8. */
#define PITH_FILE_CHECKSUM_SEED UINT64_C(0xcbf29ce484222325)
static inline uint64_t pith_file_checksum(uint64_t hash, const void *data, size_t size) {
  const unsigned char *p = (const unsigned char *)data;
  while (size >= 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    hash = (hash ^ word) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32;
    p += 8;
    size -= 8;
  }
  while (size--) hash = (hash ^ *p++) * UINT64_C(0x100000001b3);
  return hash;
}

#endif /* PITH_FILE_H */
