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
  default:
    return "unknown status";
  }
}

size_t pith_type_size(pith_type type) {
  switch (type) {
  case PITH_I8:
  case PITH_U8:
  case PITH_BOOL:
    return 1;
  case PITH_F16:
  case PITH_BF16:
  case PITH_I16:
  case PITH_U16:
    return 2;
  case PITH_F32:
  case PITH_I32:
  case PITH_U32:
    return 4;
  case PITH_F64:
  case PITH_I64:
  case PITH_U64:
    return 8;
  default:
    return 0;
  }
}

const char *pith_type_name(pith_type type) {
  static const char *const names[] = {"?",   "f32", "f16", "bf16", "f64", "i8",  "i16",
                                      "i32", "i64", "u8",  "u16",  "u32", "u64", "bool"};
  return type <= PITH_BOOL ? names[type] : names[0];
}

} // extern "C"
