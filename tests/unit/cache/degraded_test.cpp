// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The disk fails: reading goes on, with what is fetched kept in memory.
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>

#include "unit/cache/cache_fixture.h"

namespace tciafs::cache {
namespace {

constexpr int64_t kRetryMs = 61'000;

// While it lives files cannot be written beyond the first pages: the index fails, data do not.
class IndexFault {
 public:
  IndexFault() {
    ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{8192, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~IndexFault() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

class CacheDegraded : public CacheTest {
 protected:
  CacheDegraded() { options_.memory_bytes_max = 8 * kMiB; }
  void ExpectFetchable(const std::string& series) {
    ASSERT_TRUE(Fill(series, 2, 2 * kMiB + 11));
    auto file = Open(series, "1.2");
    ASSERT_TRUE(file) << file.error().message;
    ExpectBytes(**file, series, "1.2");
    const auto known = cache_->Known(Key(series), Version(), Sop("1.1"));
    ASSERT_TRUE(known);
    EXPECT_TRUE(known->cached);
    EXPECT_EQ(known->size_bytes, 2 * kMiB + 11);
  }
};

TEST_F(CacheDegraded, EachWayOfFailingLeadsToMemory) {
  ASSERT_TRUE(Fill("before", 1, 5000));
  struct Case {
    const char* name;
    std::atomic<bool>* fault;
    int error_number;
  };
  for (const Case& fails :
       {Case{"creates", &faults_.creates_fail, EIO}, Case{"writes", &faults_.writes_fail, ENOSPC},
        Case{"renames", &faults_.renames_fail, EROFS},
        Case{"directories", &faults_.directories_fail, EACCES}}) {
    SCOPED_TRACE(fails.name);
    EXPECT_FALSE(cache_->usage().degraded);
    faults_.error_number = fails.error_number;
    *fails.fault = true;
    ExpectFetchable(fails.name);
    EXPECT_TRUE(cache_->usage().degraded);
    EXPECT_FALSE(cache_->Verified(Key(fails.name), Version("", 2)));
    EXPECT_TRUE(Has("before")) << "what the disk has can still be read";
    *fails.fault = false;
    clock_.Advance(kRetryMs);
    ASSERT_TRUE(Fill(std::string("after ") + fails.name, 1, 5000));
    EXPECT_FALSE(cache_->usage().degraded) << "and the disk is tried again";
    EXPECT_FALSE(Has(fails.name)) << "what memory held is let go";
    ExpectAccountsRight();
  }
  Reopen();
  EXPECT_TRUE(Has("before"));
  EXPECT_TRUE(Has("after writes"));
  EXPECT_FALSE(Has("writes")) << "memory does not outlive the process";
  ExpectAccountsRight();
}

// In memory every instance takes a descriptor, for as long as the disk is thought to fail.
TEST_F(CacheDegraded, WantOfDescriptorsIsNoFailureOfTheDisk) {
  faults_.error_number = EMFILE;
  for (auto* fault : {&faults_.creates_fail, &faults_.directories_fail}) {
    *fault = true;
    const Status filled = Fill("series", 1, 5000);
    ASSERT_FALSE(filled);
    EXPECT_EQ(filled.error().code, Errc::kInternal) << filled.error().message;
    EXPECT_FALSE(cache_->usage().degraded);
    *fault = false;
    ASSERT_TRUE(Fill("after", 1, 5000));
    ASSERT_TRUE(cache_->Verified(Key("after"), Version("", 1)));
    ExpectAccountsRight();
  }
}

TEST_F(CacheDegraded, MemoryTakesABoundedNumberOfDescriptors) {
  const auto descriptors = [] {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
  };
  const auto before = descriptors();
  faults_.creates_fail = true;
  ASSERT_TRUE(Fill("many", 700, 100));
  EXPECT_LE(descriptors(), before + static_cast<int64_t>(kHeldMax) + 10);
  EXPECT_GE(descriptors(), before + static_cast<int64_t>(kHeldMax) - 10);
  EXPECT_TRUE(Has("many", "1." + std::to_string(700 - kHeldMax + 1)));
  EXPECT_FALSE(Has("many", "1." + std::to_string(700 - kHeldMax)));
  EXPECT_TRUE(Has("many", "1.700")) << "the oldest go first";
  faults_.creates_fail = false;
  clock_.Advance(kRetryMs);
  ASSERT_TRUE(Fill("after", 1, 100));
  EXPECT_LE(descriptors(), before + 10);
}

TEST_F(CacheDegraded, TheDiskIsLeftAloneForAWhile) {
  faults_.creates_fail = true;
  ASSERT_TRUE(Fill("a", 1, 5000));
  faults_.creates_fail = false;
  ASSERT_TRUE(Fill("b", 1, 5000));
  EXPECT_EQ(cache_->usage().instances, 0);
  EXPECT_TRUE(cache_->usage().degraded);
}

TEST_F(CacheDegraded, AnInstanceHalfWrittenMovesToMemoryWhole) {
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  ASSERT_TRUE(writer);
  faults_.writes_before_failing = 2;
  faults_.writes_fail = true;
  ASSERT_TRUE(Write(**writer, "s", "1.1", 4 * kMiB + 5));
  EXPECT_TRUE(cache_->usage().degraded);
  auto file = Open("s", "1.1");
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->size_bytes(), 4 * kMiB + 5);
  ExpectBytes(**file, "s", "1.1");
  file->reset();
  writer->reset();
  EXPECT_EQ(cache_->usage().reserved_bytes, 0);
}

TEST_F(CacheDegraded, SurvivesTheLossOfItsDirectory) {
  ASSERT_TRUE(Fill("before", 1, 5000));
  std::filesystem::remove_all(options_.directory);
  EXPECT_FALSE(Has("before"));
  ExpectFetchable("s");
  EXPECT_TRUE(cache_->usage().degraded);
}

TEST_F(CacheDegraded, MemoryIsBounded) {
  faults_.creates_fail = true;
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(Write(**writer, "s", "1." + std::to_string(i), kMiB)) << "nobody holds them";
  EXPECT_FALSE(Has("s", "1.0")) << "the oldest went";
  EXPECT_TRUE(Has("s", "1.19"));

  std::vector<std::shared_ptr<InstanceFile>> held;
  Status status;
  for (int i = 0; i < 40 && status; ++i) {
    auto instance = (*writer)->BeginInstance(Sop("2." + std::to_string(i)));
    status = (*instance)->Append(Bytes("s", "x", kMiB));
    auto file = (*instance)->Publish("");
    if (file) {
      held.push_back(std::move(*file));
    } else {
      status = Fail(file.error());
    }
  }
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kNoSpace);
  EXPECT_EQ(held.size(), 16u) << "twice the limit, for handles in use";
  held.clear();
  EXPECT_TRUE(Write(**writer, "s", "3.1", kMiB));
}

TEST_F(CacheDegraded, WhatLacksBytesIsNotPublished) {
  faults_.creates_fail = true;
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  auto instance = (*writer)->BeginInstance(Sop("1.1"));
  Status appended;
  for (int i = 0; i < 40 && appended; ++i) appended = (*instance)->Append(Bytes("s", "x", kMiB));
  ASSERT_FALSE(appended);
  EXPECT_EQ((*instance)->Append(Bytes("s", "x", 1)).error().code, Errc::kNoSpace);
  const auto published = (*instance)->Publish("");
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().code, Errc::kNoSpace);
  EXPECT_FALSE(Has("s", "1.1"));
}

TEST_F(CacheDegraded, AnInstanceInMemoryCanBeWithdrawn) {
  faults_.creates_fail = true;
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  ASSERT_TRUE(Write(**writer, "s", "1.1", 100));
  auto file = Open("s", "1.1");
  ASSERT_TRUE((*writer)->Withdraw(Sop("1.1")));
  EXPECT_EQ((*file)->Read(0, 1).error().code, Errc::kCorrupt);
  EXPECT_FALSE(Has("s"));
  ASSERT_TRUE(Write(**writer, "s", "1.1", 101));
  EXPECT_TRUE(Has("s"));
}

TEST_F(CacheDegraded, AnOldVersionThatCannotBeForgottenIsNotServedAsTheNew) {
  const auto version = Version("2021-02-02");
  ASSERT_TRUE(Fill("s", 2, 5000));
  const auto bytes = Bytes("new", "1.1", 5000);
  faults_.removes_fail = true;
  {
    const IndexFault fault;
    for (int attempt = 0; attempt < 2; ++attempt) {
      auto writer = cache_->BeginSeries({Key("s"), version});
      ASSERT_TRUE(writer) << writer.error().message;
      EXPECT_FALSE(cache_->Open(Key("s"), version, Sop("1.2")));
      EXPECT_FALSE(cache_->Known(Key("s"), version, Sop("1.2")));
      EXPECT_EQ(cache_->Known(Key("s"), version).size(), static_cast<size_t>(attempt));
      auto instance = (*writer)->BeginInstance(Sop("1.1"));
      ASSERT_TRUE(instance);
      ASSERT_TRUE((*instance)->Append(bytes));
      auto file = (*instance)->Publish("");
      ASSERT_TRUE(file);
      EXPECT_EQ(MustRead(**file, 0, 5000), AsText(bytes));
    }
    clock_.Advance(kRetryMs);  // it is tried again, and fails again
    EXPECT_TRUE(cache_->BeginSeries({Key("s"), version}));
    EXPECT_FALSE(cache_->Open(Key("s"), version, Sop("1.2")));
  }
  Reopen();
  EXPECT_FALSE(cache_->Open(Key("s"), version, Sop("1.2"))) << "nor by the next run";
  EXPECT_FALSE(cache_->Open(Key("s"), version, Sop("1.1")));
  faults_.removes_fail = false;
  ASSERT_TRUE(Fill("s", 2, 6000, version));
  EXPECT_TRUE(cache_->Open(Key("s"), version, Sop("1.2")));
  Reopen();
  EXPECT_TRUE(cache_->Open(Key("s"), version, Sop("1.2")));
  ExpectAccountsRight();
}

TEST_F(CacheDegraded, OneFailingRemovalDoesNotEmptyTheCache) {
  options_.cap_bytes = 16 * kMiB;
  Reopen();
  for (auto* fault : {&faults_.removes_fail, &faults_.lists_fail}) {
    for (const char* series : {"a", "b", "c"}) ASSERT_TRUE(Fill(series, 4, kMiB));
    *fault = true;
    const auto writer = cache_->BeginSeries({Key("d"), Version("", 1, 12 * kMiB)});
    ASSERT_TRUE(writer) << writer.error().message;
    EXPECT_TRUE(cache_->usage().degraded);
    EXPECT_FALSE(Has("a"));
    EXPECT_TRUE(Has("b"));
    EXPECT_TRUE(Has("c"));
    ASSERT_TRUE(Write(**writer, "d", "1.1", kMiB)) << "in memory";
    *fault = false;
    clock_.Advance(kRetryMs);
    EXPECT_EQ(cache_->usage().used_bytes, MeasuredBytes(options_.directory));
    ASSERT_TRUE(Fill("e", 12, kMiB)) << "what could not be removed can be now";
    EXPECT_FALSE(cache_->usage().degraded);
    ExpectAccountsRight();
  }
}

TEST_F(CacheDegraded, AFetchWhoseEvictionFailsGoesOnInMemory) {
  options_.cap_bytes = 16 * kMiB;
  Reopen();
  ASSERT_TRUE(Fill("a", 12, kMiB));
  faults_.removes_fail = true;
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  ASSERT_TRUE(writer);
  ASSERT_TRUE(Write(**writer, "s", "1.1", 6 * kMiB + 7));
  auto file = Open("s", "1.1");
  ASSERT_TRUE(file);
  ExpectBytes(**file, "s", "1.1");
}

TEST_F(CacheDegraded, AFileThatCannotBeRemovedStaysChargedAndIsSweptByTheNextRun) {
  ASSERT_TRUE(Fill("s", 2, 5000));
  {
    auto writer = cache_->BeginSeries({Key("s"), Version()});
    ASSERT_TRUE(writer);
    auto dropped = (*writer)->BeginInstance(Sop("1.3"));
    ASSERT_TRUE((*dropped)->Append(Bytes("s", "1.3", 2 * kMiB)));
    faults_.removes_fail = true;
    ASSERT_TRUE((*writer)->Withdraw(Sop("1.1")));
    dropped->reset();
    faults_.removes_fail = false;
  }
  EXPECT_FALSE(Has("s"));
  EXPECT_TRUE(std::filesystem::exists(DataFile("s", "1.1")));
  ExpectAccountsRight();
  Reopen();
  EXPECT_FALSE(std::filesystem::exists(DataFile("s", "1.1"))) << "swept";
  EXPECT_TRUE(Has("s", "1.2"));
  ExpectAccountsRight();
}

TEST_F(CacheDegraded, TheJournalOfAFetchThatCouldNotBeCommittedIsTheSeries) {
  {
    auto writer = cache_->BeginSeries({Key("s"), Version()});
    ASSERT_TRUE(writer);
    ASSERT_TRUE(Write(**writer, "s", "1.1", 5000));
    const IndexFault fault;
    writer->reset();
  }
  ExpectAccountsRight();
  ASSERT_TRUE(cache_->Evict(Key("s")));
  ExpectAccountsRight();
}

}  // namespace
}  // namespace tciafs::cache
