//===- Invoke.h - running an exported graph on tensors -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TOOLS_INVOKE_H
#define PITH_TOOLS_INVOKE_H

#include "Model.h"
#include "TensorFile.h"

namespace pith::tool {

/// Runs the model's exported graph; `inputs` are matched by name, those without a name by position. `outputs` come in the
/// graph's order. `error` says what is wrong.
bool invoke(Model &model, std::vector<Tensor> &inputs, std::vector<Tensor> &outputs, std::string &error);

} // namespace pith::tool

#endif // PITH_TOOLS_INVOKE_H
