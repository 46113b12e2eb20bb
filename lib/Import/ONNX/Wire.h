//===- Wire.h - takes weight bytes out of a serialized model -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_IMPORT_ONNX_WIRE_H
#define PITH_IMPORT_ONNX_WIRE_H

#include "llvm/ADT/ArrayRef.h"
#include <string>

namespace pith::onnx {

/// Copies the serialized ModelProto in `model` to `out`, without the raw data of its tensors where that is `limit`
/// bytes or longer. Every tensor with raw data gets the fields file_offset and file_size (see Onnx.proto), which
/// say where in `model` the bytes lie. So weights are never copied, and models beyond protobuf's 2 GB can be parsed.
/// Any bytes are safe to pass; returns false and says in `error` what is wrong and where.
bool stripRawData(llvm::ArrayRef<char> model, size_t limit, std::string &out, std::string &error);

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_WIRE_H
