//===- OutputFile.cpp - a file that appears whole or not at all -----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "OutputFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

using namespace llvm;
using namespace pith;

OutputFile::OutputFile(StringRef path) : path(path), temporary((path + ".tmp." + Twine(getpid())).str()) {}

OutputFile::~OutputFile() {
  if (descriptor >= 0)
    close(descriptor);
  if (!finished)
    unlink(temporary.c_str());
  removeLeftovers();
}

Error OutputFile::error(const Twine &what, int code) const {
  return createStringError(std::error_code(code, std::generic_category()),
                           "cannot " + what + " '" + path + "': " + std::strerror(code));
}

/// A temporary name ends with its process' number, or goes on behind a point: then it is the linker's own
/// temporary file, which it forgets when it cannot rename it.
void OutputFile::removeLeftovers() const {
  std::error_code code;
  StringRef folder = sys::path::parent_path(path);
  std::string prefix = (sys::path::filename(path) + ".tmp.").str();
  for (sys::fs::directory_iterator it(folder.empty() ? "." : folder, code), end; it != end && !code;
       it.increment(code)) {
    StringRef rest = sys::path::filename(it->path());
    int process = 0;
    if (!rest.consume_front(prefix) || rest.consumeInteger(10, process) || process <= 0 ||
        !(rest.empty() || rest.starts_with(".")))
      continue;
    bool forgotten = process == getpid() && !rest.empty();
    if (forgotten || (kill(process, 0) != 0 && errno == ESRCH))
      unlink(it->path().c_str());
  }
}

Error OutputFile::check() const {
  removeLeftovers();
  struct stat status;
  if (stat(path.c_str(), &status) != 0)
    return errno == ENOENT ? Error::success() : error("write", errno);
  if (!S_ISREG(status.st_mode))
    return createStringError(inconvertibleErrorCode(),
                             "cannot write '" + path + "': it is not a regular file");
  return Error::success();
}

Error OutputFile::open() {
  descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0)
    return error("write", errno);
  off_t size = lseek(descriptor, 0, SEEK_END);
  if (size < 0)
    return error("write", errno);
  end = static_cast<uint64_t>(size);
  return Error::success();
}

Error OutputFile::reserve(uint64_t size) {
  int code = posix_fallocate(descriptor, 0, static_cast<off_t>(size));
  // A file system that cannot reserve still reports what it cannot write.
  if (code != 0 && code != EOPNOTSUPP && code != EINVAL)
    return error("write " + Twine(size) + " bytes to", code);
  return Error::success();
}

Error OutputFile::write(ArrayRef<char> bytes) {
  if (Error failed = overwrite(end, bytes))
    return failed;
  end += bytes.size();
  return Error::success();
}

Error OutputFile::overwrite(uint64_t position, ArrayRef<char> bytes) {
  while (!bytes.empty()) {
    ssize_t written = pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(position));
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return error("write", written < 0 ? errno : ENOSPC);
    position += static_cast<uint64_t>(written);
    bytes = bytes.drop_front(static_cast<size_t>(written));
  }
  return Error::success();
}

Error OutputFile::padTo(uint64_t position) {
  std::vector<char> zeros(std::min<uint64_t>(position - end, 4096));
  while (end < position)
    if (Error failed = write(ArrayRef(zeros).take_front(std::min<uint64_t>(position - end, zeros.size()))))
      return failed;
  return Error::success();
}

Error OutputFile::finish() {
  // The linker makes its output executable; nobody runs this one.
  fchmod(descriptor, 0644);
  int code = close(descriptor) == 0 ? 0 : errno;
  descriptor = -1;
  if (code != 0)
    return error("write", code);
  if (std::rename(temporary.c_str(), path.c_str()) != 0)
    return error("write", errno);
  finished = true;
  return Error::success();
}
