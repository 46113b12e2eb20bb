//===- Windows.cpp - what convolutions and pools slide over images -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Windows.h"
#include <functional>

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

bool pith::onnx::readList(Node &node, StringRef name, size_t rank, SmallVectorImpl<int64_t> &list) {
  std::optional<SmallVector<int64_t>> given = node.getInts(name);
  list.assign(rank, 1);
  if (given)
    list.assign(given->begin(), given->end());
  if (list.size() == rank && llvm::all_of(list, [](int64_t i) { return i >= 1 && i <= (1 << 20); }))
    return true;
  node.error() << "attribute '" << name << "' must have " << rank << " positive entries";
  return false;
}

std::optional<SmallVector<int64_t>> pith::onnx::kernelOf(Node &node, Val *filters, size_t rank) {
  SmallVector<int64_t> kernel;
  if (!filters) {
    if (!node.has("kernel_shape")) {
      node.error() << "attribute 'kernel_shape' is missing";
      return std::nullopt;
    }
    return readList(node, "kernel_shape", rank, kernel) ? std::optional(kernel) : std::nullopt;
  }
  for (const Expr &size : ArrayRef(filters->shape).drop_front(2)) {
    std::optional<int64_t> constant = node.im.symbols.normalize(size).constant();
    if (!constant || *constant < 1 || *constant > (1 << 20)) {
      node.error() << "filters must have a constant kernel, found " << describe(node.im, filters);
      return std::nullopt;
    }
    kernel.push_back(*constant);
  }
  return kernel;
}

int64_t Windows::elements() const {
  int64_t product = 1;
  for (int64_t size : kernel)
    product *= size;
  return product;
}

std::optional<Windows> Windows::readAttributes(Node &node, ArrayRef<int64_t> kernel) {
  Windows windows;
  size_t rank = kernel.size();
  int64_t elements = 1;
  for (int64_t size : kernel)
    if ((elements *= size) > (1 << 20)) {
      node.error() << "a window of more than " << (1 << 20) << " elements is not possible";
      return std::nullopt;
    }
  windows.kernel.assign(kernel.begin(), kernel.end());
  windows.before.assign(rank, Expr(0));
  windows.after.assign(rank, Expr(0));
  if (!readList(node, "strides", rank, windows.strides) || !readList(node, "dilations", rank, windows.dilations))
    return std::nullopt;
  if (std::optional<SmallVector<int64_t>> pads = node.getInts("pads");
      pads && node.getString("auto_pad", "NOTSET") == "NOTSET") {
    if (pads->size() != 2 * rank || llvm::any_of(*pads, [](int64_t pad) { return pad < 0 || pad > (1 << 20); })) {
      node.error() << "attribute 'pads' must have " << 2 * rank << " entries that are not negative";
      return std::nullopt;
    }
    windows.before = toShape(ArrayRef(*pads).take_front(rank));
    windows.after = toShape(ArrayRef(*pads).take_back(rank));
  }
  return windows;
}

std::optional<Windows> Windows::read(Node &node, ArrayRef<int64_t> kernel, ArrayRef<Expr> sizes) {
  Symbols &symbols = node.im.symbols;
  std::optional<Windows> windows = readAttributes(node, kernel);
  if (!windows)
    return std::nullopt;
  std::string mode = node.getString("auto_pad", "NOTSET");
  bool up = node.getInt("ceil_mode", 0);
  for (auto [i, size] : llvm::enumerate(sizes)) {
    int64_t stride = windows->strides[i], reach = windows->reach(i);
    Expr &before = windows->before[i], &after = windows->after[i];
    if (mode == "SAME_UPPER" || mode == "SAME_LOWER") {
      Expr positions = *symbols.floorDiv(symbols.add(size, stride - 1), stride);
      Expr needed = symbols.add(symbols.mul(symbols.sub(positions, 1), stride), reach);
      Expr total = symbols.max(0, symbols.sub(needed, size));
      Expr half = *symbols.floorDiv(total, 2), rest = symbols.sub(total, half);
      before = mode == "SAME_UPPER" ? half : rest;
      after = mode == "SAME_UPPER" ? rest : half;
      windows->output.push_back(positions);
      continue;
    }
    Expr room = symbols.sub(symbols.add(size, symbols.add(before, after)), reach);
    Expr positions = symbols.add(*symbols.floorDiv(up ? symbols.add(room, stride - 1) : room, stride), 1);
    // No window begins in the padding behind.
    if (up)
      positions = symbols.min(
          positions, symbols.add(*symbols.floorDiv(symbols.sub(symbols.add(size, before), 1), stride), 1));
    windows->output.push_back(symbols.max(0, positions));
  }
  return windows;
}

Scalars pith::onnx::repeatNested(Importer &im, ArrayRef<int64_t> counts, ArrayRef<Scalar> first,
                                 function_ref<Scalars(Point, Point)> code) {
  Scalars position;
  std::function<Scalars(Point)> level = [&](Point carried) -> Scalars {
    if (position.size() == counts.size())
      return code(position, carried);
    Scalar count = Scalar::number(im, im.builder.getIndexType(), double(counts[position.size()]));
    return repeat(count, carried, [&](Scalar i, Point inner) {
      position.push_back(i);
      Scalars next = level(inner);
      position.pop_back();
      return next;
    });
  };
  return level(first);
}

Scalars Windows::overKernel(Importer &im, ArrayRef<Scalar> first, function_ref<Scalars(Point, Point)> code) const {
  return repeatNested(im, kernel, first, code);
}
