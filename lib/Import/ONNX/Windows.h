//===- Windows.h - what convolutions and pools slide over images -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_IMPORT_ONNX_WINDOWS_H
#define PITH_IMPORT_ONNX_WINDOWS_H

#include "Node.h"
#include "Scalar.h"

namespace pith::onnx {

/// The windows over [batch, channels, sizes…], one entry per spatial dimension.
struct Windows {
  llvm::SmallVector<int64_t> kernel, strides, dilations;
  Shape before, after; ///< padding
  Shape output;        ///< number of positions

  int64_t rank() const { return kernel.size(); }
  int64_t reach(int64_t i) const { return (kernel[i] - 1) * dilations[i] + 1; }
  int64_t elements() const;
  /// From strides, dilations, pads and auto_pad (and ceil_mode, which pools have). Reports what does not fit.
  static std::optional<Windows> read(Node &node, llvm::ArrayRef<int64_t> kernel, llvm::ArrayRef<Expr> sizes);
  /// The attributes strides and dilations alone, and pads, without the positions.
  static std::optional<Windows> readAttributes(Node &node, llvm::ArrayRef<int64_t> kernel);

  /// Carries scalars through a loop over the kernel's elements, in order; `code` is given the element's position.
  Scalars overKernel(Importer &im, llvm::ArrayRef<Scalar> first,
                     llvm::function_ref<Scalars(Point, Point)> code) const;
};

/// Carries scalars through nested loops, the last innermost.
Scalars repeatNested(Importer &im, llvm::ArrayRef<int64_t> counts, llvm::ArrayRef<Scalar> first,
                     llvm::function_ref<Scalars(Point, Point)> code);

/// A list attribute with one positive entry per spatial dimension, all 1 if absent.
bool readList(Node &node, llvm::StringRef name, size_t rank, llvm::SmallVectorImpl<int64_t> &list);
/// The spatial sizes of filters [a, b, sizes…] or of the attribute kernel_shape, as constants.
std::optional<llvm::SmallVector<int64_t>> kernelOf(Node &node, Val *filters, size_t rank);

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_WINDOWS_H
