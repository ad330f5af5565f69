// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <cstdio>

#include "unit/cache/cache_fixture.h"

namespace tciafs::cache {
namespace {

constexpr char kMd5[] = "0123456789abcdef0123456789abcdef";

TEST_F(CacheTest, ServesAnyRangeOfWhatWasPublished) {
  const int64_t size = 3 * kMiB + 12345;
  ASSERT_TRUE(Fill("1.2", 1, size));
  auto file = Open("1.2", "1.1");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ((*file)->size_bytes(), size);
  const auto all = Bytes("1.2", "1.1", size);
  const std::string_view text = AsText(all);
  for (const auto& [offset, length] : std::vector<std::pair<int64_t, int64_t>>{
           {0, 1}, {0, size}, {kMiB - 1, 2}, {size - 5, 100}, {2 * kMiB, kMiB}}) {
    EXPECT_EQ(MustRead(**file, offset, length),
              text.substr(static_cast<size_t>(offset), static_cast<size_t>(length)));
  }
  EXPECT_EQ((*file)->Read(size, 10)->size_bytes, 0);
  EXPECT_EQ((*file)->Read(size + 99, 10)->size_bytes, 0);
  EXPECT_EQ((*file)->Read(-1, 10).error().code, Errc::kInvalidArgument);
  EXPECT_EQ((*file)->Read(0, -1).error().code, Errc::kInvalidArgument);
}

TEST_F(CacheTest, TakesInstancesPieceByPieceAndEmptyOnes) {
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  ASSERT_TRUE(writer);
  auto instance = (*writer)->BeginInstance(Sop("1.1"));
  const auto bytes = Bytes("s", "1.1", 2 * kMiB + 7);
  for (size_t at = 0; at < bytes.size(); at += 10007)
    ASSERT_TRUE((*instance)->Append(
        ByteView(bytes).subspan(at, std::min<size_t>(10007, bytes.size() - at))));
  auto file = (*instance)->Publish(kMd5);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->md5_hex(), kMd5);
  ExpectBytes(**file, "s", "1.1");
  EXPECT_TRUE(Write(**writer, "s", "1.2", 0));
  EXPECT_EQ((*Open("s", "1.2"))->size_bytes(), 0);
}

TEST_F(CacheTest, NothingIsVisibleBeforeItIsPublished) {
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  auto instance = (*writer)->BeginInstance(Sop("1.1"));
  ASSERT_TRUE((*instance)->Append(Bytes("s", "1.1", 2 * kMiB)));
  EXPECT_EQ(Open("s", "1.1").error().code, Errc::kNotFound);
  EXPECT_TRUE(cache_->Known(Key("s"), Version()).empty());
  ASSERT_TRUE((*instance)->Publish(""));
  EXPECT_TRUE(Has("s")) << "while the series is still being written";
  EXPECT_EQ((*instance)->Publish("").error().code, Errc::kInternal) << "once only";
}

TEST_F(CacheTest, WhatIsNotPublishedLeavesNothing) {
  const int64_t before = cache_->usage().used_bytes;
  {
    auto writer = cache_->BeginSeries({Key("s"), Version("2020", 1, 4 * kMiB)});
    ASSERT_TRUE(writer);
    EXPECT_GE(cache_->usage().reserved_bytes, 4 * kMiB);
    auto instance = (*writer)->BeginInstance(Sop("1.1"));
    ASSERT_TRUE((*instance)->Append(Bytes("s", "1.1", 3 * kMiB)));
  }
  ExpectAccountsRight();
  EXPECT_LE(cache_->usage().used_bytes, before + 2 * kDiskUnitBytes + 256 * 1024);
  EXPECT_FALSE(std::filesystem::exists(DataFile("s", "1.1")));
  EXPECT_EQ(cache_->usage().series, 0);
}

TEST_F(CacheTest, KeepsScopesApart) {
  ASSERT_TRUE(Fill("s", 1, 100));
  EXPECT_FALSE(cache_->Open(Key("s", "server|alice"), Version(), Sop("1.1")));
  EXPECT_TRUE(cache_->Known(Key("s", "server|alice"), Version()).empty());
}

TEST_F(CacheTest, AnotherVersionIsAMissAndReplacesTheOld) {
  ASSERT_TRUE(Fill("s", 2, 100, Version("2020-01-01", 2, 200)));
  const auto other = Version("2021-05-05", 2, 200);
  EXPECT_FALSE(cache_->Open(Key("s"), other, Sop("1.1")));
  EXPECT_TRUE(cache_->Known(Key("s"), other).empty());
  EXPECT_FALSE(cache_->Verified(Key("s"), other));
  EXPECT_TRUE(cache_->Open(Key("s"), Version("2020-01-01 12:00"), Sop("1.1"))) << "same day";

  auto old = Open("s", "1.1");
  ASSERT_TRUE(old);
  auto writer = cache_->BeginSeries({Key("s"), other});
  ASSERT_TRUE(writer);
  ExpectBytes(**old, "s", "1.1");
  EXPECT_FALSE(Has("s"));
  EXPECT_FALSE(cache_->Open(Key("s"), other, Sop("1.1")));
  ASSERT_TRUE(Write(**writer, "s", "1.1", 555));
  EXPECT_EQ((*cache_->Open(Key("s"), other, Sop("1.1")))->size_bytes(), 555);
  EXPECT_EQ(cache_->Known(Key("s"), other).size(), 1u) << "of the old nothing is told";
  ExpectBytes(**old, "s", "1.1");
  old->reset();
  writer->reset();
  ExpectAccountsRight();
}

TEST_F(CacheTest, BeginningTheSameVersionAgainKeepsWhatIsThere) {
  ASSERT_TRUE(Fill("s", 1, 100));
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  auto again = (*writer)->BeginInstance(Sop("1.1"));
  ASSERT_TRUE((*again)->Append(Bytes("x", "other bytes", 100)));
  auto kept = (*again)->Publish("");
  ASSERT_TRUE(kept);
  ExpectBytes(**kept, "s", "1.1");
  ASSERT_TRUE(Write(**writer, "s", "1.2", 50));
  EXPECT_EQ(cache_->Known(Key("s"), Version()).size(), 2u);
}

TEST_F(CacheTest, OneWriterPerSeriesAndInstance) {
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  ASSERT_TRUE(writer);
  EXPECT_EQ(cache_->BeginSeries({Key("s"), Version()}).error().code, Errc::kBusy);
  EXPECT_EQ(cache_->Evict(Key("s")).error().code, Errc::kNotFound);
  ASSERT_TRUE(Write(**writer, "s", "1.1", 10));
  EXPECT_EQ(cache_->Evict(Key("s")).error().code, Errc::kBusy);
  {
    auto instance = (*writer)->BeginInstance(Sop("1.2"));
    ASSERT_TRUE(instance);
    EXPECT_EQ((*writer)->BeginInstance(Sop("1.2")).error().code, Errc::kBusy);
  }
  EXPECT_TRUE((*writer)->BeginInstance(Sop("1.2")));
  writer->reset();
  EXPECT_TRUE(cache_->BeginSeries({Key("s"), Version()}));
}

TEST_F(CacheTest, AnInstanceWriterMayOutliveItsSeriesWriter) {
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  auto instance = (*writer)->BeginInstance(Sop("1.1"));
  writer->reset();
  ASSERT_TRUE((*instance)->Append(Bytes("s", "1.1", 10)));
  ASSERT_TRUE((*instance)->Publish(""));
  instance->reset();
  EXPECT_TRUE(Has("s"));
  ExpectAccountsRight();
}

TEST_F(CacheTest, RefusesIdsItCannotKeep) {
  const std::string longest(kUidBytesMax, '1');
  EXPECT_EQ(cache_->BeginSeries({Key(longest + "1"), Version()}).error().code,
            Errc::kInvalidArgument);
  EXPECT_EQ(cache_->BeginSeries({Key(""), Version()}).error().code, Errc::kInvalidArgument);
  const std::string scope(kScopeBytesMax, 's');
  const std::string timestamp(kTimestampBytesMax, '2');
  EXPECT_TRUE(cache_->BeginSeries({Key("1", scope), Version(timestamp)}));
  EXPECT_EQ(cache_->BeginSeries({Key("1", scope + "s"), Version()}).error().code,
            Errc::kInvalidArgument);
  EXPECT_EQ(cache_->BeginSeries({Key("1"), Version(timestamp + "2")}).error().code,
            Errc::kInvalidArgument);
  auto writer = cache_->BeginSeries({Key(longest), Version()});
  ASSERT_TRUE(writer);
  EXPECT_EQ((*writer)->BeginInstance(Sop(longest + "1")).error().code, Errc::kInvalidArgument);
  EXPECT_EQ((*writer)->BeginInstance(Sop("")).error().code, Errc::kInvalidArgument);
  auto instance = (*writer)->BeginInstance(Sop(longest));
  EXPECT_EQ((*instance)->Publish("no md5").error().code, Errc::kInvalidArgument);
  EXPECT_TRUE((*instance)->Publish(""));
}

TEST_F(CacheTest, AnInstanceEndsAtItsLimit) {
  options_.instance_bytes_max = 3 * kMiB;
  Reopen();
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  ASSERT_TRUE(writer);
  EXPECT_TRUE(Write(**writer, "s", "1.1", 3 * kMiB));
  EXPECT_EQ(Write(**writer, "s", "1.2", 3 * kMiB + 1).error().code, Errc::kNoSpace);
  writer->reset();
  EXPECT_TRUE(Has("s", "1.1"));
  EXPECT_FALSE(Has("s", "1.2"));
  ExpectAccountsRight();
}

TEST_F(CacheTest, RemembersABoundedNumberOfInstances) {
  options_.known_max = 10;
  Reopen();
  const auto name = [](int number) { return "s" + std::to_string(number); };
  const auto is_known = [&](int number) {
    return cache_->Known(Key(name(number)), Version(), Sop("1.1")).has_value();
  };
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Fill(name(i), 1, 100));
    clock_.Advance(1'000);
    ASSERT_TRUE(cache_->Evict(Key(name(i))));
  }
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(is_known(i)) << i;
  ASSERT_TRUE(Fill(name(10), 1, 100));
  ASSERT_TRUE(cache_->Evict(Key(name(10))));
  EXPECT_FALSE(is_known(0)) << "the one used longest ago";
  EXPECT_FALSE(is_known(1)) << "and a tenth more, so that it is not done for each";
  for (int i = 2; i <= 10; ++i) EXPECT_TRUE(is_known(i)) << i;
}

