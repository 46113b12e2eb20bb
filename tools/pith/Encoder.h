//===- Encoder.h - what a decoder is conditioned on -------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TOOLS_ENCODER_H
#define PITH_TOOLS_ENCODER_H

#include "Model.h"

#include <cstdint>
#include <string>
#include <vector>

namespace pith::tool {

/// Runs the encoder on a text's tokens and conditions the decoder's sequence on its first output. `error`
/// says what is wrong.
bool conditionOn(Model &encoder, const std::vector<int32_t> &tokens, pith_sequence *sequence,
                 std::string &error);

} // namespace pith::tool

#endif // PITH_TOOLS_ENCODER_H
