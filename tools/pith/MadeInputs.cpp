//===- MadeInputs.cpp - inputs for a graph that nobody gave any -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MadeInputs.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include <cstring>

using namespace llvm;
using namespace pith::tool;

using Sizes = StringMap<int64_t>;

/// A dimension that is a name or a sum of names and numbers.
static int64_t sizeOf(StringRef symbol, Sizes &known) {
  int64_t total = 0;
  SmallVector<StringRef> terms;
  symbol.split(terms, '+');
  for (StringRef term : terms) {
    term = term.trim();
    int64_t number;
    if (!term.getAsInteger(10, number)) {
      total += number;
      continue;
    }
    total += known.try_emplace(term, term.contains("batch") ? 1 : 8).first->second;
  }
  return total;
}

template <typename T>
static void put(Tensor &tensor, T value) {
  const char *bytes = reinterpret_cast<const char *>(&value);
  tensor.bytes.insert(tensor.bytes.end(), bytes, bytes + sizeof value);
}

static void putFloat(Tensor &tensor, pith_type type, float number) {
  if (type == PITH_F64)
    return put(tensor, double(number));
  if (type == PITH_F32)
    return put(tensor, number);
  APFloat value(number);
  bool lost;
  value.convert(type == PITH_F16 ? APFloat::IEEEhalf() : APFloat::BFloat(), APFloat::rmNearestTiesToEven, &lost);
  put(tensor, uint16_t(value.bitcastToAPInt().getZExtValue()));
}

static void fill(Tensor &tensor) {
  StringRef name = tensor.name;
  bool mask = name.contains("mask"), positions = name.contains("position");
  int64_t row = tensor.dims.empty() ? 1 : std::max<int64_t>(tensor.dims.back(), 1);
  uint32_t random = 12345;
  for (char c : name)
    random = random * 31 + uint8_t(c);
  for (int64_t i = 0, count = tensor.elements(); i < count; ++i) {
    random = random * 1664525 + 1013904223;
    if (tensor.type >= PITH_F32 && tensor.type <= PITH_F64) {
      putFloat(tensor, tensor.type, mask ? 0 : float(int32_t(random)) / 2147483648.0f);
      continue;
    }
    uint64_t value = tensor.type == PITH_BOOL || mask ? 1 : positions ? i % row : (random >> 16) % 16;
    tensor.bytes.insert(tensor.bytes.end(), reinterpret_cast<const char *>(&value),
                        reinterpret_cast<const char *>(&value) + pith_type_size(tensor.type));
  }
}

bool pith::tool::makeInputs(const pith_module *module, ArrayRef<std::string> sizes, std::vector<Tensor> &inputs,
                            std::string &error) {
  Sizes known;
  for (StringRef text : sizes) {
    auto [name, number] = text.split('=');
    int64_t size;
    if (number.getAsInteger(10, size) || size < 0) {
      error = ("--size: expected NAME=NUMBER, found '" + text + "'").str();
      return false;
    }
    known[name] = size;
  }
  pith_error problem = PITH_INIT(pith_error);
  for (size_t entry = 0; entry < pith_module_entry_count(module); ++entry) {
    pith_entry_info info = PITH_INIT(pith_entry_info);
    if (pith_module_entry(module, entry, &info, &problem) || info.kind != PITH_ENTRY_INVOKE)
      continue;
    std::vector<pith_port_info> ports(info.input_count, PITH_INIT(pith_port_info));
    auto givenFor = [&](const pith_port_info &port) {
      return find_if(inputs, [&](const Tensor &tensor) { return tensor.name == port.name; });
    };
    for (size_t i = 0; i < ports.size(); ++i) {
      if (pith_module_input(module, entry, i, &ports[i], &problem)) {
        error = problem.message;
        return false;
      }
      auto given = givenFor(ports[i]);
      for (size_t d = 0; given != inputs.end() && d < std::min<size_t>(ports[i].rank, given->dims.size()); ++d)
        if (ports[i].symbols[d] && !StringRef(ports[i].symbols[d]).contains('+'))
          known[ports[i].symbols[d]] = given->dims[d];
    }
    for (const pith_port_info &port : ports) {
      if (givenFor(port) != inputs.end())
        continue;
      Tensor tensor;
      tensor.name = port.name;
      tensor.type = port.type;
      for (size_t d = 0; d < port.rank; ++d)
        tensor.dims.push_back(port.symbols[d] ? sizeOf(port.symbols[d], known) : port.dims[d]);
      fill(tensor);
      inputs.push_back(std::move(tensor));
    }
  }
  return true;
}
