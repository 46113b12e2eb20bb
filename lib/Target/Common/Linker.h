//===- Linker.h - ld.lld as a library ---------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_TARGET_COMMON_LINKER_H
#define PITH_LIB_TARGET_COMMON_LINKER_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace pith::target {

llvm::Error linkError(llvm::StringRef path, const llvm::Twine &why);

/// A new file with `bytes`, for tools that take files only. The caller removes it.
llvm::Error writeTemporary(llvm::ArrayRef<char> bytes, llvm::StringRef suffix, llvm::SmallVectorImpl<char> &path);

/// Runs the linker; `path` is what it writes. The first argument is its name.
llvm::Error runLinker(llvm::StringRef path, llvm::ArrayRef<const char *> args);

} // namespace pith::target

#endif // PITH_LIB_TARGET_COMMON_LINKER_H
