//===- Expr.cpp - symbolic integers of shape arithmetic -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Expr.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace pith::onnx;

/// Beyond these a polynomial is no longer a help to anyone.
static constexpr size_t kMaxTerms = 48, kMaxDegree = 16;

static int64_t wrapAdd(int64_t a, int64_t b) { return int64_t(uint64_t(a) + uint64_t(b)); }
static int64_t wrapMul(int64_t a, int64_t b) { return int64_t(uint64_t(a) * uint64_t(b)); }

//===----------------------------------------------------------------------===//
// Expr
//===----------------------------------------------------------------------===//

Expr::Expr(int64_t constant) {
  if (constant)
    terms_.push_back({{}, constant});
}

Expr Expr::symbol(SymbolId id) {
  Expr e;
  e.terms_.push_back({{id}, 1});
  return e;
}

std::optional<int64_t> Expr::constant() const {
  if (terms_.empty())
    return 0;
  if (terms_.size() == 1 && terms_[0].factors.empty())
    return terms_[0].coefficient;
  return std::nullopt;
}

void Expr::canonicalize() {
  llvm::sort(terms_);
  llvm::SmallVector<Term, 1> merged;
  for (Term &term : terms_) {
    if (!merged.empty() && merged.back().factors == term.factors)
      merged.back().coefficient = wrapAdd(merged.back().coefficient, term.coefficient);
    else
      merged.push_back(std::move(term));
  }
  llvm::erase_if(merged, [](const Term &term) { return term.coefficient == 0; });
  terms_ = std::move(merged);
}

Expr Expr::operator+(const Expr &other) const {
  Expr e = *this;
  e.terms_.append(other.terms_.begin(), other.terms_.end());
  e.canonicalize();
  return e;
}

Expr Expr::operator-(const Expr &other) const { return *this + other * Expr(-1); }

Expr Expr::operator*(const Expr &other) const {
  Expr e;
  for (const Term &a : terms_)
    for (const Term &b : other.terms_) {
      Term product{a.factors, wrapMul(a.coefficient, b.coefficient)};
      product.factors.append(b.factors.begin(), b.factors.end());
      llvm::sort(product.factors);
      e.terms_.push_back(std::move(product));
    }
  e.canonicalize();
  return e;
}

bool Expr::operator<(const Expr &other) const {
  return std::lexicographical_compare(terms_.begin(), terms_.end(), other.terms_.begin(), other.terms_.end());
}

static size_t degree(const Expr &e) {
  size_t result = 0;
  for (const Expr::Term &term : e.terms())
    result = std::max<size_t>(result, term.factors.size());
  return result;
}

//===----------------------------------------------------------------------===//
// Symbols
//===----------------------------------------------------------------------===//

Expr Symbols::dim(llvm::StringRef name, int64_t argument, int64_t dim, int64_t lower) {
  Symbol symbol{Kind::Dim, name.str(), argument, dim, {}, {}, {}, lower};
  symbols.push_back(std::move(symbol));
  return Expr::symbol(symbols.size() - 1);
}

Expr Symbols::value(mlir::Value index) {
  Symbol symbol{Kind::Value, {}, 0, 0, index, {}, {}, std::nullopt, /*fromInputs=*/false};
  symbols.push_back(std::move(symbol));
  return Expr::symbol(symbols.size() - 1);
}

Expr Symbols::operation(Kind kind, const Expr &a, const Expr &b, std::optional<int64_t> lower) {
  auto [it, isNew] = operations.try_emplace({kind, a, b}, symbols.size());
  if (!isNew)
    return Expr::symbol(it->second);
  Symbol symbol{kind, {}, 0, 0, {}, a, b, lower, fromInputs(a) && fromInputs(b)};
  for (const Expr *operand : {&a, &b})
    for (const Expr::Term &term : operand->terms())
      for (SymbolId id : term.factors)
        symbol.depth = std::max(symbol.depth, symbols[id].depth + 1);
  symbols.push_back(std::move(symbol));
  return Expr::symbol(symbols.size() - 1);
}

