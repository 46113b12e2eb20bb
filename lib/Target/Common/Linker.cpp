//===- Linker.cpp - ld.lld as a library -----------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Linker.h"
#include "lld/Common/Driver.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"
#include <mutex>

LLD_HAS_DRIVER(elf)

using namespace llvm;

Error pith::target::linkError(StringRef path, const Twine &why) {
  return createStringError(inconvertibleErrorCode(), "cannot link '" + path + "': " + why);
}

Error pith::target::writeTemporary(ArrayRef<char> bytes, StringRef suffix, SmallVectorImpl<char> &path) {
  int fd = -1;
  if (std::error_code error = sys::fs::createTemporaryFile("pith", suffix, fd, path))
    return createStringError(error, "cannot create a temporary file: " + error.message());
  raw_fd_ostream out(fd, /*shouldClose=*/true);
  out.write(bytes.data(), bytes.size());
  out.close();
  if (!out.has_error())
    return Error::success();
  std::error_code error = out.error();
  out.clear_error();
  StringRef name(path.data(), path.size());
  sys::fs::remove(name);
  return createStringError(error, "cannot write '" + name + "': " + error.message());
}

Error pith::target::runLinker(StringRef path, ArrayRef<const char *> args) {
  // LLD keeps its state in globals: one link at a time in a process.
  static std::mutex one;
  std::lock_guard<std::mutex> lock(one);
  static bool usable = true;
  if (!usable)
    return linkError(path, "the linker crashed earlier in this process");
  std::string messages;
  raw_string_ostream stream(messages);
  lld::Result result = lld::lldMain(args, nulls(), stream, {{lld::Gnu, &lld::elf::link}});
  usable = result.canRunAgain;
  if (result.retCode != 0)
    return linkError(path, StringRef(messages).trim());
  return Error::success();
}
