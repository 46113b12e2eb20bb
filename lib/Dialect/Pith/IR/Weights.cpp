//===- Weights.cpp - weights and their encodings -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "pith/Dialect/Pith/IR/Pith.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/APFloat.h"
#include <cstring>

using namespace mlir;
using namespace pith;

namespace {

/// Rows are the vectors of the last dimension; a scalar is one row of one element.
int64_t rowLength(RankedTensorType type) { return type.getRank() ? type.getShape().back() : 1; }
int64_t rowCount(RankedTensorType type) {
  int64_t length = rowLength(type);
  return length ? type.getNumElements() / length : 0;
}
/// The dimension that blocks divide, and the other one.
int64_t blockedLength(const BlockQuantAttr &encoding, RankedTensorType type) {
  return encoding.getKMajor() ? type.getDimSize(0) : rowLength(type);
}
int64_t otherLength(const BlockQuantAttr &encoding, RankedTensorType type) {
  return encoding.getKMajor() ? type.getDimSize(1) : rowCount(type);
}
int64_t blockCount(const BlockQuantAttr &encoding, RankedTensorType type) {
  int64_t block = encoding.getBlock(), length = blockedLength(encoding, type);
  return block ? llvm::divideCeil(length, block) : length ? 1 : 0;
}
/// Codes from one row to the next.
int64_t rowCodes(const BlockQuantAttr &encoding, RankedTensorType type) {
  if (encoding.getKMajor() || !encoding.getBlock())
    return rowLength(type);
  return blockCount(encoding, type) * encoding.getBlock();
}
/// Bytes of a row of zero points.
int64_t zeroRowBytes(const BlockQuantAttr &encoding, RankedTensorType type) {
  int64_t row = encoding.getKMajor() ? type.getDimSize(1) : blockCount(encoding, type);
  return llvm::divideCeil(row * encoding.getBits(), 8);
}
int64_t denseSize(RankedTensorType type) {
  unsigned bits = type.getElementType().getIntOrFloatBitWidth();
  return type.getElementType().isInteger(1) ? type.getNumElements() : llvm::divideCeil(type.getNumElements() * bits, 8);
}

float readFloat(Type type, const char *data, int64_t index) {
  if (type.isF32()) {
    float value;
    std::memcpy(&value, data + 4 * index, 4);
    return value;
  }
  if (type.isF64()) {
    double value;
    std::memcpy(&value, data + 8 * index, 8);
    return static_cast<float>(value);
  }
  uint16_t half;
  std::memcpy(&half, data + 2 * index, 2);
  if (type.isBF16()) {
    uint32_t bits = uint32_t(half) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  }
  llvm::APFloat value(llvm::APFloat::IEEEhalf(), llvm::APInt(16, half));
  bool lost;
  value.convert(llvm::APFloat::IEEEsingle(), llvm::APFloat::rmNearestTiesToEven, &lost);
  return value.convertToFloat();
}

} // namespace

//===----------------------------------------------------------------------===//
// BlockQuantAttr
//===----------------------------------------------------------------------===//

