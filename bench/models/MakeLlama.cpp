//===- MakeLlama.cpp - a Llama of any shape with random weights, as ONNX ---===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Writes FOLDER/model.onnx and FOLDER/model.onnx.data in the form of ONNX Runtime GenAI's model builder (packed QKV,
// GroupQueryAttention with rotary inside, skip norms, tied embedding), for benchmarks:
//
//   make-llama --shape=1b --format=f16|int4 FOLDER
//
//===----------------------------------------------------------------------===//

#include "Onnx.pb.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

using namespace llvm;
using namespace pith::onnx::proto;

namespace {

cl::opt<std::string> folder(cl::Positional, cl::Required, cl::desc("<folder>"));
cl::opt<std::string> shapeName("shape", cl::init("1b"), cl::desc("1b, 8b, 70b-block (one of its blocks), or tiny"));
cl::opt<bool> hollow("hollow", cl::desc("the weights' file is a hole: for compiling with --stripped"));
cl::opt<std::string> weightFormat("format", cl::init("f16"), cl::desc("weights: f32, f16, int4 (block 32, f32 activations)"));

struct Shape {
  int64_t hidden, layers, heads, kvHeads, headDim, mlp, vocab, positions;
};

enum { F32 = 1, U8 = 2, I32 = 6, I64 = 7, F16 = 10 };

/// A fast generator whose numbers are good enough to look like weights.
struct Random {
  uint64_t state = 0x9e3779b97f4a7c15;
  uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
};

/// Finite, normal values only: what the callers pass is far inside f16's range.
uint16_t toHalf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  uint32_t sign = bits >> 16 & 0x8000, exponent = bits >> 23 & 0xff;
  if (exponent < 113)
    return sign; // below the normal range
  return sign | ((bits + 0x1000) >> 13 & 0x3ffff) - (112 << 10);
}

class Writer {
public:
  Writer(const Shape &shape, const std::string &path, int type)
      : shape(shape), dataPath(path), data(path, std::ios::binary), type(type), graph(*model.mutable_graph()) {
    model.set_ir_version(10);
    auto import = [&](const char *domain, int64_t version) {
      OperatorSetIdProto *set = model.add_opset_import();
      set->set_domain(domain);
      set->set_version(version);
    };
    import("", 21);
    import("com.microsoft", 1);
    graph.set_name("llama");
  }

  void build();
  bool resize() const {
    std::error_code code;
    std::filesystem::resize_file(dataPath, offset, code);
    return !code;
  }
  bool finish(const std::string &path) {
    std::ofstream file(path, std::ios::binary);
    bool done = model.SerializeToOstream(&file);
    file.close();
    data.close();
    return done && file && data && (!hollow || resize());
  }

private:
  NodeProto *node(const char *op, std::vector<std::string> inputs, std::vector<std::string> outputs,
                  const char *domain = "") {
    NodeProto *node = graph.add_node();
    node->set_op_type(op);
    node->set_domain(domain);
    node->set_name("/" + outputs[0]);
    for (const std::string &name : inputs)
      node->add_input(name);
    for (const std::string &name : outputs)
      node->add_output(name);
    return node;
  }
  static void attribute(NodeProto *node, const char *name, int64_t value) {
    AttributeProto *attribute = node->add_attribute();
    attribute->set_name(name);
    attribute->set_type(2);
    attribute->set_i(value);
  }
  static void attribute(NodeProto *node, const char *name, float value) {
    AttributeProto *attribute = node->add_attribute();
    attribute->set_name(name);
    attribute->set_type(1);
    attribute->set_f(value);
  }

