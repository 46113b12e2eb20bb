//===- TileOps.cpp - matrix units and copies, for all chips ---------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "pith/Codegen/GPU/TileOps.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace pith::tile;

#include "pith/Codegen/GPU/TileDialect.cpp.inc"
#include "pith/Codegen/GPU/TileEnums.cpp.inc"
#define GET_OP_CLASSES
#include "pith/Codegen/GPU/TileOps.cpp.inc"

void TileDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "pith/Codegen/GPU/TileOps.cpp.inc"
      >();
}

LogicalResult PlaceOp::verify() {
  uint32_t count = getWhat() == What::sum ? 8 : 2;
  if (getIndex() >= count)
    return emitOpError("has index ") << getIndex() << ", expected less than " << count;
  return success();
}