Expr Symbols::add(const Expr &a, const Expr &b) {
  if (a.terms().size() + b.terms().size() > kMaxTerms)
    return operation(Kind::Sum, a, b, std::nullopt);
  return a + b;
}

Expr Symbols::sub(const Expr &a, const Expr &b) { return add(a, b * Expr(-1)); }

Expr Symbols::mul(const Expr &a, const Expr &b) {
  if (a.terms().size() * b.terms().size() > kMaxTerms || degree(a) + degree(b) > kMaxDegree) {
    std::optional<int64_t> la = lowerBound(a), lb = lowerBound(b);
    return operation(Kind::Product, a, b, la && lb && *la >= 0 && *lb >= 0 ? std::optional<int64_t>(0) : std::nullopt);
  }
  return a * b;
}

std::optional<Expr> Symbols::exactDiv(const Expr &a, const Expr &b) {
  if (b.constant() == 0)
    return std::nullopt;
  if (a == b)
    return Expr(1);
  if (b.terms().size() != 1)
    return std::nullopt;
  const Expr::Term &divisor = b.terms()[0];
  Expr result;
  for (const Expr::Term &term : a.terms()) {
    if (divisor.coefficient == -1 ? term.coefficient == INT64_MIN : term.coefficient % divisor.coefficient != 0)
      return std::nullopt;
    llvm::SmallVector<SymbolId, 2> rest = term.factors;
    for (SymbolId id : divisor.factors) {
      auto it = llvm::find(rest, id);
      if (it == rest.end())
        return std::nullopt;
      rest.erase(it);
    }
    Expr quotient(term.coefficient / divisor.coefficient);
    for (SymbolId id : rest)
      quotient = quotient * Expr::symbol(id);
    result = result + quotient;
  }
  return result;
}

std::optional<Expr> Symbols::floorDiv(const Expr &a, const Expr &b) {
  if (b.constant() == 0)
    return std::nullopt;
  if (auto exact = exactDiv(a, b))
    return exact;
  if (a.constant() && b.constant())
    return Expr(llvm::divideFloorSigned(*a.constant(), *b.constant()));
  std::optional<int64_t> lower = lowerBound(a);
  bool nonNegative = lower && *lower >= 0 && (!b.constant() || *b.constant() > 0);
  return operation(Kind::FloorDiv, a, b, nonNegative ? std::optional<int64_t>(0) : std::nullopt);
}

Expr Symbols::min(const Expr &a, const Expr &b) {
  if (atLeast(b, a))
    return a;
  if (atLeast(a, b))
    return b;
  std::optional<int64_t> la = lowerBound(a), lb = lowerBound(b), lower;
  if (la && lb)
    lower = std::min(*la, *lb);
  return a < b ? operation(Kind::Min, a, b, lower) : operation(Kind::Min, b, a, lower);
}

Expr Symbols::max(const Expr &a, const Expr &b) {
  if (atLeast(b, a))
    return b;
  if (atLeast(a, b))
    return a;
  std::optional<int64_t> la = lowerBound(a), lb = lowerBound(b), lower = la;
  if (lb && (!la || *lb > *la))
    lower = lb;
  return a < b ? operation(Kind::Max, a, b, lower) : operation(Kind::Max, b, a, lower);
}

std::optional<int64_t> Symbols::lowerBound(const Expr &e) const {
  int64_t result = 0;
  for (const Expr::Term &term : e.terms()) {
    int64_t bound = term.coefficient;
    if (!term.factors.empty() && bound < 0)
      return std::nullopt;
    for (SymbolId id : term.factors) {
      std::optional<int64_t> lower = symbols[id].lower;
      if (!lower || *lower < 0 || llvm::MulOverflow(bound, *lower, bound))
        return std::nullopt;
    }
    if (llvm::AddOverflow(result, bound, result))
      return std::nullopt;
  }
  return result;
}