  TensorProto *tensor(const std::string &name, int elementType, std::vector<int64_t> dims) {
    TensorProto *tensor = graph.add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(elementType);
    for (int64_t dim : dims)
      tensor->add_dims(dim);
    return tensor;
  }
  void small(const std::string &name, std::vector<int64_t> values, bool scalar = false) {
    TensorProto *constant = tensor(name, I64, {});
    if (!scalar)
      constant->add_dims(values.size());
    constant->set_raw_data(values.data(), 8 * values.size());
  }
  /// A tensor whose bytes `fill` makes, piece by piece, in the external file.
  template <typename Fill>
  void external(const std::string &name, int elementType, std::vector<int64_t> dims, int64_t bytes, Fill fill) {
    TensorProto *stored = tensor(name, elementType, dims);
    stored->set_data_location(1);
    for (; offset % 64; ++offset)
      if (!hollow)
        data.put(0);
    auto entry = [&](const char *key, const std::string &value) {
      StringStringEntryProto *pair = stored->add_external_data();
      pair->set_key(key);
      pair->set_value(value);
    };
    entry("location", "model.onnx.data");
    entry("offset", std::to_string(offset));
    entry("length", std::to_string(bytes));
    if (hollow) {
      offset += bytes;
      return;
    }
    std::vector<char> piece;
    for (int64_t done = 0; done < bytes; done += piece.size()) {
      piece.resize(std::min<int64_t>(bytes - done, 1 << 20));
      fill(piece, done);
      data.write(piece.data(), piece.size());
    }
    offset += bytes;
  }
  /// Uniform numbers with the variance 1/k, or with `one` close to 1 (norm scales).
  void floats(const std::string &name, std::vector<int64_t> dims, int64_t k, bool one = false) {
    int64_t count = 1, width = type == F16 ? 2 : 4;
    for (int64_t dim : dims)
      count *= dim;
    float scale = std::sqrt(3.0f / k);
    external(name, type, dims, count * width, [&](std::vector<char> &piece, int64_t) {
      for (size_t i = 0; i < piece.size(); i += width) {
        float value = (int64_t(random.next() >> 40) - (1 << 23)) * (1.0f / (1 << 23));
        value = one ? 1 + 0.1f * value : scale * value;
        uint16_t half = toHalf(value);
        std::memcpy(&piece[i], type == F16 ? static_cast<const void *>(&half) : &value, width);
      }
    });
  }
  void codes(const std::string &name, int64_t n, int64_t k) {
    external(name + "_Q4", U8, {n, k / 32, 16}, n * k / 2, [&](std::vector<char> &piece, int64_t) {
      for (size_t i = 0; i + 8 <= piece.size(); i += 8) {
        uint64_t bits = random.next();
        std::memcpy(&piece[i], &bits, 8);
      }
    });
    external(name + "_scales", F32, {n, k / 32}, n * k / 32 * 4, [&](std::vector<char> &piece, int64_t) {
      for (size_t i = 0; i < piece.size(); i += 4) {
        // Uniform codes have a standard deviation of 4.6.
        float value = (0.9f + 0.2f * (random.next() >> 40) / (1 << 24)) / (4.6f * std::sqrt(float(k)));
        std::memcpy(&piece[i], &value, 4);
      }
    });
  }
  std::string linear(const std::string &x, const std::string &name, int64_t n, int64_t k, const std::string &out) {
    if (quantized()) {
      codes(name, n, k);
      matMulNBits(x, name, n, k, out);
    } else {
      floats(name, {k, n}, k);
      node("MatMul", {x, name}, {out});
    }
    return out;
  }
  void matMulNBits(const std::string &x, const std::string &name, int64_t n, int64_t k, const std::string &out) {
    NodeProto *op = node("MatMulNBits", {x, name + "_Q4", name + "_scales"}, {out}, "com.microsoft");
    attribute(op, "N", n);
    attribute(op, "K", k);
    attribute(op, "bits", int64_t(4));
    attribute(op, "block_size", int64_t(32));
    attribute(op, "accuracy_level", int64_t(4));
  }
  bool quantized() const { return weightFormat == "int4"; }
  void port(ValueInfoProto *value, const std::string &name, int elementType, std::vector<std::string> dims) {
    value->set_name(name);
    auto *type = value->mutable_type()->mutable_tensor_type();
    type->set_elem_type(elementType);
    for (const std::string &dim : dims) {
      auto *size = type->mutable_shape()->add_dim();
      if (isdigit(dim[0]))
        size->set_dim_value(std::stoll(dim));
      else
        size->set_dim_param(dim);
    }
  }

