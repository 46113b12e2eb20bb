//===- Manifest.cpp - what a .pith file says about itself -----------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Manifest.h"

#include <stdexcept>
// The runtime throws nothing itself, which its symbols show: the parser's errors are the standard library's.
#define JSON_THROW_USER(exception) std::__throw_runtime_error((exception).what())
#include <nlohmann/json.hpp>
#include <set>

namespace pith::runtime {
namespace {

using Json = nlohmann::json;

constexpr int maxDepth = 64; // of nested values: printing one recurses
constexpr size_t maxEntries = 4096, maxPorts = 65536, maxFeatures = 4096, maxName = 65536;
constexpr int64_t maxDim = INT64_C(1) << 48;

Status bad(const std::string &where, const char *expected) {
  return failure(PITH_ERROR_FORMAT, "manifest: %s is not %s", where.c_str(), expected);
}

/// The member `key` of an object, null when absent.
const Json *member(const Json &object, const char *key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

Status readInteger(const Json &object, const char *key, const std::string &where, int64_t low, int64_t high,
                   int64_t &value) {
  const Json *field = member(object, key);
  const std::string name = where + key;
  if (!field)
    return failure(PITH_ERROR_FORMAT, "manifest: %s is missing", name.c_str());
  const bool fits = field->is_number_unsigned() ? field->get<uint64_t>() <= uint64_t(INT64_MAX)
                                                : field->is_number_integer();
  if (!fits)
    return bad(name, "an integer");
  const int64_t found = field->get<int64_t>();
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
  if (!field->is_string())
    return bad(where + key, "a string");
  value = field->get<std::string>();
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
  if (!json.is_object())
    return bad(where, "an object");
  PITH_TRY(readString(json, "name", where + ".", true, port.name));
  std::string type;
  PITH_TRY(readString(json, "type", where + ".", true, type));
  port.type = parseType(type);
  if (port.type == PITH_TYPE_NONE)
    return failure(PITH_ERROR_FORMAT, "manifest: %s.type is %s, which is no element type", where.c_str(),
                   quoteName(type).c_str());
  const Json *dims = member(json, "dims");
  if (!dims || !dims->is_array() || dims->size() > PITH_MAX_RANK)
    return bad(where + ".dims", "a list of at most 16 dimensions");
  port.dims.resize(dims->size());
  for (size_t i = 0; i < dims->size(); ++i) {
    const Json &value = (*dims)[i];
    Dim &dim = port.dims[i];
    if (value.is_string()) {
      dim.symbol = value.get<std::string>();
      if (dim.symbol.empty() || dim.symbol.size() > maxName || dim.symbol.find('\0') != std::string::npos)
        return bad(where + ".dims[" + std::to_string(i) + "]", "a name");
      parseSum(dim);
    } else if (value.is_number_integer() && value.get<int64_t>() >= 0 && value.get<int64_t>() <= maxDim) {
      dim.size = value.get<int64_t>();
    } else {
      return bad(where + ".dims[" + std::to_string(i) + "]", "a size or a name");
    }
  }
  return {};
}

Status parsePorts(const Json &entry, const char *key, const std::string &where, std::vector<Port> &ports) {
  const Json *list = member(entry, key);
  if (!list || !list->is_array() || list->size() > maxPorts)
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

Status parseEntry(const Json &json, const std::string &where, Entry &entry) {
  if (!json.is_object())
    return bad(where, "an object");
  PITH_TRY(readString(json, "name", where + ".", true, entry.name));
  std::string kind;
  PITH_TRY(readString(json, "kind", where + ".", true, kind));
  if (kind == "invoke") {
    entry.kind = PITH_ENTRY_INVOKE;
    PITH_TRY(parsePorts(json, "inputs", where + ".", entry.inputs));
    return parsePorts(json, "outputs", where + ".", entry.outputs);
  }
  if (kind != "step")
    return failure(PITH_ERROR_FORMAT, "manifest: %s.kind is %s, expected \"invoke\" or \"step\"",
                   where.c_str(), quoteName(kind).c_str());
  entry.kind = PITH_ENTRY_STEP;
  int64_t vocab = 0, maxRows = 0;
  PITH_TRY(readInteger(json, "vocab", where + ".", 1, INT32_MAX, vocab));
  PITH_TRY(readInteger(json, "max_rows", where + ".", 1, 1 << 20, maxRows));
  entry.vocab = uint32_t(vocab);
  entry.maxRows = uint32_t(maxRows);
  return {};
}

Status parseEntries(const Json &root, Manifest &manifest) {
  const Json *list = member(root, "entries");
  if (!list || !list->is_array() || list->empty() || list->size() > maxEntries)
    return bad("entries", "a list of entry points");
  manifest.entries.resize(list->size());
  std::set<std::string> names;
  for (size_t i = 0; i < list->size(); ++i) {
    Entry &entry = manifest.entries[i];
    PITH_TRY(parseEntry((*list)[i], "entries[" + std::to_string(i) + "]", entry));
    if (!names.insert(entry.name).second)
      return failure(PITH_ERROR_FORMAT, "manifest: two entries are named %s", quoteName(entry.name).c_str());
    if (entry.kind != PITH_ENTRY_STEP)
      continue;
    if (manifest.stepEntry >= 0)
      return failure(PITH_ERROR_FORMAT, "manifest: %s and %s are both of kind \"step\", expected at most one",
                     quoteName(manifest.entries[manifest.stepEntry].name).c_str(),
                     quoteName(entry.name).c_str());
    manifest.stepEntry = int(i);
  }
  return {};
}

Status parseState(const Json &root, Manifest &manifest) {
  const Json *state = member(root, "state");
  if (manifest.stepEntry < 0)
    return {};
  if (!state || !state->is_object())
    return bad("state", "an object, which an entry of kind \"step\" needs");
  int64_t pageTokens = 0, pageBytes = 0, positions = 0;
  PITH_TRY(readInteger(*state, "page_tokens", "state.", 1, 65536, pageTokens));
  PITH_TRY(readInteger(*state, "page_bytes", "state.", 1, INT64_C(1) << 40, pageBytes));
  if (member(*state, "positions"))
    PITH_TRY(readInteger(*state, "positions", "state.", 0, INT32_MAX, positions));
  manifest.state = {uint32_t(pageTokens), uint64_t(pageBytes), uint64_t(positions)};
  return {};
}

Status parseTarget(const Json &root, Manifest &manifest) {
  const Json *target = member(root, "target");
  if (!target || !target->is_object())
    return bad("target", "an object");
  PITH_TRY(readString(*target, "arch", "target.", true, manifest.arch));
  PITH_TRY(readString(*target, "cpu", "target.", false, manifest.cpu));
  const Json *features = member(*target, "features");
  if (!features)
    return {};
  if (!features->is_array() || features->size() > maxFeatures)
    return bad("target.features", "a list of names");
  for (const Json &feature : *features) {
    if (!feature.is_string() || feature.get_ref<const std::string &>().size() > 64)
      return bad("target.features", "a list of names");
    manifest.features.push_back(feature.get<std::string>());
  }
  return {};
}

Status parseModel(const Json &root, Manifest &manifest) {
  const Json *model = member(root, "model");
  if (!model)
    return {};
  if (!model->is_object())
    return bad("model", "an object");
  for (const auto &[key, value] : model->items())
    manifest.metadata[key] = value.is_string() ? value.get<std::string>()
                                               : value.dump(-1, ' ', false, Json::error_handler_t::replace);
  const Json *eos = member(*model, "eos");
  if (!eos)
    return {};
  if (!eos->is_array())
    return bad("model.eos", "a list of tokens");
  for (const Json &token : *eos) {
    const bool fits =
        token.is_number_integer() && token.get<int64_t>() >= 0 && token.get<int64_t>() <= INT32_MAX;
    if (!fits)
      return bad("model.eos", "a list of tokens");
    manifest.eos.push_back(token.get<int32_t>());
  }
  return {};
}

Status parseRoot(const Json &root, Manifest &manifest) {
  if (!root.is_object())
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
  bool deep = false;
  const auto watchDepth = [&](int depth, Json::parse_event_t, Json &) {
    deep |= depth > maxDepth;
    return !deep;
  };
  try {
    const Json root = Json::parse(text, watchDepth);
    if (deep)
      return failure(PITH_ERROR_FORMAT, "manifest: values are nested more than %d deep", maxDepth);
    PITH_TRY(parseRoot(root, manifest));
  } catch (const std::runtime_error &exception) {
    return failure(PITH_ERROR_FORMAT, "manifest: %s", exception.what());
  }
  for (Entry &entry : manifest.entries) {
    fillViews(entry.inputs);
    fillViews(entry.outputs);
  }
  return {};
}

} // namespace pith::runtime
