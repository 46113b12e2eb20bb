//===- PithDataOps.h - operations for sizes that depend on data -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_DIALECT_PITH_IR_PITHDATAOPS_H
#define PITH_DIALECT_PITH_IR_PITHDATAOPS_H

#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "pith/Dialect/Pith/IR/Pith.h"

#define GET_OP_CLASSES
#include "pith/Dialect/Pith/IR/PithDataOps.h.inc"

#endif // PITH_DIALECT_PITH_IR_PITHDATAOPS_H