bool Symbols::atLeast(const Expr &a, const Expr &b) const {
  // Differences of constants must not wrap.
  if (a.constant() && b.constant())
    return *a.constant() >= *b.constant();
  if (b.isConstant(INT64_MIN) || a.isConstant(INT64_MAX))
    return true;
  auto lower = [&](const Expr &x, const Expr &y) {
    std::optional<int64_t> bound = lowerBound(normalize(x) - normalize(y));
    return bound && *bound >= 0;
  };
  if (lower(a, b))
    return true;
  // min(x, y) <= x and max(x, y) >= x.
  auto asSymbol = [&](const Expr &e, Kind kind) -> const Symbol * {
    if (e.terms().size() != 1 || e.terms()[0].coefficient != 1 || e.terms()[0].factors.size() != 1)
      return nullptr;
    const Symbol &symbol = symbols[e.terms()[0].factors[0]];
    return symbol.kind == kind ? &symbol : nullptr;
  };
  if (const Symbol *s = asSymbol(b, Kind::Min))
    return lower(a, s->lhs) || lower(a, s->rhs);
  if (const Symbol *s = asSymbol(a, Kind::Max))
    return lower(s->lhs, b) || lower(s->rhs, b);
  return false;
}

bool Symbols::provablyDifferent(const Expr &a, const Expr &b) const {
  if (a.constant() && b.constant())
    return *a.constant() != *b.constant();
  Expr difference = normalize(a) - normalize(b);
  if (std::optional<int64_t> constant = difference.constant())
    return *constant != 0;
  for (const Expr &d : {difference, difference * Expr(-1)})
    if (std::optional<int64_t> bound = lowerBound(d); bound && *bound > 0)
      return true;
  return false;
}

Expr Symbols::normalize(const Expr &e) const {
  if (equalities.empty())
    return e;
  Expr current = e;
  // Every substitution leads to symbols that are older, so this ends; the bound is for expressions that blow up.
  for (int round = 0; round < 64; ++round) {
    bool changed = false;
    Expr next;
    for (const Expr::Term &term : current.terms()) {
      Expr product(term.coefficient);
      for (SymbolId id : term.factors) {
        auto it = equalities.find(id);
        changed |= it != equalities.end();
        product = product * (it == equalities.end() ? Expr::symbol(id) : it->second);
      }
      next = next + product;
    }
    if (!changed)
      return current;
    if (next.terms().size() > kMaxTerms || degree(next) > kMaxDegree)
      return e;
    current = std::move(next);
  }
  return current;
}

bool Symbols::assumeEqual(const Expr &a, const Expr &b) {
  if (provablyDifferent(a, b))
    return false;
  Expr difference = normalize(a) - normalize(b);
  // Solve for the newest symbol that stands alone: an operation is always newer than what it is made of, so that
  // no symbol comes to depend on itself.
  const Expr::Term *best = nullptr;
  SymbolId newest = 0;
  for (const Expr::Term &term : difference.terms())
    for (SymbolId id : term.factors)
      newest = std::max(newest, id);
  for (const Expr::Term &term : difference.terms())
    if (term.factors.size() == 1 && term.factors[0] == newest && (term.coefficient == 1 || term.coefficient == -1))
      best = &term;
  if (!best)
    return true;
  for (const Expr::Term &term : difference.terms())
    if (&term != best && llvm::is_contained(term.factors, newest))
      return true;
  Expr symbol = Expr::symbol(newest);
  Expr solution = best->coefficient == 1 ? symbol - difference : symbol + difference;
  equalities[newest] = solution;
  return true;
}

bool Symbols::fromInputs(const Expr &e) const {
  for (const Expr::Term &term : e.terms())
    for (SymbolId id : term.factors)
      if (!symbols[id].fromInputs)
        return false;
  return true;
}

bool Symbols::isNamed(const Expr &e) const {
  for (const Expr::Term &term : e.terms())
    for (SymbolId id : term.factors)
      if (symbols[id].name.empty())
        return false;
  return true;
}

