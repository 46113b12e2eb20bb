//===- Model.h - an ONNX model's file and its tensors -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_IMPORT_ONNX_MODEL_H
#define PITH_IMPORT_ONNX_MODEL_H

#include "Onnx.pb.h"
#include "pith/Dialect/Pith/IR/Pith.h"

namespace pith::onnx {

/// TensorProto.DataType, as far as this importer knows it.
enum ElementType : int32_t {
  Undefined = 0, Float = 1, UInt8 = 2, Int8 = 3, UInt16 = 4, Int16 = 5, Int32 = 6, Int64 = 7, String = 8, Bool = 9,
  Float16 = 10, Double = 11, UInt32 = 12, UInt64 = 13, BFloat16 = 16, Float8E4M3FN = 17, Float8E4M3FNUZ = 18,
  Float8E5M2 = 19, Float8E5M2FNUZ = 20, UInt4 = 21, Int4 = 22, Float4E2M1 = 23, Float8E8M0 = 24, UInt2 = 25, Int2 = 26,
};

/// The manifest's name of a type ("f32", "i64", "u8", "bool"), or a description of one that tensors cannot have here.
std::string elementName(int32_t type);
/// The type of tensor elements: signless integers, i1 for Bool; i8 for the small types, one element each (an integer's
/// value, a float's code). Null for types that tensors cannot have here (String).
mlir::Type elementType(mlir::MLIRContext *context, int32_t type);
/// Bits of an element in a file; 0 for types that have no size here.
int64_t elementBits(int32_t type);
bool isUnsigned(int32_t type);
bool isFloat(int32_t type);
/// Integers, without Bool.
bool isInteger(int32_t type);
/// Types that are only stored, without arithmetic: integers of 2 or 4 bits, floats of 4 or 8.
bool isSmallInteger(int32_t type);
bool isSmallFloat(int32_t type);
inline bool isSmall(int32_t type) { return isSmallInteger(type) || isSmallFloat(type); }

/// A constant tensor of the file, checked: its bytes are there and as many as type and dimensions ask for.
struct Initializer {
  std::string name;
  int32_t type = Undefined;
  llvm::SmallVector<int64_t> dims;
  int64_t count = 0;
  llvm::ArrayRef<char> bytes; ///< as in raw_data: little-endian, Bool one byte each
  FileAttr file;              ///< where the bytes lie; null if they were spelled out in the message
  std::string owned;          ///< the bytes in that case
};

/// A parsed model and what it refers to.
class Model {
public:
  /// Null and an error message if the file cannot be read or parsed.
  static std::unique_ptr<Model> read(mlir::MLIRContext *context, llvm::StringRef path, std::string &error);

  const proto::ModelProto &proto() const { return model; }
  llvm::StringRef path() const { return path_; }

  /// Null and an error message for malformed tensors and for external data that is missing, too short, or outside
  /// the model's folder.
  std::unique_ptr<Initializer> initializer(const proto::TensorProto &tensor, std::string &error);

private:
  bool externalData(const proto::TensorProto &tensor, int64_t size, Initializer &init, std::string &error);

  mlir::MLIRContext *context = nullptr;
  std::string path_;
  proto::ModelProto model;
};

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_MODEL_H
