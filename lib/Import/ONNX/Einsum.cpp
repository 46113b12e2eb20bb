//===- Einsum.cpp - sums of products by index letters -----------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Operands are multiplied from left to right, each time as one batched matrix product: letters that both have and that
// are needed later are batch dimensions, letters that both have and nobody needs are summed. "..." stands for letters of its
// own, aligned at the right.
//
//===----------------------------------------------------------------------===//

#include "Node.h"
#include "Scalar.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

namespace {
/// A tensor and the letter of each of its dimensions.
struct Lettered {
  Tensor tensor;
  std::string letters;
};

class Einsum {
public:
  explicit Einsum(Node &node) : node(node), im(node.im) {}
  LogicalResult run();

private:
  bool parse();
  bool expand(StringRef term, int64_t rank, std::string &letters);
  bool bindSizes();
  Lettered diagonal(Lettered x);
  Lettered sumOver(Lettered x, llvm::function_ref<bool(char)> goes);
  Lettered multiply(Lettered a, Lettered b, StringRef needed);
  Tensor arrange(const Lettered &x, StringRef letters);
  Shape shapeOf(StringRef letters) {
    Shape shape;
    for (char c : letters)
      shape.push_back(sizes[c]);
    return shape;
  }

  Node &node;
  Importer &im;
  SmallVector<std::string> terms;
  std::string output;
  int64_t dots = 0; ///< dimensions of the longest "..."
  std::map<char, Expr> sizes;
};
} // namespace

/// Letters for "..." are the characters from 1 on, the last dimension's first.
bool Einsum::expand(StringRef term, int64_t rank, std::string &letters) {
  size_t at = term.find("...");
  std::string before = term.take_front(at).str(), behind = at == StringRef::npos ? "" : term.drop_front(at + 3).str();
  int64_t covered = rank < 0 ? dots : rank - int64_t(before.size() + behind.size());
  letters = before;
  if (at != StringRef::npos)
    for (int64_t i = covered; i > 0; --i)
      letters += char(i);
  letters += behind;
  bool plain = llvm::all_of(before + behind, [](char c) { return llvm::isAlpha(c); });
  if (plain && covered >= 0 && covered < 32 && (rank < 0 || int64_t(letters.size()) == rank)) {
    if (at != StringRef::npos)
      dots = std::max(dots, covered);
    return true;
  }
  node.error() << "term '" << term << "' of the equation does not fit a tensor of rank " << rank;
  return false;
}

bool Einsum::parse() {
  std::string equation = node.getString("equation", "");
  llvm::erase(equation, ' ');
  StringRef text = equation;
  auto [left, right] = text.split("->");
  bool explicitOutput = text.contains("->");
  SmallVector<StringRef> parts;
  left.split(parts, ',');
  if (parts.size() != node.inputs.size()) {
    node.error() << "equation '" << equation << "' has " << parts.size() << " terms for " << node.inputs.size()
                 << " inputs";
    return false;
  }
  for (auto [part, val] : llvm::zip_equal(parts, node.inputs))
    if (!expand(part, val->rank(), terms.emplace_back()))
      return false;
  if (explicitOutput) {
    if (!expand(right, -1, output))
      return false;
  } else { // "..." and what occurs once, in order
    std::map<char, int> count;
    for (const std::string &term : terms)
      for (char c : term)
        ++count[c];
    for (int64_t i = dots; i > 0; --i)
      output += char(i);
    for (auto [c, n] : count)
      if (llvm::isAlpha(c) && n == 1)
        output += c;
  }
  for (size_t i = 0; i < output.size(); ++i)
    if (output.find(output[i]) != i || llvm::none_of(terms, [&](const std::string &t) { return StringRef(t).contains(output[i]); })) {
      node.error() << "the output of equation '" << equation << "' names a letter twice, or one that no input has";
      return false;
    }
  return true;
}

bool Einsum::bindSizes() {
  for (auto [term, val] : llvm::zip_equal(terms, node.inputs))
    for (auto [c, size] : llvm::zip_equal(term, val->shape)) {
      Expr mine = im.symbols.normalize(size);
      auto [it, fresh] = sizes.try_emplace(c, mine);
      if (fresh || mine.isConstant(1))
        continue;
      if (it->second.isConstant(1)) {
        it->second = mine;
      } else if (!im.symbols.assumeEqual(it->second, mine)) {
        node.error() << "dimensions of one letter differ: " << im.symbols.print(it->second) << " and "
                     << im.symbols.print(mine);
        return false;
      }
    }
  return true;
}

