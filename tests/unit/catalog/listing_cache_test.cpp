// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/listing_cache.h"

#include <gtest/gtest.h>

namespace tciafs::catalog {
namespace {

StoredListing ListingOf(size_t entries) {
  auto listing = std::make_shared<Listing>();
  listing->entries.resize(entries);
  return {listing, {}};
}
DirectoryKey Key(int number) { return RootKey(std::to_string(number)); }

TEST(ListingCache, DropsTheLeastRecentlyUsedBeyondItsBytes) {
  ListingCache cache(10 * (100 * sizeof(Entry) + 1000));
  for (int i = 0; i < 10; ++i) cache.Insert(Key(i), ListingOf(100), cache.epoch());
  ASSERT_TRUE(cache.Find(Key(0)));
  for (int i = 10; i < 18; ++i) cache.Insert(Key(i), ListingOf(100), cache.epoch());
  EXPECT_TRUE(cache.Find(Key(0))) << "used just before";
  EXPECT_FALSE(cache.Find(Key(1)));
  EXPECT_TRUE(cache.Find(Key(17)));
  cache.Insert(Key(99), ListingOf(100'000), cache.epoch());
  EXPECT_FALSE(cache.Find(Key(99))) << "larger than all of it";
  EXPECT_TRUE(cache.Find(Key(17)));
}

TEST(ListingCache, DoesNotKeepWhatWasReadBeforeAWrite) {
  ListingCache cache(1 << 20);
  const uint64_t before = cache.epoch();
  cache.Forget({Key(1)});
  cache.Insert(Key(1), ListingOf(1), before);
  EXPECT_FALSE(cache.Find(Key(1)));
  cache.Insert(Key(1), ListingOf(1), cache.epoch());
  EXPECT_TRUE(cache.Find(Key(1)));
  cache.Forget({Key(1)});
  EXPECT_FALSE(cache.Find(Key(1)));
}

}  // namespace
}  // namespace tciafs::catalog
