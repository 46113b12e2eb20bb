//===- Stream.h - exported sequences in memory ------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_TEST_STREAM_H
#define PITH_TEST_STREAM_H

#include <cstdint>
#include <cstring>
#include <string>

namespace pith::test {

struct Stream {
  std::string bytes;
  size_t at = 0, failAfter = SIZE_MAX;
  static int write(void *context, const void *data, size_t size) {
    Stream &self = *static_cast<Stream *>(context);
    self.bytes.append(static_cast<const char *>(data), size);
    return self.bytes.size() > self.failAfter;
  }
  static int read(void *context, void *data, size_t size) {
    Stream &self = *static_cast<Stream *>(context);
    if (size > self.bytes.size() - self.at)
      return 1;
    std::memcpy(data, self.bytes.data() + self.at, size);
    self.at += size;
    return 0;
  }
};

} // namespace pith::test
#endif
