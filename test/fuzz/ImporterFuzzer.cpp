//===- ImporterFuzzer.cpp - any model into the importer -------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// A model is refused with a message or imports, verifies and is raised. Models are changed in their
// structure; now and then their bytes are.
//
//===----------------------------------------------------------------------------------===//
#include "Mutate.h"
#include "TryImport.h"
#include "pith/Import/ONNX/Import.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

using pith::onnx::proto::ModelProto;

// The standard's containers cross into MLIR's libraries, which are not compiled for the sanitizer; so do
// allocators that poison what they have not given out.
extern "C" const char *__asan_default_options() {
  return "detect_container_overflow=0:allow_user_poisoning=0";
}

extern "C" size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t limit);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static pith::test::ImportTrial *trial = [] {
    auto *made = new pith::test::ImportTrial;
    made->addFile("weights.bin", std::string(256, '\1'));
    return made;
  }();
  const auto outcome = trial->run({reinterpret_cast<const char *>(data), size});
  if (!outcome.fault.empty()) {
    std::fprintf(stderr, "%s\n", outcome.fault.c_str());
    std::abort();
  }
  return 0;
}

namespace {

pith::test::Mutator mutator(unsigned seed) {
  static const std::vector<std::string> ops = pith::onnx::supportedOps();
  auto random = std::make_shared<std::mt19937_64>(seed);
  return {[random] { return (*random)(); }, ops};
}

/// The model's bytes, if they fit.
size_t put(const ModelProto &model, uint8_t *out, size_t limit) {
  const size_t size = model.ByteSizeLong();
  return size <= limit && model.SerializeToArray(out, int(size)) ? size : 0;
}

} // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t limit, unsigned seed) {
  ModelProto model;
  if (seed % 32 && model.ParseFromArray(data, int(size)) && model.has_graph()) {
    pith::test::Mutator change = mutator(seed);
    for (unsigned changes = 1 + seed / 32 % 4; changes; --changes)
      change.mutate(model);
    if (size_t changed = put(model, data, limit))
      return changed;
  }
  return LLVMFuzzerMutate(data, size, limit);
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t *first, size_t firstSize, const uint8_t *second,
                                            size_t secondSize, uint8_t *out, size_t limit, unsigned seed) {
  ModelProto model, other;
  if (!model.ParseFromArray(first, int(firstSize)) || !model.has_graph() ||
      !other.ParseFromArray(second, int(secondSize)) || !other.has_graph())
    return 0;
  pith::test::Mutator change = mutator(seed);
  for (unsigned changes = 1 + seed % 3; changes; --changes)
    change.cross(model, other);
  return put(model, out, limit);
}