TEST_F(CacheTest, NoIdNamesAPath) {
  auto writer = cache_->BeginSeries({Key("../../s"), Version()});
  for (const char* sop : {"../evil", "/etc/passwd", "..", ".", "a/b", "journal", "1.part"}) {
    ASSERT_TRUE(Write(**writer, "../../s", sop, 100)) << sop;
    ExpectBytes(**cache_->Open(Key("../../s"), Version(), Sop(sop)), "../../s", sop);
  }
  writer->reset();
  ExpectAccountsRight();
}

TEST_F(CacheTest, KnowsSortedWhatItHas) {
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  for (const char* sop : {"1.30", "1.1", "1.2"}) ASSERT_TRUE(Write(**writer, "s", sop, 7, kMd5));
  const auto known = cache_->Known(Key("s"), Version());
  ASSERT_EQ(known.size(), 3u);
  EXPECT_EQ(known[0].sop, Sop("1.1"));
  EXPECT_EQ(known[1].sop, Sop("1.2"));
  EXPECT_EQ(known[2].sop, Sop("1.30"));
  EXPECT_EQ(known[2].size_bytes, 7);
  EXPECT_EQ(known[2].md5_hex, kMd5);
  EXPECT_TRUE(known[2].cached);
  EXPECT_TRUE(cache_->Known(Key("s"), Version(), Sop("1.2")));
  EXPECT_FALSE(cache_->Known(Key("s"), Version(), Sop("1.9")));
}

