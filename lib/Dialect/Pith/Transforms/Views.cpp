//===- Views.cpp ----------------------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Views.h"
#include "Matchers.h"

using namespace mlir;
using namespace pith;

bool pith::isViewOp(Operation *op) {
  if (auto cast = dyn_cast_or_null<tensor::CastOp>(op))
    return isa<RankedTensorType>(cast.getSource().getType()) && isa<RankedTensorType>(cast.getType());
  return isa_and_nonnull<ReshapeOp, TransposeOp, BroadcastOp>(op);
}

Value pith::castTo(OpBuilder &builder, Location loc, Value value, Type type) {
  return value.getType() == type ? value : tensor::CastOp::create(builder, loc, type, value).getResult();
}

//===----------------------------------------------------------------------===//
// Reading views
//===----------------------------------------------------------------------===//

static Extent product(ArrayRef<Extent> extents) {
  Extent all(1);
  for (const Extent &extent : extents)
    all = all * extent;
  return all;
}

Extent View::extent(int64_t dim) const {
  Extent all(1);
  for (const Atom &atom : dims[dim])
    all = all * atom.extent;
  return all;
}

bool View::hasBroadcast() const {
  return llvm::any_of(
      dims, [](const Dim &dim) { return llvm::any_of(dim, [](const Atom &a) { return a.isBroadcast(); }); });
}

/// Joins atoms of one dimension that run through the same base dimension without a gap.
static void mergeAtoms(View::Dim &dim) {
  View::Dim merged;
  for (const Atom &atom : dim) {
    if (!merged.empty()) {
      Atom &last = merged.back();
      if (last.dim == atom.dim && (atom.isBroadcast() || last.stride == atom.stride * atom.extent)) {
        last.stride = atom.stride;
        last.extent = last.extent * atom.extent;
        continue;
      }
    }
    merged.push_back(atom);
  }
  dim = std::move(merged);
}

View Views::of(Value value, bool throughScale) {
  Operation *op = value.getDefiningOp();
  if (isViewOp(op))
    if (std::optional<View> view = apply(op, of(op->getOperand(0), throughScale)))
      return *view;
  if (op && throughScale)
    if (auto scaled = scaledBy(op)) {
      View view = of(scaled->first, true);
      view.factor *= scaled->second;
      return view;
    }
  View identity{value, {}};
  for (auto [dim, extent] : llvm::enumerate(sizes.shape(value)))
    if (extent.isConstant(1))
      identity.dims.emplace_back();
    else
      identity.dims.push_back({Atom{static_cast<int64_t>(dim), Extent(1), extent}});
  return identity;
}

std::optional<View> Views::apply(Operation *op, const View &source) {
  View result{source.base, {}, source.factor};
  if (isa<tensor::CastOp>(op)) {
    result.dims = source.dims;
    return result;
  }
  if (auto transpose = dyn_cast<TransposeOp>(op)) {
    for (int64_t dim : transpose.getPermutation())
      result.dims.push_back(source.dims[dim]);
    return result;
  }
  SmallVector<Extent> shape = sizes.shape(op->getResult(0));
  if (isa<BroadcastOp>(op)) {
    int64_t missing = shape.size() - source.dims.size();
    auto sourceType = cast<RankedTensorType>(op->getOperand(0).getType());
    for (auto [dim, extent] : llvm::enumerate(shape)) {
      int64_t from = static_cast<int64_t>(dim) - missing;
      if (from >= 0 && sourceType.getDimSize(from) != 1)
        result.dims.push_back(source.dims[from]);
      else if (extent.isConstant(1))
        result.dims.emplace_back();
      else
        result.dims.push_back({Atom{Atom::kBroadcast, Extent(), extent}});
    }
    return result;
  }
  if (reshapeAtoms(source, shape, result))
    return result;
  // A size that nothing is known about is what the other sizes leave.
  SmallVector<Extent> elements;
  for (size_t dim = 0; dim < source.dims.size(); ++dim)
    elements.push_back(source.extent(dim));
  for (size_t dim = 0; dim < shape.size(); ++dim) {
    SmallVector<Extent> guess = shape;
    guess[dim] = Extent(1);
    if (std::optional<Extent> rest = product(elements).dividedBy(product(guess))) {
      guess[dim] = *rest;
      result.dims.clear();
      if (reshapeAtoms(source, guess, result))
        return result;
    }
  }
  return std::nullopt;
}

