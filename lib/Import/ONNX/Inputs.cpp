//===- Inputs.cpp - the graph's inputs and outputs as the entry point's -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

using DimProto = proto::TensorShapeProto::Dimension;

/// The attributes of an argument or result.
static DictionaryAttr describeValue(OpBuilder &builder, StringRef name, ArrayRef<Attribute> dims, int32_t type) {
  return builder.getDictionaryAttr({builder.getNamedAttr(kNameAttr, builder.getStringAttr(name)),
                                    builder.getNamedAttr(kDimsAttr, builder.getArrayAttr(dims)),
                                    builder.getNamedAttr("pith.type", builder.getStringAttr(elementName(type)))});
}

static bool plainName(StringRef text) {
  return !text.empty() && llvm::all_of(text, [](char c) { return llvm::isAlnum(c) || c == '_' || c == '.'; }) &&
         !llvm::isDigit(text.front());
}

/// The limit of typeOf.
static bool isHuge(const proto::TensorShapeProto &shape) {
  int64_t product = 1;
  for (const DimProto &dim : shape.dim())
    if (llvm::MulOverflow(product, std::max<int64_t>(dim.dim_value(), 1), product) || product > Importer::kMaxElements)
      return true;
  return false;
}

bool Importer::readInputs(Scope &scope) {
  const proto::GraphProto &graph = model.proto().graph();
  SmallVector<const proto::ValueInfoProto *> inputs;
  bool good = true;
  auto report = [&](StringRef name) {
    good = false;
    vals.emplace_back();
    vals.back().broken = true;
    if (!scope.defines(name))
      scope[name] = &vals.back(); // its users are not to blame
    return error(NameLoc::get(builder.getStringAttr(name))) << "input '" << name << "': ";
  };
  for (const proto::ValueInfoProto &input : graph.input()) {
    if (scope.defines(input.name()))
      continue; // an initializer: old files list them among the inputs
    if (!llvm::json::isUTF8(input.name()) || input.name().empty())
      report(input.name()) << "the name is empty or not valid UTF-8";
    else if (!input.type().has_tensor_type())
      report(input.name()) << "only tensors are supported, found "
                           << (input.type().has_sequence_type()        ? "a sequence"
                               : input.type().has_optional_type()      ? "an optional"
                               : input.type().has_map_type()           ? "a map"
                               : input.type().has_sparse_tensor_type() ? "a sparse tensor"
                                                                       : "no type");
    else if (!elementType(context, input.type().tensor_type().elem_type()))
      report(input.name()) << "elements of " << elementName(input.type().tensor_type().elem_type())
                           << " are not supported";
    else if (!input.type().tensor_type().has_shape())
      report(input.name()) << "has no shape; at least its rank must be known";
    else if (input.type().tensor_type().shape().dim_size() > 32)
      report(input.name()) << "has more than 32 dimensions";
    else if (isHuge(input.type().tensor_type().shape()))
      report(input.name()) << "has too many elements";
    else if (llvm::any_of(inputs, [&](auto *other) { return other->name() == input.name(); }))
      report(input.name()) << "is listed twice";
    else
      inputs.push_back(&input);
  }

  // A name that stands alone in some dimension is that dimension wherever it occurs. Sizes of ids and masks are taken
  // to be 1 or more; others, such as a cache's, may be 0.
  llvm::StringMap<Expr> named;
  auto dimsOf = [](const proto::ValueInfoProto *input) -> const auto & {
    return input->type().tensor_type().shape().dim();
  };
  auto isIds = [&](const proto::ValueInfoProto *input) {
    return dimsOf(input).size() <= 2 || !isFloat(input->type().tensor_type().elem_type());
  };
  auto define = [&](bool plain) {
    for (bool ids : {true, false})
      for (auto [i, input] : llvm::enumerate(inputs)) {
        if (isIds(input) != ids)
          continue;
        for (auto [k, dim] : llvm::enumerate(dimsOf(input)))
          if (!dim.dim_param().empty() && !dim.has_dim_value() && plainName(dim.dim_param()) == plain &&
              !named.count(dim.dim_param()))
            named[dim.dim_param()] = symbols.dim(dim.dim_param(), i, k, ids ? 1 : 0);
      }
  };
  define(/*plain=*/true);
  auto lookUp = [&](StringRef name) -> std::optional<Expr> {
    auto it = named.find(name);
    return it == named.end() ? std::nullopt : std::optional<Expr>(it->second);
  };
  for (const proto::ValueInfoProto *input : inputs)
    for (const DimProto &dim : dimsOf(input))
      if (!dim.has_dim_value() && !named.count(dim.dim_param()))
        if (std::optional<Expr> sum = parseExpr(dim.dim_param(), symbols, lookUp))
          named[dim.dim_param()] = *sum;
  define(/*plain=*/false);

  for (auto [i, input] : llvm::enumerate(inputs)) {
    Shape shape;
    SmallVector<Attribute> dims;
    for (auto [k, dim] : llvm::enumerate(dimsOf(input))) {
      if (dim.has_dim_value() && dim.dim_value() < 0) {
        report(input->name()) << "dimension " << k << " is negative, " << dim.dim_value();
      } else if (dim.has_dim_value()) {
        shape.push_back(dim.dim_value());
        dims.push_back(builder.getI64IntegerAttr(dim.dim_value()));
        continue;
      } else if (!dim.dim_param().empty() && llvm::json::isUTF8(dim.dim_param())) {
        shape.push_back(named[dim.dim_param()]);
        dims.push_back(builder.getStringAttr(dim.dim_param()));
        continue;
      }
      std::string name = (input->name() + "_dim_" + llvm::Twine(k)).str();
      shape.push_back(symbols.dim(name, i, k, 0));
      dims.push_back(builder.getStringAttr(name));
    }
    int32_t type = input->type().tensor_type().elem_type();
    Location where = NameLoc::get(builder.getStringAttr(input->name()));
    if (llvm::failed(main.insertArgument(i, typeOf(elementType(context, type), shape),
                                   describeValue(builder, input->name(), dims, type), where)))
      return false;
    scope[input->name()] = make(type, {main.getArgument(i), shape});
    inputShapes.push_back(std::move(shape));
  }
  return good;
}

