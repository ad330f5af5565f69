// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/reading_order.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "unit/vfs/vfs_fixture.h"
#include "vfs/limits.h"

namespace tciafs::vfs {
namespace {

using catalog::ObjectPath;
using source::SeriesUid;

class ReadingOrderTest : public ::testing::Test {
 protected:
  static constexpr int kImages = 16;

  static ObjectPath Instance(const std::string& series, int number,
                             const std::string& study = "1.2") {
    ObjectPath path;
    path.level = catalog::Level::kInstance;
    path.collection = source::CollectionId("C");
    path.patient = source::PatientId("P");
    path.study = source::StudyUid(study);
    path.series = SeriesUid(series);
    path.sop = source::SopUid(std::to_string(number));
    return path;
  }
  // What the last of them answered.
  std::optional<SeriesUid> Read(const std::string& series, int begin, int end,
                                const std::string& study = "1.2") {
    std::optional<SeriesUid> answer;
    for (int i = begin; i < end; ++i)
      answer = order_.NoteReadToEnd(Instance(series, i, study), images_);
    return answer;
  }

  ReadingOrder order_;
  int64_t images_ = kImages;
};

TEST_F(ReadingOrderTest, TheSecondSeriesReadThroughTells) {
  EXPECT_FALSE(Read("a", 0, kImages)) << "nothing before it";
  EXPECT_FALSE(Read("b", 0, kImages / 2));
  EXPECT_EQ(Read("b", kImages / 2, kImages), SeriesUid("a"));
}

TEST_F(ReadingOrderTest, WhatIsFetchedIsFollowedUntilItWasReadThrough) {
  EXPECT_FALSE(order_.Follows(Instance("a", 0))) << "not fetched";
  order_.Follow(Instance("a", 0));
  order_.Follow(Instance("b", 0));
  EXPECT_TRUE(order_.Follows(Instance("a", 1)));
  EXPECT_TRUE(order_.Follows(Instance("b", 1)));
  EXPECT_FALSE(order_.Follows(Instance("c", 1)));
  EXPECT_FALSE(order_.Follows(Instance("a", 1, "1.3"))) << "of another study";
  Read("a", 0, kImages / 2);
  EXPECT_TRUE(order_.Follows(Instance("a", 1)));
  Read("a", kImages / 2, kImages);
  EXPECT_FALSE(order_.Follows(Instance("a", 1)));
  Read("b", 0, kImages);
  EXPECT_TRUE(order_.Follows(Instance("b", 1))) << "what comes next is not settled";
  order_.Settle(Instance("b", 0));
  EXPECT_FALSE(order_.Follows(Instance("b", 1)));
  order_.Follow(Instance("b", 0));
  EXPECT_TRUE(order_.Follows(Instance("b", 1))) << "fetched anew";
}

TEST_F(ReadingOrderTest, FollowsAFewSeriesOfAFewStudies) {
  for (size_t i = 0; i <= kSeriesFollowedMax; ++i) order_.Follow(Instance(std::to_string(i), 0));
  EXPECT_FALSE(order_.Follows(Instance("0", 0)));
  EXPECT_TRUE(order_.Follows(Instance("1", 0)));
  for (size_t i = 0; i < kStudiesFollowedMax; ++i)
    order_.Follow(Instance("a", 0, "2." + std::to_string(i)));
  EXPECT_FALSE(order_.Follows(Instance("1", 0)));
}

TEST_F(ReadingOrderTest, TellsShortlyBeforeTheEndAndUntilSettled) {
  Read("a", 0, kImages);
  EXPECT_FALSE(Read("b", 0, 13));
  EXPECT_EQ(Read("b", 13, 14), SeriesUid("a"));
  EXPECT_EQ(Read("b", 14, 15), SeriesUid("a"));
  order_.Settle(Instance("b", 0));
  EXPECT_FALSE(Read("b", 15, 16));
  EXPECT_EQ(Read("c", 0, kImages), SeriesUid("b"));
}

TEST_F(ReadingOrderTest, OneInstanceReadAgainAndAgainIsOne) {
  Read("a", 0, kImages);
  for (int i = 0; i < 4 * kImages; ++i) EXPECT_FALSE(Read("b", 3, 4));
}

TEST_F(ReadingOrderTest, ASeriesPassedOverBreaksTheChain) {
  Read("a", 0, kImages);
  EXPECT_FALSE(Read("b", 0, 3));
  EXPECT_FALSE(Read("c", 0, kImages));
}

TEST_F(ReadingOrderTest, SeriesReadInTurnsTellNothing) {
  for (int i = 0; i < kImages; ++i) {
    EXPECT_FALSE(Read("a", i, i + 1));
    EXPECT_FALSE(Read("b", i, i + 1));
  }
}

TEST_F(ReadingOrderTest, ALateReadOfTheSeriesBeforeDoesNotMatter) {
  Read("a", 0, kImages);
  EXPECT_FALSE(Read("b", 0, 5));
  EXPECT_FALSE(Read("a", kImages - 1, kImages));
  EXPECT_EQ(Read("b", 5, kImages), SeriesUid("a"));
}

TEST_F(ReadingOrderTest, UnknownNumberOfImagesTellsNothing) {
  images_ = -1;
  Read("a", 0, kImages);
  EXPECT_FALSE(Read("b", 0, kImages));
}

TEST_F(ReadingOrderTest, ASeriesOfOneIsReadThroughByOne) {
  images_ = 1;
  Read("a", 0, 1);
  EXPECT_EQ(Read("b", 0, 1), SeriesUid("a"));
}

TEST_F(ReadingOrderTest, StudiesAreFollowedSideBySideButNotAll) {
  Read("a", 0, kImages, "1");
  Read("x", 0, kImages, "2");
  EXPECT_EQ(Read("b", 0, kImages, "1"), SeriesUid("a"));
  EXPECT_EQ(Read("y", 0, kImages, "2"), SeriesUid("x"));
  for (size_t i = 0; i < kStudiesFollowedMax; ++i) Read("z", 0, 1, "9." + std::to_string(i));
  EXPECT_FALSE(Read("c", 0, kImages, "1")) << "forgotten";
}

// Through the file system: three series in a study, the listing's order, reads to the end.
class ReadAheadTest : public testing::VfsTest {
 protected:
  static constexpr int kInstances = 4;