bool Views::reshapeAtoms(const View &source, ArrayRef<Extent> shape, View &result) {
  SmallVector<Atom> atoms;
  for (const View::Dim &dim : source.dims)
    atoms.append(dim.begin(), dim.end());
  std::reverse(atoms.begin(), atoms.end());
  for (const Extent &extent : shape) {
    View::Dim dim;
    Extent need = extent;
    while (!need.isConstant(1)) {
      if (atoms.empty())
        return false;
      Atom atom = atoms.pop_back_val();
      if (std::optional<Extent> rest = need.dividedBy(atom.extent)) {
        dim.push_back(atom);
        need = *rest;
      } else if (std::optional<Extent> inner = atom.extent.dividedBy(need)) {
        dim.push_back(Atom{atom.dim, atom.stride * *inner, need});
        atoms.push_back(Atom{atom.dim, atom.stride, *inner});
        need = Extent(1);
      } else {
        return false;
      }
    }
    mergeAtoms(dim);
    result.dims.push_back(std::move(dim));
  }
  return atoms.empty();
}

View Views::regroup(const View &view, ArrayRef<SmallVector<int64_t, 2>> groups) {
  View result{view.base, {}, view.factor};
  for (const auto &group : groups) {
    View::Dim dim;
    for (int64_t from : group)
      dim.append(view.dims[from].begin(), view.dims[from].end());
    mergeAtoms(dim);
    result.dims.push_back(std::move(dim));
  }
  return result;
}

bool Views::split(View &view, int64_t dim, const Extent &inner) {
  View::Dim outer, rest;
  Extent need = inner;
  for (const Atom &atom : llvm::reverse(view.dims[dim])) {
    if (need.isConstant(1)) {
      outer.push_back(atom);
    } else if (std::optional<Extent> left = need.dividedBy(atom.extent)) {
      rest.push_back(atom);
      need = *left;
    } else if (std::optional<Extent> above = atom.extent.dividedBy(need)) {
      rest.push_back(Atom{atom.dim, atom.stride, need});
      outer.push_back(Atom{atom.dim, atom.stride * need, *above});
      need = Extent(1);
    } else {
      return false;
    }
  }
  if (!need.isConstant(1))
    return false;
  std::reverse(outer.begin(), outer.end());
  std::reverse(rest.begin(), rest.end());
  view.dims[dim] = std::move(outer);
  view.dims.insert(view.dims.begin() + dim + 1, std::move(rest));
  return true;
}

//===----------------------------------------------------------------------===//
// Writing views
//===----------------------------------------------------------------------===//

/// Reshape, transpose, reshape, broadcast, reshape: each step only if it does something.
struct Views::Plan {
  std::optional<SmallVector<Extent>> first, second, broadcast, last;
  std::optional<SmallVector<int64_t>> permutation;
  unsigned cost() const {
    return first.has_value() + second.has_value() + broadcast.has_value() + last.has_value() +
           permutation.has_value();
  }
};

/// If the view only permutes whole dimensions: the permutation.
static std::optional<SmallVector<int64_t>> wholePermutation(const View &view, ArrayRef<Extent> base) {
  if (view.dims.size() != base.size())
    return std::nullopt;
  SmallVector<int64_t> units, permutation;
  for (auto [dim, extent] : llvm::enumerate(base))
    if (extent.isConstant(1))
      units.push_back(dim);
  auto nextUnit = units.begin();
  for (const View::Dim &dim : view.dims) {
    if (dim.empty()) {
      if (nextUnit == units.end())
        return std::nullopt;
      permutation.push_back(*nextUnit++);
    } else if (dim.size() == 1 && !dim[0].isBroadcast() && dim[0].stride.isConstant(1) &&
               dim[0].extent == base[dim[0].dim]) {
      permutation.push_back(dim[0].dim);
    } else {
      return std::nullopt;
    }
  }
  return permutation;
}

