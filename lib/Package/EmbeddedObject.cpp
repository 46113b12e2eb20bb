//===- EmbeddedObject.cpp - a relocatable object with a model in it -------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The code generator's object stays as it is, byte for byte; behind it come the new sections, and behind
// those the symbol and section tables again, with more in them. Section indices and symbol indices that
// relocations use do not change that way.
//
//===----------------------------------------------------------------------===//
#include "EmbeddedObject.h"
#include "pith/executable.h"
#include "pith/file.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Object/ELF.h"
#include "llvm/Support/MathExtras.h"

using namespace llvm;
using namespace llvm::object;
using namespace pith;

using Elf = ELF64LE;

static Error problem(const Twine &text) { return createStringError(inconvertibleErrorCode(), text); }

namespace {
/// The tables of the new object.
class Tables {
public:
  static Expected<Tables> read(ArrayRef<char> code);

  /// An offset in the string table, which serves symbols and sections alike.
  uint32_t name(const Twine &text) {
    uint32_t offset = strings.size();
    strings += text.str();
    strings.push_back('\0');
    return offset;
  }
  unsigned addSection(const Twine &text, uint32_t type, uint64_t flags, uint64_t alignment, uint64_t offset,
                      uint64_t size) {
    Elf::Shdr header = {};
    header.sh_name = name(text);
    header.sh_type = type;
    header.sh_flags = flags;
    header.sh_addralign = alignment;
    header.sh_offset = offset;
    header.sh_size = size;
    sections.push_back(header);
    return sections.size() - 1;
  }
  unsigned addSymbol(const Twine &text, unsigned section, uint64_t size, bool hidden) {
    Elf::Sym symbol = {};
    symbol.st_name = name(text);
    symbol.setBindingAndType(ELF::STB_GLOBAL, ELF::STT_OBJECT);
    symbol.setVisibility(hidden ? ELF::STV_HIDDEN : ELF::STV_DEFAULT);
    symbol.st_shndx = section;
    symbol.st_size = size;
    symbols.push_back(symbol);
    return symbols.size() - 1;
  }
  /// Gives the entry table a name that another model in the same program does not have.
  Expected<unsigned> renameTable(const Twine &text);

  Elf::Ehdr header;
  std::vector<Elf::Shdr> sections;
  std::vector<Elf::Sym> symbols;
  unsigned symbolSection = 0, stringSection = 0;
  std::string strings;
};
} // namespace

Expected<Tables> Tables::read(ArrayRef<char> code) {
  Expected<ELFFile<Elf>> file = ELFFile<Elf>::create(StringRef(code.data(), code.size()));
  if (!file)
    return file.takeError();
  Tables tables;
  tables.header = file->getHeader();
  Expected<Elf::ShdrRange> sections = file->sections();
  if (!sections)
    return sections.takeError();
  tables.sections.assign(sections->begin(), sections->end());
  for (const auto &[i, section] : enumerate(*sections)) {
    if (section.sh_type != ELF::SHT_SYMTAB)
      continue;
    Expected<Elf::SymRange> symbols = file->symbols(&section);
    Expected<StringRef> strings = file->getStringTableForSymtab(section);
    if (!symbols || !strings)
      return joinErrors(symbols.takeError(), strings.takeError());
    tables.symbols.assign(symbols->begin(), symbols->end());
    tables.symbolSection = i;
    tables.stringSection = section.sh_link;
    tables.strings = strings->str();
  }
  if (!tables.symbolSection || tables.header.e_shstrndx != tables.stringSection)
    return problem("the object has no symbols, or keeps the sections' names apart from theirs");
  return tables;
}

Expected<unsigned> Tables::renameTable(const Twine &text) {
  for (const auto &[i, symbol] : enumerate(symbols)) {
    if (StringRef(strings.c_str() + symbol.st_name) != PITH_EXEC_SYMBOL)
      continue;
    symbol.st_name = name(text);
    symbol.setVisibility(ELF::STV_HIDDEN);
    return i;
  }
  return problem("the object defines no " PITH_EXEC_SYMBOL);
}

template <typename T>
static ArrayRef<char> bytesOf(ArrayRef<T> list) {
  return ArrayRef(reinterpret_cast<const char *>(list.data()), list.size() * sizeof(T));
}

