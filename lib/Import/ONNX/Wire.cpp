//===- Wire.cpp - takes weight bytes out of a serialized model -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Wire.h"

#include "llvm/ADT/StringExtras.h"

using namespace pith::onnx;

namespace {

/// The messages that can hold tensors, directly or inside.
enum class Message { Model, Graph, Node, Attribute, Tensor, Sparse, Function, Other };

/// What the length-delimited field `number` of `message` holds.
Message childOf(Message message, uint64_t number) {
  switch (message) {
  case Message::Model:
    return number == 7 ? Message::Graph : number == 25 ? Message::Function : Message::Other;
  case Message::Graph:
    return number == 1    ? Message::Node
           : number == 5  ? Message::Tensor
           : number == 15 ? Message::Sparse
                          : Message::Other;
  case Message::Function:
    return number == 7 ? Message::Node : number == 11 ? Message::Attribute : Message::Other;
  case Message::Node:
    return number == 5 ? Message::Attribute : Message::Other;
  case Message::Attribute:
    return number == 5 || number == 10   ? Message::Tensor
           : number == 6 || number == 11 ? Message::Graph
           : number == 22                ? Message::Sparse
                                         : Message::Other;
  case Message::Sparse:
    return number == 1 || number == 2 ? Message::Tensor : Message::Other;
  default:
    return Message::Other;
  }
}

constexpr uint64_t kRawData = 9, kFileOffset = 2000, kFileSize = 2001;
constexpr unsigned kMaxDepth = 64;

struct Walker {
  llvm::ArrayRef<char> bytes;
  size_t limit;
  std::string error;

  bool fail(size_t position, llvm::StringRef what) {
    error = (what + " at byte " + llvm::Twine(position)).str();
    return false;
  }

  bool varint(size_t &position, size_t end, uint64_t &value) {
    value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (position >= end)
        return fail(position, "truncated number");
      uint8_t byte = bytes[position++];
      if (shift < 64)
        value |= uint64_t(byte & 0x7f) << shift;
      if (!(byte & 0x80))
        return true;
    }
    return fail(position, "number of more than 10 bytes");
  }

  static void putVarint(std::string &out, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
      out.push_back(char(value | 0x80));
    out.push_back(char(value));
  }

  bool walk(Message message, size_t position, size_t end, unsigned depth, std::string &out) {
    if (depth > kMaxDepth)
      return fail(position, "messages nested too deeply");
    while (position < end) {
      size_t start = position;
      uint64_t tag, value;
      if (!varint(position, end, tag))
        return false;
      uint64_t number = tag >> 3;
      if (number == 0 || number > 0x1fffffff)
        return fail(start, "invalid field number");
      size_t contents = position;
      switch (tag & 7) {
      case 0:
        if (!varint(position, end, value))
          return false;
        break;
      case 1:
      case 5: {
        size_t size = (tag & 7) == 1 ? 8 : 4;
        if (end - position < size)
          return fail(start, "truncated field");
        position += size;
        break;
      }
      case 2:
        if (!varint(position, end, value))
          return false;
        if (value > end - position)
          return fail(start, "field reaches beyond its message");
        contents = position;
        position += value;
        break;
      default:
        return fail(start, "invalid wire type");
      }
      bool delimited = (tag & 7) == 2;
      if (message == Message::Tensor && (number == kFileOffset || number == kFileSize))
        continue; // ours only: a file that has them does not decide where its data lies
      if (message == Message::Tensor && number == kRawData && delimited) {
        putVarint(out, kFileOffset << 3);
        putVarint(out, contents);
        putVarint(out, kFileSize << 3);
        putVarint(out, position - contents);
        if (position - contents >= limit)
          continue;
      }
      Message child = delimited ? childOf(message, number) : Message::Other;
      if (child == Message::Other) {
        out.append(bytes.data() + start, position - start);
        continue;
      }
      std::string inner;
      if (!walk(child, contents, position, depth + 1, inner))
        return false;
      putVarint(out, tag);
      putVarint(out, inner.size());
      out += inner;
    }
    return true;
  }
};

} // namespace

bool pith::onnx::stripRawData(llvm::ArrayRef<char> model, size_t limit, std::string &out, std::string &error) {
  Walker walker{model, limit, {}};
  out.clear();
  if (walker.walk(Message::Model, 0, model.size(), 0, out))
    return true;
  error = walker.error;
  return false;
}
