//===- Pith.h - the pith dialect --------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_DIALECT_PITH_IR_PITH_H
#define PITH_DIALECT_PITH_IR_PITH_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include <memory>

#include "pith/Dialect/Pith/IR/PithDialect.h.inc"
#include "pith/Dialect/Pith/IR/PithEnums.h.inc"
#include "pith/Dialect/Pith/IR/PithInterfaces.h.inc"

#define GET_ATTRDEF_CLASSES
#include "pith/Dialect/Pith/IR/PithAttributes.h.inc"
#define GET_TYPEDEF_CLASSES
#include "pith/Dialect/Pith/IR/PithTypes.h.inc"
#define GET_OP_CLASSES
#include "pith/Dialect/Pith/IR/PithOps.h.inc"

namespace pith {
/// Names of the attributes on entry points (see the dialect's description).
constexpr llvm::StringLiteral kEntryAttr = "pith.entry";
constexpr llvm::StringLiteral kNameAttr = "pith.name";
constexpr llvm::StringLiteral kDimsAttr = "pith.dims";
} // namespace pith

#endif // PITH_DIALECT_PITH_IR_PITH_H
