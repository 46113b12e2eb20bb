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
#include "pith/Target/X86/Target.h"
#include "lld/Common/Driver.h"
#include "llvm/Object/ObjectFile.h"
#include "llvm/Support/DynamicLibrary.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/raw_ostream.h"
#include <mutex>

LLD_HAS_DRIVER(elf)

using namespace llvm;

static Error linkError(StringRef path, const Twine &why) {
  return createStringError(inconvertibleErrorCode(), "cannot link '" + path + "': " + why);
}

/// The linker takes files only.
static Error writeTemporary(ArrayRef<char> bytes, StringRef suffix, SmallVectorImpl<char> &path) {
  int fd = -1;
  if (std::error_code error = sys::fs::createTemporaryFile("pith", suffix, fd, path))
    return createStringError(error, "cannot create a temporary file: " + error.message());
  raw_fd_ostream out(fd, /*shouldClose=*/true);
  out.write(bytes.data(), bytes.size());
  out.close();
  if (!out.has_error())
    return Error::success();
  std::error_code error = out.error();
  out.clear_error();
  StringRef name(path.data(), path.size());
  sys::fs::remove(name);
  return createStringError(error, "cannot write '" + name + "': " + error.message());
}

static Error runLinker(StringRef path, ArrayRef<const char *> args) {
  // LLD keeps its state in globals: one link at a time in a process.
  static std::mutex one;
  std::lock_guard<std::mutex> lock(one);
  static bool usable = true;
  if (!usable)
    return linkError(path, "the linker crashed earlier in this process");
  std::string messages;
  raw_string_ostream stream(messages);
  lld::Result result = lld::lldMain(args, nulls(), stream, {{lld::Gnu, &lld::elf::link}});
  usable = result.canRunAgain;
  if (result.retCode != 0)
    return linkError(path, StringRef(messages).trim());
  return Error::success();
}

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
