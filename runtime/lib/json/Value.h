//===- Value.h - a JSON value -----------------------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Read-only, once parsed. The parser's own type allocates when it is destroyed, which ends the process when memory is
// short; this one does not, and asking it for the wrong thing gives an empty answer instead of an exception.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_JSON_VALUE_H
#define PITH_RUNTIME_JSON_VALUE_H

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pith::json {

struct Member;

/// Neighbours in memory; perhaps none.
template <typename T>
class List {
public:
  List() = default;
  explicit List(const std::vector<T> &all) : first(all.data()), last(all.data() + all.size()) {}
  const T *begin() const { return first; }
  const T *end() const { return last; }
  size_t size() const { return size_t(last - first); }

private:
  const T *first = nullptr, *last = nullptr;
};

class Value {
public:
  enum class Kind : uint8_t { Null, Boolean, Integer, Number, String, Array, Object };

  Value() = default;
  Value(Value &&) noexcept;
  Value &operator=(Value &&) noexcept;
  ~Value();

  bool isNull() const { return kind == Kind::Null; }
  bool isBoolean() const { return kind == Kind::Boolean; }
  /// An integer that int64_t holds; others are numbers only.
  bool isInteger() const { return kind == Kind::Integer; }
  bool isNumber() const { return kind == Kind::Integer || kind == Kind::Number; }
  bool isString() const { return kind == Kind::String; }
  bool isArray() const { return kind == Kind::Array; }
  bool isObject() const { return kind == Kind::Object; }
  const char *typeName() const;

  bool boolean() const { return isBoolean() && scalar; }
  int64_t integer() const { return isInteger() ? scalar : 0; }
  const std::string &string() const { return text; }
  /// Elements of an array.
  size_t size() const;
  const Value &operator[](size_t index) const { return children->items[index]; }
  /// Members of an object by name; of several with the same name the last. Null when there is none.
  const Value *find(const char *name) const;
  List<Member> members() const;
  List<Value> items() const;

  /// As JSON text.
  std::string dump() const;

private:
  friend class Builder;
  struct Children {
    std::vector<Value> items;
    std::vector<Member> members; // by name
  };
  static void quote(const std::string &text, std::string &out);
  void print(std::string &out) const;

  Kind kind = Kind::Null;
  int64_t scalar = 0;
  std::string text; ///< a string; a number as it was written
  std::unique_ptr<Children> children;
};

struct Member {
  std::string name;
  Value value;
};

inline Value::Value(Value &&) noexcept = default;
inline Value &Value::operator=(Value &&) noexcept = default;
inline Value::~Value() = default;

inline const char *Value::typeName() const {
  static const char *const names[] = {"null", "boolean", "number", "number", "string", "array", "object"};
  return names[size_t(kind)];
}

inline size_t Value::size() const { return children ? children->items.size() : 0; }
inline List<Value> Value::items() const { return children ? List<Value>(children->items) : List<Value>(); }
inline List<Member> Value::members() const { return children ? List<Member>(children->members) : List<Member>(); }

inline const Value *Value::find(const char *name) const {
  const List<Member> list = members();
  const auto before = [](const Member &member, const char *key) { return member.name < key; };
  const auto found = std::lower_bound(list.begin(), list.end(), name, before);
  return found != list.end() && found->name == name ? &found->value : nullptr;
}

inline void Value::quote(const std::string &text, std::string &out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", unsigned(c));
      out += code;
    } else {
      out += c;
    }
  }
  out += '"';
}

inline void Value::print(std::string &out) const {
  const char *separator = "";
  switch (kind) {
  case Kind::Null:
    out += "null";
    break;
  case Kind::Boolean:
    out += scalar ? "true" : "false";
    break;
  case Kind::Integer:
    out += std::to_string(scalar);
    break;
  case Kind::Number:
    out += text;
    break;
  case Kind::String:
    quote(text, out);
    break;
  case Kind::Array:
    out += '[';
    for (const Value &item : items()) {
      out += separator;
      item.print(out);
      separator = ",";
    }
    out += ']';
    break;
  case Kind::Object:
    out += '{';
    for (const Member &member : members()) {
      out += separator;
      quote(member.name, out);
      out += ':';
      member.value.print(out);
      separator = ",";
    }
    out += '}';
    break;
  }
}

inline std::string Value::dump() const {
  std::string out;
  print(out);
  return out;
}

} // namespace pith::json
#endif // PITH_RUNTIME_JSON_VALUE_H
