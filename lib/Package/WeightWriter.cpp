//===- WeightWriter.cpp - packed weights as a stream ----------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A model may be larger than memory, so weights go from the mapped model file through a buffer of a few
// megabytes. Each buffer is packed by several threads, a share of the panels each.
//
//===----------------------------------------------------------------------===//
#include "WeightWriter.h"
#include "mlir/IR/SymbolTable.h"
#include "pith/Codegen/GPU/Kernels.h"
#include "pith/Conversion/KernelSpec.h"
#include "llvm/Support/MathExtras.h"
#include <cstring>
#include <thread>
#include <utility>

using namespace mlir;
using namespace pith;
using llvm::Error;
using llvm::Expected;

static constexpr int64_t bufferBytes = 16 << 20;

static Error problem(const llvm::Twine &text) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), text);
}

Expected<SmallVector<PackedOp>> pith::packedInOrder(ModuleOp module) {
  SmallVector<PackedOp> packed(module.getOps<PackedOp>());
  // One without elements stands where the next one begins.
  auto place = [](PackedOp op) {
    return std::pair(static_cast<int64_t>(op.getOffset()), static_cast<int64_t>(op.getSize()));
  };
  llvm::stable_sort(packed, [&](PackedOp x, PackedOp y) { return place(x) < place(y); });
  int64_t end = 0;
  for (PackedOp op : packed) {
    auto offset = static_cast<int64_t>(op.getOffset()), size = static_cast<int64_t>(op.getSize());
    if (offset < end || offset % 64 != 0 || size < 0)
      return problem("packed weight '" + op.getSymName() + "' at " + llvm::Twine(offset) +
                     ": expected a multiple of 64 that is at least " + llvm::Twine(end));
    end = offset + size;
  }
  return packed;
}

uint64_t pith::sectionSize(ArrayRef<PackedOp> packed) {
  if (packed.empty())
    return 0;
  PackedOp last = packed.back();
  return llvm::alignTo(last.getOffset() + last.getSize(), 64);
}

namespace {
/// Collects diagnostics, which say what is wrong with a weight, into an error.
class Diagnosed {
public:
  explicit Diagnosed(MLIRContext *context)
      : handler(context, [this](Diagnostic &diagnostic) {
          llvm::raw_string_ostream(text) << (text.empty() ? "" : "; ") << diagnostic;
          return success();
        }) {}
  Error take(StringRef weight) {
    return problem(text.empty() ? "weight '" + weight + "' cannot be read" : llvm::Twine(text));
  }

private:
  std::string text;
  ScopedDiagnosticHandler handler;
};

/// The mapped bytes of one weight.
struct Source {
  WeightOp op;
  RankedTensorType type;
  WeightEncodingInterface encoding;
  ArrayRef<char> data, scales, zeros;
};
} // namespace

static Expected<Source> openSource(SymbolTable &symbols, Attribute name) {
  auto op = symbols.lookup<WeightOp>(cast<FlatSymbolRefAttr>(name).getAttr());
  if (!op)
    return problem("no weight '" + cast<FlatSymbolRefAttr>(name).getValue() + "'");
  Diagnosed diagnosed(op.getContext());
  Source source{op, op.getTensorType(), op.getEncoding(), {}, {}, {}};
  std::pair<Attribute, ArrayRef<char> *> pieces[] = {
      {op.getData(), &source.data}, {op.getScalesAttr(), &source.scales}, {op.getZerosAttr(), &source.zeros}};
  for (auto [piece, bytes] : pieces) {
    if (!piece)
      continue;
    FailureOr<ArrayRef<char>> found = op.getBytes(piece);
    if (failed(found))
      return diagnosed.take(op.getSymName());
    *bytes = *found;
  }
  return source;
}

//===----------------------------------------------------------------------===//
// Plain: dense, row-major
//===----------------------------------------------------------------------===//

static float asFloat(Type type, const char *bytes) {
  if (type.isF64()) {
    double value;
    std::memcpy(&value, bytes, 8);
    return static_cast<float>(value);
  }
  uint16_t half;
  std::memcpy(&half, bytes, 2);
  llvm::APFloat value(cast<FloatType>(type).getFloatSemantics(), llvm::APInt(16, half));
  bool lost;
  value.convert(llvm::APFloat::IEEEsingle(), llvm::APFloat::rmNearestTiesToEven, &lost);
  return value.convertToFloat();
}

