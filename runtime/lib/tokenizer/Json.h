//===- Json.h - reading JSON with names in errors -----------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_TOKENIZER_JSON_H
#define PITH_RUNTIME_TOKENIZER_JSON_H

#include "../json/Value.h"
#include "Failure.h"

#include <cstdint>
#include <string>

namespace pith::tokenizer {

/// A value and where it stands ("pre_tokenizer.pretokenizers[1]"). Asking for what is not there throws a
/// Failure that names the place, what was found and what was expected.
class Node {
public:
  using Json = json::Value;

  Node(const Json &json, std::string path) : json(&json), place(std::move(path)) {}

  const Json &raw() const { return *json; }
  const std::string &path() const { return place; }
  bool isNull() const { return json->isNull(); }

  /// A member; a null node if it is absent.
  Node at(const char *key) const {
    static const Json null;
    if (!json->isObject())
      failBadFile(place + ": expected an object, found " + json->typeName());
    const Json *found = json->find(key);
    return Node(found ? *found : null, place.empty() ? key : place + "." + key);
  }

  size_t size() const {
    if (!json->isArray())
      failBadFile(place + ": expected an array, found " + json->typeName());
    return json->size();
  }
  Node at(size_t index) const { return Node((*json)[index], place + "[" + std::to_string(index) + "]"); }

  const std::string &string() const {
    if (!json->isString())
      failBadFile(place + ": expected a string, found " + json->typeName());
    return json->string();
  }
  std::string string(const char *otherwise) const { return isNull() ? otherwise : string(); }

  bool boolean(bool otherwise) const {
    if (isNull())
      return otherwise;
    if (!json->isBoolean())
      failBadFile(place + ": expected true or false, found " + json->typeName());
    return json->boolean();
  }

  /// An integer in [0, limit).
  uint32_t integer(uint32_t limit) const {
    if (!json->isInteger() || json->integer() < 0 || json->integer() >= int64_t(limit))
      failBadFile(place + ": expected an integer from 0 to " + std::to_string(limit - 1) + ", found " +
                  (json->isNumber() ? json->dump() : json->typeName()));
    return uint32_t(json->integer());
  }

private:
  const Json *json;
  std::string place;
};

/// Descriptions nest (a Sequence in a Sequence); deeper than this is not a tokenizer.
constexpr int deepestNesting = 16;

/// The largest vocabulary a file may have; it bounds what a damaged id can make the loader allocate.
constexpr uint32_t largestVocabulary = 1u << 24;

} // namespace pith::tokenizer
#endif // PITH_RUNTIME_TOKENIZER_JSON_H
