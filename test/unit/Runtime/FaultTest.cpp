//===- FaultTest.cpp - every allocation, map, read and thread fails once --------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Each operation is repeated on fresh objects with its first, second, … call to the system failing, until
// none is left to fail. Every time it must succeed or give an error that says so, leave its objects as they
// were, and work when tried again; in the end nothing may have leaked.
//
//===----------------------------------------------------------------------------------===//
#include "../Support/Faults.h"
#include "FakeModel.h"
#include "TestFile.h"

#include <dlfcn.h>
#include <functional>

using namespace pith::test;

namespace {

using Tokens = std::vector<int32_t>;

constexpr size_t mostFaults = 5000;

/// What an operation works on; made anew for every fault, so that nothing is warm.
struct Scene {
  ModulePtr module;
  SessionPtr session;
  SequencePtr sequence, other, empty;
  ResultPtr result;
  Tokens text = someTokens(37), more = someTokens(30, 2);

  explicit Scene(const std::string &path) : module(loadModule(path)), session(makeSession(module, 1)) {
    sequence = makeSequence(session);
    other = makeSequence(session);
    empty = makeSequence(session);
    result = makeResult(session);
    if (pith_module_supports(module.get(), PITH_CAN_CONDITION, nullptr))
      for (const SequencePtr *each : {&sequence, &other}) {
        EXPECT_EQ(condition(*each), PITH_OK);
      }
    const pith_lane lanes[] = {makeLane(sequence, text), makeLane(other, more)};
    EXPECT_EQ(pith_step(session.get(), lanes, 2, nullptr, result.get(), nullptr), PITH_OK);
  }

  /// On 40 rows, of a module that takes them.
  static pith_status condition(const SequencePtr &sequence, pith_error *error = nullptr) {
    static const std::vector<float> rows(40 * FAKE_CONDITION, 0.5f);
    return pith_sequence_condition(sequence.get(), rows.data(), 40, FAKE_CONDITION, error);
  }
};

struct FaultTest : ::testing::Test {
  TemporaryFile file{TestFile().bytes()};

  void SetUp() override {
    if (*PITH_TEST_SANITIZE)
      GTEST_SKIP() << "the sanitizers (" PITH_TEST_SANITIZE ") have their own malloc";
  }

  /// Runs `operation` with fault after fault. `verify` looks at the scene after it (did it succeed?).
  void inject(const std::function<pith_status(Scene &, pith_error *)> &operation,
              const std::function<void(Scene &, bool)> &verify, unsigned kinds = FaultEvery) {
    size_t n = 1, refusals = 0;
    bool struck = true;
    int64_t allocations = 0, mapped = 0;
    size_t descriptors = 0;
    for (; struck && n < mostFaults && !HasFailure(); ++n) {
      SCOPED_TRACE("fault " + std::to_string(n));
      {
        Scene scene(file.path());
        Error error;
        armFaults(kinds, n);
        const pith_status status = operation(scene, &error);
        struck = disarmFaults();
        const bool ok = status == PITH_OK;
        if (!ok) {
          ++refusals;
          EXPECT_TRUE(struck);
          EXPECT_TRUE(status == PITH_ERROR_MEMORY || status == PITH_ERROR_IO ||
                      status == PITH_ERROR_EXECUTION)
              << pith_status_name(status);
          EXPECT_EQ(error.code, status);
          EXPECT_GT(std::strlen(error.message), 10u);
        }
        verify(scene, ok);
        if (!ok) {
          error = Error();
          EXPECT_EQ(operation(scene, &error), PITH_OK) << error.message;
          verify(scene, true);
        }
      }
      dlerror();    // the loader's last message belongs to this thread
      if (n == 1) { // the first round made what the process keeps: buffers of the C library
        allocations = livingAllocations();
        mapped = livingMappedBytes();
        descriptors = openDescriptors();
      }
    }
    EXPECT_FALSE(struck) << "still failing after " << n << " faults";
    if (kinds & FaultEvery) {
      EXPECT_GT(refusals, 0u);
    }
    EXPECT_LE(livingAllocations(), allocations + 8) << n; // a few words of the C library's own
    EXPECT_EQ(livingMappedBytes(), mapped);
    EXPECT_EQ(openDescriptors(), descriptors);
  }

