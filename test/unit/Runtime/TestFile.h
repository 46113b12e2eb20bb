//===- TestFile.h - .pith files for tests -----------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_TEST_TESTFILE_H
#define PITH_TEST_TESTFILE_H

#include "pith/file.h"
#include "pith/runtime.h"

#include <cstring>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

namespace pith::test {

/// What computes in this program's tests: "" (the CPU), "emulator", "cuda", "hip".
extern const char *const testDevice;
/// What a page of the toy model takes there, and one of the variant with conditions: on the CPU whole pages
/// of the system.
extern const uint64_t testPageBytes, testConditionedPageBytes;

/// The parts of a .pith file before they are put together.
struct TestFile {
  std::string elf;
  std::string weights;
  std::string manifest;
  pith_file_trailer trailer{}; ///< filled by `bytes` where zero

  /// The toy model (variant "", "2", or "_conditioned") for a device; "every": with images for all.
  explicit TestFile(const std::string &variant = "", const std::string &device = testDevice);
  std::string bytes() const;
};

/// The toy model's manifest with some text replaced.
std::string fakeManifest(const std::string &from = "", const std::string &to = "");

/// The same for the variant that takes a condition.
std::string conditionedManifest(const std::string &from = "", const std::string &to = "");

/// A file that goes at the test's end.
class TemporaryFile {
public:
  explicit TemporaryFile(const std::string &contents = "");
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile &) = delete;
  /// Puts a new file in its place, as a compiler does: the old one lives on where it is open.
  void replace(const std::string &contents);
  const std::string &path() const { return name; }

private:
  std::string name;
};

std::string readFile(const std::string &path);

struct Error : pith_error {
  Error() { *static_cast<pith_error *>(this) = PITH_INIT(pith_error); }
};

#define ASSERT_PITH_OK(call)                                                                                 \
  do {                                                                                                       \
    ::pith::test::Error error;                                                                               \
    ASSERT_EQ(call, PITH_OK) << error.message;                                                               \
  } while (false)

/// The call, which must name its error parameter `&error`, fails with this status and a message with these
/// words.
#define EXPECT_PITH_ERROR(call, status, words)                                                               \
  do {                                                                                                       \
    ::pith::test::Error error;                                                                               \
    EXPECT_EQ(call, status) << error.message;                                                                \
    EXPECT_EQ(error.code, status);                                                                           \
    EXPECT_NE(std::string(error.message).find(words), std::string::npos) << error.message;                   \
  } while (false)

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T *handle) const {
    Free(handle);
  }
};
using ModulePtr = std::unique_ptr<pith_module, Freer<pith_module_free>>;
using SessionPtr = std::unique_ptr<pith_session, Freer<pith_session_free>>;
using SequencePtr = std::unique_ptr<pith_sequence, Freer<pith_sequence_free>>;
using ResultPtr = std::unique_ptr<pith_result, Freer<pith_result_free>>;
using SamplerPtr = std::unique_ptr<pith_sampler, Freer<pith_sampler_free>>;

ModulePtr loadModule(const std::string &path);
/// The toy model, loaded from a file of its own.
ModulePtr loadFake(const std::string &variant = "", const std::string &device = testDevice);
SessionPtr makeSession(const ModulePtr &module, uint32_t threads = 2, uint64_t pageLimitBytes = 0);
SequencePtr makeSequence(const SessionPtr &session);
ResultPtr makeResult(const SessionPtr &session);

pith_lane makeLane(const SequencePtr &sequence, const std::vector<int32_t> &tokens,
                   pith_rows rows = PITH_ROWS_LAST);

/// The logits of the row that reads the last of `tokens`, computed plainly.
std::vector<float> expectedLogits(const std::vector<int32_t> &tokens, uint64_t salt = 0);
std::vector<float> rowLogits(const ResultPtr &result, size_t row);
/// The toy model's state after these tokens, and a token's log-probability in a state.
uint64_t fakeState(const std::vector<int32_t> &tokens, uint64_t salt = 0);
double logprobAt(uint64_t state, int32_t token);
double expectedLogprob(const std::vector<int32_t> &before, int32_t token);

std::vector<int32_t> someTokens(size_t count, uint32_t seed = 1);
pith_memory memoryOf(const SessionPtr &session);
/// So many free pages are left; on a GPU at least, because a page keeps the block that it came in.
void expectTrimmed(const SessionPtr &session, uint64_t pages);
pith_stats statsOf(const SessionPtr &session);
std::vector<int32_t> tokensOf(const SequencePtr &sequence);

} // namespace pith::test
#endif
