// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What is known of a directory as a whole, beside its entries: when it was last listed and how far
// that can be trusted. Wall-clock times in unix milliseconds, 0: never. Plain data.
//
// An archive may answer a failure of its own with an empty list, or with the part of the list it
// had got to. So an empty answer for what had entries only starts a clock (emptied_at_ms), and an
// empty first answer, or one that lacks what was listed before, is provisional: asked again soon.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tciafs::catalog {

struct ListingState {
  bool listed = false;       // false: entries were only reached by path
  bool provisional = false;  // an empty or shortened answer nothing has confirmed yet
  int64_t fetched_at_ms = 0;
  int64_t version = 0;        // grows when the content changes
  int64_t entries = 0;        // how many are stored
  int64_t emptied_at_ms = 0;  // the first of the empty answers since the last full one
  int64_t bulk_at_ms = 0;     // collection: the last bulk listing of all its series
};

std::string EncodeState(const ListingState& state);
std::optional<ListingState> DecodeState(std::string_view bytes);

// How long the listing may still be called fresh; 0 if it is stale. A listing from the future
// (the clock was set back) is stale.
int64_t FreshForMs(const ListingState& state, int64_t now_ms, int64_t ttl_ms,
                   int64_t negative_ttl_ms);

}  // namespace tciafs::catalog
