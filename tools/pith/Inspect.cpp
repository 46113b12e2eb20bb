//===- Inspect.cpp - pith inspect -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Reads a .pith file as data: the trailer, the manifest, the ELF sections. No code of it is mapped, let alone run.
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "Layout.h"
#include "core/File.h"
#include "core/Manifest.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Object/ELF.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <map>

using namespace llvm;
using namespace pith::tool;
namespace rt = pith::runtime;

static cl::SubCommand sub("inspect", "show what is in a .pith file, without running any of it");
static cl::opt<std::string> path(cl::Positional, cl::Required, cl::sub(sub), cl::desc("<model.pith>"));
static cl::opt<bool> verify("verify", cl::sub(sub), cl::desc("check all checksums (the weights' too) and bounds"));
static cl::opt<bool> listWeights("weights", cl::sub(sub), cl::desc("list every packed weight"));
static cl::opt<std::string> layoutOf("layout", cl::sub(sub), cl::desc("explain how a weight (@name) is packed"));
static cl::opt<bool> asJson("json", cl::sub(sub), cl::desc("print JSON"));

namespace {

struct Section {
  std::string name;
  uint64_t offset, size;
};

class Inspection {
public:
  bool read();
  bool checkBounds() const;
  bool printLayout(StringRef name) const;
  void print() const;
  void printJson() const;

private:
  bool wrong(const Twine &message) const {
    errs() << "pith: " << path << ": " << message << "\n";
    return false;
  }
  bool readSections();
  bool readWeights();
  void printEntries() const;
  void printWeights() const;

  rt::File file;
  rt::Manifest manifest;
  json::Value text = nullptr;
  std::vector<Weight> weights;
  std::vector<Section> sections;
};

bool fail(const rt::Status &status) {
  errs() << "pith: ";
  if (!StringRef(status.message()).starts_with(path))
    errs() << path << ": ";
  errs() << status.message() << "\n";
  return false;
}

} // namespace

bool Inspection::read() {
  if (rt::Status status = file.open(path); !status.ok())
    return fail(status);
  if (rt::Status status = rt::parseManifest(file.manifestText(), manifest); !status.ok())
    return fail(status);
  Expected<json::Value> parsed = json::parse(file.manifestText());
  if (!parsed)
    return wrong("manifest: " + toString(parsed.takeError()));
  text = std::move(*parsed);
  if (!readWeights() || !readSections())
    return false;
  if (verify) {
    if (rt::Status status = file.verifyWeights(); !status.ok())
      return fail(status);
    return checkBounds();
  }
  return true;
}

bool Inspection::readWeights() {
  const json::Array *list = text.getAsObject()->getArray("weights");
  for (const json::Value &value : list ? *list : json::Array()) {
    Weight weight;
    const json::Object *object = value.getAsObject();
    if (!object || !weight.read(*object))
      return wrong(formatv("manifest: weights[{0}] is not a packed weight", weights.size()));
    weights.push_back(std::move(weight));
  }
  llvm::stable_sort(weights, [](const Weight &a, const Weight &b) { return a.offset < b.offset; });
  return true;
}

bool Inspection::readSections() {
  auto buffer = MemoryBuffer::getFileSlice(path, file.trailer().elf_size, 0);
  if (!buffer)
    return wrong(buffer.getError().message());
  using Elf = object::ELF64LE;
  Expected<object::ELFFile<Elf>> elf = object::ELFFile<Elf>::create((*buffer)->getBuffer());
  Expected<Elf::ShdrRange> headers = elf ? elf->sections() : elf.takeError();
  if (!headers)
    return wrong("code: " + toString(headers.takeError()));
  for (const Elf::Shdr &header : *headers) {
    Expected<StringRef> name = elf->getSectionName(header);
    if (!name)
      return wrong("code: " + toString(name.takeError()));
    if (!name->empty())
      sections.push_back({name->str(), header.sh_offset, header.sh_size});
    bool inFile = header.sh_type != ELF::SHT_NOBITS;
    uint64_t size = file.trailer().elf_size;
    if (inFile && (header.sh_offset > size || header.sh_size > size - header.sh_offset))
      return wrong("code: section '" + *name + "' lies outside of it");
  }
  return true;
}

bool Inspection::checkBounds() const {
  uint64_t end = 0;
  for (const Weight &weight : weights) {
    std::string where = formatv("weight '@{0}' at {1}, {2} bytes", weight.name, weight.offset, weight.size).str();
    if (weight.offset % 64)
      return wrong(where + ": expected a multiple of 64");
    if (weight.offset < end)
      return wrong(where + ": overlaps the one before it, which ends at " + Twine(end));
    uint64_t room = file.trailer().weights_size;
    if (weight.offset > room || weight.size > room - weight.offset)
      return wrong(where + ": the section has " + Twine(room));
    if (std::string problem = weight.check(); !problem.empty())
      return wrong(where + ": " + problem);
    end = weight.offset + weight.size;
  }
  return true;
}

