//===- Basics.cpp - versions, names, CPU features ---------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "../cpu/Features.h"
#include "Status.h"

#include <cstdio>

using namespace pith::runtime;

#define PITH_TEXT_(value) #value
#define PITH_TEXT(value) PITH_TEXT_(value)

namespace {
/// In the order of their numbers.
constexpr struct {
  const char *name;
  unsigned char bits;
} types[] = {{"?", 0},      {"f32", 32},       {"f16", 16},   {"bf16", 16},    {"f64", 64},
             {"i8", 8},     {"i16", 16},       {"i32", 32},   {"i64", 64},     {"u8", 8},
             {"u16", 16},   {"u32", 32},       {"u64", 64},   {"bool", 8},     {"i4", 4},
             {"u4", 4},     {"i2", 2},         {"u2", 2},     {"f8e4m3fn", 8}, {"f8e4m3fnuz", 8},
             {"f8e5m2", 8}, {"f8e5m2fnuz", 8}, {"f8e8m0", 8}, {"f4e2m1", 4}};
constexpr pith_type lastType = sizeof types / sizeof *types - 1;
static_assert(lastType == PITH_F4E2M1);
} // namespace

extern "C" {

uint32_t pith_version(void) { return PITH_VERSION; }

const char *pith_version_string(void) {
  return PITH_TEXT(PITH_VERSION_MAJOR) "." PITH_TEXT(PITH_VERSION_MINOR) "." PITH_TEXT(PITH_VERSION_PATCH);
}

size_t pith_cpu_features(char *buffer, size_t capacity) {
  try {
    std::string text;
    for (const std::string &name : cpuFeatures())
      text += (text.empty() ? "" : ",") + name;
    if (buffer && capacity)
      std::snprintf(buffer, capacity, "%s", text.c_str());
    return text.size();
  } catch (...) {
    return 0;
  }
}

const char *pith_status_name(pith_status status) {
  switch (status) {
  case PITH_OK:
    return "PITH_OK";
  case PITH_ERROR_ARGUMENT:
    return "PITH_ERROR_ARGUMENT";
  case PITH_ERROR_MEMORY:
    return "PITH_ERROR_MEMORY";
  case PITH_ERROR_IO:
    return "PITH_ERROR_IO";
  case PITH_ERROR_FORMAT:
    return "PITH_ERROR_FORMAT";
  case PITH_ERROR_VERSION:
    return "PITH_ERROR_VERSION";
  case PITH_ERROR_CPU:
    return "PITH_ERROR_CPU";
  case PITH_ERROR_NOT_FOUND:
    return "PITH_ERROR_NOT_FOUND";
  case PITH_ERROR_SHAPE:
    return "PITH_ERROR_SHAPE";
  case PITH_ERROR_LIMIT:
    return "PITH_ERROR_LIMIT";
  case PITH_ERROR_CANCELLED:
    return "PITH_ERROR_CANCELLED";
  case PITH_ERROR_UNSUPPORTED:
    return "PITH_ERROR_UNSUPPORTED";
  case PITH_ERROR_MISMATCH:
    return "PITH_ERROR_MISMATCH";
  case PITH_ERROR_EXECUTION:
    return "PITH_ERROR_EXECUTION";
  case PITH_ERROR_DEVICE:
    return "PITH_ERROR_DEVICE";
  default:
    return "unknown status";
  }
}

size_t pith_type_size(pith_type type) { return pith_type_bits(type) / 8; }

size_t pith_type_bits(pith_type type) { return type <= lastType ? types[type].bits : 0; }

const char *pith_type_name(pith_type type) { return types[type <= lastType ? type : 0].name; }

} // extern "C"
