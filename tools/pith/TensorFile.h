//===- TensorFile.h - tensors in files -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef PITH_TOOLS_TENSORFILE_H
#define PITH_TOOLS_TENSORFILE_H

#include "pith/runtime.h"
#include "llvm/ADT/StringRef.h"
#include <string>
#include <vector>

namespace pith::tool {

/// A tensor with its own storage.
struct Tensor {
  std::string name;
  pith_type type = PITH_TYPE_NONE;
  std::vector<int64_t> dims;
  std::vector<char> bytes;

  int64_t elements() const;
  /// Element `index` as a number.
  double at(int64_t index) const;
  /// A view for the runtime; lives as long as this tensor.
  pith_tensor view() const;
};

/// Reads an ONNX TensorProto (.pb) or a NumPy array (.npy; then the name is empty). `error` says what is wrong.
bool readTensor(const std::string &path, Tensor &tensor, std::string &error);
bool writeTensor(const std::string &path, const Tensor &tensor, std::string &error);
Tensor copyTensor(const pith_tensor &tensor);

} // namespace pith::tool

#endif // PITH_TOOLS_TENSORFILE_H
