//===- Faults.cpp - allocations and system calls that fail on demand ------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Faults.h"

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace pith::test;

namespace {

std::atomic<unsigned> armed{0};
std::atomic<size_t> calls{0};
std::atomic<size_t> failing{0};
std::atomic<bool> happened{false};
std::atomic<int64_t> allocations{0}, mappedBytes{0};

/// Counts a call of this kind; true when it is the one that fails.
bool strikes(unsigned kind) {
  if (!(armed.load(std::memory_order_relaxed) & kind))
    return false;
  if (calls.fetch_add(1) + 1 != failing.load())
    return false;
  happened = true;
  return true;
}

bool strikes(unsigned kind, int code) {
  const bool now = strikes(kind);
  if (now)
    errno = code;
  return now;
}

bool fileFails(int code) { return strikes(FaultFiles, code) || strikes(FaultInterrupt, EINTR); }

size_t transferred(size_t size) { return size > 1 && strikes(FaultShort) ? size / 2 : size; }

void *counted(void *memory) {
  if (memory)
    ++allocations;
  return memory;
}

template <typename Function>
Function next(Function, const char *name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

} // namespace

namespace pith::test {

void armFaults(unsigned kinds, size_t n) {
  calls = 0;
  failing = n;
  happened = false;
  armed = kinds;
}
bool disarmFaults() {
  armed = 0;
  return happened;
}
size_t faultCalls() { return calls; }
int64_t livingAllocations() { return allocations; }
int64_t livingMappedBytes() { return mappedBytes; }

size_t openDescriptors() {
  size_t count = 0;
  if (DIR *folder = opendir("/proc/self/fd")) {
    while (readdir(folder))
      ++count;
    closedir(folder);
  }
  return count;
}

} // namespace pith::test

extern "C" {

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

void *malloc(size_t size) { return strikes(FaultMemory, ENOMEM) ? nullptr : counted(__libc_malloc(size)); }
void *calloc(size_t count, size_t size) {
  return strikes(FaultMemory, ENOMEM) ? nullptr : counted(__libc_calloc(count, size));
}
void *realloc(void *memory, size_t size) {
  if (strikes(FaultMemory, ENOMEM))
    return nullptr;
  void *moved = __libc_realloc(memory, size);
  if (moved && !memory)
    ++allocations;
  else if (memory && !size)
    --allocations;
  return moved;
}
void *memalign(size_t alignment, size_t size) {
  return strikes(FaultMemory, ENOMEM) ? nullptr : counted(__libc_memalign(alignment, size));
}
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **memory, size_t alignment, size_t size) {
  void *made = memalign(alignment, size);
  if (!made)
    return ENOMEM;
  *memory = made;
  return 0;
}
void free(void *memory) {
  if (memory)
    --allocations;
  __libc_free(memory);
}

void *mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t offset) {
  if (strikes(FaultMemory, ENOMEM))
    return MAP_FAILED;
  const long made = syscall(SYS_mmap, address, size, protection, flags, descriptor, offset);
  if (made != -1)
    mappedBytes += int64_t((size + 4095) / 4096 * 4096);
  return reinterpret_cast<void *>(made);
}
int munmap(void *address, size_t size) {
  const int status = int(syscall(SYS_munmap, address, size));
  if (status == 0)
    mappedBytes -= int64_t((size + 4095) / 4096 * 4096);
  return status;
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int mode = va_arg(rest, int);
  va_end(rest);
  return fileFails(EMFILE) ? -1 : int(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}
int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int mode = va_arg(rest, int);
  va_end(rest);
  return open(path, flags, mode);
}
ssize_t read(int descriptor, void *data, size_t size) {
  return fileFails(EIO) ? -1 : syscall(SYS_read, descriptor, data, transferred(size));
}
ssize_t pread(int descriptor, void *data, size_t size, off_t offset) {
  return fileFails(EIO) ? -1 : syscall(SYS_pread64, descriptor, data, transferred(size), offset);
}
ssize_t pread64(int descriptor, void *data, size_t size, off64_t offset) {
  return pread(descriptor, data, size, offset);
}
ssize_t write(int descriptor, const void *data, size_t size) {
  return fileFails(ENOSPC) ? -1 : syscall(SYS_write, descriptor, data, transferred(size));
}
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
  return fileFails(ENOSPC) ? -1 : syscall(SYS_pwrite64, descriptor, data, transferred(size), offset);
}
ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
  return pwrite(descriptor, data, size, offset);
}
int close(int descriptor) {
  const int status = int(syscall(SYS_close, descriptor));
  return strikes(FaultFiles, EIO) ? -1 : status; // closed all the same, as on Linux
}
int rename(const char *from, const char *to) {
  return strikes(FaultFiles, EACCES) ? -1 : int(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int linkat(int fromFolder, const char *from, int toFolder, const char *to, int flags) {
  return strikes(FaultFiles, EACCES) ? -1 : int(syscall(SYS_linkat, fromFolder, from, toFolder, to, flags));
}
int ftruncate(int descriptor, off_t size) {
  return strikes(FaultFiles, ENOSPC) ? -1 : int(syscall(SYS_ftruncate, descriptor, size));
}
int posix_fallocate(int descriptor, off_t offset, off_t size) {
  if (strikes(FaultFiles, ENOSPC))
    return ENOSPC;
  static const auto real = next(posix_fallocate, "posix_fallocate");
  return real(descriptor, offset, size);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
  if (strikes(FaultThreads))
    return EAGAIN;
  static const auto real = next(pthread_create, "pthread_create");
  return real(thread, attributes, start, argument);
}

} // extern "C"
