//===- EmulatedSet.h - our kernels on the emulator --------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_GPU_EMULATEDSET_H
#define PITH_TEST_UNIT_GPU_EMULATEDSET_H

#include "EmulatedKernels.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/Pass/PassManager.h"
#include "pith/Codegen/GPU/Kernels.h"
#include "pith/Codegen/GPU/Passes.h"
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace pith::gpu::test {

/// Elements as a device holds them.
inline float fromElement(const uint8_t *bytes, Element element, size_t index) {
  if (element == Element::F32) {
    float value;
    std::memcpy(&value, bytes + index * 4, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, bytes + index * 2, 2);
  if (element == Element::BF16) {
    uint32_t wide = uint32_t(bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
  }
  _Float16 half;
  std::memcpy(&half, &bits, 2);
  return float(half);
}
inline std::vector<uint8_t> toElements(const std::vector<float> &values, Element element) {
  std::vector<uint8_t> bytes(values.size() * size_t(elementBytes(element)));
  for (size_t i = 0; i < values.size(); ++i) {
    if (element == Element::F32) {
      std::memcpy(bytes.data() + i * 4, &values[i], 4);
    } else if (element == Element::F16) {
      _Float16 half = _Float16(values[i]);
      std::memcpy(bytes.data() + i * 2, &half, 2);
    } else {
      uint32_t bits;
      std::memcpy(&bits, &values[i], 4);
      bits = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
      std::memcpy(bytes.data() + i * 2, &bits, 2);
    }
  }
  return bytes;
}

inline std::vector<float> randomFloats(size_t count, unsigned seed, float low = -1, float high = 1) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  std::vector<float> values(count);
  for (float &value : values)
    value = uniform(random);
  return values;
}

/// What rounding to an element may change, relatively.
inline double roundingOf(Element element) {
  return element == Element::F32 ? 0 : element == Element::F16 ? 1.0 / 2048 : 1.0 / 256;
}

/// Kernels of one spec or several, split for one chip.
class EmulatedSet {
public:
  using Build = std::function<mlir::gpu::GPUFuncOp(mlir::gpu::GPUModuleOp)>;

  explicit EmulatedSet(const std::string &target) : target(target) {}

  /// The kernel's number.
  size_t add(const Build &build) {
    if (!kernels) {
      mlir::OpBuilder b(emulated.module->getBodyRegion());
      kernels = mlir::gpu::GPUModuleOp::create(b, emulated.module->getLoc(), "kernels");
    }
    mlir::gpu::GPUFuncOp function = build(kernels);
    launches.push_back({function.getName().str(),
                        function->getAttrOfType<mlir::AffineMapAttr>(kGridAttr).getValue(),
                        uint32_t(function.getKnownBlockSizeAttr()[0])});
    return launches.size() - 1;
  }

  /// Empty, or what went wrong.
  std::string compile() {
    mlir::PassManager pm(&emulated.context);
    pm.nest<mlir::gpu::GPUModuleOp>().addPass(createSplitGPU({target}));
    if (failed(pm.run(*emulated.module)))
      return "cannot split for " + target;
    return emulated.compile();
  }

  std::string launch(size_t kernel, std::vector<pith::test::KernelArgument> arguments,
                     const std::vector<int32_t> &sizes) {
    const Launch &launch = launches[kernel];
    mlir::Builder b(&emulated.context);
    llvm::SmallVector<mlir::Attribute> operands, blocks;
    for (int32_t size : sizes) {
      operands.push_back(b.getIndexAttr(size));
      arguments.push_back(size);
    }
    if (failed(launch.grid.constantFold(operands, blocks)))
      return "no grid";
    auto block = [&](int i) { return uint32_t(llvm::cast<mlir::IntegerAttr>(blocks[i]).getInt()); };
    return emulated.launch(launch.name, {block(0), block(1), block(2)}, {launch.threads}, arguments);
  }

  pith::test::DeviceBuffer<uint8_t> buffer(const std::vector<float> &values, Element element = Element::F32) {
    return emulated.buffer(toElements(values, element));
  }

  pith::test::EmulatedKernels emulated;

private:
  struct Launch {
    std::string name;
    mlir::AffineMap grid;
    uint32_t threads;
  };
  std::string target;
  mlir::gpu::GPUModuleOp kernels;
  std::vector<Launch> launches;
};

/// One chip of each kind of subgroup.
inline const std::vector<std::string> &emulatedChips() {
  static const std::vector<std::string> chips = {"cuda:sm_80", "hip:gfx942", "hip:gfx1100"};
  return chips;
}

} // namespace pith::gpu::test

#endif // PITH_TEST_UNIT_GPU_EMULATEDSET_H