static Error streamPlain(PackedOp packed, ArrayRef<Source> sources,
                         llvm::function_ref<Error(ArrayRef<char>)> sink) {
  auto element = packed.getLayout().getAs<TypeAttr>("element");
  if (!element)
    return problem("packed weight '" + packed.getSymName() + "': the layout has no 'element'");
  for (const Source &source : sources) {
    Type stored = source.type.getElementType(), wanted = element.getValue();
    if (!source.encoding && stored == wanted) {
      if (Error error = sink(source.data))
        return error;
      continue;
    }
    bool readable =
        wanted.isF32() && (source.encoding || stored.isF16() || stored.isBF16() || stored.isF64());
    if (!readable)
      return problem("packed weight '" + packed.getSymName() +
                     "': its source is not stored as its layout says");
    int64_t rowLength = source.type.getRank() ? source.type.getShape().back() : 1;
    int64_t rows = rowLength ? source.type.getNumElements() / rowLength : 0;
    int64_t step = std::max<int64_t>(1, bufferBytes / (4 * std::max<int64_t>(rowLength, 1)));
    // Pieces but the last hold an even number of floats.
    step += step % 2;
    std::vector<float> buffer;
    for (int64_t row = 0; row < rows; row += step) {
      int64_t count = std::min(step, rows - row);
      buffer.resize(count * rowLength);
      if (source.encoding) {
        source.encoding.decodeRows(source.type, source.data.data(), source.scales.data(), source.zeros.data(),
                                   row, count, buffer.data());
      } else {
        int64_t bytes = stored.getIntOrFloatBitWidth() / 8;
        for (size_t i = 0; i < buffer.size(); ++i)
          buffer[i] = asFloat(stored, source.data.data() + (row * rowLength + i) * bytes);
      }
      if (Error error = sink(ArrayRef(reinterpret_cast<const char *>(buffer.data()), buffer.size() * 4)))
        return error;
    }
  }
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Linear: panels
//===----------------------------------------------------------------------===//

static cpu::WeightFormat formatOf(Type type) {
  return type.isF16()    ? cpu::WeightFormat::F16
         : type.isBF16() ? cpu::WeightFormat::BF16
                         : cpu::WeightFormat::F32;
}

static Expected<cpu::WeightView> viewOf(const Source &source, bool kMajor) {
  Type type = source.type.getElementType();
  cpu::WeightView view;
  if (source.type.getRank() != 2)
    return problem("weight '" + WeightOp(source.op).getSymName() + "' is not a matrix");
  view.n = source.type.getDimSize(kMajor ? 1 : 0);
  view.k = source.type.getDimSize(kMajor ? 0 : 1);
  view.kMajor = kMajor;
  view.data = source.data.data();
  if (auto encoding = dyn_cast_or_null<BlockQuantAttr>(source.type.getEncoding())) {
    if ((encoding.getBits() != 4 && encoding.getBits() != 8) || kMajor != encoding.getKMajor())
      return problem("weight '" + WeightOp(source.op).getSymName() +
                     "' has an encoding that panels cannot hold");
    view.format = encoding.getBits() == 4 ? cpu::WeightFormat::Int4 : cpu::WeightFormat::Int8;
    view.block = encoding.getBlock() ? encoding.getBlock() : view.k;
    view.isSigned = encoding.getIsSigned();
    view.scales = source.scales.data();
    view.scaleFormat = formatOf(encoding.getScale());
    view.zeros = source.zeros.empty() ? nullptr : reinterpret_cast<const uint8_t *>(source.zeros.data());
    return view;
  }
  if (source.encoding || !(type.isF32() || type.isF16() || type.isBF16()))
    return problem("weight '" + WeightOp(source.op).getSymName() + "' has elements that panels cannot hold");
  view.format = formatOf(type);
  return view;
}

/// `pack` is a machine's packLinear.
template <typename Layout, typename Pack>
static Error streamPanels(PackedOp packed, const Layout &layout, bool kMajor, Pack pack,
                          ArrayRef<Source> sources, llvm::function_ref<Error(ArrayRef<char>)> sink) {
  SmallVector<cpu::WeightView> views;
  int64_t n = 0;
  for (const Source &source : sources) {
    Expected<cpu::WeightView> view = viewOf(source, kMajor);
    if (!view)
      return view.takeError();
    if (view->k != layout.k)
      return problem("packed weight '" + packed.getSymName() + "': k is " + llvm::Twine(view->k) +
                     ", expected " + llvm::Twine(layout.k));
    n += view->n;
    views.push_back(*view);
  }
  if (n != layout.n || layout.sizeBytes() != static_cast<int64_t>(packed.getSize()))
    return problem("packed weight '" + packed.getSymName() + "': its size is not what its layout says");
  int64_t panelBytes = layout.panelBytes(), panels = layout.sizeBytes() / panelBytes;
  int64_t step = std::max<int64_t>(1, bufferBytes / panelBytes);
  int64_t threads = std::max(1u, std::thread::hardware_concurrency());
  std::vector<uint8_t> buffer(std::min(step, panels) * panelBytes);
  for (int64_t first = 0; first < panels; first += step) {
    int64_t count = std::min(step, panels - first);
    auto packShare = [&](int64_t thread) {
      int64_t begin = count * thread / threads, end = count * (thread + 1) / threads;
      if (begin < end)
        pack(layout, views, first + begin, end - begin, buffer.data() + begin * panelBytes);
    };
    std::vector<std::thread> team;
    if (count * panelBytes > (1 << 20))
      for (int64_t thread = 1; thread < threads; ++thread)
        team.emplace_back(packShare, thread);
    if (team.empty())
      pack(layout, views, first, count, buffer.data());
    else
      packShare(0);
    for (std::thread &thread : team)
      thread.join();
    if (Error error = sink(ArrayRef(reinterpret_cast<const char *>(buffer.data()), count * panelBytes)))
      return error;
  }
  return Error::success();
}

static Error streamLinear(PackedOp packed, ArrayRef<Source> sources,
                          llvm::function_ref<Error(ArrayRef<char>)> sink) {
  Diagnosed diagnosed(packed.getContext());
  bool kMajor = false;
  FailureOr<cpu::LinearLayout> layout =
      readLinearLayout(packed.getLayout(), kMajor, [&] { return packed.emitError(); });
  if (failed(layout))
    return diagnosed.take(packed.getSymName());
  auto device = packed.getLayout().getAs<StringAttr>(kDeviceKey);
  if (!device)
    return streamPanels(packed, *layout, kMajor, cpu::packLinear, sources, sink);
  pith::gpu::LinearLayout panels;
  static_cast<kernels::LinearWeights &>(panels) = *layout;
  if (Error error = panels.check())
    return error;
  return streamPanels(packed, panels, kMajor, pith::gpu::packLinear, sources, sink);
}

//===----------------------------------------------------------------------===//
// The section
//===----------------------------------------------------------------------===//

Error pith::streamWeights(ModuleOp module, ArrayRef<PackedOp> packed,
                          llvm::function_ref<Error(ArrayRef<char>)> sink) {
  SymbolTable symbols(module);
  uint64_t position = 0;
  // Bytes are passed on in whole words, so that the checksum can be taken piece by piece.
  std::string rest;
  auto pass = [&](ArrayRef<char> bytes) -> Error {
    position += bytes.size();
    if (!rest.empty()) {
      size_t missing = std::min(8 - rest.size(), bytes.size());
      rest.append(bytes.data(), missing);
      bytes = bytes.drop_front(missing);
      if (rest.size() < 8)
        return Error::success();
      std::string word = std::move(rest);
      rest.clear();
      if (Error error = sink(ArrayRef(word.data(), word.size())))
        return error;
    }
    size_t whole = bytes.size() / 8 * 8;
    rest.append(bytes.data() + whole, bytes.size() - whole);
    return whole ? sink(bytes.take_front(whole)) : Error::success();
  };
  auto fill = [&](uint64_t to) { return pass(std::vector<char>(to - position)); };
  for (PackedOp op : packed) {
    if (Error error = fill(op.getOffset()))
      return error;
    SmallVector<Source> sources;
    for (Attribute name : op.getSources()) {
      Expected<Source> source = openSource(symbols, name);
      if (!source)
        return source.takeError();
      sources.push_back(*source);
    }
    auto kind = op.getLayout().getAs<StringAttr>("kind");
    StringRef name = kind ? kind.getValue() : "";
    Error error = name == "plain" ? streamPlain(op, sources, pass)
                  : name == "linear"
                      ? streamLinear(op, sources, pass)
                      : problem("packed weight '" + op.getSymName() + "': no layout '" + name + "'");
    if (error)
      return error;
    if (position != op.getOffset() + op.getSize())
      return problem("packed weight '" + op.getSymName() + "' has " + llvm::Twine(position - op.getOffset()) +
                     " bytes, expected " + llvm::Twine(op.getSize()));
  }
  return fill(sectionSize(packed));
}
