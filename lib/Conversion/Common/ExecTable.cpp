//===- ExecTable.cpp - the table that a compiled file exports -------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "pith/Conversion/ExecTable.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "pith/executable.h"

using namespace mlir;
using namespace pith;

namespace {
/// Constant globals, field by field.
class TableWriter {
public:
  explicit TableWriter(ModuleOp module)
      : module(module), b(OpBuilder::atBlockEnd(module.getBody())), loc(module.getLoc()),
        pointer(LLVM::LLVMPointerType::get(module.getContext())), i32(b.getI32Type()), i64(b.getI64Type()) {}

  using Fields = SmallVector<Value>;
  /// An array of structs. `row` gives the fields of one.
  std::string list(StringRef name, ArrayRef<Type> types, size_t count,
                   llvm::function_ref<Fields(size_t)> row) {
    auto element = LLVM::LLVMStructType::getLiteral(b.getContext(), types);
    auto type = LLVM::LLVMArrayType::get(element, count);
    global(name, type, LLVM::Linkage::Internal, [&](Value all) {
      for (size_t i = 0; i < count; ++i)
        for (auto [j, field] : llvm::enumerate(row(i)))
          all = LLVM::InsertValueOp::create(b, loc, all, field, {int64_t(i), int64_t(j)});
      return all;
    });
    return name.str();
  }
  void record(StringRef name, ArrayRef<Type> types, llvm::function_ref<Fields()> fields) {
    global(name, LLVM::LLVMStructType::getLiteral(b.getContext(), types), LLVM::Linkage::External,
           [&](Value all) {
             for (auto [j, field] : llvm::enumerate(fields()))
               all = LLVM::InsertValueOp::create(b, loc, all, field, int64_t(j));
             return all;
           });
  }
  /// Bytes as they are; a zero behind them.
  void bytes(StringRef name, StringRef data, unsigned alignment) {
    std::string withZero = data.str() + '\0';
    auto type = LLVM::LLVMArrayType::get(b.getI8Type(), withZero.size());
    b.setInsertionPointToEnd(module.getBody());
    LLVM::GlobalOp::create(b, loc, type, /*isConstant=*/true, LLVM::Linkage::Internal, name,
                           b.getStringAttr(withZero), alignment);
  }
  Value number(int64_t value, Type type = {}) {
    return LLVM::ConstantOp::create(b, loc, type ? type : i32, value);
  }
  Value text(StringRef value) { return textConstant(b, loc, module, value); }
  Value address(StringRef symbol) { return LLVM::AddressOfOp::create(b, loc, pointer, symbol); }

  ModuleOp module;
  OpBuilder b;
  Location loc;
  Type pointer, i32, i64;

private:
  void global(StringRef name, Type type, LLVM::Linkage linkage, llvm::function_ref<Value(Value)> fill) {
    b.setInsertionPointToEnd(module.getBody());
    auto op = LLVM::GlobalOp::create(b, loc, type, /*isConstant=*/true, linkage, name, Attribute());
    b.createBlock(&op.getInitializerRegion());
    LLVM::ReturnOp::create(b, loc, fill(LLVM::UndefOp::create(b, loc, type)));
  }
};
} // namespace

Value pith::textConstant(OpBuilder &b, Location loc, ModuleOp module, StringRef text) {
  std::string symbol = ("pith_name_" + text).str();
  if (!module.lookupSymbol(symbol)) {
    std::string bytes = text.str() + '\0';
    auto type = LLVM::LLVMArrayType::get(b.getI8Type(), bytes.size());
    OpBuilder top = OpBuilder::atBlockEnd(module.getBody());
    LLVM::GlobalOp::create(top, loc, type, /*isConstant=*/true, LLVM::Linkage::Internal, symbol,
                           top.getStringAttr(bytes));
  }
  return LLVM::AddressOfOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext()), symbol);
}

void pith::writeTable(ModuleOp module, ArrayRef<ExecKernel> kernels, ArrayRef<ExecImage> images) {
  TableWriter writer(module);
  Type pointer = writer.pointer, i32 = writer.i32, i64 = writer.i64;
  auto entries =
      cast<LLVM::LLVMArrayType>(module.lookupSymbol<LLVM::GlobalOp>(kEntriesSymbol).getGlobalType());
  if (images.empty()) {
    writer.record(PITH_EXEC_SYMBOL, {i32, i32, pointer}, [&] {
      return TableWriter::Fields{writer.number(PITH_EXEC_VERSION), writer.number(entries.getNumElements()),
                                 writer.address(kEntriesSymbol)};
    });
    return;
  }
  for (auto [i, kernel] : llvm::enumerate(kernels))
    writer.bytes(
        "pith_arguments_" + std::to_string(i),
        StringRef(reinterpret_cast<const char *>(kernel.argumentBytes.data()), kernel.argumentBytes.size()),
        1);
  for (auto [i, image] : llvm::enumerate(images))
    if (image.symbol.empty())
      writer.bytes("pith_image_" + std::to_string(i), image.bytes, 64);
  std::string kernelList =
      writer.list("pith_kernel_list", {pointer, pointer, i32, i32, i32, i32, i32, i32, pointer},
                  kernels.size(), [&](size_t i) {
                    const ExecKernel &k = kernels[i];
                    return TableWriter::Fields{writer.text(k.name),
                                               writer.text(k.origin),
                                               writer.number(k.block[0]),
                                               writer.number(k.block[1]),
                                               writer.number(k.block[2]),
                                               writer.number(k.sharedBytes),
                                               writer.number(k.argumentBytes.size()),
                                               writer.number(k.needs),
                                               writer.address("pith_arguments_" + std::to_string(i))};
                  });
  std::string imageList =
      writer.list("pith_image_list", {pointer, i32, i32, pointer, i64}, images.size(), [&](size_t i) {
        const ExecImage &image = images[i];
        return TableWriter::Fields{
            writer.text(image.target), writer.number(image.format), writer.number(image.has),
            writer.address(image.symbol.empty() ? "pith_image_" + std::to_string(i) : image.symbol),
            writer.number(image.bytes.size(), i64)};
      });
  writer.record(PITH_EXEC_SYMBOL, {i32, i32, pointer, i32, i32, pointer, pointer}, [&] {
    return TableWriter::Fields{writer.number(PITH_EXEC_DEVICE_VERSION),
                               writer.number(entries.getNumElements()),
                               writer.address(kEntriesSymbol),
                               writer.number(kernels.size()),
                               writer.number(images.size()),
                               writer.address(kernelList),
                               writer.address(imageList)};
  });
}
