//===- LinearBench.cpp - linear kernels against the machine's limits ------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   pith-bench-linear [--cpu=host] [--threads=N] [--repeat=N] [--k=N] [--n=N] [--rows=N] [--filter=TEXT]
//   [--asm]
//
// Decode (one to four rows) is compared with reading the same bytes, prefill with multiply-adds in registers.
// The kernel and its probe take turns, so that both see the same neighbours; medians are compared, and the
// best of each.
//
//===----------------------------------------------------------------------===//
#include "KernelHarness.h"
#include "Probes.h"
#include "llvm/ADT/StringRef.h"
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <sys/mman.h>

using namespace pith;
using namespace pith::cpu;
using namespace pith::test;

namespace {
struct Options {
  std::string cpu = "host", filter;
  uint32_t threads = std::max(1u, std::thread::hardware_concurrency());
  int64_t repeat = 9, k = 2048, n = 8192, rows = 512;
  bool assembly = false;
};

struct Format {
  const char *name;
  WeightFormat format;
  int64_t block;
  bool int8Activations;
};

const Format formats[] = {
    {"f32", WeightFormat::F32, 0, false},
    {"f16", WeightFormat::F16, 0, false},
    {"bf16", WeightFormat::BF16, 0, false},
    {"int8-128", WeightFormat::Int8, 128, false},
    {"int8-128-balanced", WeightFormat::Int8, 128, true},
    {"int4-32", WeightFormat::Int4, 32, false},
    {"int4-32-balanced", WeightFormat::Int4, 32, true},
    {"int4-128-balanced", WeightFormat::Int4, 128, true},
};

/// Zeroed memory in large pages where the system gives them.
class Memory {
public:
  explicit Memory(size_t bytes) : bytes((bytes + (4 << 20)) >> 21 << 21) {
    data = static_cast<uint8_t *>(
        mmap(nullptr, this->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (data == MAP_FAILED) {
      fprintf(stderr, "no memory: %zu bytes\n", bytes);
      std::exit(1);
    }
    madvise(data, this->bytes, MADV_HUGEPAGE);
  }
  ~Memory() { munmap(data, bytes); }
  uint8_t *data;

private:
  size_t bytes;
};

template <typename Function>
double seconds(Function function) {
  auto start = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Rates {
  std::vector<double> values;
  double median() {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }
  double best() { return *std::max_element(values.begin(), values.end()); }
};

class Bench {
public:
  Bench(const Options &options, const Machine &machine)
      : options(options), machine(machine), team(options.threads) {}

  void run(const Format &format, int64_t rows) {
    LinearSpec spec;
    spec.layout = {format.format, options.n, options.k, format.block};
    spec.int8Activations = format.int8Activations;
    std::string label = std::string(format.name) + " rows " + std::to_string(rows);
    if (label.find(options.filter) == std::string::npos)
      return;
    KernelHarness harness(machine);
    std::string name = getOrCreateLinear(*harness.module, machine, spec).getName().str();
    if (options.assembly) {
      fputs(harness.assembly().c_str(), stdout);
      return;
    }
    std::string error;
    double compile = seconds([&] { error = harness.compile(); });
    if (!error.empty()) {
      fprintf(stderr, "%s: %s\n", name.c_str(), error.c_str());
      std::exit(1);
    }
    rows <= 4 ? decode(harness, spec, name, label, rows) : prefill(harness, spec, name, label, rows);
    printf("  compiled in %.2f s\n", compile);
    fflush(stdout);
  }

private:
  void fill(uint8_t *data, const LinearLayout &layout, int64_t copies) {
    std::mt19937 random(1);
    int64_t count = layout.n * layout.k;
    std::vector<uint8_t> bytes(size_t(count) * 4);
    bool integers = layout.format == WeightFormat::Int4 || layout.format == WeightFormat::Int8;
    WeightView view;
    view.format = integers ? layout.format : WeightFormat::F32;
    view.n = layout.n;
    view.k = layout.k;
    view.block = layout.block;
    view.data = bytes.data();
    std::vector<float> scales(size_t(count / std::max<int64_t>(layout.block, 1)), 0.01f);
    view.scales = scales.data();
    if (integers)
      for (uint8_t &byte : bytes)
        byte = uint8_t(random());
    else
      for (int64_t i = 0; i < count; ++i)
        reinterpret_cast<float *>(bytes.data())[i] = float(int32_t(random())) * 0x1p-31f;
    packLinear(layout, view, 0, layout.sizeBytes() / layout.panelBytes(), data);
    for (int64_t i = 1; i < copies; ++i)
      std::copy_n(data, layout.sizeBytes(), data + i * layout.sizeBytes());
  }

  void decode(KernelHarness &harness, const LinearSpec &spec, const std::string &name,
              const std::string &label, int64_t rows) {
    int64_t size = spec.layout.sizeBytes(), copies = std::max<int64_t>(1, ((256 << 20) + size - 1) / size),
            total = size * copies;
    Memory weights(size_t(total) + 65536);
    fill(weights.data, spec.layout, copies);
    Buffer<float> x(rows * options.k), out(rows * options.n);
    std::fill(x.begin(), x.end(), 0.5f);
    LinearSpec::Scratch bound = linearScratch(machine, spec);
    Buffer<uint8_t> scratch(bound.perRow * rows + bound.fixed);
    auto kernel = reinterpret_cast<void (*)(const pith_exec_context *, uint32_t, const void *, const void *,
                                            void *, void *, int64_t)>(harness.symbol(name));
    Rates limit, rate;
    for (int64_t i = 0; i < options.repeat + 1; ++i) {
      double read = seconds([&] {
        team.run([&](const pith_exec_context *, uint32_t thread) {
          int64_t share = total / options.threads / 512 * 512;
          sink += bench::readMemory(weights.data + thread * share, share);
        });
      });
      double time = seconds([&] {
        team.run([&](const pith_exec_context *context, uint32_t thread) {
          for (int64_t copy = 0; copy < copies; ++copy) {
            kernel(context, thread, x.data(), weights.data + copy * size, out.data(), scratch.data(), rows);
            context->barrier(context->team, thread);
          }
        });
      });
      if (i == 0)
        continue;
      limit.values.push_back(double(total) * 1e-9 / read);
      rate.values.push_back(double(total) * 1e-9 / time);
    }
    report(label, "GB/s", rate, limit);
  }

  void prefill(KernelHarness &harness, const LinearSpec &spec, const std::string &name,
               const std::string &label, int64_t rows) {
    Memory weights(size_t(spec.layout.sizeBytes()) + 65536);
    fill(weights.data, spec.layout, 1);
    Buffer<float> x(rows * options.k), out(rows * options.n);
    std::fill(x.begin(), x.end(), 0.5f);
    LinearSpec::Scratch bound = linearScratch(machine, spec);
    Memory scratch(size_t(bound.perRow * rows + bound.fixed));
    Rates limit, rate;
    double operations = 2e-9 * double(rows) * double(options.k) * double(options.n);
    for (int64_t i = 0; i < options.repeat + 1; ++i) {
      int64_t done = 0;
      double peak = seconds([&] {
        team.run([&](const pith_exec_context *, uint32_t thread) {
          int64_t mine =
              spec.int8Activations ? bench::multiplyAddBytes(2000000) : bench::multiplyAddFloats(2000000);
          if (thread == 0)
            done = mine;
        });
      });
      double time = seconds(
          [&] { harness.call(team, name, x.data(), weights.data, out.data(), scratch.data, int64_t(rows)); });
      if (i == 0)
        continue;
      limit.values.push_back(2e-9 * double(done) * options.threads / peak);
      rate.values.push_back(operations / time);
    }
    report(label, "Gop/s", rate, limit);
  }

  void report(const std::string &label, const char *unit, Rates &rate, Rates &limit) {
    printf("%-28s %8.1f %s (best %8.1f)   limit %8.1f (best %8.1f)   share %.2f (best %.2f)", label.c_str(),
           rate.median(), unit, rate.best(), limit.median(), limit.best(), rate.median() / limit.median(),
           rate.best() / limit.best());
  }

  const Options &options;
  const Machine &machine;
  Team team;
  std::atomic<uint64_t> sink{0};
};
} // namespace

int main(int argc, char **argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    llvm::StringRef argument(argv[i]);
    auto number = [&](llvm::StringRef name, auto &value) {
      return argument.consume_front(name) && !argument.getAsInteger(10, value);
    };
    if (argument == "--asm")
      options.assembly = true;
    else if (argument.consume_front("--cpu="))
      options.cpu = argument.str();
    else if (argument.consume_front("--filter="))
      options.filter = argument.str();
    else if (!number("--threads=", options.threads) && !number("--repeat=", options.repeat) &&
             !number("--k=", options.k) && !number("--n=", options.n) && !number("--rows=", options.rows)) {
      fprintf(stderr, "unknown option '%s'\n", argv[i]);
      return 1;
    }
  }
  std::optional<Machine> machine = Machine::fromName(options.cpu);
  if (!machine || options.threads == 0 || options.repeat < 1 || options.k < 1 || options.n < 1 ||
      options.rows < 1) {
    fprintf(stderr, "unknown CPU '%s', or a number that is not positive\n", options.cpu.c_str());
    return 1;
  }
  printf("%s, %u threads, K = %lld, N = %lld, median of %lld\n", machine->cpu.c_str(), options.threads,
         (long long)options.k, (long long)options.n, (long long)options.repeat);
  Bench bench(options, *machine);
  for (int64_t rows : {int64_t(1), int64_t(4), options.rows})
    for (const Format &format : formats)
      bench.run(format, rows);
  return 0;
}
