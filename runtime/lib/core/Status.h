//===- Status.h - errors inside the runtime ---------------------------------*- C++ -*-===//
//
// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------------------===//
//
// Inside, an error is a Status that is returned. At the C face, `guarded` turns it, and the
// allocation failures that the standard library throws, into a pith_status and a pith_error.
//
//===----------------------------------------------------------------------------------===//
#ifndef PITH_RUNTIME_CORE_STATUS_H
#define PITH_RUNTIME_CORE_STATUS_H

#include "pith/runtime.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace pith::runtime {

class [[nodiscard]] Status {
public:
  Status() = default;
  Status(pith_status code, std::string message) : statusCode(code), text(std::move(message)) {}
  bool ok() const { return statusCode == PITH_OK; }
  pith_status code() const { return statusCode; }
  const std::string &message() const { return text; }

private:
  pith_status statusCode = PITH_OK;
  std::string text;
};

/// An error whose message is formatted as by printf.
Status failure(pith_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/// The message of errno value `number`.
std::string systemMessage(int number);

/// A name from a file or a caller, quoted and cut so that it cannot flood a message.
std::string quoteName(const std::string &name);

#define PITH_TRY(expression)                                                                                 \
  do {                                                                                                       \
    if (::pith::runtime::Status status_ = (expression); !status_.ok())                                       \
      return status_;                                                                                        \
  } while (false)

#define PITH_REQUIRE(pointer)                                                                                \
  do {                                                                                                       \
    if (!(pointer))                                                                                          \
      return ::pith::runtime::failure(PITH_ERROR_ARGUMENT, "%s is null", #pointer);                          \
  } while (false)

/// Fills the caller's error as far as its struct_size reaches.
void report(pith_error *error, pith_status code, const char *message) noexcept;

/// Runs `body` (which returns Status) at the C boundary.
template <typename Body>
pith_status guarded(pith_error *error, Body body) noexcept {
  try {
    const Status status = body();
    report(error, status.code(), status.message().c_str());
    return status.code();
  } catch (const std::bad_alloc &) {
    report(error, PITH_ERROR_MEMORY, "out of memory");
    return PITH_ERROR_MEMORY;
  } catch (const std::length_error &) {
    report(error, PITH_ERROR_MEMORY, "a size is beyond what memory can hold");
    return PITH_ERROR_MEMORY;
  } catch (const std::exception &exception) {
    report(error, PITH_ERROR_EXECUTION, exception.what());
    return PITH_ERROR_EXECUTION;
  } catch (...) {
    report(error, PITH_ERROR_EXECUTION, "an unknown exception reached the runtime");
    return PITH_ERROR_EXECUTION;
  }
}

/// Copies a caller's struct: fields that an older caller does not have are zero; fields that a newer one has
/// must be. A null pointer gives all zero.
template <typename T>
Status readStruct(const T *user, const char *what, T &value, size_t stride = 0) {
  std::memset(static_cast<void *>(&value), 0, sizeof(T));
  value.struct_size = sizeof(T);
  if (!user)
    return {};
  const size_t size = stride ? stride : user->struct_size;
  if (size < sizeof(uint32_t) * 2 || size > 65536)
    return failure(PITH_ERROR_ARGUMENT, "%s has struct_size %zu, expected about %zu (start from PITH_INIT)",
                   what, size, sizeof(T));
  const unsigned char *bytes = reinterpret_cast<const unsigned char *>(user);
  for (size_t i = sizeof(T); i < size; ++i)
    if (bytes[i])
      return failure(PITH_ERROR_UNSUPPORTED, "%s uses a field that runtime %s does not know", what,
                     pith_version_string());
  std::memcpy(static_cast<void *>(&value), user, std::min(size, sizeof(T)));
  value.struct_size = sizeof(T);
  return {};
}

/// Fills a caller's struct as far as its struct_size reaches.
template <typename T>
Status writeStruct(const T &value, const char *what, T *user) {
  const uint32_t size = user->struct_size;
  if (size < sizeof(uint32_t) * 2)
    return failure(PITH_ERROR_ARGUMENT, "%s has struct_size %u, expected about %zu (start from PITH_INIT)",
                   what, size, sizeof(T));
  std::memcpy(static_cast<void *>(user), &value, std::min<size_t>(size, sizeof(T)));
  user->struct_size = size;
  return {};
}

} // namespace pith::runtime
#endif // PITH_RUNTIME_CORE_STATUS_H
