// Search by meaning: an encoder turns texts into vectors, the nearest to the query's come first.
//
//   search ENCODER.pith TOKENIZER.json LINES.txt QUERY [COUNT]
//
// The encoder is any graph with token ids (and, if it has them, a mask and token types) as input and hidden states
// [batch, sequence, hidden] or vectors [batch, hidden] as first output.
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "pith/runtime.hpp"
#include "pith/tokenizer.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace {

using Vector = std::vector<float>;

class Encoder {
public:
  Encoder(const std::string &model, const std::string &tokenizerPath)
      : tokenizer(tokenizerPath), module(model), session(module), result(session) {
    const std::vector<pith_entry_info> entries = module.entries();
    while (entry < entries.size() && entries[entry].kind != PITH_ENTRY_INVOKE)
      ++entry;
    if (entry == entries.size())
      throw std::runtime_error(model + ": has no entry to invoke");
    name = entries[entry].name;
    for (uint32_t i = 0; i < entries[entry].input_count; ++i)
      ports.push_back(module.input(entry, i));
  }

  /// One vector of length 1 per text, all in one invocation.
  std::vector<Vector> encode(const std::vector<std::string> &texts) {
    std::vector<std::vector<int32_t>> ids;
    size_t longest = 1;
    for (const std::string &text : texts) {
      ids.push_back(tokenizer.encode(text, PITH_ENCODE_ADD_SPECIAL));
      longest = std::max(longest, ids.back().size());
    }
    // Shorter texts are padded at their end; the mask tells what is text.
    std::vector<int64_t> padded(texts.size() * longest), mask(padded.size()), types(padded.size());
    for (size_t i = 0; i < ids.size(); ++i)
      for (size_t j = 0; j < ids[i].size(); ++j) {
        padded[i * longest + j] = ids[i][j];
        mask[i * longest + j] = 1;
      }
    const int64_t dims[] = {int64_t(texts.size()), int64_t(longest)};
    std::vector<pith_tensor> inputs;
    for (const pith_port_info &port : ports) {
      const bool isMask = std::strstr(port.name, "mask"), isType = std::strstr(port.name, "type");
      inputs.push_back(view(port, isMask ? mask : isType ? types : padded, dims));
    }
    session.invoke(name, inputs, result);
    const pith_tensor output = result.output(0);
    if (output.type != PITH_F32 || output.rank < 2 || output.rank > 3)
      throw std::runtime_error(std::string("output ") + output.name + " is no f32 tensor of rank 2 or 3");
    std::vector<Vector> vectors;
    for (size_t i = 0; i < texts.size(); ++i)
      vectors.push_back(pool(output, i, output.rank == 3 ? ids[i].size() : 1));
    return vectors;
  }

private:
  static pith_tensor view(const pith_port_info &port, std::vector<int64_t> &values, const int64_t *dims) {
    if (port.type != PITH_I64 || port.rank != 2)
      throw std::runtime_error(std::string("input ") + port.name + " is no i64 tensor of rank 2");
    pith_tensor tensor = PITH_INIT(pith_tensor);
    tensor.name = port.name;
    tensor.type = port.type;
    tensor.dims = dims;
    tensor.rank = 2;
    tensor.data = values.data();
    return tensor;
  }

  /// The mean of a text's rows, scaled to length 1: the dot product of two such vectors is their cosine.
  static Vector pool(const pith_tensor &output, size_t text, size_t rows) {
    const size_t hidden = size_t(output.dims[output.rank - 1]);
    const size_t stride = output.rank == 3 ? size_t(output.dims[1]) * hidden : hidden;
    const float *data = static_cast<const float *>(output.data) + text * stride;
    Vector mean(hidden);
    for (size_t row = 0; row < rows; ++row)
      for (size_t i = 0; i < hidden; ++i)
        mean[i] += data[row * hidden + i];
    double square = 0;
    for (const float value : mean)
      square += double(value) * value;
    const float scale = square > 0 ? float(1 / std::sqrt(square)) : 0;
    for (float &value : mean)
      value *= scale;
    return mean;
  }

  pith::Tokenizer tokenizer;
  pith::Module module;
  pith::Session session;
  pith::Result result;
  size_t entry = 0;
  std::string name;
  std::vector<pith_port_info> ports;
};

std::vector<std::string> readLines(const char *path) {
  std::ifstream file(path);
  if (!file)
    throw std::runtime_error(std::string(path) + ": cannot be read");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);)
    if (!line.empty())
      lines.push_back(line);
  return lines;
}

} // namespace

int main(int argc, char **argv) try {
  if (argc < 5) {
    std::fprintf(stderr, "usage: search ENCODER.pith TOKENIZER.json LINES.txt QUERY [COUNT]\n");
    return 2;
  }
  Encoder encoder(argv[1], argv[2]);
  const std::vector<std::string> lines = readLines(argv[3]);
  const Vector query = encoder.encode({argv[4]})[0];
  std::vector<std::pair<float, size_t>> found;
  constexpr size_t batch = 32;
  for (size_t first = 0; first < lines.size(); first += batch) {
    const size_t last = std::min(first + batch, lines.size());
    const std::vector<Vector> vectors = encoder.encode({lines.begin() + first, lines.begin() + last});
    for (size_t i = 0; i < vectors.size(); ++i) {
      float cosine = 0;
      for (size_t j = 0; j < query.size(); ++j)
        cosine += query[j] * vectors[i][j];
      found.emplace_back(cosine, first + i);
    }
  }
  std::sort(found.begin(), found.end(), [](auto &a, auto &b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
  const size_t count = argc > 5 ? std::stoul(argv[5]) : 5;
  for (size_t i = 0; i < std::min(count, found.size()); ++i)
    std::printf("%.4f  %s\n", double(found[i].first), lines[found[i].second].c_str());
  return 0;
} catch (const std::exception &error) {
  std::fprintf(stderr, "search: %s\n", error.what());
  return 1;
}