static std::string printSymbol(const Symbols &symbols, SymbolId id, unsigned depth) {
  const Symbols::Symbol &symbol = symbols[id];
  if (!symbol.name.empty())
    return symbol.name;
  static constexpr llvm::StringLiteral names[] = {"", "", "floordiv", "min", "max", "mul", "add"};
  if (depth > 4 || symbol.kind == Symbols::Kind::Dim || symbol.kind == Symbols::Kind::Value)
    return "?" + llvm::utostr(id);
  return (names[int(symbol.kind)] + "(" + symbols.print(symbol.lhs) + ", " + symbols.print(symbol.rhs) + ")").str();
}

std::string Symbols::print(const Expr &e) const {
  if (std::optional<int64_t> constant = e.constant())
    return llvm::itostr(*constant);
  std::string text;
  // The constant comes last, as people write it.
  for (bool constants : {false, true})
    for (const Expr::Term &term : e.terms()) {
      if (term.factors.empty() != constants)
        continue;
      int64_t coefficient = term.coefficient;
      bool negative = coefficient < 0;
      if (!text.empty())
        text += negative ? " - " : " + ";
      else if (negative)
        text += "-";
      uint64_t magnitude = negative ? 0 - uint64_t(coefficient) : uint64_t(coefficient);
      bool first = true;
      if (magnitude != 1 || term.factors.empty()) {
        text += llvm::utostr(magnitude);
        first = false;
      }
      for (SymbolId id : term.factors) {
        text += (first ? "" : "*") + printSymbol(*this, id, symbols[id].depth);
        first = false;
      }
    }
  return text;
}

std::string Symbols::print(llvm::ArrayRef<Expr> shape) const {
  std::string text = "[";
  for (const Expr &e : shape)
    text += (text.size() == 1 ? "" : ", ") + print(normalize(e));
  return text + "]";
}

//===----------------------------------------------------------------------===//
// Names of dimensions
//===----------------------------------------------------------------------===//

namespace {
/// sum := product (('+' | '-') product)*;  product := atom (('*' | '//') atom)*;  atom := number | name | '(' sum ')'
struct DimParser {
  llvm::StringRef rest;
  Symbols &symbols;
  llvm::function_ref<std::optional<Expr>(llvm::StringRef)> known;
  unsigned depth = 0;

  bool take(llvm::StringRef token) {
    rest = rest.ltrim();
    return rest.consume_front(token);
  }
  std::optional<Expr> sum() {
    std::optional<Expr> value = product();
    while (value) {
      bool plus = take("+");
      if (!plus && !take("-"))
        break;
      std::optional<Expr> other = product();
      if (!other)
        return std::nullopt;
      value = plus ? symbols.add(*value, *other) : symbols.sub(*value, *other);
    }
    return value;
  }
  std::optional<Expr> product() {
    std::optional<Expr> value = atom();
    while (value) {
      bool divides = take("//");
      if (!divides && !take("*"))
        break;
      std::optional<Expr> other = atom();
      if (!other)
        return std::nullopt;
      value = divides ? symbols.floorDiv(*value, *other) : std::optional<Expr>(symbols.mul(*value, *other));
    }
    return value;
  }
  std::optional<Expr> atom() {
    if (take("(")) {
      if (++depth > 32)
        return std::nullopt;
      std::optional<Expr> value = sum();
      --depth;
      return value && take(")") ? value : std::nullopt;
    }
    rest = rest.ltrim();
    llvm::StringRef word = rest.take_while([](char c) { return llvm::isAlnum(c) || c == '_' || c == '.'; });
    if (word.empty())
      return std::nullopt;
    rest = rest.drop_front(word.size());
    int64_t number;
    if (!word.getAsInteger(10, number))
      return Expr(number);
    return known(word);
  }
};
} // namespace

std::optional<Expr> pith::onnx::parseExpr(llvm::StringRef text, Symbols &symbols,
                                          llvm::function_ref<std::optional<Expr>(llvm::StringRef)> known) {
  if (text.size() > 256)
    return std::nullopt;
  DimParser parser{text, symbols, known};
  std::optional<Expr> value = parser.sum();
  return value && parser.rest.trim().empty() ? value : std::nullopt;
}
