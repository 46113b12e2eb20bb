//===- TensorFile.cpp - tensors in files -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TensorFile.h"
#include "Onnx.pb.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/ToolOutputFile.h"
#include <cstring>

using namespace llvm;
using namespace pith::tool;
using pith::onnx::proto::TensorProto;

namespace {

/// One element type in the three notations.
struct TypeName {
  pith_type type;
  int onnx;
  const char *numpy; // null: NumPy has none
};
constexpr TypeName kTypes[] = {
    {PITH_F32, 1, "<f4"}, {PITH_U8, 2, "|u1"},  {PITH_I8, 3, "|i1"},  {PITH_U16, 4, "<u2"}, {PITH_I16, 5, "<i2"},
    {PITH_I32, 6, "<i4"}, {PITH_I64, 7, "<i8"}, {PITH_BOOL, 9, "|b1"}, {PITH_F16, 10, "<f2"}, {PITH_F64, 11, "<f8"},
    {PITH_U32, 12, "<u4"}, {PITH_U64, 13, "<u8"}, {PITH_BF16, 16, nullptr},
    {PITH_F8E4M3FN, 17, nullptr}, {PITH_F8E4M3FNUZ, 18, nullptr}, {PITH_F8E5M2, 19, nullptr},
    {PITH_F8E5M2FNUZ, 20, nullptr}, {PITH_U4, 21, nullptr}, {PITH_I4, 22, nullptr}, {PITH_F4E2M1, 23, nullptr},
    {PITH_F8E8M0, 24, nullptr}, {PITH_U2, 25, nullptr}, {PITH_I2, 26, nullptr}};

template <typename Match>
const TypeName *findType(Match match) {
  for (const TypeName &name : kTypes)
    if (match(name))
      return &name;
  return nullptr;
}

/// Elements of non-negative `dims` that fit in memory; -1 otherwise.
int64_t countElements(ArrayRef<int64_t> dims) {
  int64_t count = 1;
  for (int64_t dim : dims)
    if (dim < 0 || __builtin_mul_overflow(count, dim, &count) || count > (int64_t(1) << 40))
      return -1;
  return count;
}

/// Bytes of `count` elements; the last byte of small ones may be partly used.
size_t countBytes(pith_type type, int64_t count) { return divideCeil(count * pith_type_bits(type), 8); }

bool readProto(StringRef bytes, Tensor &tensor, std::string &error) {
  TensorProto proto;
  if (!proto.ParseFromArray(bytes.data(), bytes.size())) {
    error = "not an ONNX TensorProto";
    return false;
  }
  const TypeName *type = findType([&](const TypeName &name) { return name.onnx == proto.data_type(); });
  if (!type) {
    error = "element type " + std::to_string(proto.data_type()) + " is not supported";
    return false;
  }
  tensor.type = type->type;
  tensor.name = proto.name();
  tensor.dims.assign(proto.dims().begin(), proto.dims().end());
  int64_t count = countElements(tensor.dims);
  size_t width = std::max<size_t>(1, pith_type_size(tensor.type));
  if (count < 0) {
    error = "dimensions are negative or too large";
    return false;
  }
  tensor.bytes.clear();
  if (proto.has_raw_data()) {
    tensor.bytes.assign(proto.raw_data().begin(), proto.raw_data().end());
  } else {
    auto append = [&](const auto &values) {
      for (auto value : values) {
        const char *data = reinterpret_cast<const char *>(&value); // little-endian: the low bytes come first
        tensor.bytes.insert(tensor.bytes.end(), data, data + width);
      }
    };
    if (tensor.type == PITH_F32)
      append(proto.float_data());
    else if (tensor.type == PITH_F64)
      append(proto.double_data());
    else if (tensor.type == PITH_I64)
      append(proto.int64_data());
    else if (tensor.type == PITH_U64 || tensor.type == PITH_U32)
      append(proto.uint64_data());
    else
      append(proto.int32_data());
  }
  if (tensor.bytes.size() != countBytes(tensor.type, count)) {
    error = "has " + std::to_string(tensor.bytes.size()) + " bytes of data, its shape needs " +
            std::to_string(countBytes(tensor.type, count));
    return false;
  }
  return true;
}

bool readNumPy(StringRef bytes, Tensor &tensor, std::string &error) {
  error = "not a NumPy file";
  if (!bytes.starts_with("\x93NUMPY") || bytes.size() < 12)
    return false;
  unsigned version = uint8_t(bytes[6]);
  size_t prefix = version == 1 ? 10 : 12;
  uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, version == 1 ? 2 : 4);
  if (bytes.size() < prefix + length)
    return false;
  StringRef header = bytes.substr(prefix, length);
  auto field = [&](StringRef key) { return header.substr(header.find(("'" + key + "':").str())).split(':').second.ltrim(); };
  StringRef descr = field("descr").split('\'').second.split('\'').first;
  const TypeName *type = findType([&](const TypeName &name) { return name.numpy && descr == name.numpy; });
  if (!type) {
    error = "element type '" + descr.str() + "' is not supported";
    return false;
  }
  if (!field("fortran_order").starts_with("False")) {
    error = "Fortran order is not supported";
    return false;
  }
  SmallVector<StringRef> dims;
  field("shape").split('(').second.split(')').first.split(dims, ',', -1, false);
  tensor.dims.clear();
  for (StringRef dim : dims) {
    int64_t size;
    if (dim.trim().empty())
      continue;
    if (dim.trim().getAsInteger(10, size))
      return false;
    tensor.dims.push_back(size);
  }
  tensor.name.clear();
  tensor.type = type->type;
  int64_t count = countElements(tensor.dims);
  StringRef data = bytes.substr(prefix + length);
  if (count < 0 || data.size() != countBytes(tensor.type, count)) {
    error = "data does not have the size of its shape";
    return false;
  }
  tensor.bytes.assign(data.begin(), data.end());
  return true;
}

} // namespace

