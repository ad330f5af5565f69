// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/fetch/series_import.h"

#include <gtest/gtest.h>

#include "support/fake_block_cache.h"

namespace tciafs::fetch {
namespace {

constexpr const char* kMd5OfAb = "187ef4436122d1cc2f40dc2b92f0eba0";

class SeriesImporting : public ::testing::Test {
 protected:
  static source::SopUid Uid(const std::string& text) { return source::SopUid(text); }
  static std::vector<OfferedInstance> Offered() { return {{Uid("1"), 2, ""}, {Uid("2"), 3, ""}}; }
  Status Compare(const source::SeriesVersion& version,
                 const std::vector<source::InstanceRecord>& listed) {
    return CompareOffer(version, listed, Offered());
  }
  std::unique_ptr<SeriesImport> Begin(const Md5Sums& sums = {},
                                      const std::vector<OfferedInstance>& offered = Offered()) {
    auto begun = SeriesImport::Begin(cache_, plan_, offered, sums);
    EXPECT_TRUE(begun);
    return begun ? *std::move(begun) : nullptr;
  }
  static Status Bring(SeriesImport& import, const std::string& sop, const std::string& bytes) {
    TCIAFS_TRY(import.BeginInstance(Uid(sop)));
    TCIAFS_TRY(import.Data(AsBytes(bytes)));
    return import.EndInstance();
  }
  size_t Here() const {
    size_t here = 0;
    for (const auto& known : cache_.Known(plan_.key, plan_.version)) here += known.cached ? 1 : 0;
    return here;
  }

  testing::FakeBlockCache cache_;
  const cache::SeriesPlan plan_{{"server|guest", source::SeriesUid("9")}, {"2020-01-01", 2, 5}};
};

TEST_F(SeriesImporting, IsComparedWithAllThatTheArchiveTells) {
  EXPECT_TRUE(Compare({"", 2, 5}, {}));
  EXPECT_TRUE(Compare({"", 2, 5}, {{Uid("1"), 2}, {Uid("2"), -1}}));
  EXPECT_FALSE(Compare({"", 3, 5}, {}));
  EXPECT_FALSE(Compare({"", 2, 6}, {}));
  EXPECT_FALSE(Compare({"", -1, 5}, {}));
  EXPECT_FALSE(Compare({"", 2, -1}, {}));
  EXPECT_FALSE(Compare({"", 2, 5}, {{Uid("1"), 3}, {Uid("2"), 2}}));
  EXPECT_FALSE(Compare({"", 2, 5}, {{Uid("1"), 2}, {Uid("3"), 3}}));
}

TEST_F(SeriesImporting, AWholeSeriesIsVerified) {
  const auto import = Begin({{Uid("1"), kMd5OfAb}});
  EXPECT_TRUE(Bring(*import, "1", "ab"));
  EXPECT_TRUE(Bring(*import, "2", "cde"));
  EXPECT_TRUE(import->Finish());
  EXPECT_TRUE(cache_.Verified(plan_.key, plan_.version));
  EXPECT_EQ(cache_.Text(plan_.key, Uid("1")), "ab");
}

TEST_F(SeriesImporting, WhatDiffersLeavesNothingBehind) {
  auto import = Begin({{Uid("2"), kMd5OfAb}});
  EXPECT_TRUE(Bring(*import, "1", "ab"));
  EXPECT_EQ(Bring(*import, "2", "cde").error().code, Errc::kCorrupt);
  import.reset();
  EXPECT_EQ(Here(), 0u);
  EXPECT_FALSE(cache_.Verified(plan_.key, plan_.version));
  EXPECT_EQ(cache_.open_writers(), 0);
}

TEST_F(SeriesImporting, TheListThatCameWithItCountsToo) {
  const auto import = Begin({}, {{Uid("1"), 2, "00000000000000000000000000000000"}});
  EXPECT_EQ(Bring(*import, "1", "ab").error().code, Errc::kCorrupt);
}

TEST_F(SeriesImporting, WhatWasHereStaysWhenTheImportFails) {
  cache_.Put(plan_.key, plan_.version, Uid("1"), "ab");
  auto import = Begin();
  EXPECT_TRUE(Bring(*import, "1", "ab"));
  EXPECT_FALSE(import->Finish());  // one is missing
  import.reset();
  EXPECT_EQ(Here(), 1u);
}

TEST_F(SeriesImporting, OnlyWhatWasOfferedAndAsItWas) {
  const auto import = Begin();
  EXPECT_FALSE(import->Data(AsBytes("x")));
  EXPECT_FALSE(import->EndInstance());
  EXPECT_FALSE(import->BeginInstance(Uid("3")));
  EXPECT_EQ(Bring(*import, "1", "abc").error().code, Errc::kCorrupt);
  const auto other = import->BeginInstance(Uid("2"));
  EXPECT_FALSE(other);  // the first was not ended
}

TEST_F(SeriesImporting, NoTwoWritersOfOneSeries) {
  const auto import = Begin();
  EXPECT_EQ(SeriesImport::Begin(cache_, plan_, Offered(), {}).error().code, Errc::kBusy);
}

}  // namespace
}  // namespace tciafs::fetch
