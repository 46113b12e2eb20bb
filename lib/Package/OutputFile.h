//===- OutputFile.h - a file that appears whole or not at all ---*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_PACKAGE_OUTPUTFILE_H
#define PITH_LIB_PACKAGE_OUTPUTFILE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>

namespace pith {

/// Written under another name beside `path`, which it takes at the end. Removed if it is not finished.
class OutputFile {
public:
  explicit OutputFile(llvm::StringRef path);
  ~OutputFile();
  OutputFile(const OutputFile &) = delete;

  const std::string &temporaryPath() const { return temporary; }
  /// Refuses what could not be replaced in the end: a folder, a device. Removes what processes that were killed while
  /// they wrote the same file have left beside it.
  llvm::Error check() const;
  /// Opens what stands at the temporary path for more to be written behind it; nothing may stand there yet.
  llvm::Error open();
  /// Asks the file system for `size` bytes, so that a full disk is noticed before the work is done.
  llvm::Error reserve(uint64_t size);
  llvm::Error write(llvm::ArrayRef<char> bytes);
  llvm::Error padTo(uint64_t position);
  /// Writes in the middle of what is written.
  llvm::Error overwrite(uint64_t position, llvm::ArrayRef<char> bytes);
  uint64_t position() const { return end; }
  llvm::Error finish();

private:
  void removeLeftovers() const;
  llvm::Error error(const llvm::Twine &what, int code) const;

  std::string path, temporary;
  int descriptor = -1;
  uint64_t end = 0;
  bool finished = false;
};

} // namespace pith

#endif // PITH_LIB_PACKAGE_OUTPUTFILE_H
