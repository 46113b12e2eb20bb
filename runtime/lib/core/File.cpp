//===- File.cpp - a .pith file, checked and mapped ------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "File.h"

#include <cerrno>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pith::runtime {
namespace {

constexpr uint64_t maxManifest = UINT64_C(256) << 20;
constexpr size_t hugePage = size_t(2) << 20;

unsigned long long wide(uint64_t value) { return value; }

} // namespace

// ---- Mapping

Mapping &Mapping::operator=(Mapping &&other) noexcept {
  std::swap(base, other.base);
  std::swap(length, other.length);
  std::swap(source, other.source);
  return *this;
}

Mapping::~Mapping() {
  if (source)
    source->release(base);
  else if (base)
    munmap(base, length);
}

Status Mapping::take(MemorySource &from, uint64_t size, const char *what, Mapping &mapping) {
  void *memory = nullptr;
  PITH_TRY(from.allocate(size, what, memory));
  Mapping made;
  made.base = static_cast<uint8_t *>(memory);
  made.length = size;
  made.source = &from;
  mapping = std::move(made);
  return {};
}

Mapping Mapping::ofFile(int descriptor, uint64_t offset, uint64_t size) {
  Mapping mapping;
  void *memory = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, off_t(offset));
  if (memory == MAP_FAILED)
    return mapping;
  mapping.base = static_cast<uint8_t *>(memory);
  mapping.length = size;
  return mapping;
}

Mapping Mapping::anonymous(uint64_t size) {
  Mapping mapping;
  // Room to begin at a huge page's boundary; the surplus goes back.
  const bool huge = size >= hugePage;
  const uint64_t room = huge ? size + hugePage : size;
  if (room < size)
    return errno = ENOMEM, Mapping();
  void *memory = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return mapping;
  uint8_t *base = static_cast<uint8_t *>(memory);
  if (huge) {
    const size_t pageSize = 4096, kept = (size + pageSize - 1) & ~(pageSize - 1);
    const size_t front = (hugePage - (uintptr_t(base) & (hugePage - 1))) & (hugePage - 1);
    const size_t back = ((room + pageSize - 1) & ~(pageSize - 1)) - front - kept;
    if (front)
      munmap(base, front);
    base += front;
    if (back)
      munmap(base + kept, back);
    madvise(base, kept, MADV_HUGEPAGE); // advice: without it the memory is only slower
  }
  mapping.base = base;
  mapping.length = size;
  return mapping;
}

void populate(const void *data, size_t size) {
#ifdef MADV_POPULATE_READ
  const uintptr_t pageSize = 4096, begin = uintptr_t(data) & ~(pageSize - 1);
  madvise(reinterpret_cast<void *>(begin), uintptr_t(data) + size - begin, MADV_POPULATE_READ);
#endif
}

// ---- File

File::~File() {
  if (code)
    dlclose(code);
  if (descriptor >= 0)
    close(descriptor);
}

Status File::readAt(uint64_t offset, void *data, size_t size, const char *what) const {
  uint8_t *out = static_cast<uint8_t *>(data);
  while (size) {
    const ssize_t got = pread(descriptor, out, std::min(size, size_t(1) << 30), off_t(offset));
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return failure(PITH_ERROR_IO, "%s: cannot read %s: %s", path.c_str(), what,
                     systemMessage(errno).c_str());
    if (got == 0)
      return failure(PITH_ERROR_FORMAT, "%s: ends within %s", path.c_str(), what);
    out += got;
    offset += uint64_t(got);
    size -= size_t(got);
  }
  return {};
}

Status File::open(const std::string &filePath) {
  path = filePath;
  // Without O_NONBLOCK, opening a pipe by mistake would wait for a writer for ever.
  do
    descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0)
    return failure(PITH_ERROR_IO, "%s: cannot open: %s", path.c_str(), systemMessage(errno).c_str());
  struct stat facts;
  if (fstat(descriptor, &facts) != 0)
    return failure(PITH_ERROR_IO, "%s: cannot be examined: %s", path.c_str(), systemMessage(errno).c_str());
  if (!S_ISREG(facts.st_mode))
    return failure(PITH_ERROR_IO, "%s: is not a regular file", path.c_str());
  const uint64_t fileSize = uint64_t(facts.st_size);
  if (fileSize < sizeof end)
    return failure(PITH_ERROR_FORMAT, "%s: %llu bytes are too few for a .pith file", path.c_str(),
                   wide(fileSize));
  PITH_TRY(readAt(fileSize - sizeof end, &end, sizeof end, "the trailer"));
  PITH_TRY(checkTrailer(fileSize));

  manifest.resize(end.manifest_size);
  PITH_TRY(readAt(end.manifest_offset, &manifest[0], manifest.size(), "the manifest"));
  if (pith_file_checksum(PITH_FILE_CHECKSUM_SEED, manifest.data(), manifest.size()) != end.manifest_checksum)
    return failure(PITH_ERROR_FORMAT, "%s: the manifest is damaged (its checksum differs)", path.c_str());
  elf.resize(end.elf_size);
  PITH_TRY(readAt(0, elf.data(), elf.size(), "the code"));
  if (pith_file_checksum(PITH_FILE_CHECKSUM_SEED, elf.data(), elf.size()) != end.elf_checksum)
    return failure(PITH_ERROR_FORMAT, "%s: the code is damaged (its checksum differs)", path.c_str());
  return checkElf();
}

