//===- Status.cpp - errors inside the runtime -----------------------------------------===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
#include "Status.h"

#include <cstdarg>
#include <cstdio>

namespace pith::runtime {

Status failure(pith_status code, const char *format, ...) {
  char buffer[sizeof(pith_error::message)];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  return Status(code, buffer);
}

std::string systemMessage(int number) {
  char buffer[128] = "";
  // The GNU form returns the text, which need not stand in the buffer.
  return strerror_r(number, buffer, sizeof buffer);
}

std::string quoteName(const std::string &name) {
  std::string text = "\"";
  for (const char c : name.substr(0, 100)) {
    const bool plain = static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
    text += plain ? c : '?';
  }
  return text + (name.size() > 100 ? "...\"" : "\"");
}

void report(pith_error *error, pith_status code, const char *message) noexcept {
  if (!error || error->struct_size < offsetof(pith_error, message))
    return;
  error->code = code;
  const size_t room = error->struct_size - offsetof(pith_error, message);
  const size_t capacity = std::min(room, sizeof error->message);
  if (capacity)
    std::snprintf(error->message, capacity, "%s", message);
}

} // namespace pith::runtime
