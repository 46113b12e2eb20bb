//===- Report.cpp - what a compilation did -*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Report.h"
#include "pith/Dialect/Pith/IR/Pith.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Remarks.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Format.h"

using namespace mlir;
using namespace pith;

namespace {

class Collector : public remark::detail::MLIRRemarkStreamerBase {
public:
  explicit Collector(std::vector<std::string> &remarks) : remarks(remarks) {}
  void streamOptimizationRemark(const remark::detail::Remark &remark) override {
    std::string text;
    llvm::raw_string_ostream os(text);
    Location loc = remark.getLocation();
    if (auto name = dyn_cast<NameLoc>(loc))
      os << name.getName().getValue();
    else
      loc.print(os);
    const char *separator = ": ";
    for (const remark::detail::Remark::Arg &argument : remark.getArgs()) {
      os << separator << argument.val;
      separator = " ";
    }
    remarks.push_back(std::move(text));
  }

private:
  std::vector<std::string> &remarks;
};

} // namespace

void Report::attach(MLIRContext &context) {
  remark::RemarkCategories categories;
  categories.missed = categories.failed = ".*";
  // Without remarks the compilation itself is whole: a failure to set them up is only a poorer report.
  (void)remark::enableOptimizationRemarks(context, std::make_unique<Collector>(remarks),
                                          std::make_unique<remark::RemarkEmittingPolicyAll>(), categories);
}

void Report::raised(ModuleOp module) {
  for (auto function : module.getOps<func::FuncOp>()) {
    auto kind = function->getAttrOfType<StringAttr>(kEntryAttr);
    if (!kind)
      continue;
    unsigned blocks = 0, attention = 0, caches = 0, left = 0;
    function.walk([&](Operation *op) {
      blocks += isa<BlockOp>(op);
      attention += isa<AttentionOp, CacheAttentionOp>(op);
      caches += isa<CacheOp>(op);
      left += isa<MatmulOp, SoftmaxOp>(op);
    });
    std::string text;
    llvm::raw_string_ostream(text) << "entry @" << function.getSymName() << " (" << kind.getValue()
                                   << "): " << blocks << " blocks, " << attention << " attention, " << caches
                                   << " caches, " << left << " products and softmaxes left as tensor code";
    entries.push_back(std::move(text));
  }
}

void Report::print(llvm::raw_ostream &os) const {
  for (const std::string &entry : entries)
    os << entry << "\n";
  llvm::StringSet<> seen;
  for (const std::string &remark : remarks)
    if (seen.insert(remark).second)
      os << "not raised: " << remark << "\n";
  os << "time:";
  for (const auto &[name, seconds] : times)
    os << " " << name << " " << llvm::format("%.2f", seconds) << " s";
  os << "\n";
}
