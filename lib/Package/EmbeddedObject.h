//===- EmbeddedObject.h - a relocatable object with a model in it -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_PACKAGE_EMBEDDEDOBJECT_H
#define PITH_LIB_PACKAGE_EMBEDDEDOBJECT_H

#include "OutputFile.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace pith {

/// What is added to the code.
struct Embedding {
  std::string symbol;   ///< of the model's description, a `pith_embedded`
  std::string manifest;
  uint64_t weightsSize = 0;
  /// Gives the weight section piece by piece (chained checksums hold) to its argument.
  llvm::function_ref<llvm::Error(llvm::function_ref<llvm::Error(llvm::ArrayRef<char>)>)> stream;
};

/// Writes `code` (a relocatable ELF object that defines the entry table) with weights, manifest and description in
/// sections of their own to `file`. The weights stream: they are never in memory as a whole.
llvm::Error writeEmbeddedObject(OutputFile &file, llvm::ArrayRef<char> code, const Embedding &embedding);

} // namespace pith

#endif // PITH_LIB_PACKAGE_EMBEDDEDOBJECT_H