  static void checkUnchanged(Scene &scene) {
    EXPECT_EQ(tokensOf(scene.sequence), scene.text);
    EXPECT_EQ(tokensOf(scene.other), scene.more);
    EXPECT_EQ(tokensOf(scene.empty), Tokens());
    EXPECT_EQ(memoryOf(scene.session).sequences, 3u);
  }
  static void checkNext(Scene &scene, const SequencePtr &sequence) {
    Tokens text = tokensOf(sequence);
    const Tokens next = {5};
    const pith_lane lane = makeLane(sequence, next);
    ASSERT_PITH_OK(pith_step(scene.session.get(), &lane, 1, nullptr, scene.result.get(), &error));
    text.push_back(5);
    EXPECT_EQ(rowLogits(scene.result, 0), expectedLogits(text));
    ASSERT_PITH_OK(pith_sequence_truncate(sequence.get(), text.size() - 1, &error));
  }
};

TEST_F(FaultTest, Load) {
  const auto load = [&](uint32_t flags) {
    return [this, flags](Scene &, pith_error *error) {
      pith_load_options options = PITH_INIT(pith_load_options);
      options.flags = flags;
      pith_module *made = nullptr;
      const pith_status status = pith_module_load(file.path().c_str(), &options, &made, error);
      EXPECT_EQ(made != nullptr, status == PITH_OK);
      pith_module_free(made);
      return status;
    };
  };
  const auto unchanged = [](Scene &scene, bool) { checkUnchanged(scene); };
  inject(load(0), unchanged);
  inject(load(PITH_LOAD_COPY_WEIGHTS | PITH_LOAD_VERIFY_WEIGHTS), unchanged, FaultFiles);
  inject(
      load(PITH_LOAD_COPY_WEIGHTS | PITH_LOAD_VERIFY_WEIGHTS), [](Scene &, bool ok) { EXPECT_TRUE(ok); },
      FaultShort);
  inject(
      load(PITH_LOAD_VERIFY_WEIGHTS), [](Scene &, bool ok) { EXPECT_TRUE(ok); }, FaultInterrupt);
}

TEST_F(FaultTest, SessionAndThreads) {
  inject(
      [](Scene &scene, pith_error *error) {
        pith_module *list[] = {scene.module.get()};
        pith_session_options options = PITH_INIT(pith_session_options);
        options.threads = 3;
        pith_session *made = nullptr;
        const pith_status status = pith_session_new(list, 1, &options, &made, error);
        EXPECT_EQ(made != nullptr, status == PITH_OK);
        pith_session_free(made);
        return status;
      },
      [](Scene &scene, bool) { checkUnchanged(scene); });
}

TEST_F(FaultTest, Step) {
  const Tokens added = someTokens(40, 7), one = {4};
  inject(
      [&](Scene &scene, pith_error *error) {
        const pith_lane lanes[] = {makeLane(scene.sequence, added, PITH_ROWS_ALL), makeLane(scene.empty, one),
                                   makeLane(scene.other, added)};
        return pith_step(scene.session.get(), lanes, 3, nullptr, scene.result.get(), error);
      },
      [&](Scene &scene, bool ok) {
        if (!ok) {
          EXPECT_EQ(pith_result_rows(scene.result.get()), 0u);
          return checkUnchanged(scene);
        }
        Tokens text = scene.text;
        text.insert(text.end(), added.begin(), added.end());
        EXPECT_EQ(tokensOf(scene.sequence), text);
        ASSERT_EQ(pith_result_rows(scene.result.get()), 42u);
        EXPECT_EQ(rowLogits(scene.result, 39), expectedLogits(text));
        EXPECT_EQ(rowLogits(scene.result, 40), expectedLogits(one));
      });
}

TEST_F(FaultTest, ForkThenDiverge) {
  const Tokens next = {9};
  inject(
      [&](Scene &scene, pith_error *error) {
        pith_sequence *made[2] = {};
        const pith_status status = pith_sequence_fork(scene.sequence.get(), 20, 2, made, error);
        EXPECT_EQ(made[0] != nullptr, status == PITH_OK);
        EXPECT_EQ(made[1] != nullptr, status == PITH_OK);
        const SequencePtr a(made[0]), b(made[1]);
        if (status != PITH_OK)
          return status;
        const pith_lane lanes[] = {makeLane(a, next), makeLane(b, next)};
        const pith_status stepped =
            pith_step(scene.session.get(), lanes, 2, nullptr, scene.result.get(), error);
        EXPECT_EQ(pith_sequence_length(a.get()), stepped == PITH_OK ? 21u : 20u);
        return stepped;
      },
      [](Scene &scene, bool) {
        checkUnchanged(scene);
        checkNext(scene, scene.sequence);
      });
}

TEST_F(FaultTest, ReserveCatchUpAndScore) {
  inject([](Scene &scene, pith_error *error) { return pith_sequence_reserve(scene.empty.get(), 100, error); },
         [](Scene &scene, bool) { checkUnchanged(scene); });
  const Tokens wanted = someTokens(50, 11);
  inject(
      [&](Scene &scene, pith_error *error) {
        return pith_sequence_catch_up(scene.sequence.get(), wanted.data(), wanted.size(), error);
      },
      [&](Scene &scene, bool ok) {
        if (!ok)
          checkUnchanged(scene);
        else
          EXPECT_EQ(tokensOf(scene.sequence), wanted);
        checkNext(scene, scene.sequence);
      });
  inject(
      [](Scene &scene, pith_error *error) {
        float scores[20];
        return pith_sequence_score(scene.sequence.get(), 10, 30, scores, error);
      },
      [](Scene &scene, bool) {
        checkUnchanged(scene);
        checkNext(scene, scene.sequence);
      });
}

TEST_F(FaultTest, MatchAndPin) {
  inject(
      [](Scene &scene, pith_error *error) {
        size_t hit = 99;
        const pith_status status =
            pith_sequence_match(scene.empty.get(), scene.text.data(), scene.text.size(), &hit, error);
        EXPECT_EQ(hit, status == PITH_OK ? 37u : 99u);
        return status;
      },
      [](Scene &scene, bool ok) {
        EXPECT_EQ(tokensOf(scene.empty), ok ? scene.text : Tokens());
        checkNext(scene, scene.empty);
        EXPECT_EQ(tokensOf(scene.sequence), scene.text);
      });
  // Publishing and pinning take no memory.
  Scene scene(file.path());
  armFaults(FaultEvery, 1);
  EXPECT_EQ(pith_sequence_pin(scene.sequence.get(), 1, 1000, nullptr), PITH_OK);
  scene.sequence.reset();
  EXPECT_FALSE(disarmFaults());
}

/// A stream that allocates nothing.
struct Flat {
  size_t size = 0, at = 0;
  static char *buffer() {
    static char bytes[1 << 15];
    return bytes;
  }
  static int write(void *context, const void *data, size_t size) {
    Flat &self = *static_cast<Flat *>(context);
    std::memcpy(buffer() + self.size, data, size);
    self.size += size;
    return 0;
  }
  static int read(void *context, void *data, size_t size) {
    Flat &self = *static_cast<Flat *>(context);
    std::memcpy(data, buffer() + self.at, size);
    self.at += size;
    return 0;
  }
};

TEST_F(FaultTest, ExportAndImport) {
  inject(
      [](Scene &scene, pith_error *error) {
        Flat flat;
        const pith_status status = pith_sequence_export(scene.sequence.get(), 37, Flat::write, &flat, error);
        if (status != PITH_OK)
          return status;
        pith_sequence *made = nullptr;
        const pith_status imported =
            pith_sequence_import(scene.session.get(), nullptr, Flat::read, &flat, &made, error);
        EXPECT_EQ(made != nullptr, imported == PITH_OK);
        EXPECT_TRUE(!made || pith_sequence_length(made) == 37);
        pith_sequence_free(made);
        return imported;
      },
      [](Scene &scene, bool) {
        checkUnchanged(scene);
        checkNext(scene, scene.sequence);
      });
}

struct ConditionFaultTest : FaultTest {
  ConditionFaultTest() { file.replace(TestFile("_conditioned").bytes()); }
};

TEST_F(ConditionFaultTest, ConditionAndImport) {
  inject([](Scene &scene, pith_error *error) { return Scene::condition(scene.empty, error); },
         [](Scene &scene, bool ok) {
           checkUnchanged(scene);
           EXPECT_EQ(pith_sequence_condition_rows(scene.empty.get()), ok ? 40u : 0u);
         });
  inject(
      [](Scene &scene, pith_error *error) {
        Flat flat;
        pith_sequence *made = nullptr;
        pith_status status = pith_sequence_export(scene.sequence.get(), 20, Flat::write, &flat, error);
        if (status == PITH_OK)
          status = pith_sequence_import(scene.session.get(), nullptr, Flat::read, &flat, &made, error);
        if (status == PITH_OK) {
          EXPECT_EQ(pith_sequence_condition_rows(made), 40u);
        }
        pith_sequence_free(made);
        return status;
      },
      [](Scene &scene, bool) { checkUnchanged(scene); });
}

TEST_F(FaultTest, InvokeAndSample) {
  inject(
      [](Scene &scene, pith_error *error) {
        static char memory[64];
        float *unaligned = reinterpret_cast<float *>(memory + 4);
        for (int i = 0; i < 4; ++i)
          unaligned[i] = float(i);
        const int64_t dims[] = {1, 4};
        pith_tensor inputs[2] = {PITH_INIT(pith_tensor), PITH_INIT(pith_tensor)};
        inputs[0].type = inputs[1].type = PITH_F32;
        inputs[0].dims = dims;
        inputs[0].rank = 2;
        inputs[1].dims = dims + 1;
        inputs[1].rank = 1;
        inputs[0].data = inputs[1].data = unaligned;
        return pith_invoke(scene.session.get(), nullptr, "add", inputs, 2, scene.result.get(), error);
      },
      [](Scene &scene, bool ok) {
        EXPECT_EQ(pith_result_output_count(scene.result.get()), ok ? 1u : 0u);
        checkUnchanged(scene);
      });
  inject(
      [](Scene &scene, pith_error *error) {
        pith_sampler_options options = PITH_INIT(pith_sampler_options);
        options.temperature = 0.7f;
        options.top_p = 0.9f;
        options.repetition_penalty = 1.1f;
        const int32_t biased[] = {1, 2};
        const float bias[] = {1, -1};
        options.bias_tokens = biased;
        options.bias_values = bias;
        options.bias_count = 2;
        pith_sampler *made = nullptr;
        const pith_status status = pith_sampler_new(&options, &made, error);
        EXPECT_EQ(made != nullptr, status == PITH_OK);
        const SamplerPtr sampler(made);
        if (status != PITH_OK)
          return status;
        pith_draw draw = PITH_INIT(pith_draw);
        draw.sequence = scene.sequence.get();
        int32_t token = -7;
        const pith_status drawn = pith_sample(sampler.get(), scene.result.get(), &draw, 1, &token, error);
        EXPECT_EQ(token == -7, drawn != PITH_OK);
        return drawn;
      },
      [](Scene &scene, bool) { checkUnchanged(scene); });
  inject(
      [](Scene &, pith_error *error) {
        const char *strings[] = {"stop", "topping"};
        const size_t sizes[] = {4, 7};
        pith_stops *made = nullptr;
        const pith_status status = pith_stops_new(strings, sizes, 2, &made, error);
        EXPECT_EQ(made != nullptr, status == PITH_OK);
        pith_stops_free(made);
        return status;
      },
      [](Scene &, bool) {});
}

TEST_F(FaultTest, NoAllocationInADecodeStep) {
  // 8 sequences of different lengths, from the third step on; whole malloc and mmap, not only operator new.
  const ModulePtr module = loadModule(file.path());
  const SessionPtr session = makeSession(module, 2);
  const ResultPtr result = makeResult(session);
  std::vector<SequencePtr> sequences;
  std::vector<pith_lane> lanes;
  const Tokens one = {3};
  for (size_t i = 0; i < 8; ++i) {
    sequences.push_back(makeSequence(session));
    const Tokens text = someTokens(3 + 9 * i, i);
    const pith_lane lane = makeLane(sequences[i], text);
    ASSERT_PITH_OK(pith_step(session.get(), &lane, 1, nullptr, result.get(), &error));
    ASSERT_PITH_OK(pith_sequence_reserve(sequences[i].get(), 400, &error));
    lanes.push_back(makeLane(sequences[i], one));
  }
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(pith_step(session.get(), lanes.data(), 8, nullptr, result.get(), nullptr), PITH_OK);
  armFaults(FaultEvery, 0);
  for (int i = 0; i < 200; ++i)
    if (pith_step(session.get(), lanes.data(), 8, nullptr, result.get(), nullptr) != PITH_OK)
      break;
  disarmFaults();
  EXPECT_EQ(faultCalls(), 0u);
  EXPECT_EQ(pith_sequence_length(sequences[7].get()), 66u + 203);
}

} // namespace