Status File::checkTrailer(uint64_t fileSize) const {
  const char *name = path.c_str();
  if (std::memcmp(end.magic, PITH_FILE_MAGIC, sizeof end.magic) != 0)
    return failure(PITH_ERROR_FORMAT, "%s: not a .pith file, or one that was cut off: no trailer at its end",
                   name);
  if (end.version != PITH_FILE_VERSION)
    return failure(PITH_ERROR_VERSION, "%s: file format version %u, this runtime reads version %u", name,
                   end.version, PITH_FILE_VERSION);
  if (end.trailer_size != sizeof end)
    return failure(PITH_ERROR_FORMAT, "%s: the trailer says it has %u bytes, expected %zu", name,
                   end.trailer_size, sizeof end);
  const uint64_t checksum =
      pith_file_checksum(PITH_FILE_CHECKSUM_SEED, &end, offsetof(pith_file_trailer, trailer_checksum));
  if (checksum != end.trailer_checksum)
    return failure(PITH_ERROR_FORMAT, "%s: the trailer is damaged (its checksum differs)", name);

  if (end.elf_size < sizeof(Elf64_Ehdr) || end.elf_size > end.weights_offset)
    return failure(PITH_ERROR_FORMAT, "%s: %llu bytes of code do not fit before the weights at %llu", name,
                   wide(end.elf_size), wide(end.weights_offset));
  if (end.weights_offset % PITH_FILE_WEIGHT_ALIGNMENT)
    return failure(PITH_ERROR_FORMAT, "%s: the weights begin at %llu, expected a multiple of %u", name,
                   wide(end.weights_offset), PITH_FILE_WEIGHT_ALIGNMENT);
  const uint64_t payload = fileSize - sizeof end;
  const bool inside = end.weights_offset <= payload && end.weights_size <= payload - end.weights_offset &&
                      end.manifest_offset <= payload && end.manifest_size <= payload - end.manifest_offset;
  if (!inside || end.manifest_offset != end.weights_offset + end.weights_size ||
      end.manifest_offset + end.manifest_size != payload)
    return failure(
        PITH_ERROR_FORMAT,
        "%s: %llu bytes of file do not fit weights of %llu bytes at %llu and a manifest of %llu at %llu "
        "(was the file cut or appended to?)",
        name, wide(fileSize), wide(end.weights_size), wide(end.weights_offset), wide(end.manifest_size),
        wide(end.manifest_offset));
  if (end.manifest_size == 0 || end.manifest_size > maxManifest)
    return failure(PITH_ERROR_FORMAT, "%s: a manifest of %llu bytes, expected 1 to %llu", name,
                   wide(end.manifest_size), wide(maxManifest));
  return {};
}

Status File::checkElf() const {
  Elf64_Ehdr header;
  std::memcpy(&header, elf.data(), sizeof header);
  const bool shape = std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
                     header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == ELFDATA2LSB &&
                     header.e_type == ET_DYN;
  if (!shape)
    return failure(PITH_ERROR_FORMAT, "%s: the code is no 64-bit little-endian ELF shared object",
                   path.c_str());
#if defined(__x86_64__)
  if (header.e_machine != EM_X86_64)
    return failure(PITH_ERROR_CPU, "%s: the code is for ELF machine %u, this runtime is for x86-64 (%u)",
                   path.c_str(), header.e_machine, EM_X86_64);
#endif
  const uint64_t tableBytes = uint64_t(header.e_phnum) * sizeof(Elf64_Phdr);
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phoff > elf.size() ||
      tableBytes > elf.size() - header.e_phoff)
    return failure(PITH_ERROR_FORMAT, "%s: the code's program headers lie outside of it", path.c_str());
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, elf.data() + header.e_phoff + i * sizeof segment, sizeof segment);
    if (segment.p_offset > elf.size() || segment.p_filesz > elf.size() - segment.p_offset)
      return failure(PITH_ERROR_FORMAT, "%s: segment %u of the code lies outside of it", path.c_str(), i);
  }
  return {};
}

