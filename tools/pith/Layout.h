//===- Layout.h - a packed weight as the manifest describes it -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TOOLS_LAYOUT_H
#define PITH_TOOLS_LAYOUT_H

#include "pith/Codegen/CPU/Kernels.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"
#include <optional>

namespace pith::tool {

struct Weight {
  std::string name, kind, format;
  std::vector<std::string> sources;
  uint64_t offset = 0, size = 0;
  /// Of kind "linear", where this version knows the format.
  std::optional<cpu::LinearLayout> linear;
  llvm::json::Value layout = nullptr;

  bool read(const llvm::json::Object &object);
  /// "[n, k]" of a matrix, else empty.
  std::string shape() const;
  /// What contradicts itself; empty if nothing does.
  std::string check() const;
  void explain(llvm::raw_ostream &os) const;
};

} // namespace pith::tool

#endif // PITH_TOOLS_LAYOUT_H
