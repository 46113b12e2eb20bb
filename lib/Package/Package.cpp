//===- Package.cpp - writes the .pith file --------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "pith/Package/Package.h"
#include "EmbeddedObject.h"
#include "WeightWriter.h"
#include "pith/Target/X86/Target.h"
#include "pith/file.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace llvm;
using namespace pith;

/// Features whose instructions the code generator chooses by itself. Others (encryption, system instructions)
/// are used by no code of ours, and a machine without them must not be refused.
static bool mayBeUsed(StringRef feature) {
  static const StringSet<> used = {
      "sse3",         "ssse3",      "sse4.1",      "sse4.2",     "popcnt",       "lzcnt",
      "movbe",        "bmi",        "bmi2",        "avx",        "avx2",         "fma",
      "f16c",         "gfni",       "avxvnni",     "avxifma",    "avxvnniint8",  "avxvnniint16",
      "avxneconvert", "avx512f",    "avx512cd",    "avx512bw",   "avx512dq",     "avx512vl",
      "avx512ifma",   "avx512vbmi", "avx512vbmi2", "avx512vnni", "avx512bitalg", "avx512vpopcntdq",
      "avx512bf16",   "avx512fp16"};
  return used.contains(feature);
}

static json::Object describeTarget(const cpu::Machine &machine, StringRef device) {
  json::Array features;
  SmallVector<StringRef> all;
  StringRef(machine.features).split(all, ',', -1, /*KeepEmpty=*/false);
  for (StringRef feature : all)
    if (feature.consume_front("+") && mayBeUsed(feature))
      features.push_back(feature);
  json::Object target{{"arch", "x86_64"}, {"cpu", machine.cpu}, {"features", std::move(features)}};
  if (device != "cpu")
    target["device"] = device;
  return target;
}

static Expected<std::string> finishManifest(const PackageContents &contents, const cpu::Machine &machine) {
  Expected<json::Value> manifest = json::parse(contents.manifest);
  if (!manifest)
    return manifest.takeError();
  (*manifest->getAsObject())["target"] = describeTarget(machine, contents.device);
  return formatv("{0}", *manifest).str();
}

Error pith::packageFile(PackageContents &contents, ArrayRef<char> code, const cpu::Machine &machine,
                        StringRef path) {
  Expected<std::string> manifest = finishManifest(contents, machine);
  if (!manifest)
    return manifest.takeError();
  const std::string &text = *manifest;
  Expected<mlir::SmallVector<PackedOp>> packed = packedInOrder(*contents.weights);
  if (!packed)
    return packed.takeError();

  OutputFile file(path);
  if (Error error = file.check())
    return error;
  if (Error error = x86::linkShared(code, file.temporaryPath()))
    return error;
  if (Error error = file.open())
    return error;
  pith_file_trailer trailer = {};
  trailer.elf_size = file.position();
  {
    ErrorOr<std::unique_ptr<MemoryBuffer>> elf =
        MemoryBuffer::getFile(file.temporaryPath(), /*IsText=*/false, /*RequiresNullTerminator=*/false);
    if (!elf)
      return createStringError(elf.getError(), "cannot read back '" + file.temporaryPath() +
                                                   "': " + elf.getError().message());
    trailer.elf_checksum =
        pith_file_checksum(PITH_FILE_CHECKSUM_SEED, (*elf)->getBufferStart(), (*elf)->getBufferSize());
  }
  trailer.weights_offset = alignTo(trailer.elf_size, PITH_FILE_WEIGHT_ALIGNMENT);
  trailer.weights_size = sectionSize(*packed);
  trailer.manifest_offset = trailer.weights_offset + trailer.weights_size;
  trailer.manifest_size = text.size();
  trailer.weights_checksum = PITH_FILE_CHECKSUM_SEED;
  uint64_t before = contents.stripped ? trailer.elf_size : trailer.manifest_offset;
  if (Error error = file.reserve(before + text.size() + sizeof(trailer)))
    return error;
  // What fills in other weights knows their checksum.
  if (!contents.stripped) {
    if (Error error = file.padTo(trailer.weights_offset))
      return error;
    if (Error error = streamWeights(*contents.weights, *packed, [&](ArrayRef<char> bytes) {
          trailer.weights_checksum = pith_file_checksum(trailer.weights_checksum, bytes.data(), bytes.size());
          return file.write(bytes);
        }))
      return error;
  }
  trailer.manifest_checksum = pith_file_checksum(PITH_FILE_CHECKSUM_SEED, text.data(), text.size());
  trailer.version = PITH_FILE_VERSION;
  trailer.trailer_size = sizeof(trailer);
  std::memcpy(trailer.magic, PITH_FILE_MAGIC, sizeof(trailer.magic));
  trailer.trailer_checksum =
      pith_file_checksum(PITH_FILE_CHECKSUM_SEED, &trailer, offsetof(pith_file_trailer, trailer_checksum));
  if (Error error = file.write(ArrayRef(text.data(), text.size())))
    return error;
  if (Error error = file.write(ArrayRef(reinterpret_cast<const char *>(&trailer), sizeof(trailer))))
    return error;
  return file.finish();
}

static std::string headerText(StringRef symbol) {
  std::string guard = "PITH_MODEL_" + symbol.upper() + "_H";
  return formatv(R"(/* Written by `pith compile --emit=obj`: a compiled model that is linked into the program.
 *
 *   pith_module *module;
 *   pith_module_load_embedded(&{0}, NULL, &module, &error);
 *
 * Link the object file, the runtime and libm.
 */
#ifndef {1}
#define {1}

#include "pith/runtime.h"

#ifdef __cplusplus
extern "C"
#else
extern
#endif
const struct pith_embedded {0};

#endif /* {1} */
)",
                 symbol, guard)
      .str();
}

Error pith::packageObject(PackageContents &contents, ArrayRef<char> code, const cpu::Machine &machine,
                          StringRef symbol, StringRef path, StringRef header) {
  Expected<std::string> manifest = finishManifest(contents, machine);
  if (!manifest)
    return manifest.takeError();
  Expected<mlir::SmallVector<PackedOp>> packed = packedInOrder(*contents.weights);
  if (!packed)
    return packed.takeError();
  OutputFile object(path), declaration(header);
  for (OutputFile *file : {&object, &declaration}) {
    if (Error error = file->check())
      return error;
    if (Error error = file->open())
      return error;
  }
  auto stream = [&](function_ref<Error(ArrayRef<char>)> sink) {
    return streamWeights(*contents.weights, *packed, sink);
  };
  Embedding embedding{symbol.str(), *manifest, sectionSize(*packed), stream};
  if (Error error = writeEmbeddedObject(object, code, embedding))
    return error;
  std::string text = headerText(symbol);
  if (Error error = declaration.write(ArrayRef(text.data(), text.size())))
    return error;
  if (Error error = object.finish())
    return error;
  return declaration.finish();
}
