//===- ManifestTest.cpp - hostile manifests -------------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "FakeModel.h"
#include "TestFile.h"

using namespace pith::test;

namespace {

extern "C" int64_t fakePrepare(const pith_exec_context *, int64_t *) { return 0; }
extern "C" void fakeRun(const pith_exec_context *, uint32_t) {}

/// Reads a manifest as a module whose code has all the names.
pith_status parse(const std::string &manifest, pith_error *error) {
  static const pith_exec_entry entries[] = {
      {"add", PITH_EXEC_INVOKE, 0, fakePrepare, fakeRun},
      {"join", PITH_EXEC_INVOKE, 0, fakePrepare, fakeRun},
      {"liar", PITH_EXEC_INVOKE, 0, fakePrepare, fakeRun},
      {"greedy", PITH_EXEC_INVOKE, 0, fakePrepare, fakeRun},
      {"chosen", PITH_EXEC_INVOKE, 0, fakePrepare, fakeRun},
      {"step", PITH_EXEC_STEP, 0, fakePrepare, fakeRun},
  };
  const pith_exec_table table = {
      PITH_EXEC_VERSION, sizeof entries / sizeof entries[0], entries, 0, 0, nullptr, nullptr};
  pith_module *module = nullptr;
  const pith_status status =
      pith_module_link(&table, nullptr, 0, manifest.data(), manifest.size(), &module, error);
  pith_module_free(module);
  return status;
}

struct Case {
  const char *from, *to, *words;
};

TEST(ManifestTest, Good) { ASSERT_PITH_OK(parse(fakeManifest(), &error)); }

TEST(ManifestTest, EveryFieldIsChecked) {
  const Case cases[] = {
      {"\"pith\":1,", "", "pith is missing"},
      {"\"pith\":1", "\"pith\":\"1\"", "pith is not an integer"},
      {"\"pith\":1", "\"pith\":1.5", "pith is not an integer"},
      {"\"pith\":1", "\"pith\":99999999999999999999", "pith is not an integer"},
      {"\"pith\":1", "\"pith\":18446744073709551615", "pith is not an integer"},
      {"\"producer\":\"test\"", "\"producer\":[]", "producer is not a string"},
      {"\"target\":{", "\"target\":1,\"x\":{", "target is not an object"},
      {"\"arch\":", "\"arc\":", "target.arch is missing"},
      {"[\"sse2\",\"cx16\"]", "\"sse2\"", "target.features is not a list"},
      {"[\"sse2\",\"cx16\"]", "[\"sse2\",7]", "target.features is not a list"},
      {"\"entries\":[", "\"entries\":3,\"x\":[", "entries is not a list"},
      {"\"kind\":\"invoke\"", "\"kind\":\"call\"", "entries[0].kind is \"call\""},
      {"\"name\":\"add\",", "", "entries[0].name is missing"},
      {"\"name\":\"add\"", "\"name\":\"join\"", "two entries are named \"join\""},
      {"\"name\":\"add\"", "\"name\":\"a\\u0000b\"", "entries[0].name is not a plain string"},
      {"\"inputs\":[", "\"inputs\":{},\"x\":[", "entries[0].inputs is not a list"},
      {"\"name\":\"b\"", "\"name\":\"a\"", "two ports named \"a\""},
      {"\"type\":\"f32\"", "\"type\":\"f33\"", "entries[0].inputs[0].type is \"f33\""},
      {"[\"rows\",4]", "[\"rows\",-4]", "entries[0].inputs[0].dims[1] is not a size or a name"},
      {"[\"rows\",4]", "[\"\",4]", "dims[0] is not a name"},
      {"[\"rows\",4]", "[\"rows\",9000000000000000000]", "dims[1] is not a size"},
      {"[\"rows\",4]", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "dims is not a list of at most 16"},
      {"\"dims\":[\"rows\",4]", "\"dims\":4", "dims is not a list"},
      {"\"vocab\":37", "\"vocab\":0", "vocab is 0, expected 1"},
      {"\"vocab\":37", "\"vocab\":3000000000", "vocab is 3000000000"},
      {"\"max_rows\":24", "\"max_rows\":-1", "max_rows is -1"},
      {"\"max_rows\":24", "\"max_row\":24", "max_rows is missing"},
      {"\"state\":", "\"stat\":", "state is not an object"},
      {"\"page_tokens\":16", "\"page_tokens\":0", "state.page_tokens is 0"},
      {"\"page_bytes\":128", "\"page_bytes\":2000000000000", "state.page_bytes is 2000000000000"},
      {"\"positions\":600", "\"positions\":-5", "state.positions is -5"},
      {"\"positions\":600", "\"positions\":null", "state.positions is not an integer"},
      {"\"model\":{", "\"model\":[],\"x\":{", "model is not an object"},
      {"\"eos\":[0,5]", "\"eos\":0", "model.eos is not a list of tokens"},
      {"\"eos\":[0,5]", "\"eos\":[\"x\"]", "model.eos is not a list of tokens"},
      {"{\"pith\"", "[{\"pith\"", "parse error"},
      {"\"kind\":\"invoke\",\"inputs\":[],\"outputs\":[{\"name\":\"x\",\"type\":\"f32\",\"dims\":[2]}]}",
       "\"kind\":\"step\",\"vocab\":2,\"max_rows\":2}", "\"liar\" and \"step\" are both of kind \"step\""},
  };
  for (const Case &item : cases) {
    SCOPED_TRACE(item.to);
    EXPECT_PITH_ERROR(parse(fakeManifest(item.from, item.to), &error), PITH_ERROR_FORMAT, item.words);
  }
  EXPECT_PITH_ERROR(parse(fakeManifest("\"pith\":1", "\"pith\":2"), &error), PITH_ERROR_VERSION,
                    "version 2, this runtime reads version 1");
}

TEST(ManifestTest, StrangeTexts) {
  const std::string deep(100000, '['), bytes("\xff\xfe\0\x01", 4);
  for (const std::string &text :
       {std::string(""), std::string("null"), std::string("[]"), std::string("\"x\""), deep,
        "{\"pith\":" + deep, bytes, "{\"pith\":\"" + bytes + "\"}", std::string("1e999")})
    EXPECT_PITH_ERROR(parse(text, &error), PITH_ERROR_FORMAT, "manifest");
  std::string nested = "0";
  for (int i = 0; i < 100; ++i)
    nested = "[" + nested + "]";
  EXPECT_PITH_ERROR(parse(fakeManifest("{\"form\":[1,2]}", nested), &error), PITH_ERROR_FORMAT,
                    "nested too deeply");
}

TEST(ManifestTest, EveryTruncationAndFlipIsSurvived) {
  const std::string text = fakeManifest();
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_NE(parse(text.substr(0, size), nullptr), PITH_OK);
  for (size_t i = 0; i < text.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = text;
      changed[i] = char(changed[i] ^ (1 << bit));
      (void)parse(changed, nullptr); // whatever the answer is
    }
}

} // namespace
