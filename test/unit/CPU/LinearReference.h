//===- LinearReference.h - linear layers in plain double loops --*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_CPU_LINEARREFERENCE_H
#define PITH_TEST_UNIT_CPU_LINEARREFERENCE_H

#include "KernelHarness.h"
#include <cmath>
#include <cstring>
#include <random>

namespace pith::test {

template <typename T>
void fillRandom(Buffer<T> &buffer, unsigned seed, float low = -1, float high = 1) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  for (T &value : buffer)
    value = T(uniform(random));
}

struct Expected {
  double value, tolerance;
};

/// Random weights and vectors of one linear layer, as a model file has them and as doubles.
class LinearData {
public:
  LinearData(const cpu::LinearSpec &spec, const std::vector<int64_t> &parts, bool kMajor, unsigned seed)
      : packed(size_t(spec.layout.sizeBytes())), bias(spec.layout.n), normScale(spec.layout.k),
        normBias(spec.layout.k), spec(spec), layout(spec.layout), random(seed),
        weights(size_t(layout.n * layout.k)) {
    fillRandom(bias, seed + 1);
    fillRandom(normScale, seed + 2, 0.5, 1.5);
    fillRandom(normBias, seed + 3);
    int64_t row = 0;
    for (int64_t n : parts) {
      views.push_back(isInteger() ? integerPart(n, row, kMajor) : floatPart(n, row, kMajor));
      row += n;
    }
    // In two pieces, as a driver with several threads would.
    int64_t panels = layout.sizeBytes() / layout.panelBytes(), half = panels / 2;
    std::fill(packed.begin(), packed.end(), 0xcd);
    cpu::packLinear(layout, views, 0, half, packed.data());
    cpu::packLinear(layout, views, half, panels - half, packed.data() + half * layout.panelBytes());
  }

  bool isInteger() const {
    return layout.format == cpu::WeightFormat::Int4 || layout.format == cpu::WeightFormat::Int8;
  }
  double weight(int64_t n, int64_t k) const { return weights[n * layout.k + k]; }

  /// `exact`: per block multiples of a power of two with 127 of them as the peak, so that int8 holds them.
  void fillActivations(Buffer<float> &x, bool exact, unsigned seed) const {
    fillRandom(x, seed + 11);
    if (!exact)
      return;
    int64_t block = layout.block ? layout.block : layout.k;
    for (size_t i = 0; i < x.size(); ++i) {
      int64_t k = int64_t(i) % layout.k;
      float unit = std::ldexp(1.0f, -7 + int(k / block) % 3);
      x[i] = (k % block == 0 ? 127 : std::round(x[i] * 127)) * unit;
    }
  }

  void call(KernelHarness &harness, Team &team, const std::string &name, const float *x, float *out,
            uint8_t *scratch, int64_t rows) {
    using Kernel = void (*)(const pith_exec_context *, uint32_t, const void *, const void *, const void *,
                            const void *, const void *, const void *, const void *, const void *, int64_t);
    // Optional pointers close ranks: pass as many as there are, then rows.
    std::vector<const void *> p = {x, packed.data(), out, scratch};
    if (spec.norm != cpu::Norm::None)
      p.push_back(normScale.data());
    if (spec.normBias)
      p.push_back(normBias.data());
    if (spec.bias)
      p.push_back(bias.data());
    if (spec.residual)
      p.push_back(out);
    p.push_back(reinterpret_cast<const void *>(rows)); // integers and pointers travel alike
    p.resize(9);
    auto kernel = reinterpret_cast<Kernel>(harness.symbol(name));
    team.run([&](const pith_exec_context *context, uint32_t thread) {
      kernel(context, thread, p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], int64_t(intptr_t(p[8])));
    });
  }

  Expected expected(const float *x, float residual, int64_t column, bool exactActivations) const {
    std::vector<double> y(layout.k);
    normalize(x, y.data());
    Expected first = sum(y, column, exactActivations);
    first.value = activate(first.value);
    if (layout.glu) {
      Expected up = sum(y, column + layout.n / 2, exactActivations);
      first.tolerance = first.tolerance * std::fabs(up.value) + up.tolerance * std::fabs(first.value) + 1e-6;
      first.value *= up.value;
    }
    if (spec.residual)
      first.value += double(residual);
    return first;
  }

  Buffer<uint8_t> packed;
  std::vector<cpu::WeightView> views; // the parts as a model file has them
  Buffer<float> bias, normScale, normBias;