static std::string describe(const rt::Port &port) {
  std::string dims;
  for (const rt::Dim &dim : port.dims)
    dims += (dims.empty() ? "" : ", ") + (dim.size >= 0 ? std::to_string(dim.size) : dim.symbol);
  return port.name + " " + pith_type_name(port.type) + "[" + dims + "]";
}

static std::string bytes(uint64_t count) {
  if (count < 10000)
    return formatv("{0} bytes", count).str();
  return formatv("{0} bytes ({1:F1} MB)", count, double(count) / 1e6).str();
}

void Inspection::printEntries() const {
  for (const rt::Entry &entry : manifest.entries) {
    if (entry.kind == PITH_ENTRY_STEP) {
      outs() << "entry    @" << entry.name << " (step): vocabulary " << entry.vocab << ", at most " << entry.maxRows
             << " rows at once\n";
      continue;
    }
    if (entry.kind == PITH_ENTRY_CONDITION) {
      outs() << "entry    @" << entry.name << " (condition): at most " << entry.maxRows << " rows at once of "
             << describe(entry.inputs[0]) << "\n";
      continue;
    }
    outs() << "entry    @" << entry.name << " (invoke)\n";
    for (const rt::Port &port : entry.inputs)
      outs() << "  input  " << describe(port) << "\n";
    for (const rt::Port &port : entry.outputs)
      outs() << "  output " << describe(port) << "\n";
  }
  if (manifest.stepEntry >= 0) {
    const rt::StateLayout &state = manifest.state;
    outs() << "state    pages of " << state.pageTokens << " tokens, " << bytes(state.pageBytes) << " each, "
           << state.pageBytes / state.pageTokens << " a token; positions "
           << (state.positions ? std::to_string(state.positions) : "without limit") << "\n";
    if (state.conditionPageBytes)
      outs() << "         pages of " << state.pageTokens << " rows of a condition, " << bytes(state.conditionPageBytes)
             << " each\n";
  }
}

void Inspection::printWeights() const {
  struct Sum {
    size_t pieces = 0;
    uint64_t bytes = 0;
  };
  std::map<std::string, Sum> byFormat;
  for (const Weight &weight : weights) {
    Sum &sum = byFormat[weight.kind + " " + weight.format];
    ++sum.pieces;
    sum.bytes += weight.size;
  }
  outs() << "weights  " << weights.size() << " pieces, " << bytes(file.trailer().weights_size) << "\n";
  for (const auto &[format, sum] : byFormat)
    outs() << "  " << left_justify(format, 16) << " " << sum.pieces << " pieces, " << bytes(sum.bytes) << "\n";
  if (!listWeights)
    return;
  for (const Weight &weight : weights)
    outs() << formatv("  {0,12} {1,12}  {2,-14} @{3} {4}\n", weight.offset, weight.size,
                      weight.kind + " " + weight.format, weight.name, weight.shape());
}

void Inspection::print() const {
  const pith_file_trailer &end = file.trailer();
  outs() << "file     format " << end.version << ", by " << manifest.producer << "\n"
         << "target   " << manifest.arch << ", " << manifest.cpu << ": " << join(manifest.features, " ") << "\n";
  if (!manifest.device.empty())
    outs() << "device   " << manifest.device << "\n";
  printEntries();
  printWeights();
  outs() << formatv("parts    code 0..{0}, weights {1}..{2}, manifest {3}..{4}\n", end.elf_size, end.weights_offset,
                    end.weights_offset + end.weights_size, end.manifest_offset, end.manifest_offset + end.manifest_size);
  for (const Section &section : sections)
    outs() << formatv("section  {0,-14} {1,10} at {2}\n", section.name, section.size, section.offset);
  outs() << "checked  trailer, manifest, code" << (verify ? ", weights, bounds of every piece" : "") << "\n";
}

void Inspection::printJson() const {
  const pith_file_trailer &end = file.trailer();
  json::Array list;
  for (const Section &section : sections)
    list.push_back(json::Object{{"name", section.name}, {"offset", section.offset}, {"size", section.size}});
  json::Object all{{"format", end.version},
                   {"code", json::Object{{"size", end.elf_size}, {"sections", std::move(list)}}},
                   {"weights", json::Object{{"offset", end.weights_offset}, {"size", end.weights_size}}},
                   {"weights_verified", bool(verify)},
                   {"manifest", text}};
  outs() << formatv("{0:2}", json::Value(std::move(all))) << "\n";
}

bool Inspection::printLayout(StringRef name) const {
  name.consume_front("@");
  for (const Weight &weight : weights)
    if (weight.name == name || is_contained(weight.sources, name)) {
      weight.explain(outs());
      return true;
    }
  return wrong("no weight '@" + name + "'; --weights lists them");
}

static int run() {
  Inspection inspection;
  if (!inspection.read())
    return 1;
  if (!layoutOf.empty())
    return inspection.printLayout(layoutOf) ? 0 : 1;
  if (asJson)
    inspection.printJson();
  else
    inspection.print();
  return 0;
}

Command pith::tool::inspectCommand{sub, run};