int64_t Tensor::elements() const { return countElements(dims); }

double Tensor::at(int64_t index) const {
  size_t bits = pith_type_bits(type);
  const char *data = bytes.data() + index * bits / 8;
  auto as = [&](auto value) {
    std::memcpy(&value, data, sizeof(value));
    return double(value);
  };
  auto real = [&](const fltSemantics &semantics) {
    uint16_t code = uint8_t(*data);
    if (bits == 16)
      std::memcpy(&code, data, 2);
    APFloat value(semantics, APInt(bits, (code >> (bits < 8 ? index * bits % 8 : 0)) & ((1u << bits) - 1)));
    bool lost;
    value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lost);
    return value.convertToDouble();
  };
  auto small = [&](bool isSigned) {
    APInt code(bits, (uint8_t(*data) >> (index * bits % 8)) & ((1u << bits) - 1));
    return isSigned ? double(code.getSExtValue()) : double(code.getZExtValue());
  };
  switch (type) {
  case PITH_F32: return as(float());
  case PITH_F64: return as(double());
  case PITH_F16: return real(APFloat::IEEEhalf());
  case PITH_BF16: return real(APFloat::BFloat());
  case PITH_I8: return as(int8_t());
  case PITH_I16: return as(int16_t());
  case PITH_I32: return as(int32_t());
  case PITH_I64: return as(int64_t());
  case PITH_U16: return as(uint16_t());
  case PITH_U32: return as(uint32_t());
  case PITH_U64: return as(uint64_t());
  case PITH_I4: case PITH_I2: return small(true);
  case PITH_U4: case PITH_U2: return small(false);
  case PITH_F8E4M3FN: return real(APFloat::Float8E4M3FN());
  case PITH_F8E4M3FNUZ: return real(APFloat::Float8E4M3FNUZ());
  case PITH_F8E5M2: return real(APFloat::Float8E5M2());
  case PITH_F8E5M2FNUZ: return real(APFloat::Float8E5M2FNUZ());
  case PITH_F8E8M0: return real(APFloat::Float8E8M0FNU());
  case PITH_F4E2M1: return real(APFloat::Float4E2M1FN());
  default: return as(uint8_t());
  }
}

pith_tensor Tensor::view() const {
  pith_tensor tensor = PITH_INIT(pith_tensor);
  tensor.type = type;
  tensor.name = name.empty() ? nullptr : name.c_str();
  tensor.dims = dims.data();
  tensor.rank = dims.size();
  tensor.data = const_cast<char *>(bytes.data());
  return tensor;
}

Tensor pith::tool::copyTensor(const pith_tensor &tensor) {
  Tensor copy;
  copy.name = tensor.name ? tensor.name : "";
  copy.type = tensor.type;
  copy.dims.assign(tensor.dims, tensor.dims + tensor.rank);
  const char *data = static_cast<const char *>(tensor.data);
  copy.bytes.assign(data, data + countBytes(copy.type, copy.elements()));
  return copy;
}

bool pith::tool::readTensor(const std::string &path, Tensor &tensor, std::string &error) {
  auto buffer = MemoryBuffer::getFile(path, false, false);
  if (!buffer) {
    error = path + ": " + buffer.getError().message();
    return false;
  }
  StringRef bytes = (*buffer)->getBuffer();
  bool done = StringRef(path).ends_with(".npy") ? readNumPy(bytes, tensor, error) : readProto(bytes, tensor, error);
  if (!done)
    error = path + ": " + error;
  return done;
}

bool pith::tool::writeTensor(const std::string &path, const Tensor &tensor, std::string &error) {
  const TypeName *type = findType([&](const TypeName &name) { return name.type == tensor.type; });
  std::error_code code;
  ToolOutputFile file(path, code, sys::fs::OF_None);
  if (code || !type) {
    error = path + ": " + (code ? code.message() : "unknown element type");
    return false;
  }
  if (StringRef(path).ends_with(".npy")) {
    if (!type->numpy) {
      error = path + ": NumPy has no " + pith_type_name(tensor.type);
      return false;
    }
    std::string header = "{'descr': '" + std::string(type->numpy) + "', 'fortran_order': False, 'shape': (";
    for (int64_t dim : tensor.dims)
      header += std::to_string(dim) + ",";
    header += "), }";
    header.resize(alignTo(header.size() + 11, 64) - 11, ' '); // data begin at a multiple of 64 bytes
    header += '\n';
    uint16_t length = header.size();
    file.os() << StringRef("\x93NUMPY\x01\x00", 8) << char(length & 255) << char(length >> 8) << header;
    file.os().write(tensor.bytes.data(), tensor.bytes.size());
  } else {
    TensorProto proto;
    proto.set_name(tensor.name);
    proto.set_data_type(type->onnx);
    for (int64_t dim : tensor.dims)
      proto.add_dims(dim);
    proto.set_raw_data(tensor.bytes.data(), tensor.bytes.size());
    file.os() << proto.SerializeAsString();
  }
  file.os().flush();
  if (file.os().has_error()) {
    error = path + ": " + file.os().error().message();
    file.os().clear_error();
    return false;
  }
  file.keep();
  return true;
}
