// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Result<T>: a value, or an Error with a closed code and a message for people. The spelling is that
// of std::expected, so that moving to it later is mechanical.
//
// Layers speak only Errc. Each foreign vocabulary (curl, HTTP status, LMDB, zip, errno of the local
// disk) is translated in one file of the layer that owns it; Errc becomes an errno in
// src/fuse/errno.cpp and nowhere else. Values are plain data: safe to copy between threads.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace tciafs {

enum class Errc {
  kNotFound,  // no such name, or the archive says it has no such object
  kNotDirectory,
  kIsDirectory,
  kNameTooLong,
  kInvalidArgument,
  kReadOnly,
  kPermission,       // this account may not see it
  kNotForProgram,    // the program that asks is one that may not start downloads
  kUnauthenticated,  // credentials missing or rejected
  kStale,            // the object changed under an open handle
  kTimedOut,         // no progress in time
  kUnavailable,      // the archive failed or answered nonsense, after retries
  kThrottled,        // the archive asked us to slow down, after retries
  kUnreachable,      // its server is known not to answer, and was not asked again
  kOffline,          // the network may not be used and it is not cached
  kCancelled,        // the caller went away or interrupted
  kCorrupt,          // bytes are not intact
  kNoSpace,          // it cannot fit the cache
  kNoAttribute,      // no such extended attribute
  kUnsupported,
  kBusy,      // somebody else holds it (a lock, a mountpoint)
  kInternal,  // a local failure: disk, memory, a bug
};

std::string_view ErrcName(Errc code);

// True where asking again later may give another answer.
bool IsTransient(Errc code);

// True where the server was not even asked: told once by who decided that, and no news afterwards.
inline bool IsRefusedUnasked(Errc code) {
  return code == Errc::kUnreachable || code == Errc::kOffline;
}

struct Error {
  Errc code = Errc::kInternal;
  std::string message;
  int64_t retry_after_ms = 0;  // how long the other side asks to be left alone; 0: it does not say

  // "context: message", so that a chain reads from the outside inwards.
  Error Within(std::string_view context) const {
    return Error{code, std::string(context) + ": " + message, retry_after_ms};
  }
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> Fail(Errc code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}
inline tl::unexpected<Error> Fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

// Called exactly once with the outcome, on any thread, never while the giver holds a lock.
template <typename T>
using Callback = std::function<void(Result<T>)>;

}  // namespace tciafs

// Leaves the function with the error of `expr` (a Status or a Result) if it has one.
#define TCIAFS_TRY(expr)                                           \
  do {                                                             \
    if (auto tciafs_try_result = (expr); !tciafs_try_result)       \
      return ::tciafs::Fail(std::move(tciafs_try_result).error()); \
  } while (false)

// `TCIAFS_ASSIGN(auto x, Expr())`: x is the value, or the function leaves with the error.
#define TCIAFS_ASSIGN(declaration, ...) \
  TCIAFS_ASSIGN_NAMED(TCIAFS_CONCAT(tciafs_result_, __LINE__), declaration, (__VA_ARGS__))
#define TCIAFS_ASSIGN_NAMED(name, declaration, expr)         \
  auto name = expr;                                          \
  if (!name) return ::tciafs::Fail(std::move(name).error()); \
  declaration = std::move(name).value()
#define TCIAFS_CONCAT(a, b) TCIAFS_CONCAT_INNER(a, b)
#define TCIAFS_CONCAT_INNER(a, b) a##b
