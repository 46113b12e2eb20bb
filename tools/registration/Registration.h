//===- Registration.h - what the tools on IR know ---------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TOOLS_REGISTRATION_H
#define PITH_TOOLS_REGISTRATION_H

namespace mlir {
class DialectRegistry;
} // namespace mlir

namespace pith {

/// Dialects and passes, ours and upstream's.
void registerAllDialects(mlir::DialectRegistry &registry);
void registerAllPasses();

} // namespace pith

#endif // PITH_TOOLS_REGISTRATION_H