TEST_F(CacheTest, RemembersSizesAndSumsAfterEviction) {
  {
    auto writer = cache_->BeginSeries({Key("s"), Version()});
    ASSERT_TRUE(Write(**writer, "s", "1.1", 7, kMd5));
    ASSERT_TRUE((*writer)->MarkVerified());
  }
  ASSERT_TRUE(cache_->Evict(Key("s")));
  for (int run = 0; run < 2; ++run) {
    EXPECT_FALSE(Has("s"));
    EXPECT_FALSE(cache_->Verified(Key("s"), Version()));
    const auto known = cache_->Known(Key("s"), Version(), Sop("1.1"));
    ASSERT_TRUE(known);
    EXPECT_EQ(known->size_bytes, 7);
    EXPECT_EQ(known->md5_hex, kMd5);
    EXPECT_FALSE(known->cached);
    EXPECT_EQ(cache_->Known(Key("s"), Version()).size(), 1u);
    EXPECT_EQ(cache_->usage().instances, 0);
    ExpectAccountsRight();
    Reopen();
  }
  EXPECT_EQ(cache_->Evict(Key("s")).error().code, Errc::kNotFound);
}

TEST_F(CacheTest, EvictedFilesStayReadableAndCountUntilTheyAreClosed) {
  ASSERT_TRUE(Fill("s", 1, 2 * kMiB));
  auto file = Open("s", "1.1");
  ASSERT_TRUE(cache_->Evict(Key("s")));
  EXPECT_FALSE(Has("s"));
  ExpectBytes(**file, "s", "1.1");
  EXPECT_GE(cache_->usage().used_bytes, 2 * kMiB) << "the disk still holds it";
  file->reset();
  ExpectAccountsRight();
}

