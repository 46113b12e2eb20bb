//===- KernelText.h - kernels written as text ---------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===------------------------------------------------------------------------------------===//
#ifndef PITH_TEST_UNIT_EMULATOR_KERNELTEXT_H
#define PITH_TEST_UNIT_EMULATOR_KERNELTEXT_H

#include "gtest/gtest.h"

#include <string>

namespace pith::test {

/// Kernels in one gpu.module, with the shared memory that they may use.
inline std::string moduleOf(const std::string &kernels) {
  return "gpu.module @kernels {\n"
         "llvm.mlir.global external @shared() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 "
         "x i8>\n" +
         kernels + "}\n";
}

inline testing::AssertionResult has(const std::string &text, const std::string &part) {
  if (text.find(part) != std::string::npos)
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << text << "' does not say '" << part << "'";
}

/// Writes a kernel's body line by line; values of i32 get names of their own.
class KernelText {
public:
  std::string text;

  std::string value(const std::string &operation) {
    const std::string name = "%v" + std::to_string(next++);
    text += "    " + name + " = " + operation + "\n";
    return name;
  }
  void line(const std::string &operation) { text += "    " + operation + "\n"; }

  std::string constant(int number) { return value("arith.constant " + std::to_string(number) + " : i32"); }
  std::string add(const std::string &x, const std::string &y) {
    return value("arith.addi " + x + ", " + y + " : i32");
  }
  std::string add(const std::string &x, int y) { return y ? add(x, constant(y)) : x; }
  std::string mul(const std::string &x, int y) {
    return value("arith.muli " + x + ", " + constant(y) + " : i32");
  }
  std::string divide(const std::string &x, int y) {
    return value("arith.divui " + x + ", " + constant(y) + " : i32");
  }
  std::string modulo(const std::string &x, int y) {
    return value("arith.remui " + x + ", " + constant(y) + " : i32");
  }
  std::string thread() { return value("arith.index_cast " + value("gpu.thread_id x") + " : index to i32"); }
  /// The address of a byte.
  std::string at(const std::string &base, const std::string &offset, int space) {
    const std::string type = "!llvm.ptr<" + std::to_string(space) + ">";
    return value("llvm.getelementptr " + base + "[" + offset + "] : (" + type + ", i32) -> " + type + ", i8");
  }
  std::string load(const std::string &address, const std::string &type, int space) {
    return value("llvm.load " + address + " : !llvm.ptr<" + std::to_string(space) + "> -> " + type);
  }
  void store(const std::string &what, const std::string &address, const std::string &type, int space) {
    line("llvm.store " + what + ", " + address + " : " + type + ", !llvm.ptr<" + std::to_string(space) + ">");
  }

private:
  int next = 0;
};

} // namespace pith::test

#endif // PITH_TEST_UNIT_EMULATOR_KERNELTEXT_H
