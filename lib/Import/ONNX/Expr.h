//===- Expr.h - symbolic integers of shape arithmetic -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef PITH_IMPORT_ONNX_EXPR_H
#define PITH_IMPORT_ONNX_EXPR_H

#include "mlir/IR/Value.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include <map>
#include <optional>
#include <string>
#include <tuple>

namespace pith::onnx {

using SymbolId = uint32_t;

/// An integer as a polynomial over symbols, in canonical form: equal polynomials compare equal. Arithmetic wraps
/// as int64 does.
class Expr {
public:
  struct Term {
    llvm::SmallVector<SymbolId, 2> factors; ///< sorted; empty in the constant term
    int64_t coefficient;
    bool operator==(const Term &other) const {
      return coefficient == other.coefficient && factors == other.factors;
    }
    bool operator<(const Term &other) const {
      return std::tie(factors, coefficient) < std::tie(other.factors, other.coefficient);
    }
  };

  Expr(int64_t constant = 0);
  static Expr symbol(SymbolId id);

  std::optional<int64_t> constant() const;
  bool isConstant(int64_t value) const { return constant() == value; }
  llvm::ArrayRef<Term> terms() const { return terms_; }

  Expr operator+(const Expr &other) const;
  Expr operator-(const Expr &other) const;
  Expr operator*(const Expr &other) const;
  bool operator==(const Expr &other) const { return terms_ == other.terms_; }
  bool operator!=(const Expr &other) const { return !(*this == other); }
  bool operator<(const Expr &other) const;

private:
  void canonicalize();
  llvm::SmallVector<Term, 1> terms_; ///< sorted by factors, no zero coefficients
};

using Shape = llvm::SmallVector<Expr>;
inline Shape toShape(llvm::ArrayRef<int64_t> sizes) { return Shape(sizes.begin(), sizes.end()); }

/// What the symbols stand for. A symbol is a dimension of a graph input, an integer computed at run time, or an
/// operation on expressions that polynomials do not have.
class Symbols {
public:
  enum class Kind { Dim, Value, FloorDiv, Min, Max, Product, Sum };
  struct Symbol {
    Kind kind;
    std::string name;           ///< of a Dim; empty if the model has none
    int64_t argument = 0, dim = 0; ///< of a Dim: where it is first seen
    mlir::Value value;          ///< of a Value: an index; of others: where it has been materialized
    Expr lhs, rhs;              ///< operands of the other kinds
    std::optional<int64_t> lower; ///< a known lower bound
    bool fromInputs = true;     ///< computed from input dimensions alone
    unsigned depth = 0;         ///< nesting of operations
  };

  Symbol &operator[](SymbolId id) { return symbols[id]; }
  const Symbol &operator[](SymbolId id) const { return symbols[id]; }
  size_t size() const { return symbols.size(); }

  Expr dim(llvm::StringRef name, int64_t argument, int64_t dim, int64_t lower);
  Expr value(mlir::Value index);

  /// Sums and products; a polynomial that would grow beyond reason becomes a symbol.
  Expr add(const Expr &a, const Expr &b);
  Expr sub(const Expr &a, const Expr &b);
  Expr mul(const Expr &a, const Expr &b);
  /// Rounds towards minus infinity; `b` is taken as positive unless it is a constant. Null for a constant zero.
  std::optional<Expr> floorDiv(const Expr &a, const Expr &b);
  Expr min(const Expr &a, const Expr &b);
  Expr max(const Expr &a, const Expr &b);
  /// a / b if b divides a whatever the symbols are.
  std::optional<Expr> exactDiv(const Expr &a, const Expr &b);

  std::optional<int64_t> lowerBound(const Expr &e) const;
  bool atLeast(const Expr &a, const Expr &b) const;
  bool provablyDifferent(const Expr &a, const Expr &b) const;

  /// `e` with what `assumeEqual` has learned.
  Expr normalize(const Expr &e) const;
  /// Takes a and b as equal from now on (their meeting in one dimension says so). False if they provably differ.
  bool assumeEqual(const Expr &a, const Expr &b);

  /// What `assumeEqual` has learned; facts of a branch do not hold behind it.
  const llvm::DenseMap<SymbolId, Expr> &facts() const { return equalities; }
  void setFacts(llvm::DenseMap<SymbolId, Expr> facts) { equalities = std::move(facts); }

  bool fromInputs(const Expr &e) const;
  std::string print(const Expr &e) const;
  std::string print(llvm::ArrayRef<Expr> shape) const;
  /// True if `e` only has symbols with names.
  bool isNamed(const Expr &e) const;

private:
  Expr operation(Kind kind, const Expr &a, const Expr &b, std::optional<int64_t> lower);
  std::vector<Symbol> symbols;
  std::map<std::tuple<Kind, Expr, Expr>, SymbolId> operations;
  llvm::DenseMap<SymbolId, Expr> equalities;
};

/// Reads a dimension's name as an expression ("past + sequence", "2*n", "(n)//2") over the names in `known`;
/// nothing if it is not one.
std::optional<Expr> parseExpr(llvm::StringRef text, Symbols &symbols,
                              llvm::function_ref<std::optional<Expr>(llvm::StringRef)> known);

} // namespace pith::onnx

#endif // PITH_IMPORT_ONNX_EXPR_H