  Shape shape;
  std::string dataPath;
  std::ofstream data;
  int type;
  int64_t offset = 0;
  Random random;
  ModelProto model;
  GraphProto &graph;
};

void Writer::build() {
  int64_t hidden = shape.hidden, d = shape.headDim, q = shape.heads * d, kv = shape.kvHeads * d;
  port(graph.add_input(), "input_ids", I64, {"batch_size", "sequence_length"});
  port(graph.add_input(), "attention_mask", I64, {"batch_size", "total_sequence_length"});
  for (const char *name : {"key", "value"})
    for (int64_t l = 0; l < shape.layers; ++l)
      port(graph.add_input(), "past_key_values." + std::to_string(l) + "." + name, type,
           {"batch_size", std::to_string(shape.kvHeads), "past_sequence_length", std::to_string(d)});

  small("one", {1}, true);
  small("axis1", {1});
  NodeProto *sum = node("ReduceSum", {"attention_mask", "axis1"}, {"mask_sum"});
  attribute(sum, "keepdims", int64_t(0));
  node("Sub", {"mask_sum", "one"}, {"seqlens64"});
  attribute(node("Cast", {"seqlens64"}, {"seqlens_k"}), "to", int64_t(I32));
  node("Shape", {"attention_mask"}, {"mask_shape"});
  attribute(node("Gather", {"mask_shape", "one"}, {"total64"}), "axis", int64_t(0));
  attribute(node("Cast", {"total64"}, {"total"}), "to", int64_t(I32));

  for (bool sine : {false, true}) {
    int64_t half = d / 2, width = type == F16 ? 2 : 4;
    external(sine ? "sin_cache" : "cos_cache", type, {shape.positions, half}, shape.positions * half * width,
             [&](std::vector<char> &piece, int64_t done) {
               for (size_t i = 0; i < piece.size(); i += width) {
                 int64_t index = (done + i) / width;
                 double angle = double(index / half) * std::pow(10000.0, -2.0 * double(index % half) / d);
                 float value = sine ? std::sin(angle) : std::cos(angle);
                 uint16_t rounded = toHalf(value);
                 std::memcpy(&piece[i], type == F16 ? static_cast<const void *>(&rounded) : &value, width);
               }
             });
  }

  std::string x = "embed";
  if (quantized()) {
    codes("lm_head", shape.vocab, hidden);
    small("embed_shape", {shape.vocab, hidden / 2});
    node("Reshape", {"lm_head_Q4", "embed_shape"}, {"embed_Q4"});
    NodeProto *gather = node("GatherBlockQuantized", {"embed_Q4", "input_ids", "lm_head_scales"}, {x}, "com.microsoft");
    attribute(gather, "bits", int64_t(4));
    attribute(gather, "block_size", int64_t(32));
    attribute(gather, "gather_axis", int64_t(0));
    attribute(gather, "quantize_axis", int64_t(1));
  } else {
    floats("embed_tokens", {shape.vocab, hidden}, hidden);
    node("Gather", {"embed_tokens", "input_ids"}, {x});
  }

  auto norm = [&](const std::string &name, const std::string &sumWith) {
    floats(name + ".weight", {hidden}, hidden, /*one=*/true);
    NodeProto *op;
    if (sumWith.empty()) {
      op = node("SimplifiedLayerNormalization", {x, name + ".weight"}, {name});
    } else {
      op = node("SkipSimplifiedLayerNormalization", {x, sumWith, name + ".weight"}, {name, "", "", name + ".sum"},
                "com.microsoft");
      x = name + ".sum";
    }
    attribute(op, "epsilon", 1e-5f);
    return name;
  };

  std::string branch;
  for (int64_t l = 0; l < shape.layers; ++l) {
    std::string layer = "layers." + std::to_string(l) + ".", cache = std::to_string(l) + ".";
    std::string h = norm(layer + "input_norm", branch);
    linear(h, layer + "qkv_weight", q + 2 * kv, hidden, layer + "qkv");
    NodeProto *attention =
        node("GroupQueryAttention",
             {layer + "qkv", "", "", "past_key_values." + cache + "key", "past_key_values." + cache + "value",
              "seqlens_k", "total", "cos_cache", "sin_cache"},
             {layer + "attention", "present." + cache + "key", "present." + cache + "value"}, "com.microsoft");
    attribute(attention, "num_heads", shape.heads);
    attribute(attention, "kv_num_heads", shape.kvHeads);
    attribute(attention, "do_rotary", int64_t(1));
    attribute(attention, "scale", 1.0f / std::sqrt(float(d)));
    linear(layer + "attention", layer + "o_weight", hidden, q, layer + "o");
    h = norm(layer + "post_norm", layer + "o");
    linear(h, layer + "gate_weight", shape.mlp, hidden, layer + "gate");
    linear(h, layer + "up_weight", shape.mlp, hidden, layer + "up");
    node("Sigmoid", {layer + "gate"}, {layer + "sigmoid"});
    node("Mul", {layer + "gate", layer + "sigmoid"}, {layer + "silu"});
    node("Mul", {layer + "silu", layer + "up"}, {layer + "product"});
    branch = linear(layer + "product", layer + "down_weight", hidden, shape.mlp, layer + "down");
  }
  std::string h = norm("final_norm", branch);
  if (quantized()) {
    matMulNBits(h, "lm_head", shape.vocab, hidden, "logits");
  } else {
    AttributeProto *perm = node("Transpose", {"embed_tokens"}, {"head"})->add_attribute();
    perm->set_name("perm");
    perm->set_type(7);
    perm->add_ints(1);
    perm->add_ints(0);
    node("MatMul", {h, "head"}, {"logits"});
  }
  port(graph.add_output(), "logits", type, {"batch_size", "sequence_length", std::to_string(shape.vocab)});
  for (int64_t l = 0; l < shape.layers; ++l)
    for (const char *name : {"key", "value"})
      port(graph.add_output(), "present." + std::to_string(l) + "." + name, type,
           {"batch_size", std::to_string(shape.kvHeads), "total_sequence_length", std::to_string(d)});
}

} // namespace

