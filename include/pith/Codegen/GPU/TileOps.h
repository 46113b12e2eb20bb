//===- TileOps.h - matrix units and copies, for all chips -------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_CODEGEN_GPU_TILEOPS_H
#define PITH_CODEGEN_GPU_TILEOPS_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/LLVMIR/LLVMTypes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "pith/Codegen/GPU/TileDialect.h.inc"
#include "pith/Codegen/GPU/TileEnums.h.inc"
#define GET_OP_CLASSES
#include "pith/Codegen/GPU/TileOps.h.inc"

#endif // PITH_CODEGEN_GPU_TILEOPS_H
