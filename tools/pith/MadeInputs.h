//===- MadeInputs.h - inputs for a graph that nobody gave any -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TOOLS_MADEINPUTS_H
#define PITH_TOOLS_MADEINPUTS_H

#include "TensorFile.h"
#include "llvm/ADT/ArrayRef.h"

namespace pith::tool {

/// Adds the inputs of the module's entry of kind invoke that `inputs` lacks: small token ids, masks of ones, counted
/// positions, numbers between -1 and 1. Symbolic dimensions have the size that the inputs given or `sizes`
/// ("name=number") say, else 1 for "batch" and 8. The same every time.
bool makeInputs(const pith_module *module, llvm::ArrayRef<std::string> sizes, std::vector<Tensor> &inputs,
                std::string &error);

} // namespace pith::tool

#endif // PITH_TOOLS_MADEINPUTS_H
