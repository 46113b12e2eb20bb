//===- Assemble.cpp - ptxas in a child process ----------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "../Common/CodeGen.h"
#include "../Common/Linker.h"
#include "pith/Target/NVVM/Target.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"

using namespace llvm;
using namespace pith::nvvm;

std::string pith::nvvm::findPtxas() {
  if (std::optional<std::string> toolkit = sys::Process::GetEnv("CUDA_PATH")) {
    SmallString<128> directory(*toolkit);
    sys::path::append(directory, "bin");
    if (ErrorOr<std::string> found = sys::findProgramByName("ptxas", {directory}))
      return *found;
  }
  ErrorOr<std::string> found = sys::findProgramByName("ptxas");
  return found ? *found : "";
}

/// The number in front of `what` in a line such as "0 bytes stack frame, 0 bytes spill stores".
static int numberBefore(StringRef line, StringRef what) {
  size_t end = line.find(what);
  if (end == StringRef::npos)
    return 0;
  StringRef text = line.take_front(end).rtrim();
  text = text.take_back(text.size() - (text.find_last_not_of("0123456789") + 1));
  int number = 0;
  text.getAsInteger(10, number);
  return number;
}

/// With -v: "Compiling entry function 'NAME' for 'sm_80'", a line of stack and spills, one of what is used.
static void readReport(StringRef report, Cubin &cubin) {
  SmallVector<StringRef> lines;
  report.split(lines, '\n', -1, /*KeepEmpty=*/false);
  for (StringRef line : lines) {
    size_t entry = line.find("Compiling entry function '");
    if (entry != StringRef::npos) {
      cubin.kernels.emplace_back();
      cubin.kernels.back().name = line.drop_front(entry).split('\'').second.split('\'').first.str();
    } else if (line.contains("warning") || line.contains("C75")) {
      cubin.messages += (line + "\n").str();
    } else if (!cubin.kernels.empty()) {
      KernelUse &use = cubin.kernels.back();
      if (line.contains("bytes stack frame")) {
        use.stackBytes = numberBefore(line, "bytes stack frame");
        use.spillStores = numberBefore(line, "bytes spill stores");
        use.spillLoads = numberBefore(line, "bytes spill loads");
      } else if (line.contains("Used")) {
        use.registers = numberBefore(line, "registers");
        use.sharedBytes = numberBefore(line, "bytes smem");
      }
    }
  }
}

Expected<Cubin> pith::nvvm::assemble(StringRef ptxas, StringRef ptx, const gpu::Machine &machine) {
  SmallString<128> source, output, report;
  if (Error error = target::writeTemporary(ArrayRef<char>(ptx.data(), ptx.size()), "ptx", source))
    return error;
  FileRemover removeSource(source);
  if (Error error = target::writeTemporary({}, "cubin", output))
    return error;
  FileRemover removeOutput(output);
  if (Error error = target::writeTemporary({}, "txt", report))
    return error;
  FileRemover removeReport(report);

  std::string arch = ("-arch=" + machine.chip).str(), why;
  StringRef path = report.str();
  int result = sys::ExecuteAndWait(ptxas, {ptxas, "-v", arch, source, "-o", output}, std::nullopt,
                                   {StringRef(), path, path}, /*SecondsToWait=*/600, /*MemoryLimit=*/0, &why);
  ErrorOr<std::unique_ptr<MemoryBuffer>> said = MemoryBuffer::getFile(report);
  if (!said)
    return createStringError(said.getError(), "cannot read what ptxas said: " + said.getError().message());
  if (result != 0)
    return target::targetError("ptxas refuses the code for " + machine.chip + ": " +
                               (why.empty() ? (*said)->getBuffer().trim() : StringRef(why)));
  ErrorOr<std::unique_ptr<MemoryBuffer>> bytes = MemoryBuffer::getFile(output);
  if (!bytes)
    return createStringError(bytes.getError(), "cannot read what ptxas wrote: " + bytes.getError().message());
  Cubin cubin;
  cubin.bytes.assign((*bytes)->getBufferStart(), (*bytes)->getBufferEnd());
  readReport((*said)->getBuffer(), cubin);
  return cubin;
}