  ReadAheadTest() {
    for (const char* uid : {"1.2.4", "1.2.5"}) catalog.Add(study, Directory(uid));
    for (const char* uid : {"1.2.3", "1.2.4", "1.2.5"}) {
      Path path = series;
      path.series = SeriesUid(uid);
      source::SeriesRecord record;
      record.series = path.series;
      record.version = {"2020-01-01", kInstances, 40};
      catalog.SetSeries(path, record);
      for (int i = 0; i < kInstances; ++i) {
        const std::string sop = std::string(uid) + "." + std::to_string(i);
        catalog.Add(path, {sop + ".dcm", 0, 0, 10});
        SetBytes(sop, "0123456789");
      }
    }
  }
  void ReadSeries(const std::string& uid, size_t size_bytes) {
    vfs::NodeId node = vfs::kRootNode;
    for (const std::string& name : std::vector<std::string>{"Lung", "LIDC-1", "1.2", uid})
      node = Lookup(node, name).node;
    for (int i = 0; i < kInstances; ++i) {
      const auto file = Lookup(node, uid + "." + std::to_string(i) + ".dcm").node;
      const auto handle = Open(file).handle;
      EXPECT_EQ(Read(file, handle, 0, static_cast<int64_t>(size_bytes)),
                std::string("0123456789").substr(0, size_bytes));
      fs->Release(handle);
    }
  }
};

TEST_F(ReadAheadTest, TheThirdSeriesIsAskedForOnceTwoWereRead) {
  ReadSeries("1.2.3", 100);
  EXPECT_TRUE(fetcher.ahead.empty());
  ReadSeries("1.2.4", 100);
  ASSERT_EQ(fetcher.ahead.size(), 1u);
  EXPECT_EQ(fetcher.ahead[0].record.series, SeriesUid("1.2.5"));
  ReadSeries("1.2.5", 100);
  EXPECT_EQ(fetcher.ahead.size(), 1u) << "none follows";
}

TEST_F(ReadAheadTest, IsAskedForAgainWhileItCannotBe) {
  fetcher.ahead_answer = fetch::Fetcher::Ahead::kNotNow;
  ReadSeries("1.2.3", 100);
  ReadSeries("1.2.4", 100);
  ReadSeries("1.2.4", 100);
  EXPECT_GT(fetcher.ahead.size(), 1u);
}

TEST_F(ReadAheadTest, HeadsCauseNothing) {
  ReadSeries("1.2.3", 5);
  ReadSeries("1.2.4", 5);
  EXPECT_TRUE(fetcher.ahead.empty());
}

TEST_F(ReadAheadTest, NorDoesAnotherOrderThanTheListings) {
  ReadSeries("1.2.4", 100);
  ReadSeries("1.2.3", 100);
  EXPECT_TRUE(fetcher.ahead.empty());
}

}  // namespace
}  // namespace tciafs::vfs