/// Reads through a pipe-sized buffer, so that a file of any size is checked in little memory.
Status File::verifyWeights() const {
  std::vector<uint8_t> buffer(size_t(1) << 20);
  uint64_t checksum = PITH_FILE_CHECKSUM_SEED;
  for (uint64_t done = 0; done < end.weights_size;) {
    const size_t piece = size_t(std::min<uint64_t>(buffer.size(), end.weights_size - done));
    PITH_TRY(readAt(end.weights_offset + done, buffer.data(), piece, "the weights"));
    checksum = pith_file_checksum(checksum, buffer.data(), piece);
    done += piece;
  }
  if (checksum != end.weights_checksum)
    return failure(PITH_ERROR_FORMAT, "%s: the weights are damaged (their checksum differs)", path.c_str());
  return {};
}

Status File::mapWeights(uint32_t flags, Mapping &weights) const {
  if (!end.weights_size)
    return {};
  if (flags & PITH_LOAD_COPY_WEIGHTS) {
    Mapping copy = Mapping::anonymous(end.weights_size);
    if (!copy)
      return failure(PITH_ERROR_MEMORY, "%s: no memory for a copy of %llu bytes of weights", path.c_str(),
                     wide(end.weights_size));
    PITH_TRY(readAt(end.weights_offset, copy.data(), copy.size(), "the weights"));
    weights = std::move(copy);
    return {};
  }
  Mapping mapped = Mapping::ofFile(descriptor, end.weights_offset, end.weights_size);
  if (!mapped)
    return failure(PITH_ERROR_IO, "%s: cannot map %llu bytes of weights: %s", path.c_str(),
                   wide(end.weights_size), systemMessage(errno).c_str());
  madvise(mapped.data(), mapped.size(), MADV_HUGEPAGE); // advice: not every file system can
  if (flags & PITH_LOAD_POPULATE)
    populate(mapped.data(), mapped.size());
  weights = std::move(mapped);
  return {};
}

/// Compares every segment that the loader does not write to with the bytes that were checked.
bool File::isLoadedImage(void *library) const {
  link_map *map = nullptr;
  if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 || !map)
    return false;
  struct Search {
    const File *file;
    ElfW(Addr) base;
    bool equal;
  } search = {this, map->l_addr, false};
  const auto visit = [](dl_phdr_info *info, size_t, void *context) {
    Search &wanted = *static_cast<Search *>(context);
    if (info->dlpi_addr != wanted.base)
      return 0;
    wanted.equal = wanted.file->isSameImage(info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum);
    return 1;
  };
  dl_iterate_phdr(visit, &search);
  return search.equal;
}

bool File::isSameImage(uintptr_t base, const void *headers, size_t count) const {
  Elf64_Ehdr header;
  std::memcpy(&header, elf.data(), sizeof header);
  const uint8_t *own = elf.data() + header.e_phoff;
  // Equal program headers first: then the same ranges are mapped, and reading them is safe.
  if (count != header.e_phnum || std::memcmp(headers, own, count * sizeof(Elf64_Phdr)) != 0)
    return false;
  for (size_t i = 0; i < count; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, own + i * sizeof segment, sizeof segment);
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) || !(segment.p_flags & PF_R))
      continue;
    const void *memory = reinterpret_cast<const void *>(base + segment.p_vaddr);
    if (std::memcmp(memory, elf.data() + segment.p_offset, segment.p_filesz) != 0)
      return false;
  }
  return true;
}

Status File::mapCode(const pith_exec_table *&table) {
  // Through the open descriptor, so that it is this file and not what has meanwhile taken its name. The
  // loader knows objects by name first: a library of an earlier file may still go by the same descriptor
  // number, so what was mapped is compared, and another number tried.
  std::string reason = "the loader mapped another object";
  std::vector<int> spent;
  for (int attempt = 0; attempt < 8 && !code; ++attempt) {
    const std::string name = "/proc/self/fd/" + std::to_string(descriptor);
    void *library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      const char *text = dlerror();
      reason = text ? text : "unknown reason";
      break;
    }
    if (isLoadedImage(library)) {
      code = library;
      break;
    }
    dlclose(library);
    const int other = fcntl(descriptor, F_DUPFD_CLOEXEC, descriptor + 1);
    if (other < 0)
      break;
    spent.push_back(descriptor);
    descriptor = other;
  }
  for (const int number : spent)
    close(number);
  if (!code)
    return failure(PITH_ERROR_IO, "%s: cannot map the code: %s", path.c_str(), reason.c_str());
  table = static_cast<const pith_exec_table *>(dlsym(code, PITH_EXEC_SYMBOL));
  if (!table)
    return failure(PITH_ERROR_FORMAT, "%s: the code exports no symbol %s", path.c_str(), PITH_EXEC_SYMBOL);
  // The bytes were needed to check the mapping only.
  elf.clear();
  elf.shrink_to_fit();
  return {};
}

} // namespace pith::runtime
