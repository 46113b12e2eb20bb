//===- KernelLowering.h - one GPU kernel becomes a host function *- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_LIB_TARGET_EMULATOR_KERNELLOWERING_H
#define PITH_LIB_TARGET_EMULATOR_KERNELLOWERING_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Operation.h"
#include "mlir/Interfaces/DataLayoutInterfaces.h"
#include "pith/emulated.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include <string>

namespace pith::emulator {

/// Where the variables of shared memory lie that a gpu.module declares. The dynamic one, of no size, is
/// behind the others.
struct SharedLayout {
  llvm::StringMap<uint64_t> offsets;
  uint64_t staticBytes = 0, dynamicOffset = 0;
};

/// Rewrites the operations of a kernel that has become a host function. `b` stands before the operation in
/// hand.
class KernelLowering {
public:
  using Value = mlir::Value;
  using Type = mlir::Type;
  using Handler = mlir::LogicalResult (*)(KernelLowering &, mlir::Operation *);

  /// Takes the operations that the function has now.
  KernelLowering(mlir::func::FuncOp function, const SharedLayout &shared, unsigned warpSize);

  /// Rewrites them. Afterwards all pointers are plain ones.
  mlir::LogicalResult run();

  struct Site {
    std::string op, location;
  };
  llvm::SmallVector<Site> sites;

  // For the handlers.
  mlir::OpBuilder b;
  const unsigned warpSize;
  const SharedLayout &shared;

  Value constant(Type type, int64_t value);
  Value i32Constant(int64_t value);
  /// A field of the thread (pith_emu_thread).
  Value field(unsigned offset, Type type);
  /// The address of shared memory's first byte, as i64.
  Value sharedBase();
  Value bitcast(Value value, Type type);
  unsigned bytesOf(Type type) { return layout.getTypeSize(type); }
  unsigned wordsOf(Type type) { return (bytesOf(type) + 3) / 4; }

  /// Checks an access; `flags` of pith_emu_calls.access, the space follows from the pointer.
  void check(mlir::Operation *op, Value pointer, Value bytes, unsigned alignment, unsigned flags);

  /// Calls the emulator. Operands go to the frame one after the other; what comes back are values of the
  /// given types, which stand one after the other at the frame's beginning.
  llvm::SmallVector<Value> operate(mlir::Operation *op, unsigned operation, uint64_t immediates,
                                   llvm::ArrayRef<Type> results, llvm::ArrayRef<Value> operands);
  /// The same where the operation's results are just these.
  mlir::LogicalResult replaceByOperate(mlir::Operation *op, unsigned operation, uint64_t immediates,
                                       llvm::ArrayRef<Value> operands);

  void replace(mlir::Operation *op, mlir::ValueRange values);
  /// A pointer or a shared-memory address as a plain pointer.
  Value plain(Value pointer);

private:
  unsigned siteOf(mlir::Operation *op);
  Value call(unsigned offset, llvm::ArrayRef<Value> arguments);

  mlir::func::FuncOp function;
  mlir::DataLayout layout;
  llvm::SmallVector<mlir::Operation *> operations;
  mlir::LLVM::AllocaOp frame;
  unsigned frameWords = 1;
  llvm::DenseMap<mlir::Operation *, unsigned> knownSites;
};

/// Handlers by operation name, from the files of this folder.
using Handlers = llvm::StringMap<KernelLowering::Handler>;
void addMemoryHandlers(Handlers &handlers);
void addThreadHandlers(Handlers &handlers);
void addMatrixHandlers(Handlers &handlers);
void addAsyncHandlers(Handlers &handlers);

} // namespace pith::emulator

#endif // PITH_LIB_TARGET_EMULATOR_KERNELLOWERING_H