int64_t BlockQuantAttr::getDataSize(RankedTensorType type) const {
  return rowCount(type) * rowCodes(*this, type) * getBits() / 8;
}
int64_t BlockQuantAttr::getScalesSize(RankedTensorType type) const {
  return otherLength(*this, type) * blockCount(*this, type) * getScale().getIntOrFloatBitWidth() / 8;
}
int64_t BlockQuantAttr::getZerosSize(RankedTensorType type) const {
  if (!getZeros())
    return 0;
  return (getKMajor() ? blockCount(*this, type) : rowCount(type)) * zeroRowBytes(*this, type);
}
LogicalResult BlockQuantAttr::verifyWeight(RankedTensorType type, function_ref<InFlightDiagnostic()> emitError) const {
  if (type.getRank() < 1 || !isa<FloatType>(type.getElementType()))
    return emitError() << "block_quant needs a float tensor of rank 1 or more, found " << type;
  if (getKMajor() && type.getRank() != 2)
    return emitError() << "block_quant: k_major needs a matrix, found " << type;
  if (rowCodes(*this, type) * getBits() % 8)
    return emitError() << "block_quant: rows of " << rowCodes(*this, type) << " codes of " << getBits()
                       << " bits are not whole bytes";
  return success();
}
void BlockQuantAttr::decodeRows(RankedTensorType type, const char *data, const char *scales, const char *zeros,
                                int64_t firstRow, int64_t rows, float *out) const {
  int64_t length = rowLength(type), blocks = blockCount(*this, type), bits = getBits(), perByte = 8 / bits;
  int64_t block = getBlock() ? getBlock() : std::max<int64_t>(blockedLength(*this, type), 1);
  int64_t middle = int64_t(1) << (bits - 1), mask = 2 * middle - 1, flip = getIsSigned() ? middle : 0;
  int64_t codeBytes = rowCodes(*this, type) * bits / 8, zeroBytes = zeroRowBytes(*this, type);
  // Signed codes plus `middle` are unsigned ones, and so are their zero points.
  auto code = [&](const char *bytes, int64_t index) {
    return ((uint8_t(bytes[index / perByte]) >> (index % perByte * bits)) & mask) ^ flip;
  };
  for (int64_t row = firstRow; row < firstRow + rows; ++row) {
    const char *codes = data + row * codeBytes;
    for (int64_t k = 0; k < length; ++k) {
      int64_t line = getKMajor() ? row / block : row, place = getKMajor() ? k : k / block;
      int64_t zero = getZeros() ? code(zeros + line * zeroBytes, place) : middle;
      *out++ = float(code(codes, k) - zero) * readFloat(getScale(), scales, line * (getKMajor() ? length : blocks) + place);
    }
  }
}

//===----------------------------------------------------------------------===//
// WeightOp
//===----------------------------------------------------------------------===//

void WeightOp::build(OpBuilder &builder, OperationState &state, StringRef name, RankedTensorType type, Attribute data,
                     Attribute scales, Attribute zeros) {
  state.addAttribute(SymbolTable::getSymbolAttrName(), builder.getStringAttr(name));
  state.addAttribute("type", TypeAttr::get(type));
  state.addAttribute("data", data);
  if (scales)
    state.addAttribute("scales", scales);
  if (zeros)
    state.addAttribute("zeros", zeros);
}

WeightEncodingInterface WeightOp::getEncoding() {
  return dyn_cast_or_null<WeightEncodingInterface>(getTensorType().getEncoding());
}

LogicalResult WeightOp::verify() {
  RankedTensorType type = getTensorType();
  if (!type.hasStaticShape())
    return emitOpError() << "needs a static shape, found " << type;
  if (!type.getElementType().isIntOrFloat())
    return emitOpError() << "needs integer or float elements, found " << type.getElementType();
  WeightEncodingInterface encoding = getEncoding();
  if (type.getEncoding() && !encoding)
    return emitOpError() << "tensor encoding " << type.getEncoding() << " is not a weight encoding";
  if (encoding && failed(encoding.verifyWeight(type, [&] { return emitOpError(); })))
    return failure();
  auto check = [&](StringRef what, Attribute piece, int64_t expected) -> LogicalResult {
    if (!piece)
      return expected ? emitOpError() << "encoding needs " << what << " of " << expected << " bytes" : success();
    if (!expected && what != "data")
      return emitOpError() << "has " << what << ", which its encoding does not use";
    int64_t found;
    if (auto file = dyn_cast<FileAttr>(piece)) {
      if (file.getOffset() < 0 || file.getSize() < 0)
        return emitOpError() << what << ": negative offset or size";
      found = file.getSize();
    } else if (auto elements = dyn_cast<DenseElementsAttr>(piece)) {
      found = denseSize(cast<RankedTensorType>(elements.getType()));
    } else {
      return emitOpError() << what << " must be a #pith.file or dense elements, found " << piece;
    }
    if (found != expected)
      return emitOpError() << what << " has " << found << " bytes, expected " << expected << " for " << type;
    return success();
  };
  if (failed(check("data", getData(), encoding ? encoding.getDataSize(type) : denseSize(type))) ||
      failed(check("scales", getScalesAttr(), encoding ? encoding.getScalesSize(type) : 0)) ||
      failed(check("zeros", getZerosAttr(), encoding ? encoding.getZerosSize(type) : 0)))
    return failure();
  return success();
}

