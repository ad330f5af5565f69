// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/listing_state.h"

#include <algorithm>

#include "catalog/encoding.h"

namespace tciafs::catalog {
namespace {

constexpr uint8_t kStateFormat = 1;
constexpr uint8_t kListedBit = 1;
constexpr uint8_t kProvisionalBit = 2;

}  // namespace

std::string EncodeState(const ListingState& state) {
  Encoder out;
  out.Byte(kStateFormat);
  out.Byte(static_cast<uint8_t>((state.listed ? kListedBit : 0) |
                                (state.provisional ? kProvisionalBit : 0)));
  for (const int64_t value :
       {state.fetched_at_ms, state.version, state.entries, state.emptied_at_ms, state.bulk_at_ms})
    out.Signed(value);
  return out.Take();
}

std::optional<ListingState> DecodeState(std::string_view bytes) {
  Decoder in(bytes);
  if (in.Byte() != kStateFormat) return std::nullopt;
  const uint8_t flags = in.Byte();
  ListingState state;
  state.listed = (flags & kListedBit) != 0;
  state.provisional = (flags & kProvisionalBit) != 0;
  for (int64_t* value : {&state.fetched_at_ms, &state.version, &state.entries, &state.emptied_at_ms,
                         &state.bulk_at_ms})
    *value = in.Signed();
  if (!in.AtEnd()) return std::nullopt;
  return state;
}

int64_t FreshForMs(const ListingState& state, int64_t now_ms, int64_t ttl_ms,
                   int64_t negative_ttl_ms) {
  if (!state.listed || state.emptied_at_ms != 0) return 0;
  if (state.fetched_at_ms > now_ms || state.fetched_at_ms <= 0) return 0;
  const int64_t lifetime_ms = state.provisional ? std::min(negative_ttl_ms, ttl_ms) : ttl_ms;
  return std::max<int64_t>(lifetime_ms - (now_ms - state.fetched_at_ms), 0);
}

}  // namespace tciafs::catalog