/// What the body has taken for granted of the inputs' sizes (one name is 64, one is the sum of two others) becomes
/// part of the signature, so that it is checked when the model is called.
void Importer::refineInputs() {
  for (BlockArgument argument : main.getArguments()) {
    unsigned i = argument.getArgNumber();
    auto dims = main.getArgAttrOfType<ArrayAttr>(i, kDimsAttr);
    SmallVector<Attribute> refined;
    for (auto [dim, size] : llvm::zip_equal(dims, inputShapes[i])) {
      Expr known = symbols.normalize(size);
      if (std::optional<int64_t> constant = known.constant(); constant && *constant >= 0)
        refined.push_back(builder.getI64IntegerAttr(*constant));
      else if (known != size && symbols.isNamed(known))
        refined.push_back(builder.getStringAttr(symbols.print(known)));
      else
        refined.push_back(dim);
    }
    main.setArgAttr(i, kDimsAttr, builder.getArrayAttr(refined));
  }
}

bool Importer::setOutputs(Scope &scope) {
  SmallVector<Value> values;
  SmallVector<Type> types;
  SmallVector<DictionaryAttr> attributes;
  bool good = true;
  llvm::StringSet<> seen;
  for (const proto::ValueInfoProto &output : model.proto().graph().output()) {
    loc = NameLoc::get(builder.getStringAttr(output.name()));
    auto report = [&] {
      good = false;
      return error(loc) << "output '" << output.name() << "': ";
    };
    Val *val = scope.find(output.name());
    if (!val || output.name().empty() || !llvm::json::isUTF8(output.name())) {
      report() << "no node computes it";
      continue;
    }
    if (!seen.insert(output.name()).second) {
      report() << "is listed twice";
      continue;
    }
    if (val->broken) {
      good = false;
      continue;
    }
    if (!val->isTensor()) {
      report() << "only tensors can be outputs, found " << describe(*this, val);
      continue;
    }
    const proto::TypeProto::Tensor &declared = output.type().tensor_type();
    if (declared.elem_type() && declared.elem_type() != val->type) {
      report() << "declared with elements of " << elementName(declared.elem_type()) << ", but computed as "
               << describe(*this, val);
      continue;
    }
    if (declared.has_shape() && declared.shape().dim_size() != val->rank()) {
      report() << "declared with rank " << declared.shape().dim_size() << ", but computed as " << describe(*this, val);
      continue;
    }
    bool fits = true;
    SmallVector<Attribute> dims;
    for (int64_t k = 0; k < val->rank(); ++k) {
      const DimProto *dim = declared.has_shape() ? &declared.shape().dim(k) : nullptr;
      // What data decides, the declaration does not.
      if (dim && dim->has_dim_value() && dim->dim_value() >= 0 && symbols.fromInputs(symbols.normalize(val->shape[k])))
        fits &= symbols.assumeEqual(val->shape[k], dim->dim_value());
    }
    if (!fits) {
      InFlightDiagnostic diagnostic = report();
      diagnostic << "declared with other sizes than it is computed with, " << describe(*this, val);
      continue;
    }
    if (!elementType(context, val->type)) {
      report() << "elements of " << elementName(val->type) << " are not supported";
      continue;
    }
    for (int64_t k = 0; k < val->rank(); ++k) {
      const DimProto *dim = declared.has_shape() ? &declared.shape().dim(k) : nullptr;
      Expr size = symbols.normalize(val->shape[k]);
      if (std::optional<int64_t> constant = size.constant())
        dims.push_back(builder.getI64IntegerAttr(*constant));
      else if (dim && !dim->dim_param().empty() && llvm::json::isUTF8(dim->dim_param()))
        dims.push_back(builder.getStringAttr(dim->dim_param()));
      else if (symbols.isNamed(size))
        dims.push_back(builder.getStringAttr(symbols.print(size)));
      else
        dims.push_back(builder.getStringAttr((output.name() + "_dim_" + llvm::Twine(k)).str()));
    }
    values.push_back(tensor(val).value);
    types.push_back(values.back().getType());
    attributes.push_back(describeValue(builder, output.name(), dims, val->type));
  }
  if (model.proto().graph().output_size() == 0) {
    error(main.getLoc()) << "the model has no outputs";
    good = false;
  }
  func::ReturnOp::create(builder, main.getLoc(), values);
  main.setFunctionType(FunctionType::get(context, main.getFunctionType().getInputs(), types));
  main.setAllResultAttrs(attributes);
  return good;
}
