//===- KernelChooser.cpp - transformer operations to kernel launches ------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "KernelChooser.h"
#include "StepIndices.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Remarks.h"
#include "pith/Conversion/KernelSpec.h"
#include "pith/Conversion/Passes.h"

using namespace mlir;
using namespace pith;

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

bool KernelChooser::stay(Operation *op, const Twine &why) {
  remark::missed(op->getLoc(), remark::RemarkOpts::name("no-kernel").category("schedule"))
      << op->getName().getStringRef() << " stays plain loops: " << why.str();
  return false;
}

/// The last dimension kept, the token dimensions as one. A slice of columns stays a slice, so that it is read
/// in place.
Value KernelChooser::rows2D(TensorBuilder &t, Value x) {
  auto type = cast<RankedTensorType>(x.getType());
  if (type.getRank() == 2)
    return x;
  Dims sizes = t.dims(x);
  OpFoldResult rows = t.product(ArrayRef(sizes).drop_back());
  auto slice = x.getDefiningOp<tensor::ExtractSliceOp>();
  if (slice && slice.getSourceType().getRank() == type.getRank()) {
    Dims from = t.dims(slice.getSource());
    bool columnsOnly = true;
    for (int64_t i = 0; i + 1 < type.getRank(); ++i)
      columnsOnly &= isConstantIntValue(slice.getMixedOffsets()[i], 0) && slice.getMixedSizes()[i] == from[i];
    for (OpFoldResult stride : slice.getMixedStrides())
      columnsOnly &= isConstantIntValue(stride, 1);
    if (columnsOnly)
      return tensor::ExtractSliceOp::create(t.b, t.loc, rows2D(t, slice.getSource()),
                                            {t.fixed(0), slice.getMixedOffsets().back()},
                                            {rows, sizes.back()}, {t.fixed(1), t.fixed(1)});
  }
  return t.reshape(x, {rows, sizes.back()});
}