/// A letter that occurs twice reads the diagonal.
Lettered Einsum::diagonal(Lettered x) {
  std::string unique;
  for (char c : x.letters)
    if (unique.find(c) == std::string::npos)
      unique += c;
  if (unique.size() == x.letters.size())
    return x;
  Tensor y = compute(im, x.tensor.element(), shapeOf(unique), [&](Point point) {
    Scalars from;
    for (char c : x.letters)
      from.push_back(point[unique.find(c)]);
    return at(im, x.tensor, from);
  });
  return {y, unique};
}

Lettered Einsum::sumOver(Lettered x, llvm::function_ref<bool(char)> goes) {
  SmallVector<int64_t> axes;
  std::string left;
  for (auto [i, c] : llvm::enumerate(x.letters))
    if (goes(c))
      axes.push_back(i);
    else
      left += c;
  if (axes.empty())
    return x;
  return {im.reshape(im.reduce(ReduceKind::Sum, x.tensor, axes), shapeOf(left)), left};
}

/// Transposed into the order of `letters`.
Tensor Einsum::arrange(const Lettered &x, StringRef letters) {
  SmallVector<int64_t> permutation;
  for (char c : letters)
    permutation.push_back(x.letters.find(c));
  return permutation.empty() ? x.tensor : im.transpose(x.tensor, permutation);
}

Lettered Einsum::multiply(Lettered a, Lettered b, StringRef needed) {
  auto has = [](const Lettered &x, char c) { return x.letters.find(c) != std::string::npos; };
  a = sumOver(a, [&](char c) { return !has(b, c) && !needed.contains(c); });
  b = sumOver(b, [&](char c) { return !has(a, c) && !needed.contains(c); });
  std::string batch, summed, rows, columns;
  for (char c : a.letters)
    (!has(b, c) ? rows : needed.contains(c) ? batch : summed) += c;
  for (char c : b.letters)
    if (!has(a, c))
      columns += c;
  Shape outer = shapeOf(batch);
  auto matrix = [&](const Lettered &x, StringRef first, StringRef second) {
    Shape shape = outer;
    shape.push_back(im.count(shapeOf(first)));
    shape.push_back(im.count(shapeOf(second)));
    return im.reshape(arrange(x, batch + first.str() + second.str()), shape);
  };
  std::string letters = batch + rows + columns;
  Tensor y = im.matmul(matrix(a, rows, summed), matrix(b, summed, columns));
  return {im.reshape(y, shapeOf(letters)), letters};
}

LogicalResult Einsum::run() {
  if (!node.arity(1, SIZE_MAX) || !node.arity(node.inputs.size(), SIZE_MAX))
    return failure();
  int32_t type = node.in(0)->type;
  SmallVector<size_t> all;
  for (size_t i = 0; i < node.inputs.size(); ++i)
    all.push_back(i);
  if (!isFloat(type) && !isInteger(type))
    return node.fail("inputs must have numbers as elements, found " + describe(im, node.in(0)));
  if (!node.sameType(all) || !parse() || !bindSizes())
    return failure();
  SmallVector<Lettered> operands;
  for (auto [term, val] : llvm::zip_equal(terms, node.inputs)) {
    // A size of 1 serves a letter of another size.
    Tensor x = im.tensor(val);
    operands.push_back(diagonal({im.broadcast(x, shapeOf(term)), term}));
  }
  Lettered result = operands[0];
  for (size_t i = 1; i < operands.size(); ++i) {
    std::string needed = output;
    for (size_t k = i + 1; k < operands.size(); ++k)
      needed += operands[k].letters;
    result = multiply(result, operands[i], needed);
  }
  result = sumOver(result, [&](char c) { return output.find(c) == std::string::npos; });
  return node.done(im.make(type, arrange(result, output)));
}

static LogicalResult einsum(Node &node) { return Einsum(node).run(); }

void pith::onnx::addEinsumOps(OpTable &table) { table.add("Einsum", einsum); }
