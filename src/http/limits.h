// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What a server may make the transport read, follow or wait for, with the reason of each. Sizes are
// bytes, times milliseconds. Bodies have the limits of who asked. Constants only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tciafs::http {

// All header lines of one exchange together. Real heads are below 10 KiB; a server that sends this
// much is broken or hostile.
inline constexpr size_t kHeadBytesMax = 256 * 1024;

// Redirects of one attempt: one or two are real (a slash, a moved path), more is a circle. Where
// one leads: what RFC 9110 section 4.1 wants supported of a URL, and more than any has.
inline constexpr int kRedirectsMax = 5;
inline constexpr size_t kLocationBytesMax = 8 * 1024;

// The body of an answer that is not passed on is read to keep its connection, up to here.
inline constexpr int64_t kWithheldBytesMax = 64 * 1024;

// Longer waits than a day are as good as never, and must not overflow when scaled.
inline constexpr int64_t kRetryAfterMaxMs = 24 * 3'600'000;

}  // namespace tciafs::http