private:
  /// The dot product and what rounding may do to it.
  Expected sum(const std::vector<double> &y, int64_t n, bool exactActivations) const {
    double value = spec.bias ? double(bias[n]) : 0, magnitude = std::fabs(value), quantization = 0;
    int64_t block = isInteger() && layout.block ? layout.block : layout.k;
    for (int64_t begin = 0; begin < layout.k; begin += block) {
      double peak = 0, total = 0;
      for (int64_t k = begin; k < std::min(begin + block, layout.k); ++k) {
        value += weight(n, k) * y[k];
        magnitude += std::fabs(weight(n, k) * y[k]);
        peak = std::max(peak, std::fabs(y[k]));
        total += weight(n, k) * weight(n, k);
      }
      // Rounding errors are uniform in half a step: standard deviation step / sqrt(12).
      quantization += peak / 127 * peak / 127 / 12 * total;
    }
    // 2^-24 per operation, errors add up like a random walk; activations by polynomials add 4e-7.
    double tolerance = 1e-6 * magnitude + 2e-6;
    if (spec.int8Activations && !exactActivations)
      tolerance += 6 * std::sqrt(quantization);
    return {value, tolerance};
  }

  void normalize(const float *x, double *y) const {
    double mean = 0, squares = 0;
    if (spec.norm == cpu::Norm::Layer)
      for (int64_t k = 0; k < layout.k; ++k)
        mean += double(x[k]) / double(layout.k);
    for (int64_t k = 0; k < layout.k; ++k)
      squares += (x[k] - mean) * (x[k] - mean);
    double inverse = spec.norm == cpu::Norm::None
                         ? 1
                         : 1 / std::sqrt(squares / double(layout.k) + double(spec.normEpsilon));
    for (int64_t k = 0; k < layout.k; ++k)
      y[k] = (x[k] - mean) * inverse * (spec.norm == cpu::Norm::None ? 1 : double(normScale[k])) +
             (spec.normBias ? double(normBias[k]) : 0);
  }

  double activate(double v) const {
    switch (spec.activation) {
    case cpu::Activation::None:
      return v;
    case cpu::Activation::Relu:
      return std::max(v, 0.0);
    case cpu::Activation::Silu:
      return v / (1 + std::exp(-v));
    case cpu::Activation::Gelu:
      return v * 0.5 * (1 + std::erf(v / std::sqrt(2.0)));
    case cpu::Activation::GeluTanh:
      return v * 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    case cpu::Activation::QuickGelu:
      return v / (1 + std::exp(-1.702 * v));
    }
    return v;
  }

  uint8_t *allocate(int64_t bytes) {
    memory.push_back(std::make_unique<Buffer<uint8_t>>(size_t(bytes)));
    return memory.back()->data();
  }
  void setNibble(uint8_t *bytes, int64_t index, unsigned value) {
    bytes[index / 2] |= uint8_t(value << (index % 2 * 4));
  }

  cpu::WeightView floatPart(int64_t n, int64_t firstRow, bool kMajor) {
    cpu::WeightView view;
    view.format = layout.format;
    view.n = n;
    view.k = layout.k;
    view.kMajor = kMajor;
    bool wide = layout.format == cpu::WeightFormat::F32;
    uint8_t *data = allocate(n * layout.k * 4);
    view.data = data;
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (int64_t row = 0; row < n; ++row)
      for (int64_t k = 0; k < layout.k; ++k) {
        float value = uniform(random);
        int64_t index = kMajor ? k * n + row : row * layout.k + k;
        uint32_t bits;
        std::memcpy(&bits, &value, 4);
        if (layout.format == cpu::WeightFormat::F16) {
          _Float16 half = _Float16(value);
          std::memcpy(data + index * 2, &half, 2);
          value = float(half);
        } else if (!wide) {
          bits &= 0xffff0000;
          uint16_t high = uint16_t(bits >> 16);
          std::memcpy(data + index * 2, &high, 2);
          std::memcpy(&value, &bits, 4);
        } else {
          std::memcpy(data + index * 4, &value, 4);
        }
        weights[(firstRow + row) * layout.k + k] = double(value);
      }
    return view;
  }

  cpu::WeightView integerPart(int64_t n, int64_t firstRow, bool kMajor) {
    bool nibbles = layout.format == cpu::WeightFormat::Int4;
    int64_t block = layout.block ? layout.block : layout.k, blocks = (layout.k + block - 1) / block;
    int64_t even = nibbles ? 2 : 1;
    auto padded = [&](int64_t count) { return (count + even - 1) / even * even; };
    int64_t rowElements = kMajor ? padded(n) : layout.block ? blocks * block : padded(layout.k);
    cpu::WeightView view;
    view.format = layout.format;
    view.n = n;
    view.k = layout.k;
    view.kMajor = kMajor;
    view.block = layout.block;
    view.scaleFormat = cpu::WeightFormat::F16;
    uint8_t *data = allocate(rowElements * (kMajor ? layout.k : n)), *scales = allocate(n * blocks * 2),
            *zeros = nullptr;
    int64_t zeroElements = padded(kMajor ? n : blocks);
    if (layout.zeroPoints)
      zeros = allocate(zeroElements * (kMajor ? blocks : n));
    view.data = data;
    view.scales = scales;
    view.zeros = zeros;
    unsigned codes = nibbles ? 16 : 256;
    std::uniform_int_distribution<unsigned> code(0, codes - 1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    auto set = [&](uint8_t *bytes, int64_t index, unsigned value) {
      if (nibbles)
        setNibble(bytes, index, value);
      else
        bytes[index] = uint8_t(value);
    };
    for (int64_t row = 0; row < n; ++row)
      for (int64_t b = 0; b < blocks; ++b) {
        _Float16 scale = _Float16(std::ldexp(uniform(random), nibbles ? -3 : -7));
        std::memcpy(scales + (kMajor ? b * n + row : row * blocks + b) * 2, &scale, 2);
        unsigned zero = layout.zeroPoints ? code(random) : codes / 2;
        if (zeros)
          set(zeros, kMajor ? b * zeroElements + row : row * zeroElements + b, zero);
        for (int64_t k = b * block; k < std::min(layout.k, (b + 1) * block); ++k) {
          unsigned value = code(random);
          set(data, kMajor ? k * rowElements + row : row * rowElements + k, value);
          weights[(firstRow + row) * layout.k + k] = (double(value) - zero) * double(float(scale));
        }
      }
    return view;
  }

  cpu::LinearSpec spec;
  cpu::LinearLayout layout;
  std::mt19937 random;
  std::vector<double> weights;
  std::vector<std::unique_ptr<Buffer<uint8_t>>> memory;
};

} // namespace pith::test

#endif // PITH_TEST_UNIT_CPU_LINEARREFERENCE_H
