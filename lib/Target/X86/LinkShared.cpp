//===- LinkShared.cpp - ld.lld as a library -------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The shared object needs at most libc (memcpy and the like, which LLVM inserts) and libm. The machine that
// compiles need not have their development files: what the linker wants to know of them is their soname and
// that they define what the object lacks. So an empty stand-in with libm's soname is linked first, and the
// names that the object lacks are looked up in this process.
//
//===----------------------------------------------------------------------===//
#include "../Common/Linker.h"
#include "pith/Target/X86/Target.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/DynamicLibrary.h"
#include "llvm/Support/FileUtilities.h"

using namespace llvm;
using namespace pith::target;

/// Says which symbols are neither defined here nor in libc or libm, and whether any comes from outside.
static Error checkUndefined(ArrayRef<char> object, StringRef path, bool &needsLibraries) {
  Expected<std::unique_ptr<object::ObjectFile>> file = object::ObjectFile::createELFObjectFile(
      MemoryBufferRef(StringRef(object.data(), object.size()), "object"));
  if (!file)
    return linkError(path, toString(file.takeError()));
  sys::DynamicLibrary libm = sys::DynamicLibrary::getPermanentLibrary("libm.so.6");
  std::string missing;
  for (const object::SymbolRef &symbol : (*file)->symbols()) {
    Expected<uint32_t> flags = symbol.getFlags();
    Expected<StringRef> name = symbol.getName();
    if (!flags || !name) {
      consumeError(flags.takeError());
      consumeError(name.takeError());
      continue;
    }
    if (!(*flags & object::SymbolRef::SF_Undefined) || name->empty())
      continue;
    needsLibraries = true;
    std::string text = name->str();
    bool known = libm.isValid() ? libm.getAddressOfSymbol(text.c_str()) != nullptr : true;
    if (!known)
      missing += (missing.empty() ? "'" : ", '") + text + "'";
  }
  if (!missing.empty())
    return linkError(path, "the code needs " + missing + ", which neither libc nor libm defines");
  return Error::success();
}

Error pith::x86::linkShared(ArrayRef<char> object, StringRef path) {
  bool needsLibraries = false;
  if (Error error = checkUndefined(object, path, needsLibraries))
    return error;

  SmallString<128> objectPath, libmPath;
  if (Error error = writeTemporary(object, "o", objectPath))
    return error;
  FileRemover removeObject(objectPath);
  std::string output = path.str();
  SmallVector<const char *> args = {
      "ld.lld", "-m", "elf_x86_64", "-shared", "-o", output.c_str(), "--hash-style=gnu", "--build-id=none",
      // 4 KB pages keep a small model's file small; the weights are not in it.
      "-z", "max-page-size=4096", "-z", "noexecstack", "-z", "relro", "-z", "now", objectPath.c_str()};

  FileRemover removeLibm;
  if (needsLibraries) {
    SmallString<128> emptyPath;
    if (Error error = writeTemporary({'\0'}, "bin", emptyPath))
      return error;
    FileRemover removeEmpty(emptyPath);
    if (Error error = writeTemporary({}, "so", libmPath))
      return error;
    removeLibm.setFile(libmPath);
    if (Error error = runLinker(libmPath, {"ld.lld", "-m", "elf_x86_64", "-shared", "-soname=libm.so.6", "-o",
                                           libmPath.c_str(), "-b", "binary", emptyPath.c_str()}))
      return error;
    args.append({"--no-as-needed", libmPath.c_str(), "--unresolved-symbols=ignore-all"});
  }
  return runLinker(path, args);
}
