// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/result.h"

namespace tciafs {

std::string_view ErrcName(Errc code) {
  switch (code) {
    case Errc::kNotFound:
      return "not found";
    case Errc::kNotDirectory:
      return "not a directory";
    case Errc::kIsDirectory:
      return "is a directory";
    case Errc::kNameTooLong:
      return "name too long";
    case Errc::kInvalidArgument:
      return "invalid argument";
    case Errc::kReadOnly:
      return "read-only";
    case Errc::kPermission:
      return "not permitted";
    case Errc::kNotForProgram:
      return "not for this program";
    case Errc::kUnauthenticated:
      return "not authenticated";
    case Errc::kStale:
      return "stale";
    case Errc::kTimedOut:
      return "timed out";
    case Errc::kUnavailable:
      return "unavailable";
    case Errc::kThrottled:
      return "throttled";
    case Errc::kUnreachable:
      return "unreachable";
    case Errc::kOffline:
      return "offline";
    case Errc::kCancelled:
      return "cancelled";
    case Errc::kCorrupt:
      return "corrupt";
    case Errc::kNoSpace:
      return "no space";
    case Errc::kNoAttribute:
      return "no such attribute";
    case Errc::kUnsupported:
      return "unsupported";
    case Errc::kBusy:
      return "busy";
    case Errc::kInternal:
      return "internal";
  }
  return "unknown";
}

bool IsTransient(Errc code) {
  return code == Errc::kTimedOut || code == Errc::kUnavailable || code == Errc::kThrottled ||
         code == Errc::kUnreachable || code == Errc::kOffline;
}

}  // namespace tciafs
