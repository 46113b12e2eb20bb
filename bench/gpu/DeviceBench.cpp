//===- DeviceBench.cpp - how fast a device computes a model ---------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   pith-bench-device MODEL.pith [-d DEVICE] [-p PROMPT] [-n NEW] [-r REPEATS] [-c CPU.pith] [-j]
//
// Without LLVM, for a machine with a driver and nothing else. A model with a step: prefill of PROMPT tokens
// and decode of NEW ones. One without: its first entry (static shapes), recorded and repeated, so that only
// the device's time counts. All beside the bandwidth of a copy on the same device in the same run. `-c`
// compares a step's logits with those of the same model compiled for the CPU. `-j`: one line of JSON.
//
//===----------------------------------------------------------------------===//
#include "core/Module.h"
#include "device/Device.h"
#include "pith/runtime.hpp"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace rt = pith::runtime;

namespace {

struct Options {
  std::string model, device, compare;
  int prompt = 512, tokens = 64, repeats = 3;
  bool json = false;
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void check(const rt::Status &status) {
  if (!status.ok())
    throw std::runtime_error(status.message());
}

/// Names and numbers, printed as a line of text or of JSON.
class Report {
public:
  void add(const char *name, double value, const char *unit) { figures.push_back({name, unit, value}); }
  void print(const Options &options, const std::string &device) const {
    const std::string name = options.model.substr(options.model.rfind('/') + 1);
    if (!options.json) {
      std::printf("%s on %s:", name.c_str(), device.c_str());
      for (const Figure &f : figures)
        std::printf("  %s %.4g %s", f.name, f.value, f.unit);
      std::printf("\n");
      return;
    }
    std::printf("{\"model\": \"%s\", \"device\": \"%s\"", name.c_str(), device.c_str());
    for (const Figure &f : figures)
      std::printf(", \"%s (%s)\": %.6g", f.name, f.unit, f.value);
    std::printf("}\n");
  }

private:
  struct Figure {
    const char *name, *unit;
    double value;
  };
  std::vector<Figure> figures;
};

class Bench {
public:
  explicit Bench(const Options &options) : options(options) {}

  void run() {
    check(rt::Module::load(options.model, 0, module));
    const pith_exec_table *table = module->deviceTable();
    if (!table || !table->image_count)
      throw std::runtime_error(options.model + ": no code for a device");
    rt::device::Kind kind;
    unsigned ordinal = 0;
    if (!options.device.empty())
      check(rt::device::parseName(options.device, kind, ordinal));
    else if (!rt::device::kindOfImage(table->images[0].format, kind))
      throw std::runtime_error(options.model + ": an image of an unknown format");
    check(rt::device::Device::open(kind, ordinal, device));
    check(device->makeStream(nullptr, stream));
    copyBandwidth();
    if (module->stepEntry())
      steps();
    else
      kernel();
    report.print(options, device->description());
  }

private:
  void *allocate(uint64_t bytes) {
    void *memory = nullptr;
    check(device->memory().allocate(std::max<uint64_t>(bytes, 64), "a buffer", memory));
    check(stream->fill(memory, 0, std::max<uint64_t>(bytes, 64)));
    return memory;
  }

  /// Bytes read and written per second: the best of several.
  void copyBandwidth() {
    const uint64_t bytes = kindIsEmulator() ? 1 << 22 : 1 << 29;
    void *from = allocate(bytes), *to = allocate(bytes);
    check(stream->synchronize());
    double best = 0;
    for (int i = 0; i < 5; ++i) {
      const int copies = 8;
      const double start = now();
      for (int j = 0; j < copies; ++j)
        check(stream->copy(to, from, bytes));
      check(stream->synchronize());
      best = std::max(best, 2.0 * bytes * copies / (now() - start));
    }
    bandwidth = best;
    report.add("copy", best / 1e9, "GB/s");
    device->memory().release(from);
    device->memory().release(to);
  }
  bool kindIsEmulator() const { return device->kind() == rt::device::Kind::Emulator; }

