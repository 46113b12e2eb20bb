//===- WireTest.cpp - weight bytes taken out of a serialized model -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Onnx.pb.h"
#include "Wire.h"
#include "gtest/gtest.h"

using namespace pith::onnx;

namespace {

/// A tensor field as any writer may put it, with `raw` bytes of data.
std::string modelWith(size_t raw) {
  proto::ModelProto model;
  proto::TensorProto *tensor = model.mutable_graph()->add_initializer();
  tensor->set_name("w");
  tensor->set_data_type(1);
  tensor->add_dims(raw / 4);
  tensor->set_raw_data(std::string(raw, 'x'));
  return model.SerializeAsString();
}

llvm::ArrayRef<char> bytesOf(const std::string &text) { return {text.data(), text.size()}; }

TEST(WireTest, BigDataStaysInTheFile) {
  std::string model = modelWith(4096), out, error;
  ASSERT_TRUE(stripRawData(bytesOf(model), 1024, out, error)) << error;
  EXPECT_LT(out.size(), 100u);
  proto::ModelProto parsed;
  ASSERT_TRUE(parsed.ParseFromString(out));
  const proto::TensorProto &tensor = parsed.graph().initializer(0);
  EXPECT_FALSE(tensor.has_raw_data());
  EXPECT_EQ(tensor.file_size(), 4096u);
  EXPECT_EQ(model.substr(tensor.file_offset(), 4096), std::string(4096, 'x'));
}

TEST(WireTest, SmallDataIsKeptAndLocated) {
  std::string model = modelWith(16), out, error;
  ASSERT_TRUE(stripRawData(bytesOf(model), 1024, out, error)) << error;
  proto::ModelProto parsed;
  ASSERT_TRUE(parsed.ParseFromString(out));
  EXPECT_EQ(parsed.graph().initializer(0).raw_data(), std::string(16, 'x'));
  EXPECT_EQ(model.substr(parsed.graph().initializer(0).file_offset(), 16), std::string(16, 'x'));
}

TEST(WireTest, AFileCannotSayWhereItsDataLies) {
  proto::ModelProto model;
  proto::TensorProto *tensor = model.mutable_graph()->add_initializer();
  tensor->set_file_offset(1 << 30);
  tensor->set_file_size(1 << 30);
  std::string text = model.SerializeAsString(), out, error;
  ASSERT_TRUE(stripRawData(bytesOf(text), 1024, out, error)) << error;
  proto::ModelProto parsed;
  ASSERT_TRUE(parsed.ParseFromString(out));
  EXPECT_FALSE(parsed.graph().initializer(0).has_file_offset());
  EXPECT_FALSE(parsed.graph().initializer(0).has_file_size());
}

TEST(WireTest, EveryTruncationIsFound) {
  std::string model = modelWith(64);
  for (size_t size = 1; size < model.size(); ++size) {
    std::string part = model.substr(0, size), out, error;
    EXPECT_FALSE(stripRawData(bytesOf(part), 16, out, error)) << size;
    EXPECT_FALSE(error.empty());
  }
}

TEST(WireTest, HostileBytesAreRefused) {
  std::string nested; // graphs within attributes within nodes within graphs
  for (int i = 0; i < 201; ++i) {
    std::string length;
    for (size_t n = nested.size();; n >>= 7) {
      length.push_back(char((n & 0x7f) | (n >= 0x80 ? 0x80 : 0)));
      if (n < 0x80)
        break;
    }
    nested = std::string(1, char(i % 3 == 2 ? 0x0a : i % 3 == 1 ? 0x2a : 0x32)) + length + nested;
  }
  std::string length(1, char(0x80 | (nested.size() & 0x7f)));
  length.push_back(char(nested.size() >> 7));
  for (const std::string &bytes :
       {"\x3a" + length + nested, std::string("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), std::string("\x3b"),
        std::string("\x00\x01", 2), std::string(11, '\xff')}) {
    std::string out, error;
    EXPECT_FALSE(stripRawData(bytesOf(bytes), 16, out, error));
    EXPECT_FALSE(error.empty());
  }
}

} // namespace