std::optional<Views::Plan> Views::plan(const View &view) {
  SmallVector<Extent> base = sizes.shape(view.base);
  Plan plan;
  SmallVector<int64_t> identity = llvm::to_vector(llvm::seq<int64_t>(0, base.size()));
  if (auto permutation = wholePermutation(view, base)) {
    if (*permutation != identity)
      plan.permutation = *permutation;
    return plan;
  }
  // The atoms in the result's order, and for each base dimension those that make it up, outermost first.
  SmallVector<const Atom *> atoms;
  for (const View::Dim &dim : view.dims)
    for (const Atom &atom : dim)
      if (!atom.isBroadcast())
        atoms.push_back(&atom);
  SmallVector<int64_t> inBaseOrder;
  for (auto [dim, extent] : llvm::enumerate(base)) {
    SmallVector<int64_t> chain;
    Extent stride(1);
    while (stride != extent) {
      auto next = llvm::find_if(atoms, [&, dim = dim](const Atom *atom) {
        return atom->dim == static_cast<int64_t>(dim) && atom->stride == stride;
      });
      if (next == atoms.end() || chain.size() > atoms.size())
        return std::nullopt;
      chain.push_back(next - atoms.begin());
      stride = stride * (*next)->extent;
    }
    inBaseOrder.append(chain.rbegin(), chain.rend());
  }
  if (inBaseOrder.size() != atoms.size())
    return std::nullopt;

  // The shape ahead of the broadcast has 1 for every broadcast atom; leading ones are left off.
  SmallVector<Extent> ahead, separate, final;
  for (const View::Dim &dim : view.dims) {
    Extent whole(1);
    if (dim.empty()) {
      ahead.push_back(Extent(1));
      separate.push_back(Extent(1));
    }
    for (const Atom &atom : dim) {
      ahead.push_back(atom.isBroadcast() ? Extent(1) : atom.extent);
      separate.push_back(atom.extent);
      whole = whole * atom.extent;
    }
    final.push_back(whole);
  }
  bool broadcasts = view.hasBroadcast();
  SmallVector<Extent> current = base;
  if (!llvm::is_sorted(inBaseOrder)) {
    SmallVector<Extent> pieces;
    for (int64_t atom : inBaseOrder)
      pieces.push_back(atoms[atom]->extent);
    if (pieces != base)
      plan.first = pieces;
    SmallVector<int64_t> permutation(atoms.size());
    current.clear();
    for (auto [position, atom] : llvm::enumerate(inBaseOrder))
      permutation[atom] = position;
    for (const Atom *atom : atoms)
      current.push_back(atom->extent);
    plan.permutation = permutation;
  }
  if (broadcasts) {
    SmallVector<Extent> suffix = ahead;
    while (suffix.size() > current.size() && suffix.front().isConstant(1))
      suffix.erase(suffix.begin());
    if (suffix != current) {
      while (suffix.size() > 1 && suffix.front().isConstant(1))
        suffix.erase(suffix.begin());
      plan.second = suffix;
    }
    plan.broadcast = separate;
    if (separate != final)
      plan.last = final;
  } else if (current != final) {
    plan.last = final;
  }
  return plan;
}

std::optional<unsigned> Views::cost(const View &view) {
  if (std::optional<Plan> found = plan(view))
    return found->cost();
  return std::nullopt;
}

RankedTensorType Views::typeFor(Value like, ArrayRef<Extent> shape) {
  SmallVector<int64_t> dims;
  for (const Extent &extent : shape)
    dims.push_back(extent.constant().value_or(ShapedType::kDynamic));
  return RankedTensorType::get(dims, cast<RankedTensorType>(like.getType()).getElementType());
}

Value Views::reshape(OpBuilder &builder, Location loc, Value source, ArrayRef<Extent> shape) {
  SmallVector<Value> dims;
  for (const Extent &extent : shape)
    if (!extent.constant())
      dims.push_back(sizes.materialize(builder, loc, extent));
  return ReshapeOp::create(builder, loc, typeFor(source, shape), source, dims);
}

Value Views::broadcast(OpBuilder &builder, Location loc, Value source, ArrayRef<Extent> shape) {
  SmallVector<Value> dims;
  for (const Extent &extent : shape)
    if (!extent.constant())
      dims.push_back(sizes.materialize(builder, loc, extent));
  return BroadcastOp::create(builder, loc, typeFor(source, shape), source, dims);
}

Value Views::write(const Plan &plan, OpBuilder &builder, Location loc, Value value) {
  if (plan.first)
    value = reshape(builder, loc, value, *plan.first);
  if (plan.permutation) {
    SmallVector<Extent> shape;
    for (int64_t dim : *plan.permutation)
      shape.push_back(sizes.of(value, dim));
    value = TransposeOp::create(builder, loc, typeFor(value, shape), value, *plan.permutation);
  }
  if (plan.second)
    value = reshape(builder, loc, value, *plan.second);
  if (plan.broadcast)
    value = broadcast(builder, loc, value, *plan.broadcast);
  if (plan.last)
    value = reshape(builder, loc, value, *plan.last);
  return value;
}

Value Views::materialize(OpBuilder &builder, Location loc, const View &view) {
  std::optional<Plan> found = plan(view);
  return found ? write(*found, builder, loc, view.base) : Value();
}