  std::vector<int32_t> tokens(size_t count, uint32_t vocab) const {
    std::vector<int32_t> result;
    uint64_t state = 88172645463325252;
    for (size_t i = 0; i < count; ++i) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      result.push_back(int32_t(state % vocab));
    }
    return result;
  }

  void steps() {
    const uint32_t vocab = module->stepEntry()->vocab;
    const std::vector<int32_t> prompt = tokens(size_t(options.prompt), vocab);
    pith::Module loaded(options.model);
    pith_session_options how = PITH_INIT(pith_session_options);
    how.device = options.device.empty() ? nullptr : options.device.c_str();
    const double beginning = now();
    pith::Session session(loaded, how);
    report.add("load", (now() - beginning) * 1e3, "ms");
    double prefill = 1e30, decode = 1e30;
    pith::Result result(session);
    for (int repeat = 0; repeat < options.repeats + 1; ++repeat) {
      pith::Sequence sequence(session);
      double start = now();
      session.step({{sequence, prompt}}, result);
      prefill = std::min(prefill, now() - start);
      std::vector<int32_t> next{0};
      session.step({{sequence, next}}, result); // the first has to record its launches
      start = now();
      for (int i = 0; i < options.tokens; ++i)
        session.step({{sequence, next}}, result);
      decode = std::min(decode, (now() - start) / options.tokens);
    }
    const double read = double(module->weightsSize()) + double(module->manifest().state.pageBytes) /
                                                            module->manifest().state.pageTokens *
                                                            (options.prompt + options.tokens / 2);
    report.add("prefill", options.prompt / prefill, "tokens/s");
    report.add("decode", 1 / decode, "tokens/s");
    report.add("decode share of the bandwidth", read / decode / bandwidth, "");
    if (!options.compare.empty())
      compare(prompt, session);
  }

  /// The largest difference of a logit, relative to the largest logit.
  void compare(const std::vector<int32_t> &prompt, pith::Session &session) {
    pith::Module other(options.compare);
    pith::Session reference(other);
    double worst = 0, largest = 0;
    pith::Sequence here(session), there(reference);
    pith::Result found(session), expected(reference);
    auto both = [&](const std::vector<int32_t> &next) {
      session.step({{here, next}}, found);
      reference.step({{there, next}}, expected);
      const float *a = found.logits(0), *b = expected.logits(0);
      for (size_t i = 0; i < module->stepEntry()->vocab; ++i) {
        largest = std::max<double>(largest, std::fabs(b[i]));
        worst = std::max<double>(worst, std::isfinite(a[i]) ? std::fabs(a[i] - b[i]) : 1e30);
      }
    };
    both(prompt);
    for (int i = 0; i < 8; ++i)
      both({int32_t(i * 7 % module->stepEntry()->vocab)});
    report.add("difference from the CPU", worst / std::max(largest, 1e-30), "of the largest logit");
    if (!(worst <= 2e-2 * largest))
      throw std::runtime_error("logits differ from the CPU's by " + std::to_string(worst) +
                               " where the largest is " + std::to_string(largest));
  }

  /// One call of the code while launches are recorded.
  struct Call {
    pith_exec_context context{};
    Bench *bench;
    std::string error;
  };
  static void launch(const pith_exec_context *context, uint32_t number, const uint32_t *grid,
                     void *const *arguments) {
    Call &call = *static_cast<Call *>(context->run);
    const rt::Status status = call.bench->stream->launch(*call.bench->kernels, number, grid, arguments);
    if (!status.ok() && call.error.empty())
      call.error = status.message();
  }

