//===- Model.cpp - an ONNX model's file and its tensors -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Model.h"

#include "Wire.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;
namespace path = llvm::sys::path;
namespace fs = llvm::sys::fs;

/// Raw data from this size on stays in the file.
static constexpr size_t kInlineLimit = 1024;

//===----------------------------------------------------------------------===//
// Element types
//===----------------------------------------------------------------------===//

std::string pith::onnx::elementName(int32_t type) {
  switch (type) {
  case Float: return "f32";
  case UInt8: return "u8";
  case Int8: return "i8";
  case UInt16: return "u16";
  case Int16: return "i16";
  case Int32: return "i32";
  case Int64: return "i64";
  case String: return "string";
  case Bool: return "bool";
  case Float16: return "f16";
  case Double: return "f64";
  case UInt32: return "u32";
  case UInt64: return "u64";
  case 14: return "complex64";
  case 15: return "complex128";
  case BFloat16: return "bf16";
  case Float8E4M3FN: return "f8e4m3fn";
  case Float8E4M3FNUZ: return "f8e4m3fnuz";
  case Float8E5M2: return "f8e5m2";
  case Float8E5M2FNUZ: return "f8e5m2fnuz";
  case UInt4: return "u4";
  case Int4: return "i4";
  case Float4E2M1: return "f4e2m1";
  case Float8E8M0: return "f8e8m0";
  case UInt2: return "u2";
  case Int2: return "i2";
  default: return "unknown type " + std::to_string(type);
  }
}

Type pith::onnx::elementType(MLIRContext *context, int32_t type) {
  switch (type) {
  case Float: return Float32Type::get(context);
  case Float16: return Float16Type::get(context);
  case BFloat16: return BFloat16Type::get(context);
  case Double: return Float64Type::get(context);
  case Bool: return IntegerType::get(context, 1);
  case UInt8: case Int8: return IntegerType::get(context, 8);
  case UInt4: case Int4: case UInt2: case Int2: return IntegerType::get(context, 8);
  case Float8E4M3FN: case Float8E4M3FNUZ: case Float8E5M2: case Float8E5M2FNUZ: case Float8E8M0: case Float4E2M1:
    return IntegerType::get(context, 8);
  case UInt16: case Int16: return IntegerType::get(context, 16);
  case UInt32: case Int32: return IntegerType::get(context, 32);
  case UInt64: case Int64: return IntegerType::get(context, 64);
  default: return {};
  }
}

bool pith::onnx::isUnsigned(int32_t type) {
  return type == UInt8 || type == UInt16 || type == UInt32 || type == UInt64 || type == Bool;
}
bool pith::onnx::isFloat(int32_t type) {
  return type == Float || type == Float16 || type == BFloat16 || type == Double;
}
bool pith::onnx::isInteger(int32_t type) {
  return type == UInt8 || type == Int8 || type == UInt16 || type == Int16 || type == UInt32 || type == Int32 ||
         type == UInt64 || type == Int64;
}

bool pith::onnx::isSmallInteger(int32_t type) {
  return type == UInt4 || type == Int4 || type == UInt2 || type == Int2;
}
bool pith::onnx::isSmallFloat(int32_t type) {
  return (type >= Float8E4M3FN && type <= Float8E5M2FNUZ) || type == Float4E2M1 || type == Float8E8M0;
}

int64_t pith::onnx::elementBits(int32_t type) {
  switch (type) {
  case Double: case Int64: case UInt64: return 64;
  case Float: case Int32: case UInt32: return 32;
  case Float16: case BFloat16: case Int16: case UInt16: return 16;
  case Bool: case Int8: case UInt8: return 8;
  case Float8E4M3FN: case Float8E4M3FNUZ: case Float8E5M2: case Float8E5M2FNUZ: case Float8E8M0: return 8;
  case UInt4: case Int4: case Float4E2M1: return 4;
  case UInt2: case Int2: return 2;
  default: return 0;
  }
}

//===----------------------------------------------------------------------===//
// The file
//===----------------------------------------------------------------------===//