Operation::result_range KernelChooser::launch(TensorBuilder &t, DictionaryAttr spec, const Call &call) {
  spec = family.finish(spec);
  func::FuncOp &kernel = kernels[spec];
  if (!kernel) {
    auto pointer = LLVM::LLVMPointerType::get(t.b.getContext());
    SmallVector<Type> types{pointer, t.b.getI32Type()};
    types.append(call.pointers.size(), pointer);
    auto strides = spec.getAs<DenseI64ArrayAttr>("strides");
    types.append(call.sizes.size() + (strides ? strides.size() : 0), t.b.getI64Type());
    StringRef kind = spec.getAs<StringAttr>("kind").getValue();
    kernel = func::FuncOp::create(t.loc, (kind + "_" + Twine(counts[kind]++)).str(),
                                  t.b.getFunctionType(types, {}));
    kernel.setPrivate();
    kernel->setAttr(kKernelAttr, spec);
    symbols.insert(kernel);
  }
  SmallVector<Value> operands(call.pointers);
  operands.append(call.sizes);
  SmallVector<Type> results;
  for (int64_t output : call.outputs)
    results.push_back(operands[output].getType());
  auto op = LaunchOp::create(t.b, t.loc, results, FlatSymbolRefAttr::get(kernel), operands,
                             t.b.getDenseI64ArrayAttr(call.outputs), t.b.getDenseI64ArrayAttr({}));
  return op.getResults();
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

/// How one weight alone would be laid out, if a kernel can read its format.
std::optional<KernelChooser::Part> KernelChooser::describe(Operation *user, Attribute name, bool kMajor) {
  auto weight = symbols.lookup<WeightOp>(cast<FlatSymbolRefAttr>(name).getAttr());
  if (!weight || weight.getTensorType().getRank() != 2) {
    stay(user, "weight is not a matrix");
    return std::nullopt;
  }
  RankedTensorType type = weight.getTensorType();
  cpu::LinearLayout layout;
  layout.n = type.getDimSize(kMajor ? 1 : 0);
  layout.k = type.getDimSize(kMajor ? 0 : 1);
  if (auto encoding = dyn_cast_or_null<BlockQuantAttr>(type.getEncoding())) {
    bool known = (encoding.getBits() == 4 || encoding.getBits() == 8) && kMajor == encoding.getKMajor() &&
                 encoding.getBlock() % 16 == 0;
    if (!known) {
      stay(user, "no kernel for weights of " + Twine(encoding.getBits()) + " bits in blocks of " +
                     Twine(encoding.getBlock()) + (kMajor ? ", read by k" : ""));
      return std::nullopt;
    }
    layout.format = encoding.getBits() == 4 ? cpu::WeightFormat::Int4 : cpu::WeightFormat::Int8;
    layout.block = encoding.getBlock() ? encoding.getBlock() : layout.k;
    layout.zeroPoints = encoding.getZeros();
    layout.wideScales = exact && encoding.getScale().isF32();
  } else if (type.getEncoding()) {
    stay(user, "no kernel for the weight's encoding");
    return std::nullopt;
  } else if (type.getElementType().isF32()) {
    layout.format = cpu::WeightFormat::F32;
  } else if (type.getElementType().isF16()) {
    layout.format = cpu::WeightFormat::F16;
  } else if (type.getElementType().isBF16()) {
    layout.format = cpu::WeightFormat::BF16;
  } else {
    stay(user, "no kernel for weights of this element type");
    return std::nullopt;
  }
  if (std::string why = family.lacks(layout); !why.empty()) {
    stay(user, why);
    return std::nullopt;
  }
  return Part{weight, layout};
}

bool KernelChooser::describe(LinearOp op, SmallVectorImpl<Part> &parts, cpu::LinearLayout &layout) {
  for (Attribute name : op.getWeights()) {
    std::optional<Part> part = describe(op, name, op.getKMajor());
    if (!part)
      return false;
    if (parts.empty()) {
      layout = part->layout;
    } else {
      // Parts of one kernel have one format; zero points of one are zero points of all.
      bool quantized = layout.block > 0;
      if (quantized != (part->layout.block > 0) || layout.k != part->layout.k ||
          layout.block != part->layout.block || (quantized && layout.format != part->layout.format))
        return stay(op, "weights of different formats");
      if (layout.format != part->layout.format)
        layout.format = cpu::WeightFormat::F32;
      layout.zeroPoints |= part->layout.zeroPoints;
      layout.wideScales |= part->layout.wideScales;
      layout.n += part->layout.n;
    }
    parts.push_back(*part);
  }
  return true;
}

PackedOp KernelChooser::pack(ArrayRef<Attribute> sources, const cpu::LinearLayout &layout, bool kMajor) {
  std::string name = cast<FlatSymbolRefAttr>(sources.front()).getValue().str();
  return weights.get(sources, family.finishLayout(toAttribute(module.getContext(), layout, kMajor)),
                     family.packedBytes(layout), name + "_packed");
}

Value KernelChooser::address(TensorBuilder &t, PackedOp packed) {
  auto type = MemRefType::get({static_cast<int64_t>(packed.getSize())}, t.b.getI8Type());
  return PackedAddressOp::create(t.b, t.loc, type, FlatSymbolRefAttr::get(packed));
}

/// Vectors one behind the other, in f32.
Value KernelChooser::packVectors(TensorBuilder &t, Operation *user, ArrayRef<Attribute> names) {
  int64_t count = 0;
  for (Attribute name : names) {
    auto weight = symbols.lookup<WeightOp>(cast<FlatSymbolRefAttr>(name).getAttr());
    if (!weight)
      return {};
    count += weight.getTensorType().getNumElements();
  }
  PackedOp packed = weights.getPlain(names, t.f32, count * 4);
  return PackedAddressOp::create(t.b, t.loc, MemRefType::get({count}, t.f32), FlatSymbolRefAttr::get(packed));
}

void KernelChooser::scratch(TensorBuilder &t, Call &call, std::optional<KernelFamily::Scratch> bytes,
                            OpFoldResult rows) {
  if (!bytes)
    return;
  Value size = t.mul(t.size(rows), t.idx(bytes->perRow));
  if (bytes->fixed > 0 || bytes->perRow == 0)
    size = t.add(size, t.idx(std::max<int64_t>(bytes->fixed, 64)));
  call.out(t.empty({size}, t.b.getI8Type()));
}

//===----------------------------------------------------------------------===//
// Linear
//===----------------------------------------------------------------------===//

static Operation *onlyUser(Value value) { return value.hasOneUse() ? *value.getUsers().begin() : nullptr; }

bool KernelChooser::isF32(Value tensor) { return getElementTypeOrSelf(tensor.getType()).isF32(); }

namespace {
/// What can run in a linear's kernel behind the product, found from its result on.
struct Epilogue {
  cpu::Activation activation = cpu::Activation::None;
  bool glu = false, swapParts = false;
  Value residual;
  Value end;                      // the last result that the kernel computes
  SmallVector<Operation *> fused; // in order; the last one defines `end`
};
} // namespace

static cpu::Activation activationFor(ActivationKind kind) { return static_cast<cpu::Activation>(kind); }

/// Both halves of the columns go into one gated unit.
static void findGate(LinearOp op, Epilogue &epilogue) {
  Value y = op.getResult();
  auto type = cast<RankedTensorType>(y.getType());
  int64_t columns = type.getShape().back(), last = type.getRank() - 1;
  if (op.getWeights().size() != 2 || columns % 2 != 0)
    return;
  tensor::ExtractSliceOp halves[2];
  for (Operation *user : y.getUsers()) {
    auto slice = dyn_cast<tensor::ExtractSliceOp>(user);
    if (!slice || slice.getType().getRank() != type.getRank() ||
        slice.getType().getShape().back() != columns / 2)
      return;
    // Token dimensions are whole if their sizes are the tensor's; only then do the halves meet in one unit.
    for (int64_t i = 0; i < last; ++i)
      if (!isConstantIntValue(slice.getMixedOffsets()[i], 0))
        return;
    std::optional<int64_t> offset = getConstantIntValue(slice.getMixedOffsets()[last]);
    if (!offset || (*offset != 0 && *offset != columns / 2) || halves[*offset != 0])
      return;
    halves[*offset != 0] = slice;
  }
  if (!halves[0] || !halves[1])
    return;
  auto glu = dyn_cast_or_null<GLUOp>(onlyUser(halves[0].getResult()));
  if (!glu || onlyUser(halves[1].getResult()) != glu)
    return;
  epilogue.glu = true;
  epilogue.activation = activationFor(glu.getKind());
  epilogue.swapParts = glu.getUp() == halves[0].getResult();
  epilogue.fused = {halves[0], halves[1], glu};
  epilogue.end = glu.getResult();
}

static Epilogue findEpilogue(LinearOp op) {
  Epilogue epilogue;
  epilogue.end = op.getResult();
  findGate(op, epilogue);
  if (!epilogue.glu)
    if (auto activation = dyn_cast_or_null<ActivationOp>(onlyUser(epilogue.end))) {
      epilogue.activation = activationFor(activation.getKind());
      epilogue.end = activation.getResult();
      epilogue.fused.push_back(activation);
    }
  if (auto add = dyn_cast_or_null<arith::AddFOp>(onlyUser(epilogue.end))) {
    Value other = add.getLhs() == epilogue.end ? add.getRhs() : add.getLhs();
    if (other != epilogue.end && add->getBlock() == op->getBlock()) {
      epilogue.residual = other;
      epilogue.end = add.getResult();
      epilogue.fused.push_back(add);
    }
  }
  return epilogue;
}

bool KernelChooser::chooseLinear(LinearOp op) {
  if (!isF32(op.getX()) || !isF32(op.getResult()))
    return stay(op, "activations are not f32");
  SmallVector<Part> parts;
  cpu::LinearSpec spec;
  if (!describe(op, parts, spec.layout))
    return false;
  Epilogue epilogue = findEpilogue(op);
  SmallVector<Attribute> sources(op.getWeights().getValue()), biases;
  if (op.getBiases())
    biases.assign(op.getBiases()->begin(), op.getBiases()->end());
  if (epilogue.glu && parts[0].layout.n != parts[1].layout.n)
    epilogue = Epilogue{cpu::Activation::None, false, false, {}, op.getResult(), {}};
  if (epilogue.swapParts) {
    std::swap(sources[0], sources[1]);
    if (!biases.empty())
      std::swap(biases[0], biases[1]);
  }
  spec.layout.glu = epilogue.glu;
  spec.activation = epilogue.activation;
  spec.residual = bool(epilogue.residual);
  spec.bias = !biases.empty();
  spec.int8Activations = !exact && spec.layout.block > 0;

  // The kernel stands where the last operation that it covers stood.
  Operation *last = epilogue.fused.empty() ? op.getOperation() : epilogue.fused.back();
  OpBuilder b(last);
  TensorBuilder t(b, op.getLoc());
  Value x = op.getX(), normScale, normBias;
  Operation *norm = x.hasOneUse() ? x.getDefiningOp() : nullptr;
  if (auto rms = dyn_cast_or_null<RMSNormOp>(norm); rms && family.normsInFront(cpu::Norm::RMS)) {
    spec.norm = cpu::Norm::RMS;
    spec.normEpsilon = rms.getEpsilon().convertToFloat();
    normScale = rms.getScale();
    x = rms.getX();
  } else if (auto layer = dyn_cast_or_null<LayerNormOp>(norm);
             layer && layer.getScale() && family.normsInFront(cpu::Norm::Layer)) {
    spec.norm = cpu::Norm::Layer;
    spec.normEpsilon = layer.getEpsilon().convertToFloat();
    normScale = layer.getScale();
    normBias = layer.getBias();
    spec.normBias = bool(normBias);
    x = layer.getX();
  } else {
    norm = nullptr;
  }

  Dims shape = t.dims(x);
  OpFoldResult rows = t.product(ArrayRef(shape).drop_back());
  int64_t columns = spec.layout.glu ? spec.layout.n / 2 : spec.layout.n;
  Value biasVector = biases.empty() ? Value() : packVectors(t, op, biases);
  if (!biases.empty() && !biasVector)
    return stay(op, "a bias is not a weight");
  Call call;
  call.in(rows2D(t, x));
  call.in(address(t, pack(sources, spec.layout, op.getKMajor())));
  call.out(t.empty({rows, t.fixed(columns)}, t.f32));
  scratch(t, call, family.scratch(spec), rows);
  for (Value value : {normScale, normBias, biasVector})
    if (value)
      call.in(value);
  if (epilogue.residual)
    call.in(rows2D(t, epilogue.residual));
  call.sizes.push_back(t.size(rows));
  Value result = launch(t, toAttribute(module.getContext(), spec), call)[0];
  shape.back() = t.fixed(columns);
  epilogue.end.replaceAllUsesWith(t.as(t.reshape(result, shape), epilogue.end.getType()));
  for (Operation *fused : llvm::reverse(epilogue.fused))
    fused->erase();
  op.erase();
  if (norm)
    norm->erase();
  return true;
}

//===----------------------------------------------------------------------===//
// The others
//===----------------------------------------------------------------------===//

/// Whether the data of `tokens` goes into this embedding and nowhere else.
static bool isAllThatReads(Value tokens, EmbeddingOp op) {
  Operation *reader = nullptr;
  for (Operation *user : tokens.getUsers()) {
    if (isa<tensor::DimOp>(user))
      continue;
    if (reader)
      return false;
    reader = user;
  }
  if (reader == op)
    return true;
  return reader && isa<arith::ExtSIOp, arith::TruncIOp, arith::IndexCastOp, ReshapeOp>(reader) &&
         reader->getNumResults() == 1 && isAllThatReads(reader->getResult(0), op);
}

bool KernelChooser::chooseEmbedding(EmbeddingOp op) {
  if (!isF32(op.getResult()))
    return stay(op, "result is not f32");
  std::optional<Part> part = describe(op, op.getWeightAttr(), op.getKMajor());
  if (!part)
    return false;
  OpBuilder b(op);
  TensorBuilder t(b, op.getLoc());
  Type i32 = b.getI32Type();
  Dims shape = t.dims(op.getIds());
  OpFoldResult rows = t.product(shape);
  Value ids = t.reshape(op.getIds(), {rows}), safe = ids;
  // The runtime checks a step's tokens and positions; elsewhere any number may come, and one outside the
  // table gives zeros.
  auto function = op->getParentOfType<func::FuncOp>();
  auto kind = function->getAttrOfType<StringAttr>(kEntryAttr);
  std::optional<ArgumentIndex> index = traceIndex(op.getIds());
  auto positions = function->getAttrOfType<IntegerAttr>(kPositionsAttr);
  bool isToken = index && index->argument == 0 && index->offset == 0;
  bool isPosition = index && index->argument == 1 && index->offset >= 0 && positions &&
                    positions.getInt() > 0 && positions.getInt() + index->offset <= part->layout.n;
  bool checked = kind && kind.getValue() == "step" && (isToken || isPosition);
  if (!checked) {
    Value size = t.idx(part->layout.n), zero = t.idx(0), last = t.idx(part->layout.n - 1);
    ids = t.elementwise(ids, t.index, [&](Value id) {
      id = t.convert(id, t.index);
      return t.select(t.lessThan(id, zero), t.add(id, size), id);
    });
    safe = t.elementwise(ids, i32,
                         [&](Value id) { return t.convert(t.maximum(t.minimum(id, last), zero), i32); });
  } else if (getElementTypeOrSelf(ids.getType()) != i32) {
    safe = t.cast(ids, i32);
  }
  Call call;
  call.in(safe);
  call.in(address(t, pack(op.getWeightAttr(), part->layout, op.getKMajor())));
  call.out(t.empty({rows, t.fixed(part->layout.k)}, t.f32));
  call.sizes.push_back(t.size(rows));
  float scale = op.getScale().convertToFloat();
  bool takesRows = checked && isToken && isAllThatReads(function.getArgument(0), op);
  if (takesRows)
    function->setAttr(kEmbeddingRowsAttr, b.getI64IntegerAttr(part->layout.k));
  Value result = launch(t, toAttribute(module.getContext(), part->layout, scale, takesRows), call)[0];
  if (!checked) {
    Value size = t.idx(part->layout.n), zero = t.number(t.f32, 0);
    result = t.compute({rows, t.fixed(part->layout.k)}, t.f32, {result, ids}, {t.identity(2), t.map(2, {0})},
                       [&](ValueRange in) {
                         Value inside =
                             arith::CmpIOp::create(b, t.loc, arith::CmpIPredicate::ult, in[1], size);
                         return t.select(inside, in[0], zero);
                       });
  }
  shape.push_back(t.fixed(part->layout.k));
  op.getResult().replaceAllUsesWith(t.as(t.reshape(result, shape), op.getResult().getType()));
  op.erase();
  return true;
}

bool KernelChooser::chooseNorm(Operation *op) {
  OpBuilder b(op);
  TensorBuilder t(b, op->getLoc());
  Value x, scale, bias;
  cpu::NormSpec spec;
  if (auto rms = dyn_cast<RMSNormOp>(op)) {
    spec.kind = cpu::Norm::RMS;
    spec.epsilon = rms.getEpsilon().convertToFloat();
    x = rms.getX();
    scale = rms.getScale();
  } else {
    auto layer = cast<LayerNormOp>(op);
    spec.kind = cpu::Norm::Layer;
    spec.epsilon = layer.getEpsilon().convertToFloat();
    x = layer.getX();
    scale = layer.getScale();
    bias = layer.getBias();
  }
  int64_t channels = cast<RankedTensorType>(x.getType()).getShape().back();
  if (!isF32(x) || !scale || !isF32(scale) || (bias && !isF32(bias)) || ShapedType::isDynamic(channels))
    return stay(op, "its operands are not f32, or it has no scale");
  spec.k = channels;
  spec.bias = bool(bias);
  Dims shape = t.dims(x);
  // A norm of each head reads rows of heads: they may be columns of a fused projection.
  Value source = x;
  if (auto reshape = x.getDefiningOp<ReshapeOp>()) {
    auto from = cast<RankedTensorType>(reshape.getSource().getType());
    if (from.getRank() > 1 && !from.isDynamicDim(from.getRank() - 1) &&
        from.getShape().back() % channels == 0) {
      source = reshape.getSource();
      spec.heads = from.getShape().back() / channels;
    }
  }
  OpFoldResult rows = t.product(ArrayRef(t.dims(source)).drop_back());
  Call call;
  call.in(rows2D(t, source));
  call.in(scale);
  if (bias)
    call.in(bias);
  call.out(t.empty({rows, t.fixed(spec.heads * channels)}, t.f32));
  call.sizes.push_back(t.size(rows));
  Value result = launch(t, toAttribute(module.getContext(), spec), call)[0];
  op->getResult(0).replaceAllUsesWith(t.as(t.reshape(result, shape), op->getResult(0).getType()));
  op->erase();
  return true;
}

bool KernelChooser::chooseRope(RopeOp op) {
  if (!isF32(op.getX()) || !isF32(op.getCos()))
    return stay(op, "its operands are not f32");
  OpBuilder b(op);
  TensorBuilder t(b, op.getLoc());
  Dims shape = t.dims(op.getX());
  std::optional<int64_t> channels = getConstantIntValue(shape.back());
  if (!channels)
    return stay(op, "the number of channels is not known");
  cpu::RopeSpec spec;
  spec.headDim = op.getHeadDim();
  spec.heads = *channels / spec.headDim;
  spec.rotaryDim = op.getRotaryDim();
  spec.interleaved = op.getInterleaved();
  OpFoldResult rows = t.product(ArrayRef(shape).drop_back());
  Call call;
  call.in(rows2D(t, op.getX()));
  call.in(rows2D(t, op.getCos()));
  call.in(rows2D(t, op.getSin()));
  call.out(t.empty({rows, shape.back()}, t.f32));
  call.sizes.push_back(t.size(rows));
  Value result = launch(t, toAttribute(module.getContext(), spec), call)[0];
  op.getResult().replaceAllUsesWith(t.as(t.reshape(result, shape), op.getResult().getType()));
  op.erase();
  return true;
}

void KernelChooser::chooseTap(TapOp op) {
  OpBuilder b(op);
  TensorBuilder t(b, op.getLoc());
  cpu::NormSpec spec;
  spec.kind = cpu::Norm::None;
  if (std::optional<StringRef> norm = op.getNorm())
    spec.kind = *norm == "rms" ? cpu::Norm::RMS : cpu::Norm::Layer;
  spec.k = cast<RankedTensorType>(op.getX().getType()).getShape().back();
  spec.epsilon = op.getEpsilon() ? op.getEpsilon()->convertToFloat() : 0;
  spec.bias = bool(op.getBias());
  Call call;
  call.in(rows2D(t, op.getX()));
  for (Value vector : {op.getScale(), op.getBias()})
    if (vector)
      call.in(vector);
  call.sizes.push_back(t.idx(op.getSlot()));
  launch(t, toTapAttribute(module.getContext(), spec), call);
  op.erase();
}