FailureOr<ArrayRef<char>> WeightOp::getBytes(Attribute piece) {
  if (auto file = dyn_cast_or_null<FileAttr>(piece)) {
    std::string error;
    auto bytes = getContext()->getLoadedDialect<PithDialect>()->mapFile(file.getPath(), error);
    if (failed(bytes))
      return emitError() << "weight @" << getSymName() << ": cannot read '" << file.getPath() << "': " << error;
    if (file.getOffset() > int64_t(bytes->size()) || file.getSize() > int64_t(bytes->size()) - file.getOffset())
      return emitError() << "weight @" << getSymName() << ": bytes " << file.getOffset() << " to "
                         << file.getOffset() + file.getSize() << " lie outside '" << file.getPath() << "', which has "
                         << bytes->size() << " bytes";
    return bytes->slice(file.getOffset(), file.getSize());
  }
  if (auto elements = dyn_cast_or_null<DenseElementsAttr>(piece)) {
    if (elements.isSplat() && elements.getNumElements() != 1) {
      // Raw data of a splat is one element: spell the bytes out in an attribute, which lives with the context.
      std::string bytes;
      for (int64_t i = 0, e = elements.getNumElements(); i < e; ++i)
        bytes.append(elements.getRawData().data(), elements.getRawData().size());
      StringRef kept = StringAttr::get(getContext(), bytes).getValue();
      return ArrayRef<char>(kept.data(), kept.size());
    }
    return elements.getRawData();
  }
  return emitError() << "weight @" << getSymName() << ": piece is missing";
}

LogicalResult WeightOp::decode(SmallVectorImpl<float> &out) {
  RankedTensorType type = getTensorType();
  if (!isa<FloatType>(type.getElementType()))
    return emitError() << "weight @" << getSymName() << ": expected float elements, found " << type.getElementType();
  FailureOr<ArrayRef<char>> data = getBytes(getData());
  if (failed(data))
    return failure();
  out.resize(type.getNumElements());
  if (WeightEncodingInterface encoding = getEncoding()) {
    ArrayRef<char> scales, zeros;
    for (auto [piece, bytes] : {std::pair(getScalesAttr(), &scales), std::pair(getZerosAttr(), &zeros)}) {
      if (!piece)
        continue;
      FailureOr<ArrayRef<char>> found = getBytes(piece);
      if (failed(found))
        return failure();
      *bytes = *found;
    }
    encoding.decodeRows(type, data->data(), scales.data(), zeros.data(), 0, rowCount(type), out.data());
    return success();
  }
  for (int64_t i = 0, e = type.getNumElements(); i < e; ++i)
    out[i] = readFloat(type.getElementType(), data->data(), i);
  return success();
}

DenseElementsAttr WeightOp::getElements(int64_t maxBytes) {
  if (getEncoding())
    return {};
  if (auto elements = dyn_cast<DenseElementsAttr>(getData()))
    return elements;
  auto file = dyn_cast<FileAttr>(getData());
  if (!file || file.getSize() > maxBytes)
    return {};
  FailureOr<ArrayRef<char>> bytes = getBytes(file);
  if (failed(bytes))
    return {};
  if (getTensorType().getElementType().isInteger(1)) {
    SmallVector<bool> values;
    for (char byte : *bytes)
      values.push_back(byte != 0);
    return DenseElementsAttr::get(getTensorType(), values);
  }
  return DenseElementsAttr::getFromRawBuffer(getTensorType(), *bytes);
}

//===----------------------------------------------------------------------===//
// LoadOp
//===----------------------------------------------------------------------===//

LogicalResult LoadOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto weight = symbols.lookupNearestSymbolFrom<WeightOp>(*this, getWeightAttr());
  if (!weight)
    return emitOpError() << "no weight @" << getWeight();
  auto found = cast<RankedTensorType>(getResult().getType());
  RankedTensorType stored = weight.getTensorType();
  if (found.getShape() != stored.getShape())
    return emitOpError() << "result " << found << " does not have the shape of weight @" << getWeight() << ", " << stored;
  Type from = stored.getElementType(), to = found.getElementType();
  bool widens = isa<FloatType>(from) && isa<FloatType>(to) && to.getIntOrFloatBitWidth() >= from.getIntOrFloatBitWidth();
  if (from != to && !widens)
    return emitOpError() << "result element type " << to << " is not the weight's " << from << " or a wider float";
  return success();
}
