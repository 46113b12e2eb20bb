//===- PithDialect.cpp - the pith dialect: attributes, types, file maps -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "pith/Dialect/Pith/IR/PithDataOps.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MemoryBuffer.h"
#include <mutex>

using namespace mlir;
using namespace pith;

#include "pith/Dialect/Pith/IR/PithDialect.cpp.inc"
#include "pith/Dialect/Pith/IR/PithEnums.cpp.inc"
#include "pith/Dialect/Pith/IR/PithInterfaces.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "pith/Dialect/Pith/IR/PithAttributes.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "pith/Dialect/Pith/IR/PithTypes.cpp.inc"

//===----------------------------------------------------------------------===//
// Dialect
//===----------------------------------------------------------------------===//

struct PithDialect::FileMaps {
  std::mutex mutex;
  llvm::StringMap<std::unique_ptr<llvm::MemoryBuffer>> files;
};

void PithDialect::initialize() {
  fileMaps = std::make_shared<FileMaps>();
  registerAttributes();
  registerTypes();
  addOperations<
#define GET_OP_LIST
#include "pith/Dialect/Pith/IR/PithOps.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "pith/Dialect/Pith/IR/PithDataOps.cpp.inc"
      >();
}

void PithDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "pith/Dialect/Pith/IR/PithAttributes.cpp.inc"
      >();
}

void PithDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "pith/Dialect/Pith/IR/PithTypes.cpp.inc"
      >();
}

Operation *PithDialect::materializeConstant(OpBuilder &builder, Attribute value, Type type, Location loc) {
  return arith::ConstantOp::materialize(builder, value, type, loc);
}

FailureOr<ArrayRef<char>> PithDialect::mapFile(StringRef path, std::string &error) {
  std::lock_guard<std::mutex> lock(fileMaps->mutex);
  auto found = fileMaps->files.find(path);
  if (found == fileMaps->files.end()) {
    // Without a terminating zero LLVM maps any regular file of more than a few pages instead of reading it.
    auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
    if (!buffer) {
      error = buffer.getError().message();
      return failure();
    }
    found = fileMaps->files.try_emplace(path, std::move(*buffer)).first;
  }
  StringRef bytes = found->second->getBuffer();
  return ArrayRef<char>(bytes.data(), bytes.size());
}

//===----------------------------------------------------------------------===//
// Attributes and types
//===----------------------------------------------------------------------===//

LogicalResult BlockQuantAttr::verify(function_ref<InFlightDiagnostic()> emitError, int64_t bits, int64_t block,
                                     Type scale, bool zeros, bool isSigned, bool kMajor) {
  if (bits != 2 && bits != 4 && bits != 8)
    return emitError() << "block_quant: bits must be 2, 4 or 8, found " << bits;
  if (block != 0 && (block < 16 || (block & (block - 1))))
    return emitError() << "block_quant: block must be a power of two from 16 on, or 0 for whole rows, found " << block;
  if (!scale.isF32() && !scale.isF16() && !scale.isBF16())
    return emitError() << "block_quant: scale must be f32, f16 or bf16, found " << scale;
  return success();
}

LogicalResult KVType::verify(function_ref<InFlightDiagnostic()> emitError, int64_t kvHeads, int64_t headDim,
                             int64_t valueDim, Type element) {
  if (kvHeads < 1 || headDim < 1 || valueDim < 1)
    return emitError() << "kv: kv_heads, head_dim and value_dim must be positive, found " << kvHeads << ", "
                       << headDim << ", " << valueDim;
  if (!element.isF32() && !element.isF16() && !element.isBF16())
    return emitError() << "kv: element must be f32, f16 or bf16, found " << element;
  return success();
}
