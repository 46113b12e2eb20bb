//===- Parse.h - JSON text to values ----------------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_JSON_PARSE_H
#define PITH_RUNTIME_JSON_PARSE_H

#include "Value.h"

#include <stdexcept>
// The runtime throws nothing itself, which its symbols show: what the parser would throw is the standard library's.
#ifndef JSON_THROW_USER
#define JSON_THROW_USER(exception) std::__throw_runtime_error((exception).what())
#endif
#include <nlohmann/json.hpp>

#include <cstring>
#include <string_view>

namespace pith::json {

/// Values are printed and destroyed by recursion.
constexpr size_t deepestNesting = 64;

/// Takes the parser's events.
class Builder {
public:
  using Events = nlohmann::json;

  explicit Builder(Value &top) : root(top) {}
  std::string error;

  bool null() { return put(); }
  bool boolean(bool value) {
    Value *made = put();
    made->kind = Value::Kind::Boolean;
    made->scalar = value;
    return true;
  }
  bool number_integer(int64_t value) {
    Value *made = put();
    made->kind = Value::Kind::Integer;
    made->scalar = value;
    return true;
  }
  bool number_unsigned(uint64_t value) {
    if (value <= uint64_t(INT64_MAX))
      return number_integer(int64_t(value));
    return number_float(0, std::to_string(value));
  }
  bool number_float(double, const std::string &text) {
    Value *made = put();
    made->kind = Value::Kind::Number;
    made->text = text;
    return true;
  }
  bool string(std::string &text) {
    Value *made = put();
    made->kind = Value::Kind::String;
    made->text = std::move(text);
    return true;
  }
  bool binary(Events::binary_t &) { return false; } // not in text
  bool start_object(size_t) { return open(Value::Kind::Object); }
  bool start_array(size_t) { return open(Value::Kind::Array); }
  bool end_array() { return close(); }
  bool key(std::string &name) {
    children().members.push_back({std::move(name), {}});
    return true;
  }
  bool end_object() {
    std::vector<Member> &list = children().members;
    const auto before = [](const Member &a, const Member &b) { return a.name < b.name; };
    if (!std::is_sorted(list.begin(), list.end(), before))
      std::stable_sort(list.begin(), list.end(), before);
    size_t kept = 0;
    for (size_t i = 0; i < list.size(); ++i)
      if (i + 1 == list.size() || list[i].name != list[i + 1].name) {
        if (kept != i)
          list[kept] = std::move(list[i]);
        ++kept;
      }
    list.erase(list.begin() + kept, list.end());
    return close();
  }
  bool parse_error(size_t, const std::string &, const nlohmann::detail::exception &exception) {
    // The parser's text names the place and what it met; its prefix in brackets says nothing to a user.
    const char *text = std::strstr(exception.what(), "] ");
    error = text ? text + 2 : exception.what();
    return false;
  }

private:
  Value::Children &children() { return *stack.back()->children; }
  /// Where the next value goes.
  Value *put() {
    if (stack.empty())
      return &root;
    if (stack.back()->isObject())
      return &children().members.back().value;
    children().items.emplace_back();
    return &children().items.back();
  }
  bool open(Value::Kind kind) {
    if (stack.size() == deepestNesting) {
      error = "values are nested too deeply, more than " + std::to_string(deepestNesting) + " deep";
      return false;
    }
    Value *made = put();
    made->kind = kind;
    made->children = std::make_unique<Value::Children>();
    stack.push_back(made);
    return true;
  }
  bool close() {
    stack.pop_back();
    return true;
  }

  Value &root;
  std::vector<Value *> stack; ///< open ones; nothing is added to a vector that holds one of them
};

/// False, with what is wrong in `error`, when the text is not JSON (UTF-8).
inline bool parse(std::string_view text, Value &value, std::string &error) {
  Builder builder(value);
  const bool good = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  if (!good)
    error = builder.error;
  return good;
}

} // namespace pith::json
#endif // PITH_RUNTIME_JSON_PARSE_H