  void kernel() {
    check(device->load(*module->deviceTable(), kernels));
    void *weights = allocate(module->weightsSize());
    check(stream->upload(weights, module->weights(), module->weightsSize()));
    const rt::Entry &entry = module->manifest().entries[0];
    std::vector<std::vector<int64_t>> dims;
    std::vector<pith_exec_tensor> inputs, outputs;
    uint64_t bytes = 0;
    auto tensor = [&](const rt::Port &port, std::vector<pith_exec_tensor> &list) {
      uint64_t size = pith_type_bits(port.type) / 8;
      for (int64_t dim : port.sizes) {
        if (dim < 0)
          throw std::runtime_error(entry.name + ": '" + port.name + "' has a dynamic dimension");
        size *= uint64_t(dim);
      }
      bytes += size;
      list.push_back({allocate(size), port.sizes.data()});
    };
    for (const rt::Port &port : entry.inputs)
      tensor(port, inputs);
    for (const rt::Port &port : entry.outputs)
      tensor(port, outputs);
    Call call;
    call.bench = this;
    call.context.struct_size = sizeof(pith_exec_context);
    call.context.threads = 1;
    call.context.weights = static_cast<const uint8_t *>(weights);
    call.context.inputs = inputs.data();
    call.context.outputs = outputs.data();
    call.context.flags = kernels->features();
    call.context.launch = launch;
    call.context.run = &call;
    const pith_exec_entry &code = module->code(0);
    std::vector<int64_t> sizes(64);
    const int64_t workspace = code.prepare(&call.context, sizes.data());
    call.context.workspace = static_cast<uint8_t *>(allocate(uint64_t(std::max<int64_t>(workspace, 0))));
    code.run(&call.context, 0); // warm
    check(stream->synchronize());
    const int inside = 20;
    std::unique_ptr<rt::device::Recording> recording;
    check(stream->beginRecording());
    for (int i = 0; i < inside; ++i)
      code.run(&call.context, 0);
    check(stream->endRecording(recording));
    if (!call.error.empty())
      throw std::runtime_error(call.error);
    double best = 1e30;
    for (int i = 0; i < options.repeats + 1; ++i) {
      const double start = now();
      for (int j = 0; j < 5; ++j)
        check(stream->replay(*recording));
      check(stream->synchronize());
      best = std::min(best, (now() - start) / (5 * inside));
    }
    bytes += module->weightsSize();
    report.add("time", best * 1e6, "us");
    report.add("bytes per second", bytes / best / 1e9, "GB/s");
    report.add("share of the bandwidth", bytes / best / bandwidth, "");
    const std::vector<int64_t> &in = entry.inputs[0].sizes, &out = entry.outputs[0].sizes;
    if (in.size() == 2 && out.size() == 2)
      report.add("products", 2.0 * double(in[0]) * double(in[1]) * double(out[1]) / best / 1e12, "Tflop/s");
    if (in.size() == 3 && entry.inputs.size() == 3) // make-kit's attention, where each token sees half of all
      report.add("products", 2.0 * double(in[1]) * double(in[1]) * double(in[2]) / best / 1e12, "Tflop/s");
  }

  const Options &options;
  Report report;
  std::shared_ptr<const rt::Module> module;
  std::shared_ptr<rt::device::Device> device;
  std::unique_ptr<rt::device::Stream> stream;
  std::unique_ptr<rt::device::Kernels> kernels;
  double bandwidth = 1;
};

bool parse(int argc, char **argv, Options &options) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool takesValue = argument.size() == 2 && argument[0] == '-' && std::strchr("dpnrc", argument[1]);
    if (takesValue && i + 1 == argc)
      return false;
    if (argument == "-d")
      options.device = argv[++i];
    else if (argument == "-p")
      options.prompt = std::atoi(argv[++i]);
    else if (argument == "-n")
      options.tokens = std::atoi(argv[++i]);
    else if (argument == "-r")
      options.repeats = std::atoi(argv[++i]);
    else if (argument == "-c")
      options.compare = argv[++i];
    else if (argument == "-j")
      options.json = true;
    else if (argument[0] == '-' || !options.model.empty())
      return false;
    else
      options.model = argument;
  }
  return !options.model.empty() && options.prompt > 0 && options.tokens > 0 && options.repeats > 0;
}

} // namespace

int main(int argc, char **argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr, "usage: pith-bench-device MODEL.pith [-d DEVICE] [-p PROMPT] [-n NEW] [-r REPEATS] "
                         "[-c CPU.pith] [-j]\n");
    return 2;
  }
  try {
    Bench(options).run();
  } catch (const std::exception &error) {
    std::fprintf(stderr, "pith-bench-device: %s\n", error.what());
    return 1;
  }
  return 0;
}
