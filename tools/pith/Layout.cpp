//===- Layout.cpp - a packed weight as the manifest describes it -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Layout.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"

using namespace llvm;
using namespace pith::tool;

namespace {

/// How a line of a panel (64 bytes, 16 output features) holds its elements.
struct Format {
  StringLiteral name;
  pith::cpu::WeightFormat format;
  int lineK;
  StringLiteral line;
};
constexpr Format formats[] = {
    {"f32", pith::cpu::WeightFormat::F32, 1, "16 output features, f32"},
    {"f16", pith::cpu::WeightFormat::F16, 2, "for each of 2 inputs, 16 output features, f16"},
    {"bf16", pith::cpu::WeightFormat::BF16, 2, "for each of 16 output features, 2 inputs, bf16"},
    {"int8", pith::cpu::WeightFormat::Int8, 4, "for each of 16 output features, 4 inputs, one byte each"},
    {"int4", pith::cpu::WeightFormat::Int4, 8,
     "for each of 16 output features, 4 bytes: input c in the low and c + 4 in the high half of byte c"},
};

const Format *findFormat(StringRef name) {
  const Format *found = find_if(formats, [&](const Format &format) { return format.name == name; });
  return found == std::end(formats) ? nullptr : found;
}

/// Larger ones do not occur, and products of these do not overflow.
constexpr int64_t largest = int64_t(1) << 30;

bool isSize(std::optional<int64_t> number) { return number && *number > 0 && *number <= largest; }

} // namespace

bool Weight::read(const json::Object &object) {
  std::optional<StringRef> given = object.getString("name");
  std::optional<int64_t> at = object.getInteger("offset"), bytes = object.getInteger("size");
  const json::Object *dictionary = object.getObject("layout");
  const json::Array *list = object.getArray("sources");
  if (!given || !at || *at < 0 || !bytes || *bytes < 0 || !dictionary || !list)
    return false;
  name = given->str();
  offset = uint64_t(*at);
  size = uint64_t(*bytes);
  layout = json::Value(json::Object(*dictionary));
  for (const json::Value &source : *list)
    sources.push_back(source.getAsString().value_or("?").str());
  kind = dictionary->getString("kind").value_or("?").str();
  format = dictionary->getString("format").value_or(dictionary->getString("element").value_or("")).str();
  std::optional<int64_t> n = dictionary->getInteger("n"), k = dictionary->getInteger("k");
  const Format *known = findFormat(format);
  int64_t block = dictionary->getInteger("block").value_or(0);
  if (kind == "linear" && known && isSize(n) && isSize(k) && block >= 0 && block <= largest) {
    linear.emplace();
    linear->format = known->format;
    linear->n = *n;
    linear->k = *k;
    linear->block = block;
    linear->zeroPoints = dictionary->getBoolean("zero_points").value_or(false);
    linear->wideScales = dictionary->getBoolean("wide_scales").value_or(false);
    linear->glu = dictionary->getBoolean("glu").value_or(false);
  }
  return true;
}

std::string Weight::shape() const { return linear ? formatv("[{0}, {1}]", linear->n, linear->k).str() : ""; }

std::string Weight::check() const {
  if (linear && uint64_t(linear->sizeBytes()) != size)
    return formatv("its layout asks for {0} bytes", linear->sizeBytes()).str();
  return "";
}

void Weight::explain(raw_ostream &os) const {
  os << "@" << name << " at " << offset << " of the weights, " << size << " bytes\n"
     << "from   ";
  interleaveComma(sources, os, [&](const std::string &source) { os << "@" << source; });
  os << "\nlayout " << layout << "\n";
  if (kind == "plain")
    os << "Elements of type " << format << " one after the other, row-major, source after source.\n";
  if (!linear)
    return;
  const Format &known = *findFormat(format);
  int64_t panelBytes = linear->panelBytes(), panels = panelBytes ? linear->sizeBytes() / panelBytes : 0;
  os << formatv("{0} output features of {1} inputs{2}, in {3} panels of {4} output features, {5} bytes each.\n", linear->n,
                linear->k, linear->glu ? " (gate and up together; panels alternate gate, up)" : "", panels,
                linear->panelRows, panelBytes)
     << formatv("A panel holds all inputs in lines of 64 bytes, {0} inputs a line: {1}.\n", known.lineK, known.line);
  bool integers = known.format == cpu::WeightFormat::Int8 || known.format == cpu::WeightFormat::Int4;
  if (!integers) {
    if (!linear->glu)
      os << formatv("Output feature r, input j: panel r / {0}, line j / {1}.\n", linear->panelRows, known.lineK);
    return;
  }
  int64_t block = linear->block > 0 && linear->block < linear->k ? linear->block : linear->k;
  os << formatv("Blocks of {0} inputs share a scale ({1}). A panel begins with 16 f32 factors, one per output feature; then "
                "come groups of {2} blocks: their scales{3}, then their lines.\n",
                block, linear->wideScales ? "f32" : "f16", linear->zeroPoints ? 4 : 2,
                linear->zeroPoints ? " and zero points (one byte)" : "")
     << formatv("A weight is factor * scale * (code - {0}).\n",
                linear->zeroPoints                             ? "zero point"
                : known.format == cpu::WeightFormat::Int4 ? "8"
                                                          : "128");
}