TEST_F(CacheTest, AWithdrawnInstanceIsForgottenAndItsHandlesFail) {
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  ASSERT_TRUE(Write(**writer, "s", "1.1", 100));
  auto file = Open("s", "1.1");
  ASSERT_TRUE((*writer)->Withdraw(Sop("1.1")));
  EXPECT_EQ((*file)->Read(0, 10).error().code, Errc::kCorrupt);
  EXPECT_FALSE(Has("s"));
  EXPECT_FALSE(cache_->Known(Key("s"), Version(), Sop("1.1")));
  EXPECT_EQ((*writer)->Withdraw(Sop("1.1")).error().code, Errc::kNotFound);
  ASSERT_TRUE(Write(**writer, "s", "1.1", 101));
  ExpectBytes(**Open("s", "1.1"), "s", "1.1");
  EXPECT_EQ((*file)->Read(0, 10).error().code, Errc::kCorrupt);
  file->reset();
  writer->reset();
  ExpectAccountsRight();
}

TEST_F(CacheTest, IsVerifiedUntilSomethingIsMissing) {
  ASSERT_TRUE(Fill("s", 2, 100, Version("2020-01-01", 2, 200)));
  EXPECT_TRUE(cache_->Verified(Key("s"), Version()));
  Reopen();
  EXPECT_TRUE(cache_->Verified(Key("s"), Version()));
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  EXPECT_EQ((*writer)->Withdraw(Sop("1.3")).error().code, Errc::kNotFound);
  EXPECT_TRUE(cache_->Verified(Key("s"), Version())) << "nothing was withdrawn";
  ASSERT_TRUE((*writer)->Withdraw(Sop("1.2")));
  EXPECT_FALSE(cache_->Verified(Key("s"), Version()));
  ASSERT_TRUE((*writer)->MarkVerified());
  EXPECT_FALSE(cache_->Verified(Key("s"), Version())) << "one of two is not all";
}

TEST_F(CacheTest, KeepsEverythingAcrossReopening) {
  ASSERT_TRUE(Fill("a", 200, 5000));
  ASSERT_TRUE(Fill("b", 1, 3 * kMiB));
  const Usage before = cache_->usage();
  Reopen();
  EXPECT_EQ(cache_->usage().instances, before.instances);
  EXPECT_EQ(cache_->usage().series, 2);
  for (int i = 1; i <= 200; ++i) {
    const std::string sop = "1." + std::to_string(i);
    auto file = Open("a", sop);
    ASSERT_TRUE(file) << sop;
    ExpectBytes(**file, "a", sop);
  }
  ExpectBytes(**Open("b", "1.1"), "b", "1.1");
  ExpectAccountsRight();
}

TEST_F(CacheTest, ASecondOwnerIsToldWhoTheFirstIs) {
  const auto second = TryOpen();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kBusy);
  EXPECT_NE(second.error().message.find(std::to_string(::getpid())), std::string::npos);
}

TEST_F(CacheTest, RefusesANewerFormatAndATooSmallCap) {
  cache_.reset();
  std::FILE* format = std::fopen((options_.directory + "/FORMAT").c_str(), "w");
  std::fputs("tciafs-cache 99\n", format);
  std::fclose(format);
  EXPECT_EQ(TryOpen().error().code, Errc::kUnsupported);
  options_.cap_bytes = kCapBytesMin - 1;
  EXPECT_EQ(TryOpen().error().code, Errc::kInvalidArgument);
}

TEST_F(CacheTest, ManySmallInstancesDoNotWaitForTheDiskOneByOne) {
  ASSERT_TRUE(Fill("s", 1000, 2000));
  EXPECT_EQ(cache_->usage().instances, 1000);
  ExpectAccountsRight();
}

TEST_F(CacheTest, SharesOneDescriptorAmongTheReadersOfAnInstance) {
  ASSERT_TRUE(Fill("s", 1, 100));
  auto a = Open("s", "1.1");
  auto b = Open("s", "1.1");
  EXPECT_EQ((*a)->Read(0, 1)->fd, (*b)->Read(0, 1)->fd);
}

}  // namespace
}  // namespace tciafs::cache
