//===- LinearKernel.cpp - what all forms of linear layers share -----------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "LinearKernel.h"
#include "Tiles.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace pith::gpu;

LinearArguments::LinearArguments(const LinearSpec &spec, ArrayRef<Value> arguments) {
  const Value *next = arguments.begin();
  x = *next++;
  weights = *next++;
  out = *next++;
  normScale = spec.norm != Norm::None ? *next++ : Value();
  bias = spec.bias ? *next++ : Value();
  residual = spec.residual ? *next++ : Value();
  rows = *next++;
}

SmallVector<Argument> LinearArguments::of(const LinearSpec &spec) {
  SmallVector<Argument> arguments = {Argument::In, Argument::Constant, Argument::Out};
  if (spec.norm != Norm::None)
    arguments.push_back(Argument::Constant);
  if (spec.bias)
    arguments.push_back(Argument::Constant);
  if (spec.residual)
    arguments.push_back(Argument::In);
  arguments.push_back(Argument::Size);
  return arguments;
}

void LinearArguments::store(KernelBuilder &k, const LinearSpec &spec, Value row, Value n, Value value,
                            llvm::function_ref<Value()> up) const {
  int64_t columns = spec.layout.n / (spec.layout.glu ? 2 : 1);
  if (bias)
    value = k.fadd(value, k.load(k.f32, k.at(bias, k.mul(n, 4))));
  value = k.activation(spec.activation, value);
  if (spec.layout.glu) {
    Value other = up();
    if (bias)
      other = k.fadd(other, k.load(k.f32, k.at(k.at(bias, columns * 4), k.mul(n, 4))));
    value = k.fmul(value, other);
  }
  int64_t bytes = elementBytes(spec.output);
  auto place = [&](Value base) { return k.at(k.atWide(base, row, columns * bytes), k.mul(n, bytes)); };
  if (residual)
    value = k.fadd(value, k.loadFloats(spec.output, place(residual), 1, 0));
  k.storeFloats(spec.output, value, place(out), bytes);
}

Value pith::gpu::rowFactor(KernelBuilder &k, int64_t columns, float epsilon, Value squares) {
  Value mean = k.fmul(squares, k.constant(k.f32, 1.0 / double(columns)));
  return k.fdiv(k.constant(k.f32, 1), k.sqrt(k.fadd(mean, k.constant(k.f32, epsilon))));
}

std::string pith::gpu::linearName(const LinearSpec &spec) {
  static constexpr llvm::StringLiteral formats[] = {"f32", "f16", "bf16", "int8", "int4"};
  static constexpr llvm::StringLiteral activations[] = {"",      "_relu",     "_silu",
                                                        "_gelu", "_gelutanh", "_quickgelu"};
  const LinearLayout &l = spec.layout;
  std::string name;
  llvm::raw_string_ostream out(name);
  out << "linear_" << formats[int(l.format)] << "_" << l.n << "x" << l.k;
  if (l.format == WeightFormat::Int4 || l.format == WeightFormat::Int8)
    out << "_b" << l.block << (l.zeroPoints ? "_zp" : "") << (l.wideScales ? "_wide" : "");
  if (spec.norm == Norm::RMS)
    out << "_rms" << llvm::utohexstr(llvm::bit_cast<uint32_t>(spec.normEpsilon));
  out << (l.glu ? "_glu" : "") << (spec.bias ? "_bias" : "") << activations[int(spec.activation)]
      << (spec.residual ? "_residual" : "") << "_" << nameOf(spec.input) << "_" << nameOf(spec.output) << "_r"
      << spec.rowTile;
  if (spec.onMatrixUnit())
    out << "_" << nameOf(spec.product) << "x" << spec.parts << "_s" << spec.stages
        << (spec.warpGroups ? "_wg" : "");
  return name;
}

llvm::Error LinearSpec::check() const {
  if (llvm::Error error = layout.check())
    return error;
  auto error = [](const llvm::Twine &why) {
    return llvm::createStringError(llvm::inconvertibleErrorCode(), why);
  };
  if (norm == Norm::Layer || normBias)
    return error("a layer norm in a linear layer's prologue; GPU kernels take an RMS norm only");
  if (onMatrixUnit())
    return checkLinearTile(*this);
  if (rowTile != 1 && rowTile != 2 && rowTile != 4 && rowTile != 8)
    return error("a tile of " + llvm::Twine(rowTile) + " rows; expected 1, 2, 4, 8, 16, 32, 64 or 128");
  return llvm::Error::success();
}