Error pith::writeEmbeddedObject(OutputFile &file, ArrayRef<char> code, const Embedding &embedding) {
  Expected<Tables> read = Tables::read(code);
  if (!read)
    return read.takeError();
  Tables &tables = *read;
  const std::string &name = embedding.symbol;
  Expected<unsigned> table = tables.renameTable(name + "_table");
  if (!table)
    return table.takeError();

  uint64_t manifestSize = embedding.manifest.size() + 1; // a zero behind it
  uint64_t weightsAt = alignTo(code.size(), PITH_FILE_WEIGHT_ALIGNMENT);
  uint64_t manifestAt = weightsAt + embedding.weightsSize;
  uint64_t modelAt = alignTo(manifestAt + manifestSize, 8);
  uint64_t relocationsAt = modelAt + sizeof(pith_embedded);
  if (Error error = file.reserve(relocationsAt))
    return error;

  // Large sections (which linkers put behind everything else): gigabytes between code and data would be out
  // of reach of their relocations.
  unsigned weights =
      tables.addSection(".lrodata.pith_weights", ELF::SHT_PROGBITS, ELF::SHF_ALLOC | ELF::SHF_X86_64_LARGE,
                        PITH_FILE_WEIGHT_ALIGNMENT, weightsAt, embedding.weightsSize);
  unsigned manifest = tables.addSection(".rodata.pith_manifest", ELF::SHT_PROGBITS, ELF::SHF_ALLOC, 1,
                                        manifestAt, manifestSize);
  unsigned model = tables.addSection(".data.rel.ro.pith_model", ELF::SHT_PROGBITS,
                                     ELF::SHF_ALLOC | ELF::SHF_WRITE, 8, modelAt, sizeof(pith_embedded));
  unsigned weightsSymbol = tables.addSymbol(name + "_weights", weights, embedding.weightsSize, true);
  unsigned manifestSymbol = tables.addSymbol(name + "_manifest", manifest, manifestSize, true);
  tables.addSymbol(name, model, sizeof(pith_embedded), false);

  pith_embedded description = {};
  description.struct_size = sizeof(pith_embedded);
  description.version = PITH_EXEC_VERSION;
  description.weights_size = embedding.weightsSize;
  description.manifest_size = embedding.manifest.size();
  description.weights_checksum = PITH_FILE_CHECKSUM_SEED;
  auto checksum = [](ArrayRef<char> bytes) {
    return pith_file_checksum(PITH_FILE_CHECKSUM_SEED, bytes.data(), bytes.size());
  };
  description.manifest_checksum = checksum(ArrayRef(embedding.manifest.data(), embedding.manifest.size()));
  description.code_checksum = checksum(code);

  if (Error error = file.write(code))
    return error;
  if (Error error = file.padTo(weightsAt))
    return error;
  if (Error error = embedding.stream([&](ArrayRef<char> bytes) {
        description.weights_checksum =
            pith_file_checksum(description.weights_checksum, bytes.data(), bytes.size());
        return file.write(bytes);
      }))
    return error;
  if (Error error = file.write(ArrayRef(embedding.manifest.c_str(), manifestSize)))
    return error;
  if (Error error = file.padTo(modelAt))
    return error;
  if (Error error = file.write(bytesOf(ArrayRef(description))))
    return error;

  std::vector<Elf::Rela> relocations;
  auto point = [&](uint64_t field, unsigned symbol) {
    Elf::Rela relocation = {};
    relocation.r_offset = field;
    relocation.setSymbolAndType(symbol, ELF::R_X86_64_64, /*IsMips64EL=*/false);
    relocations.push_back(relocation);
  };
  point(offsetof(pith_embedded, table), *table);
  point(offsetof(pith_embedded, weights), weightsSymbol);
  point(offsetof(pith_embedded, manifest), manifestSymbol);
  unsigned relocationSection =
      tables.addSection(".rela.data.rel.ro.pith_model", ELF::SHT_RELA, ELF::SHF_INFO_LINK, 8, relocationsAt,
                        relocations.size() * sizeof(Elf::Rela));
  tables.sections[relocationSection].sh_entsize = sizeof(Elf::Rela);
  tables.sections[relocationSection].sh_link = tables.symbolSection;
  tables.sections[relocationSection].sh_info = model;
  if (Error error = file.write(bytesOf(ArrayRef(relocations))))
    return error;

  auto replace = [&](unsigned section, ArrayRef<char> bytes) -> Error {
    if (Error error = file.padTo(alignTo(file.position(), 8)))
      return error;
    tables.sections[section].sh_offset = file.position();
    tables.sections[section].sh_size = bytes.size();
    return file.write(bytes);
  };
  if (Error error = replace(tables.symbolSection, bytesOf(ArrayRef(tables.symbols))))
    return error;
  if (Error error = replace(tables.stringSection, ArrayRef(tables.strings.data(), tables.strings.size())))
    return error;
  if (Error error = file.padTo(alignTo(file.position(), 8)))
    return error;
  tables.header.e_shoff = file.position();
  tables.header.e_shnum = tables.sections.size();
  if (Error error = file.write(bytesOf(ArrayRef(tables.sections))))
    return error;
  return file.overwrite(0, bytesOf(ArrayRef(tables.header)));
}