std::unique_ptr<Model> Model::read(MLIRContext *context, StringRef file, std::string &error) {
  auto result = std::make_unique<Model>();
  result->context = context;
  result->path_ = file.str();
  FailureOr<ArrayRef<char>> bytes = context->getOrLoadDialect<PithDialect>()->mapFile(file, error);
  if (failed(bytes)) {
    error = "cannot read the model: " + error;
    return nullptr;
  }
  if (bytes->empty()) {
    error = "not an ONNX model: the file is empty";
    return nullptr;
  }
  std::string stripped, why;
  if (!stripRawData(*bytes, kInlineLimit, stripped, why)) {
    error = "not a valid ONNX model: " + why;
    return nullptr;
  }
  if (stripped.size() > INT32_MAX) {
    error = "the model's graph, without its weights, takes more than 2 GB";
    return nullptr;
  }
  if (!result->model.ParseFromArray(stripped.data(), stripped.size())) {
    error = "not a valid ONNX model: a field's contents cannot be read";
    return nullptr;
  }
  if (!result->model.has_graph()) {
    error = "not an ONNX model: it has no graph";
    return nullptr;
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

/// Little-endian bytes of the values that a message spells out one by one. False if there is no such field for the type.
static bool spelledOut(const proto::TensorProto &tensor, int32_t type, std::string &bytes, int64_t &found) {
  auto put = [&](const auto &values, auto element) {
    found = values.size();
    for (auto value : values) {
      auto narrow = static_cast<decltype(element)>(value);
      bytes.append(reinterpret_cast<const char *>(&narrow), sizeof narrow);
    }
    return true;
  };
  switch (type) {
  case Float: return put(tensor.float_data(), float());
  case Double: return put(tensor.double_data(), double());
  case Int64: return put(tensor.int64_data(), int64_t());
  case UInt64: return put(tensor.uint64_data(), uint64_t());
  case UInt32: return put(tensor.uint64_data(), uint32_t());
  case Int32: return put(tensor.int32_data(), int32_t());
  case Int16: case UInt16: case Float16: case BFloat16: return put(tensor.int32_data(), uint16_t());
  default:
    // Bytes, and smaller elements as many as fit in one.
    if (!elementBits(type))
      return false;
    put(tensor.int32_data(), uint8_t());
    found *= 8 / elementBits(type);
    return true;
  }
}

std::unique_ptr<Initializer> Model::initializer(const proto::TensorProto &tensor, std::string &error) {
  auto init = std::make_unique<Initializer>();
  init->name = tensor.name();
  init->type = tensor.data_type();
  init->count = 1;
  for (int64_t dim : tensor.dims()) {
    if (dim < 0) {
      error = "has a negative dimension, " + std::to_string(dim);
      return nullptr;
    }
    init->dims.push_back(dim);
    if (llvm::MulOverflow(init->count, dim, init->count) || init->count > (int64_t(1) << 50)) {
      error = "has too many elements";
      return nullptr;
    }
  }
  if (tensor.dims_size() > 32) {
    error = "has " + std::to_string(tensor.dims_size()) + " dimensions; at most 32 are supported";
    return nullptr;
  }
  int64_t bits = elementBits(init->type);
  if (!bits) {
    error = "has elements of " + elementName(init->type) + ", which is not supported";
    return nullptr;
  }
  int64_t size = llvm::divideCeil(init->count * bits, 8);
  if (tensor.data_location() == 1) {
    if (!externalData(tensor, size, *init, error))
      return nullptr;
    return init;
  }
  if (tensor.has_file_size()) {
    if (int64_t(tensor.file_size()) != size) {
      error = "has " + std::to_string(tensor.file_size()) + " bytes of data, expected " + std::to_string(size);
      return nullptr;
    }
    FailureOr<ArrayRef<char>> bytes = context->getLoadedDialect<PithDialect>()->mapFile(path_, error);
    if (failed(bytes))
      return nullptr;
    init->bytes = bytes->slice(tensor.file_offset(), size);
    init->file = FileAttr::get(context, path_, tensor.file_offset(), size);
    return init;
  }
  int64_t found = 0;
  if (!spelledOut(tensor, init->type, init->owned, found) || found < init->count ||
      int64_t(init->owned.size()) < size) {
    error = "has " + std::to_string(found) + " elements of data, expected " + std::to_string(init->count);
    return nullptr;
  }
  init->owned.resize(size);
  init->bytes = ArrayRef<char>(init->owned.data(), init->owned.size());
  return init;
}

bool Model::externalData(const proto::TensorProto &tensor, int64_t size, Initializer &init, std::string &error) {
  std::string location;
  uint64_t offset = 0, length = size;
  for (const proto::StringStringEntryProto &entry : tensor.external_data()) {
    StringRef key = entry.key(), value = entry.value();
    if (key == "location") {
      location = value.str();
    } else if (key == "offset" || key == "length") {
      if (value.getAsInteger(10, key == "offset" ? offset : length)) {
        error = "has external data with an invalid " + key.str() + ", '" + value.str() + "'";
        return false;
      }
    }
  }
  auto inFile = [&] { return " in external data file '" + location + "'"; };
  if (location.empty()) {
    error = "has external data without a location";
    return false;
  }
  if (location.find('\0') != std::string::npos || path::is_absolute(location) ||
      llvm::is_contained(llvm::make_range(path::begin(location), path::end(location)), "..")) {
    error = "has its data" + inFile() + ", a path that leaves the model's folder";
    return false;
  }
  if (int64_t(length) != size) {
    error = "has " + std::to_string(length) + " bytes" + inFile() + ", expected " + std::to_string(size);
    return false;
  }
  SmallString<256> folder(path::parent_path(path_)), file;
  if (folder.empty())
    folder = ".";
  file = path::parent_path(path_);
  path::append(file, location);
  SmallString<256> realFolder, realFile;
  std::error_code code = fs::real_path(folder, realFolder);
  if (!code)
    code = fs::real_path(file, realFile);
  if (code) {
    error = "has its data" + inFile() + ", which cannot be opened: " + code.message();
    return false;
  }
  // A symbolic link may lead out as well as a path may.
  StringRef rest = realFile;
  if (!rest.consume_front(realFolder) || !(rest.starts_with("/") || realFolder.ends_with("/"))) {
    error = "has its data" + inFile() + ", a link that leaves the model's folder";
    return false;
  }
  if (!fs::is_regular_file(realFile)) {
    error = "has its data" + inFile() + ", which is not a regular file";
    return false;
  }
  std::string why;
  FailureOr<ArrayRef<char>> bytes = context->getLoadedDialect<PithDialect>()->mapFile(file, why);
  if (failed(bytes)) {
    error = "has its data" + inFile() + ", which cannot be read: " + why;
    return false;
  }
  if (offset > bytes->size() || length > bytes->size() - offset) {
    error = "has its data at bytes " + std::to_string(offset) + " to " + std::to_string(offset + length) + inFile() +
            ", which has only " + std::to_string(bytes->size());
    return false;
  }
  init.bytes = bytes->slice(offset, length);
  init.file = FileAttr::get(context, file, offset, size);
  return true;
}