int main(int argc, char **argv) {
  cl::ParseCommandLineOptions(argc, argv, "writes a Llama with random weights as ONNX\n");
  Shape shape;
  if (shapeName == "1b")
    shape = {2048, 16, 32, 8, 64, 8192, 32000, 4096};
  else if (shapeName == "8b")
    shape = {4096, 32, 32, 8, 128, 14336, 128256, 8192};
  else if (shapeName == "70b-block")
    shape = {8192, 1, 64, 8, 128, 28672, 32000, 8192};
  else if (shapeName == "tiny")
    shape = {256, 2, 4, 2, 64, 704, 512, 512};
  else {
    errs() << "make-llama: unknown shape '" << shapeName << "'; shapes are 1b, 8b, 70b-block, tiny\n";
    return 2;
  }
  if (weightFormat != "f32" && weightFormat != "f16" && weightFormat != "int4") {
    errs() << "make-llama: unknown format '" << weightFormat << "'; formats are f32, f16, int4\n";
    return 2;
  }
  if (std::error_code code = sys::fs::create_directories(folder)) {
    errs() << "make-llama: " << folder << ": " << code.message() << "\n";
    return 1;
  }
  Writer writer(shape, folder + "/model.onnx.data", weightFormat == "f16" ? F16 : F32);
  writer.build();
  if (!writer.finish(folder + "/model.onnx")) {
    errs() << "make-llama: cannot write to " << folder << "\n";
    return 1;
  }
  return 0;
}
