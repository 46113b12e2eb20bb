//===- Weights.cpp - initializers as weights and constants -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

using namespace mlir;
using namespace pith;
using namespace pith::onnx;

DenseElementsAttr Importer::elementsOf(const Initializer &init) {
  if (isSmall(init.type))
    return smallElementsOf(init);
  auto type = RankedTensorType::get(init.dims, elementType(context, init.type));
  if (init.type == Bool) {
    SmallVector<bool> values;
    for (char byte : init.bytes)
      values.push_back(byte != 0);
    return DenseElementsAttr::get(type, values);
  }
  return DenseElementsAttr::getFromRawBuffer(type, init.bytes);
}

static Attribute piece(MLIRContext *context, const Initializer &init) {
  if (init.file)
    return init.file;
  auto type = RankedTensorType::get({int64_t(init.bytes.size())}, IntegerType::get(context, 8));
  return DenseElementsAttr::getFromRawBuffer(type, init.bytes);
}

FlatSymbolRefAttr Importer::weight(const Initializer &data, RankedTensorType type, const Initializer *scales,
                                   const Initializer *zeros) {
  FlatSymbolRefAttr &symbol = weights[{&data, scales, zeros, type.getAsOpaquePointer()}];
  if (symbol)
    return symbol;
  std::string base = data.name.empty() ? "weight" : data.name, name = base;
  for (unsigned i = 0; !symbolNames.insert(name).second; ++i)
    name = base + "_" + std::to_string(i);
  Location where = NameLoc::get(builder.getStringAttr(base));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(main);
  Attribute bytes;
  if (data.file || scales || isSmall(data.type)) // small types stay packed
    bytes = piece(context, data);
  else
    bytes = elementsOf(data);
  WeightOp::create(builder, where, name, type, bytes, scales ? piece(context, *scales) : Attribute(),
                   zeros ? piece(context, *zeros) : Attribute());
  return symbol = FlatSymbolRefAttr::get(context, name);
}

const Initializer *Importer::keep(Initializer made) {
  auto kept = std::make_unique<Initializer>(std::move(made));
  if (!kept->owned.empty())
    kept->bytes = ArrayRef<char>(kept->owned.data(), kept->owned.size());
  return initializers.emplace_back(std::move(kept)).get();
}

const Initializer *Importer::rowsOf(const Initializer &of, int64_t number, int64_t which) {
  const Initializer *&part = parts[{&of, number, which}];
  int64_t size = of.bytes.size() / number;
  if (part || of.bytes.size() % number || of.dims.empty() || of.dims[0] % number || isSmall(of.type))
    return part;
  Initializer made;
  made.name = of.name + "." + std::to_string(which);
  made.type = of.type;
  made.dims = of.dims;
  made.dims[0] /= number;
  made.count = of.count / number;
  made.bytes = of.bytes.slice(which * size, size);
  if (of.file)
    made.file = FileAttr::get(context, of.file.getPath(), of.file.getOffset() + which * size, size);
  return part = keep(std::move(made));
}

Val *Importer::makeConstant(const Initializer &init, Shape shape) {
  Val *val = initializerVal(init);
  val->shape = std::move(shape);
  return val;
}

Val *Importer::initializerVal(const Initializer &init) {
  Val &val = vals.emplace_back();
  val.type = init.type;
  for (int64_t dim : init.dims)
    val.shape.push_back(dim);
  val.init = &init;
  return &val;
}

Val *Importer::constant(Node &node, const proto::TensorProto &tensor) {
  if (Val *known = constantVals.lookup(&tensor))
    return known;
  std::string why;
  std::unique_ptr<Initializer> init = model.initializer(tensor, why);
  if (!init) {
    node.error() << "the tensor in its attribute " << why;
    return nullptr;
  }
  if (init->name.empty())
    init->name = node.proto.name().empty() ? node.op().str() : node.proto.name();
  initializers.push_back(std::move(init));
  return constantVals[&tensor] = initializerVal(*initializers.back());
}
