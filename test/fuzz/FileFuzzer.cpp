//===- FileFuzzer.cpp - damaged .pith files -------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// The input says what is done to a good file: bytes changed, parts cut out or put in, and whether the trailer's checksum
// is mended afterwards, so that what lies behind that check is met as well. The code's own checksum is never mended:
// a file whose code has changed must not get so far that it runs.
//
//===----------------------------------------------------------------------------------===//
#include "TestFile.h"

#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

using namespace pith::test;

namespace {

class Input {
public:
  Input(const uint8_t *bytes, size_t count) : data(bytes), size(count) {}
  bool empty() const { return at >= size; }
  uint64_t number(int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; ++i)
      value = value << 8 | (empty() ? 0 : data[at++]);
    return value;
  }

private:
  const uint8_t *data;
  size_t size, at = 0;
};

void damage(std::string &file, Input &input) {
  const uint64_t kind = input.number(1);
  // Most offsets near the end, where the trailer and the manifest are.
  const uint64_t distance = input.number(kind & 8 ? 3 : 2);
  const size_t at = distance < file.size() ? file.size() - 1 - distance : 0;
  switch (kind & 3) {
  case 0:
    if (!file.empty())
      file[at] = char(input.number(1));
    break;
  case 1: // a number of the trailer
    if (file.size() >= sizeof(pith_file_trailer)) {
      const uint64_t value = input.number(kind & 4 ? 8 : 2);
      const size_t field = input.number(1) % 8 * 8;
      std::memcpy(&file[file.size() - sizeof(pith_file_trailer) + field], &value, sizeof value);
    }
    break;
  case 2:
    file.erase(at, 1 + input.number(kind & 4 ? 2 : 1));
    break;
  case 3:
    file.insert(at, 1 + input.number(1), char(input.number(1)));
    break;
  }
}

void mendTrailer(std::string &file) {
  if (file.size() < sizeof(pith_file_trailer))
    return;
  pith_file_trailer end;
  char *place = &file[file.size() - sizeof end];
  std::memcpy(&end, place, sizeof end);
  end.trailer_checksum =
      pith_file_checksum(PITH_FILE_CHECKSUM_SEED, &end, offsetof(pith_file_trailer, trailer_checksum));
  std::memcpy(place, &end, sizeof end);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const std::string good = TestFile().bytes();
  std::string file = good;
  Input input(data, size);
  const uint64_t options = input.number(1);
  for (int i = 0; i < 16 && !input.empty(); ++i)
    damage(file, input);
  if (options & 1)
    mendTrailer(file);

  const int descriptor = memfd_create("fuzz", 0);
  if (descriptor < 0 || write(descriptor, file.data(), file.size()) != ssize_t(file.size()))
    std::abort();
  pith_load_options load = PITH_INIT(pith_load_options);
  load.flags = options >> 1 & 7;
  pith_module *module = nullptr;
  pith_error error = PITH_INIT(pith_error);
  const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  const pith_status status = pith_module_load(path.c_str(), &load, &module, &error);
  if ((status == PITH_OK) != (module != nullptr) || (status != PITH_OK && !error.message[0]))
    std::abort();
  pith_module_free(module);
  close(descriptor);
  return 0;
}
