//===- Invoke.cpp - running any graph -------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "DataRun.h"
#include "DeviceTensors.h"
#include "Packed.h"
#include "Session.h"

#include <map>
#include <memory>
#include <optional>

namespace pith::runtime {
namespace {

/// The values of symbolic dimensions, and who said so first.
struct Binding {
  int64_t value;
  std::string where;
};
using Bindings = std::map<std::string, Binding>;

std::string describeDim(const Port &port, size_t index) {
  return quoteName(port.name) + " dimension " + std::to_string(index);
}

/// The value of a sum whose names are all bound; false otherwise.
bool evaluate(const Dim &dim, const Bindings &bindings, int64_t &value) {
  if (dim.terms.empty())
    return false;
  value = dim.offset;
  for (const std::string &term : dim.terms) {
    const auto found = bindings.find(term);
    if (found == bindings.end() || __builtin_add_overflow(value, found->second.value, &value))
      return false;
  }
  return true;
}

bool isPlainName(const Dim &dim) { return dim.terms.size() == 1 && dim.offset == 0; }

/// Bytes of a tensor as generated code sees it; false when they do not fit 62 bits.
bool countBytes(pith_type type, const int64_t *dims, size_t rank, uint64_t &bytes) {
  bool empty = false, fits = true;
  bytes = isPacked(type) ? 1 : pith_type_size(type);
  for (size_t i = 0; i < rank; ++i) {
    empty |= dims[i] == 0;
    fits &= !__builtin_mul_overflow(bytes, uint64_t(dims[i]), &bytes) && bytes < (UINT64_C(1) << 62);
  }
  if (empty)
    bytes = 0;
  return fits || empty;
}

/// Puts the caller's tensors into the manifest's order.
Status orderInputs(const Entry &entry, const std::vector<pith_tensor> &given,
                   std::vector<const pith_tensor *> &inputs) {
  inputs.assign(entry.inputs.size(), nullptr);
  for (size_t i = 0; i < given.size(); ++i) {
    size_t index = i;
    if (given[i].name) {
      for (index = 0; index < entry.inputs.size() && entry.inputs[index].name != given[i].name;)
        ++index;
      if (index == entry.inputs.size()) {
        std::string names;
        for (const Port &port : entry.inputs)
          if (names.size() < 200)
            names += (names.empty() ? "" : ", ") + quoteName(port.name);
        return failure(PITH_ERROR_NOT_FOUND, "no input %s; entry %s has %s", quoteName(given[i].name).c_str(),
                       quoteName(entry.name).c_str(), names.empty() ? "no inputs" : names.c_str());
      }
    } else if (index >= entry.inputs.size()) {
      return failure(PITH_ERROR_ARGUMENT, "%zu inputs, expected %zu", given.size(), entry.inputs.size());
    }
    if (inputs[index])
      return failure(PITH_ERROR_ARGUMENT, "input %s is given twice",
                     quoteName(entry.inputs[index].name).c_str());
    inputs[index] = &given[i];
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!inputs[i])
      return failure(PITH_ERROR_ARGUMENT, "input %s is missing (%zu of %zu inputs are given)",
                     quoteName(entry.inputs[i].name).c_str(), given.size(), inputs.size());
  return {};
}

Status checkTensor(const Port &port, const pith_tensor &tensor) {
  const std::string name = quoteName(port.name);
  if (tensor.type != port.type)
    return failure(PITH_ERROR_SHAPE, "input %s has element type %s, expected %s", name.c_str(),
                   pith_type_name(tensor.type), pith_type_name(port.type));
  if (tensor.rank != port.dims.size())
    return failure(PITH_ERROR_SHAPE, "input %s has rank %u, expected %zu", name.c_str(), tensor.rank,
                   port.dims.size());
  if (tensor.rank && !tensor.dims)
    return failure(PITH_ERROR_ARGUMENT, "input %s: dims is null", name.c_str());
  for (uint32_t i = 0; i < tensor.rank; ++i) {
    if (tensor.dims[i] < 0)
      return failure(PITH_ERROR_SHAPE, "input %s is %lld, which is negative", describeDim(port, i).c_str(),
                     (long long)tensor.dims[i]);
    if (port.dims[i].size >= 0 && tensor.dims[i] != port.dims[i].size)
      return failure(PITH_ERROR_SHAPE, "input %s is %lld, expected %lld", describeDim(port, i).c_str(),
                     (long long)tensor.dims[i], (long long)port.dims[i].size);
  }
  uint64_t bytes = 0;
  if (!countBytes(tensor.type, tensor.dims, tensor.rank, bytes))
    return failure(PITH_ERROR_SHAPE, "input %s has more elements than memory can hold", name.c_str());
  if (bytes && !tensor.data)
    return failure(PITH_ERROR_ARGUMENT, "input %s: data is null", name.c_str());
  return {};
}

Status bindNames(const Port &port, const int64_t *dims, Bindings &bindings) {
  for (size_t i = 0; i < port.dims.size(); ++i) {
    const Dim &dim = port.dims[i];
    if (dim.size >= 0 || !isPlainName(dim))
      continue;
    const auto [bound, fresh] = bindings.try_emplace(dim.terms[0], Binding{dims[i], ""});
    if (fresh)
      bound->second.where = describeDim(port, i);
    else if (bound->second.value != dims[i])
      return failure(PITH_ERROR_SHAPE, "input %s (%s) is %lld, expected %lld as in %s",
                     describeDim(port, i).c_str(), dim.symbol.c_str(), (long long)dims[i],
                     (long long)bound->second.value, bound->second.where.c_str());
  }
  return {};
}

Status checkSums(const Port &port, const int64_t *dims, const Bindings &bindings) {
  for (size_t i = 0; i < port.dims.size(); ++i) {
    const Dim &dim = port.dims[i];
    int64_t value = 0;
    if (dim.size < 0 && evaluate(dim, bindings, value) && value != dims[i])
      return failure(PITH_ERROR_SHAPE, "input %s (%s) is %lld, expected %lld", describeDim(port, i).c_str(),
                     dim.symbol.c_str(), (long long)dims[i], (long long)value);
  }
  return {};
}

/// What the code announces must fit what the manifest promises. Sizes that depend on data come later, and may
/// be others than the model's author thought.
Status checkOutput(const Port &port, const int64_t *dims, const Bindings &bindings, bool running) {
  for (size_t i = 0; i < port.dims.size(); ++i) {
    int64_t value = port.dims[i].size;
    const bool known = value >= 0 || (!running && evaluate(port.dims[i], bindings, value));
    if (dims[i] == -1 && port.dims[i].size < 0 && !running)
      continue;
    if (dims[i] < 0 && !known)
      return failure(PITH_ERROR_EXECUTION, "output %s: the inputs lead to a negative size",
                     describeDim(port, i).c_str());
    if (known && dims[i] != value)
      return failure(PITH_ERROR_EXECUTION, "output %s: the code says %lld, the manifest %lld",
                     describeDim(port, i).c_str(), (long long)dims[i], (long long)value);
  }
  return {};
}

} // namespace

Status Session::runInvoke(size_t moduleIndex, size_t index, const std::vector<pith_tensor> &given,
                          Result &result) {
  const Module &module = *modules[moduleIndex];
  const Entry &entry = module.manifest().entries[index];
  std::vector<const pith_tensor *> ordered;
  PITH_TRY(orderInputs(entry, given, ordered));
  Bindings bindings;
  for (size_t i = 0; i < ordered.size(); ++i) {
    PITH_TRY(checkTensor(entry.inputs[i], *ordered[i]));
    PITH_TRY(bindNames(entry.inputs[i], ordered[i]->dims, bindings));
  }
  for (size_t i = 0; i < ordered.size(); ++i)
    PITH_TRY(checkSums(entry.inputs[i], ordered[i]->dims, bindings));

  // Generated code counts on aligned data, a byte or more for each element: copy what is not.
  constexpr uint64_t alignment = 64;
  const auto mustCopy = [&](const pith_tensor &tensor) {
    return (!device && uintptr_t(tensor.data) % alignment) || isPacked(tensor.type);
  };
  uint64_t copyBytes = 0;
  std::vector<pith_exec_tensor> inputs(ordered.size());
  std::vector<uint64_t> sizes(ordered.size());
  for (size_t i = 0; i < ordered.size(); ++i) {
    inputs[i] = {ordered[i]->data, ordered[i]->dims};
    countBytes(ordered[i]->type, ordered[i]->dims, ordered[i]->rank, sizes[i]);
    if (mustCopy(*ordered[i]))
      copyBytes += (sizes[i] + alignment - 1) & ~(alignment - 1);
  }
  PITH_TRY(inputCopies.reserve(copyBytes, "inputs"));
  uint8_t *next = inputCopies.data();
  for (size_t i = 0; i < ordered.size(); ++i)
    if (sizes[i] && mustCopy(*ordered[i])) {
      if (isPacked(ordered[i]->type))
        unpack(ordered[i]->type, static_cast<const uint8_t *>(ordered[i]->data), sizes[i], next);
      else
        std::memcpy(next, ordered[i]->data, sizes[i]);
      inputs[i].data = next;
      next += (sizes[i] + alignment - 1) & ~(alignment - 1);
    }
  std::optional<DeviceTensors> onDevice;
  if (device) {
    onDevice.emplace(*device);
    PITH_TRY(onDevice->upload(inputs, sizes));
  }

  size_t rankSum = 0;
  for (const Port &port : entry.outputs)
    rankSum += port.dims.size();
  std::vector<int64_t> outputDims(rankSum + 1, -1);
  pith_exec_context context{};
  context.weights = device ? device->weights(moduleIndex) : module.weights();
  context.inputs = inputs.data();
  const pith_exec_entry &code = module.code(index);
  if (result.outputs.size() < entry.outputs.size())
    result.outputs.resize(entry.outputs.size());
  std::vector<pith_exec_tensor> outputs(entry.outputs.size());
  auto reserve = [&](size_t i, const int64_t *dims) -> Status {
    const Port &port = entry.outputs[i];
    uint64_t bytes = 0;
    if (!countBytes(port.type, dims, port.dims.size(), bytes))
      return failure(PITH_ERROR_MEMORY, "output %s has more elements than memory can hold",
                     quoteName(port.name).c_str());
    Result::Output &output = result.outputs[i];
    output.dims.assign(dims, dims + port.dims.size());
    PITH_TRY(output.data.reserve(bytes, "an output"));
    outputs[i] = {bytes ? output.data.data() : nullptr, output.dims.data()};
    if (onDevice && bytes)
      PITH_TRY(onDevice->makeOutput(bytes, output.data.data(), outputs[i].data));
    return {};
  };
  const auto give = [&](uint32_t i, const int64_t *found, void *&data) -> Status {
    PITH_TRY(checkOutput(entry.outputs[i], found, bindings, /*running=*/true));
    PITH_TRY(reserve(i, found));
    data = outputs[i].data;
    return {};
  };
  const std::unique_ptr<DataRun> run =
      device ? device->makeRun(moduleIndex, give) : std::make_unique<DataRun>(team->threads(), give);
  PITH_TRY(prepareCode(code, context, outputDims.data(), run.get()));
  const int64_t *dims = outputDims.data();
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Port &port = entry.outputs[i];
    PITH_TRY(checkOutput(port, dims, bindings, /*running=*/false));
    result.outputs[i].port = &port;
    const int64_t *end = dims + port.dims.size();
    if (std::find(dims, end, -1) != end)
      outputs[i] = {nullptr, dims};
    else
      PITH_TRY(reserve(i, dims));
    dims = end;
  }
  context.outputs = outputs.data();
  if (cancelled())
    return failure(PITH_ERROR_CANCELLED, "cancelled before the code ran");
  PITH_TRY(runCode(code, context, run.get()));
  PITH_TRY(run->status());
  if (onDevice)
    PITH_TRY(onDevice->download());
  for (size_t i = 0; i < outputs.size(); ++i)
    if (Result::Output &output = result.outputs[i]; isPacked(output.port->type)) {
      uint64_t count = 0;
      countBytes(output.port->type, output.dims.data(), output.dims.size(), count);
      pack(output.port->type, output.data.data(), count);
    }
  result.outputCount = outputs.size();
  return {};
}

} // namespace pith::runtime
