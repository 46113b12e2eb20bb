//===- Manifest.cpp - what a .pith file says about itself -----------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Manifest.h"

#include "../json/Parse.h"

#include <set>

namespace pith::runtime {
namespace {

using Json = json::Value;

constexpr size_t maxEntries = 4096, maxPorts = 65536, maxFeatures = 4096, maxName = 65536;
constexpr int64_t maxDim = INT64_C(1) << 48;

Status bad(const std::string &where, const char *expected) {
  return failure(PITH_ERROR_FORMAT, "manifest: %s is not %s", where.c_str(), expected);
}

/// The member `key` of an object, null when absent.
const Json *member(const Json &object, const char *key) { return object.find(key); }

Status readInteger(const Json &object, const char *key, const std::string &where, int64_t low, int64_t high,
                   int64_t &value) {
  const Json *field = member(object, key);
  const std::string name = where + key;
  if (!field)
    return failure(PITH_ERROR_FORMAT, "manifest: %s is missing", name.c_str());
  if (!field->isInteger())
    return bad(name, "an integer");
  const int64_t found = field->integer();
  if (found < low || found > high)
    return failure(PITH_ERROR_FORMAT, "manifest: %s is %lld, expected %lld to %lld", name.c_str(),
                   (long long)found, (long long)low, (long long)high);
  value = found;
  return {};
}

Status readString(const Json &object, const char *key, const std::string &where, bool required,
                  std::string &value) {
  const Json *field = member(object, key);
  if (!field) {
    if (required)
      return failure(PITH_ERROR_FORMAT, "manifest: %s%s is missing", where.c_str(), key);
    return {};
  }
  if (!field->isString())
    return bad(where + key, "a string");
  value = field->string();
  if (value.size() > maxName || value.find('\0') != std::string::npos)
    return bad(where + key, "a plain string");
  return {};
}

pith_type parseType(const std::string &name) {
  for (pith_type type = PITH_F32; pith_type_bits(type); ++type)
    if (name == pith_type_name(type))
      return type;
  return PITH_TYPE_NONE;
}

/// Splits "a + b + 1" into its terms; anything else leaves the dimension without terms, and so unconstrained.
void parseSum(Dim &dim) {
  std::vector<std::string> terms;
  int64_t offset = 0;
  for (size_t begin = 0; begin <= dim.symbol.size();) {
    const size_t end = std::min(dim.symbol.find('+', begin), dim.symbol.size());
    std::string term = dim.symbol.substr(begin, end - begin);
    term.erase(0, term.find_first_not_of(' '));
    term.erase(term.find_last_not_of(' ') + 1);
    const char *digits = "0123456789";
    if (!term.empty() && term.size() <= 12 && term.find_first_not_of(digits) == std::string::npos) {
      offset += std::stoll(term);
    } else {
      const auto isWord = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
               c == '.';
      };
      const bool word = !term.empty() && std::all_of(term.begin(), term.end(), isWord);
      // A name that is no identifier ("N/2", "batch size") still equals itself when it stands alone.
      if (!word && dim.symbol.find_first_of("+-*/()% ") != std::string::npos)
        return;
      terms.push_back(term);
    }
    begin = end + 1;
  }
  dim.terms = std::move(terms);
  dim.offset = offset;
}

Status parsePort(const Json &json, const std::string &where, Port &port) {
  if (!json.isObject())
    return bad(where, "an object");
  PITH_TRY(readString(json, "name", where + ".", true, port.name));
  std::string type;
  PITH_TRY(readString(json, "type", where + ".", true, type));
  port.type = parseType(type);
  if (port.type == PITH_TYPE_NONE)
    return failure(PITH_ERROR_FORMAT, "manifest: %s.type is %s, which is no element type", where.c_str(),
                   quoteName(type).c_str());
  const Json *dims = member(json, "dims");
  if (!dims || !dims->isArray() || dims->size() > PITH_MAX_RANK)
    return bad(where + ".dims", "a list of at most 16 dimensions");
  port.dims.resize(dims->size());
  for (size_t i = 0; i < dims->size(); ++i) {
    const Json &value = (*dims)[i];
    Dim &dim = port.dims[i];
    if (value.isString()) {
      dim.symbol = value.string();
      if (dim.symbol.empty() || dim.symbol.size() > maxName || dim.symbol.find('\0') != std::string::npos)
        return bad(where + ".dims[" + std::to_string(i) + "]", "a name");
      parseSum(dim);
    } else if (value.isInteger() && value.integer() >= 0 && value.integer() <= maxDim) {
      dim.size = value.integer();
    } else {
      return bad(where + ".dims[" + std::to_string(i) + "]", "a size or a name");
    }
  }
  return {};
}

Status parsePorts(const Json &entry, const char *key, const std::string &where, std::vector<Port> &ports) {
  const Json *list = member(entry, key);
  if (!list || !list->isArray() || list->size() > maxPorts)
    return bad(where + key, "a list");
  ports.resize(list->size());
  std::set<std::string> names;
  for (size_t i = 0; i < ports.size(); ++i) {
    PITH_TRY(parsePort((*list)[i], where + key + "[" + std::to_string(i) + "]", ports[i]));
    if (!names.insert(ports[i].name).second)
      return failure(PITH_ERROR_FORMAT, "manifest: %s%s has two ports named %s", where.c_str(), key,
                     quoteName(ports[i].name).c_str());
  }
  return {};
}

Status readPlaces(const Json &taps, const char *key, const std::string &where, uint32_t count,
                  std::vector<int32_t> &places) {
  const Json *list = member(taps, key);
  if (!list || !list->isArray() || list->size() > maxPorts)
    return bad(where + key, "a list");
  for (const Json &place : list->items()) {
    if (!place.isInteger() || place.integer() < -1 || place.integer() >= int64_t(count))
      return bad(where + key, "a list of places");
    places.push_back(int32_t(place.integer()));
  }
  return {};
}

Status parseTaps(const Json &json, const std::string &where, TapPlaces &taps) {
  if (!json.isObject())
    return bad(where, "an object");
  const std::string inside = where + ".";
  int64_t count = 0, hidden = 0, finalNorm = 0;
  PITH_TRY(readInteger(json, "places", inside, 1, maxPorts, count));
  PITH_TRY(readInteger(json, "hidden", inside, 1, 1 << 24, hidden));
  PITH_TRY(readInteger(json, "after_final_norm", inside, -1, count - 1, finalNorm));
  taps.count = uint32_t(count);
  taps.hidden = uint32_t(hidden);
  taps.afterFinalNorm = int32_t(finalNorm);
  PITH_TRY(readPlaces(json, "block_in", inside, taps.count, taps.blockIn));
  PITH_TRY(readPlaces(json, "after_attention", inside, taps.count, taps.afterAttention));
  PITH_TRY(readPlaces(json, "after_mlp", inside, taps.count, taps.afterMlp));
  if (taps.blockIn.size() != taps.afterAttention.size() || taps.blockIn.size() != taps.afterMlp.size())
    return bad(where, "of one length for every point");
  return {};
}

Status parseStepFeatures(const Json &json, const std::string &where, Entry &entry) {
  if (const Json *flag = member(json, "deterministic")) {
    if (!flag->isBoolean())
      return bad(where + ".deterministic", "true or false");
    entry.deterministic = flag->boolean();
  }
  if (member(json, "embedding_rows")) {
    int64_t width = 0;
    PITH_TRY(readInteger(json, "embedding_rows", where + ".", 1, 1 << 24, width));
    entry.embeddingRow = uint32_t(width);
  }
  if (const Json *taps = member(json, "taps"))
    return parseTaps(*taps, where + ".taps", entry.taps);
  return {};
}

/// The entry that makes a sequence's condition of rows of an encoder's output.
Status parseCondition(const Json &json, const std::string &where, Entry &entry) {
  entry.kind = PITH_ENTRY_CONDITION;
  int64_t maxRows = 0;
  PITH_TRY(readInteger(json, "max_rows", where + ".", 1, 1 << 20, maxRows));
  entry.maxRows = uint32_t(maxRows);
  PITH_TRY(parsePorts(json, "inputs", where + ".", entry.inputs));
  const bool isRows = entry.inputs.size() == 1 && entry.inputs[0].type == PITH_F32 &&
                      entry.inputs[0].dims.size() == 2 && entry.inputs[0].dims[0].size < 0;
  constexpr int64_t mostWidth = 1 << 24;
  if (!isRows || entry.inputs[0].dims[1].size < 1 || entry.inputs[0].dims[1].size > mostWidth)
    return bad(where + ".inputs", "one list of rows, f32 [name, width]");
  return {};
}

Status parseEntry(const Json &json, const std::string &where, Entry &entry) {
  if (!json.isObject())
    return bad(where, "an object");
  PITH_TRY(readString(json, "name", where + ".", true, entry.name));
  std::string kind;
  PITH_TRY(readString(json, "kind", where + ".", true, kind));
  if (kind == "invoke") {
    entry.kind = PITH_ENTRY_INVOKE;
    PITH_TRY(parsePorts(json, "inputs", where + ".", entry.inputs));
    return parsePorts(json, "outputs", where + ".", entry.outputs);
  }
  if (kind == "condition")
    return parseCondition(json, where, entry);
  if (kind != "step")
    return failure(PITH_ERROR_FORMAT,
                   "manifest: %s.kind is %s, expected \"invoke\", \"step\" or \"condition\"", where.c_str(),
                   quoteName(kind).c_str());
  entry.kind = PITH_ENTRY_STEP;
  int64_t vocab = 0, maxRows = 0;
  PITH_TRY(readInteger(json, "vocab", where + ".", 1, INT32_MAX, vocab));
  PITH_TRY(readInteger(json, "max_rows", where + ".", 1, 1 << 20, maxRows));
  entry.vocab = uint32_t(vocab);
  entry.maxRows = uint32_t(maxRows);
  return parseStepFeatures(json, where, entry);
}

Status parseEntries(const Json &root, Manifest &manifest) {
  const Json *list = member(root, "entries");
  if (!list || !list->isArray() || !list->size() || list->size() > maxEntries)
    return bad("entries", "a list of entry points");
  manifest.entries.resize(list->size());
  std::set<std::string> names;
  for (size_t i = 0; i < list->size(); ++i) {
    Entry &entry = manifest.entries[i];
    PITH_TRY(parseEntry((*list)[i], "entries[" + std::to_string(i) + "]", entry));
    if (!names.insert(entry.name).second)
      return failure(PITH_ERROR_FORMAT, "manifest: two entries are named %s", quoteName(entry.name).c_str());
    if (entry.kind == PITH_ENTRY_INVOKE)
      continue;
    const bool isStep = entry.kind == PITH_ENTRY_STEP;
    int &only = isStep ? manifest.stepEntry : manifest.conditionEntry;
    if (only >= 0)
      return failure(PITH_ERROR_FORMAT, "manifest: %s and %s are both of kind \"%s\", expected at most one",
                     quoteName(manifest.entries[only].name).c_str(), quoteName(entry.name).c_str(),
                     isStep ? "step" : "condition");
    only = int(i);
  }
  if (manifest.conditionEntry >= 0 && manifest.stepEntry < 0)
    return failure(PITH_ERROR_FORMAT,
                   "manifest: %s is of kind \"condition\", but there is no entry of kind \"step\"",
                   quoteName(manifest.entries[manifest.conditionEntry].name).c_str());
  return {};
}

Status parseState(const Json &root, Manifest &manifest) {
  const Json *state = member(root, "state");
  if (manifest.stepEntry < 0)
    return {};
  if (!state || !state->isObject())
    return bad("state", "an object, which an entry of kind \"step\" needs");
  int64_t pageTokens = 0, pageBytes = 0, positions = 0;
  PITH_TRY(readInteger(*state, "page_tokens", "state.", 1, 65536, pageTokens));
  PITH_TRY(readInteger(*state, "page_bytes", "state.", 1, INT64_C(1) << 40, pageBytes));
  if (member(*state, "positions"))
    PITH_TRY(readInteger(*state, "positions", "state.", 0, INT32_MAX, positions));
  int64_t conditionPageBytes = 0;
  if (manifest.conditionEntry >= 0)
    PITH_TRY(readInteger(*state, "condition_page_bytes", "state.", 1, INT64_C(1) << 40, conditionPageBytes));
  manifest.state = {uint32_t(pageTokens), uint64_t(pageBytes), uint64_t(positions),
                    uint64_t(conditionPageBytes)};
  return {};
}

Status parseTarget(const Json &root, Manifest &manifest) {
  const Json *target = member(root, "target");
  if (!target || !target->isObject())
    return bad("target", "an object");
  PITH_TRY(readString(*target, "arch", "target.", true, manifest.arch));
  PITH_TRY(readString(*target, "device", "target.", false, manifest.device));
  PITH_TRY(readString(*target, "cpu", "target.", false, manifest.cpu));
  const Json *features = member(*target, "features");
  if (!features)
    return {};
  if (!features->isArray() || features->size() > maxFeatures)
    return bad("target.features", "a list of names");
  for (const Json &feature : features->items()) {
    if (!feature.isString() || feature.string().size() > 64)
      return bad("target.features", "a list of names");
    manifest.features.push_back(feature.string());
  }
  return {};
}

Status parseModel(const Json &root, Manifest &manifest) {
  const Json *model = member(root, "model");
  if (!model)
    return {};
  if (!model->isObject())
    return bad("model", "an object");
  for (const auto &[key, value] : model->members())
    manifest.metadata[key] = value.isString() ? value.string() : value.dump();
  const Json *eos = member(*model, "eos");
  if (!eos)
    return {};
  if (!eos->isArray())
    return bad("model.eos", "a list of tokens");
  for (const Json &token : eos->items()) {
    if (!token.isInteger() || token.integer() < 0 || token.integer() > INT32_MAX)
      return bad("model.eos", "a list of tokens");
    manifest.eos.push_back(int32_t(token.integer()));
  }
  return {};
}

Status parseRoot(const Json &root, Manifest &manifest) {
  if (!root.isObject())
    return failure(PITH_ERROR_FORMAT, "manifest: expected a JSON object");
  int64_t version = 0;
  PITH_TRY(readInteger(root, "pith", "", 0, INT32_MAX, version));
  if (version != 1)
    return failure(PITH_ERROR_VERSION, "manifest: version %lld, this runtime reads version 1",
                   (long long)version);
  PITH_TRY(readString(root, "producer", "", false, manifest.producer));
  PITH_TRY(parseTarget(root, manifest));
  PITH_TRY(parseEntries(root, manifest));
  PITH_TRY(parseState(root, manifest));
  return parseModel(root, manifest);
}

void fillViews(std::vector<Port> &ports) {
  for (Port &port : ports)
    for (const Dim &dim : port.dims) {
      port.sizes.push_back(dim.size);
      port.symbols.push_back(dim.size >= 0 ? nullptr : dim.symbol.c_str());
    }
}

} // namespace

Status parseManifest(const std::string &text, Manifest &manifest) {
  manifest = Manifest();
  Json root;
  std::string error;
  if (!json::parse(text, root, error))
    return failure(PITH_ERROR_FORMAT, "manifest: %s", error.c_str());
  PITH_TRY(parseRoot(root, manifest));
  for (Entry &entry : manifest.entries) {
    fillViews(entry.inputs);
    fillViews(entry.outputs);
  }
  return {};
}

} // namespace pith::runtime
