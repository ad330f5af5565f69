// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/listing_state.h"

#include <gtest/gtest.h>

namespace tciafs::catalog {
namespace {

TEST(ListingState, ComesBackAsItWas) {
  const ListingState state{true, true, 1'700'000'000'000, 42, 7, 5, 6};
  const std::string bytes = EncodeState(state);
  const auto back = DecodeState(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(EncodeState(*back), bytes);
  EXPECT_EQ(back->version, 42);
  EXPECT_TRUE(back->provisional);
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(DecodeState(bytes.substr(0, size)));
  EXPECT_FALSE(DecodeState(bytes + "x"));
}

TEST(ListingState, FreshnessEndsWithTheTtlAndNeverBeginsInTheFuture) {
  ListingState state;
  state.fetched_at_ms = 1'000;
  EXPECT_EQ(FreshForMs(state, 1'000, 100, 10), 0) << "never listed";
  state.listed = true;
  EXPECT_EQ(FreshForMs(state, 1'000, 100, 10), 100);
  EXPECT_EQ(FreshForMs(state, 1'099, 100, 10), 1);
  EXPECT_EQ(FreshForMs(state, 1'100, 100, 10), 0);
  EXPECT_EQ(FreshForMs(state, 999, 100, 10), 0);
  state.provisional = true;
  EXPECT_EQ(FreshForMs(state, 1'000, 100, 10), 10);
  state.emptied_at_ms = 1'000;
  EXPECT_EQ(FreshForMs(state, 1'000, 100, 10), 0);
}

}  // namespace
}  // namespace tciafs::catalog
