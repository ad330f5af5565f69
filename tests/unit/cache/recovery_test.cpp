// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A process dies, or bytes change on the disk, and the next run serves right bytes or none.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <fstream>
#include <random>

#include "cache/index.h"
#include "unit/cache/cache_fixture.h"
#include "unit/cache/fault_hook.h"

namespace tciafs::cache {
namespace {

constexpr int kSeriesMax = 16;
constexpr int kInstancesMax = 64;

// What a process about to die has told: shared with its parent.
struct Told {
  std::atomic<bool> published[kSeriesMax][kInstancesMax];
  std::atomic<int> count;
  std::atomic<bool> finished;
};

void FlipByte(const std::string& path, int64_t offset, char with = 0x20) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(offset);
  const char byte = static_cast<char>(file.get() ^ with);
  file.seekp(offset);
  file.put(byte);
}

// Flips a byte in the text of the UID wherever the index holds it: the record stands, its checksum
// does not fit.
void DamageRecordOf(const std::string& index, const std::string& uid) {
  std::ifstream file(index, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  for (size_t at = content.find(uid); at != std::string::npos; at = content.find(uid, at + 1))
    FlipByte(index, static_cast<int64_t>(at));
}

class CacheRecovery : public CacheTest {
 protected:
  CacheRecovery()
      : told_(static_cast<Told*>(::mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE,
                                        MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~CacheRecovery() override { ::munmap(told_, sizeof(Told)); }

  static std::string Name(int number) { return "1." + std::to_string(number); }
  // Runs in a process of its own; gives its wait status. `watch` runs meanwhile.
  int InChild(
      const std::function<int()>& run, const std::function<void(pid_t)>& watch = [](pid_t) {}) {
    cache_.reset();
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      ::_exit(run());
    }
    watch(child);
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
  }
  void Publish(SeriesWriter& writer, int series, int instance, int64_t size_bytes) {
    if (!Write(writer, Name(series), Name(instance), size_bytes)) return;
    told_->published[series][instance] = true;
    ++told_->count;
  }
  void Forget(int series) {
    for (auto& published : told_->published[series]) published = false;
  }
  void ExpectAllIsWell(const source::SeriesVersion& version) {
    for (int series = 0; series < kSeriesMax; ++series) {
      for (const auto& known : cache_->Known(Key(Name(series)), version)) {
        auto file = cache_->Open(Key(Name(series)), version, known.sop);
        EXPECT_EQ(file.has_value(), known.cached);
        if (file) ExpectBytes(**file, Name(series), known.sop.text());
      }
      for (int instance = 0; instance < kInstancesMax; ++instance) {
        if (told_->published[series][instance]) {
          EXPECT_TRUE(cache_->Open(Key(Name(series)), version, Sop(Name(instance))))
              << series << "/" << instance << " was published";
        }
      }
    }
    ExpectAccountsRight();
  }

  Told* const told_;
};

TEST_F(CacheRecovery, ADeathAtAnyStepLosesNothingPublished) {
  const auto live = [&] {
    if (auto opened = TryOpen()) cache_ = std::move(*opened);
    auto a = cache_->BeginSeries({Key(Name(0)), Version()});
    for (int i = 0; i < 3; ++i) Publish(**a, 0, i, kMiB + 500'000);
    (void)(*a)->MarkVerified();
    a->reset();
    auto b = cache_->BeginSeries({Key(Name(1)), Version()});
    for (int i = 0; i < 3; ++i) Publish(**b, 1, i, 5000);
    told_->published[1][1] = false;
    (void)(*b)->Withdraw(Sop(Name(1)));
    Publish(**b, 1, 1, 6000);
    (void)(*b)->BeginInstance(Sop(Name(5)));
    b->reset();
    Forget(0);
    (void)cache_->Evict(Key(Name(0)));
    Forget(1);
    auto c = cache_->BeginSeries({Key(Name(1)), Version("2020-01-01T05")});
    for (int i = 0; i < 2; ++i) Publish(**c, 1, i, 7000);
    told_->finished = true;
    return 0;
  };
  for (int steps = 0; !told_->finished; steps += 3) {
    SCOPED_TRACE("dies after " + std::to_string(steps) + " steps");
    ASSERT_LT(steps, 300);
    options_.directory = temp_.File("cache" + std::to_string(steps));
    for (int series = 0; series < kSeriesMax; ++series) Forget(series);
    faults_.steps_before_exit = steps;
    ASSERT_TRUE(WIFEXITED(InChild(live)));
    faults_.steps_before_exit = -1;
    Reopen();
    ExpectAllIsWell(Version());
    Reopen();
    ExpectAccountsRight();
    if (HasFailure()) break;
  }
}

TEST_F(CacheRecovery, AKillAtAnyMomentLosesNothingPublished) {
  std::mt19937 random(7);
  const auto live = [&] {
    auto opened = TryOpen();
    if (!opened) return 1;
    cache_ = std::move(*opened);
    for (int series = 0;; series = (series + 1) % kSeriesMax) {
      Forget(series);
      (void)cache_->Evict(Key(Name(series)));
      auto writer = cache_->BeginSeries({Key(Name(series)), Version()});
      for (int i = 0; i < kInstancesMax; ++i) Publish(**writer, series, i, 2000 + 100 * i);
    }
  };
  options_.cap_bytes = 256 * kMiB;  // nothing is evicted unasked
  for (int round = 0; round < 3; ++round) {
    told_->count = 0;
    const int published = static_cast<int>(random() % 200);
    const int status = InChild(live, [&](pid_t child) {
      while (told_->count < published && ::waitpid(child, nullptr, WNOHANG) == 0) ::usleep(100);
      ::kill(child, SIGKILL);
    });
    (void)status;
    Reopen();
    ExpectAllIsWell(Version());
  }
}

TEST_F(CacheRecovery, ADamagedBlockIsAMissAndTheRestStays) {
  ASSERT_TRUE(Fill("s", 2, 3 * kMiB));
  cache_.reset();
  const int64_t block_begin = BlockBegin(BlockAt(2 * kMiB));
  FlipByte(DataFile("s", "1.1"), block_begin + 99);
  Reopen();
  auto file = Open("s", "1.1");
  ASSERT_TRUE(file);
  EXPECT_TRUE((*file)->Read(0, block_begin)) << "these blocks are intact";
  EXPECT_EQ((*file)->Read(block_begin, 1).error().code, Errc::kCorrupt);
  EXPECT_EQ((*file)->Read(0, 1).error().code, Errc::kCorrupt) << "withdrawn as a whole";
  EXPECT_EQ(Open("s", "1.1").error().code, Errc::kNotFound);
  EXPECT_FALSE(cache_->Verified(Key("s"), Version()));
  EXPECT_EQ(cache_->Known(Key("s"), Version(), Sop("1.1"))->size_bytes, 3 * kMiB);
  ExpectBytes(**Open("s", "1.2"), "s", "1.2");
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  ASSERT_TRUE(Write(**writer, "s", "1.1", 3 * kMiB)) << "and can be fetched again";
  writer->reset();
  ExpectBytes(**Open("s", "1.1"), "s", "1.1");
  file->reset();
  ExpectAccountsRight();
}

TEST_F(CacheRecovery, OfAnInstanceWhoseHeadIsReadNoMoreIsChecked) {
  ASSERT_TRUE(Fill("s", 1, kMiB));
  cache_.reset();
  FlipByte(DataFile("s", "1.1"), kInstanceHeadBytes);
  Reopen();
  const auto file = Open("s", "1.1");
  ASSERT_TRUE(file);
  EXPECT_TRUE((*file)->Read(0, kInstanceHeadBytes));
  EXPECT_EQ((*file)->Read(kInstanceHeadBytes, 1).error().code, Errc::kCorrupt);
}

TEST_F(CacheRecovery, ABlockIsCheckedOncePerRun) {
  ASSERT_TRUE(Fill("s", 1, 3 * kMiB));
  Reopen();
  ExpectBytes(**Open("s", "1.1"), "s", "1.1");
  FlipByte(DataFile("s", "1.1"), 5);
  EXPECT_TRUE((*Open("s", "1.1"))->Read(0, 10)) << "known to be intact, also after closing";
  Reopen();
  EXPECT_EQ((*Open("s", "1.1"))->Read(0, 10).error().code, Errc::kCorrupt);
}

TEST_F(CacheRecovery, AFileThatIsShortLongOrGoneIsAMiss) {
  ASSERT_TRUE(Fill("s", 4, 5000));
  cache_.reset();
  std::filesystem::resize_file(DataFile("s", "1.1"), 4999);
  std::filesystem::resize_file(DataFile("s", "1.2"), 5001);
  std::filesystem::remove(DataFile("s", "1.3"));
  Reopen();
  for (const char* sop : {"1.1", "1.2", "1.3"})
    EXPECT_EQ(Open("s", sop).error().code, Errc::kNotFound) << sop;
  ExpectBytes(**Open("s", "1.4"), "s", "1.4");
  ExpectAccountsRight();
}

// The empty directory of a series that lost all it had is swept after a death.
TEST_F(CacheRecovery, ADirectoryThatIsSweptIsNotChargedAnyMore) {
  ASSERT_TRUE(Fill("s", 1, 5000));
  cache_.reset();
  std::filesystem::remove(DataFile("s", "1.1"));
  Reopen();
  EXPECT_FALSE(Has("s"));
  ExpectAccountsRight();
  InChild([&] {
    auto opened = TryOpen();
    ::_exit(0);
    return 0;
  });
  for (int run = 0; run < 2; ++run) {
    Reopen();
    ExpectAccountsRight();
  }
}

// Whether an earlier run wrote it, this one did, or its blocks have all been checked.
TEST_F(CacheRecovery, AFileCutShortOrStretchedWhileOpenIsCorrupt) {
  for (const bool reopened : {false, true})
    for (const bool read_before : {false, true})
      for (const int64_t size_bytes : {int64_t{0}, kMiB + 3, 2 * kMiB - 1, 2 * kMiB + 1}) {
        SCOPED_TRACE(std::to_string(reopened) + std::to_string(read_before) + " " +
                     std::to_string(size_bytes));
        ASSERT_TRUE(Fill("s", 2, 2 * kMiB));
        if (reopened) Reopen();
        auto file = Open("s", "1.1");
        ASSERT_TRUE(file);
        if (read_before) ExpectBytes(**file, "s", "1.1");
        std::filesystem::resize_file(DataFile("s", "1.1"), static_cast<uintmax_t>(size_bytes));
        EXPECT_EQ((*file)->Read(kMiB, kMiB).error().code, Errc::kCorrupt);
        EXPECT_EQ((*file)->Read(0, 1).error().code, Errc::kCorrupt) << "withdrawn as a whole";
        EXPECT_FALSE(Has("s")) << "and to be fetched again";
        EXPECT_FALSE(cache_->Verified(Key("s"), Version()));
        ExpectBytes(**Open("s", "1.2"), "s", "1.2");
        file->reset();
        ExpectAccountsRight();
      }
}

TEST_F(CacheRecovery, AnUnusableIndexIsSetAsideOnce) {
  for (const bool format_too : {false, true}) {
    ASSERT_TRUE(Fill("s", 3, 5000));
    cache_.reset();
    std::ofstream(options_.directory + "/index/data.mdb", std::ios::trunc) << "garbage";
    if (format_too) std::ofstream(options_.directory + "/FORMAT", std::ios::trunc) << "?";
    Reopen();
    EXPECT_FALSE(Has("s"));
    EXPECT_TRUE(std::filesystem::exists(options_.directory + "/index.damaged"));
    EXPECT_FALSE(std::filesystem::exists(DataFile("s", "1.1")));
    ExpectAccountsRight();
  }
  ASSERT_TRUE(Fill("s", 3, 5000));
  Reopen();
  EXPECT_TRUE(Has("s"));
}

std::string ContentOf(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(CacheRecovery, WhatIsNoCacheIsRefusedAndNotTouched) {
  for (const char* name : {"series/patient1/scan1/a.dcm", "series/00/a.dcm", "series/ab", "series",
                           "index", "index/data.mdb", "index.damaged/mine", "FORMAT", "lock",
                           "series/ab/ab000000000000000000000000000000/notes.txt",
                           "series/ab/ac000000000000000000000000000000/1.2.dcm"}) {
    SCOPED_TRACE(name);
    options_.directory = temp_.File(std::string("somebodys") + name[0]) + "." +
                         std::to_string(std::string_view(name).size());
    const auto file = std::filesystem::path(options_.directory) / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << "mine";
    EXPECT_FALSE(CheckCacheDirectory(options_.directory));
    const auto refused = TryOpen();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::kInvalidArgument);
    EXPECT_NE(refused.error().message.find("is no cache of tciafs"), std::string::npos);
    EXPECT_EQ(ContentOf(file), "mine");
    EXPECT_EQ(std::filesystem::exists(options_.directory + "/lock"),
              std::string_view(name) == "lock");
  }
}

TEST_F(CacheRecovery, WhatACrashLeavesOfACacheIsTakenForOne) {
  ASSERT_TRUE(Fill("s", 2, 5000));
  cache_.reset();
  for (const char* name : {"/FORMAT", "/lock", "/index/data.mdb", "/index/lock.mdb"})
    std::ofstream(options_.directory + name, std::ios::trunc) << std::string(100, '\0');
  std::filesystem::remove(options_.directory + "/index/seal");
  Reopen();
  EXPECT_FALSE(Has("s"));
  EXPECT_FALSE(std::filesystem::exists(DataFile("s", "1.1")));
  ExpectAccountsRight();
  options_.directory = temp_.File("begun");
  std::filesystem::create_directories(options_.directory + "/index");
  std::filesystem::create_directories(options_.directory + "/series");
  std::ofstream(options_.directory + "/lock");
  Reopen();
}

TEST_F(CacheRecovery, WhatIsEmptiedKeepsWhatIsSomebodyElses) {
  const auto foreign = std::filesystem::path(options_.directory) / "series/mine/1.2.dcm";
  for (const char* format : {"tciafs-cache 1\n", "?"}) {
    ASSERT_TRUE(Fill("s", 2, 5000));
    const auto beside = std::filesystem::path(DataFile("s", "1.1")).parent_path() / "notes.txt";
    cache_.reset();
    std::filesystem::create_directories(foreign.parent_path());
    std::ofstream(foreign) << "mine";
    std::ofstream(beside) << "mine";
    std::ofstream(options_.directory + "/FORMAT", std::ios::trunc) << format;
    Reopen();
    EXPECT_FALSE(std::filesystem::exists(DataFile("s", "1.1")));
    cache_.reset();
    std::filesystem::resize_file(options_.directory + "/lock", 0);  // all is looked over
    Reopen();
    EXPECT_EQ(ContentOf(foreign), "mine");
    EXPECT_EQ(ContentOf(beside), "mine");
  }
}

TEST_F(CacheRecovery, LookingLeavesADamagedIndexAsItIs) {
  ASSERT_TRUE(Fill("s", 3, 5000));
  cache_.reset();
  const std::string data = options_.directory + "/index/data.mdb";
  std::ofstream(data, std::ios::trunc) << "garbage";
  options_.as_it_is = true;
  const auto refused = TryOpen();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kCorrupt);
  EXPECT_EQ(ContentOf(data), "garbage");
  EXPECT_TRUE(std::filesystem::exists(DataFile("s", "1.1")));
  options_.as_it_is = false;
  Reopen();
  EXPECT_FALSE(std::filesystem::exists(DataFile("s", "1.1")));
}

TEST_F(CacheRecovery, ThatItIsInUseReachesTheDiskBeforeAnythingElse) {
  cache_.reset();
  std::string calls;
  ::tciafs::testing::FaultHook() = [&calls](std::string_view name) {
    if (name.starts_with("cache.lock.") || name == "store.open") calls += std::string(name) + " ";
    return 0;
  };
  Reopen();
  cache_.reset();
  ::tciafs::testing::FaultHook() = nullptr;
  EXPECT_EQ(calls,
            "cache.lock.write cache.lock.sync store.open cache.lock.write cache.lock.sync "
            "cache.lock.write ");
}

// As version 1 left it: every block 128 KiB, and a checksum for each.
TEST_F(CacheRecovery, ACacheOfAnOlderFormatIsEmptiedAndKeepsItsPins) {
  constexpr int64_t kSize = 3 * kBlockBytes;
  for (const char* series : {"pinned", "s", "evicted"}) ASSERT_TRUE(Fill(series, 2, kSize));
  ASSERT_TRUE(cache_->Evict(Key("evicted")));
  ASSERT_TRUE(cache_->Pin(Key("pinned"), true));
  ASSERT_TRUE(cache_->Pin(Key("pinned and not here"), true));
  cache_.reset();
  {
    auto index = Index::Open(options_.directory + "/index", kMiB * 8);
    ASSERT_TRUE(index);
    ASSERT_TRUE((*index)->Commit([] {
      IndexChanges changes;
      for (const char* series : {"pinned", "s"})
        for (const char* sop : {"1.1", "1.2"})
          changes.instances.emplace_back(InstanceKey(SeriesIdOf(Key(series)), Sop(sop)),
                                         InstanceEntry{true, kSize, "", {1, 2, 3}});
      return changes;
    }));
  }
  std::ofstream(options_.directory + "/FORMAT", std::ios::trunc) << "tciafs-cache 1\n";
  options_.as_it_is = true;
  const auto refused = TryOpen();
  ASSERT_FALSE(refused) << "a look at it removes nothing";
  EXPECT_EQ(refused.error().code, Errc::kUnsupported);
  EXPECT_TRUE(std::filesystem::exists(DataFile("s", "1.1")));
  options_.as_it_is = false;
  ::testing::internal::CaptureStderr();
  Reopen();
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("written by an older tciafs (format 1, this one writes 2)"),
            std::string::npos);
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_FALSE(std::filesystem::exists(DataFile("s", "1.1")));
  EXPECT_FALSE(std::filesystem::exists(options_.directory + "/index.damaged"));
  EXPECT_TRUE(cache_->Pinned(Key("pinned")));
  EXPECT_TRUE(cache_->Pinned(Key("pinned and not here")));
  EXPECT_FALSE(cache_->Verified(Key("pinned"), Version()));
  EXPECT_TRUE(cache_->Known(Key("pinned"), Version()).empty());
  EXPECT_EQ(cache_->Known(Key("evicted"), Version()).size(), 2u) << "remembered without bytes";
  EXPECT_EQ(cache_->usage().instances, 0);
  ExpectAccountsRight();
  for (const char* series : {"pinned", "s"}) ASSERT_TRUE(Fill(series, 2, kSize));
  Reopen();
  EXPECT_TRUE(Has("s") && Has("pinned")) << "once and not again";
  EXPECT_TRUE(cache_->Pinned(Key("pinned")));
  ExpectAccountsRight();
}

TEST_F(CacheRecovery, AnIndexThatKeepsKillingIsSetAside) {
  ASSERT_TRUE(Fill("s", 1, 5000));
  cache_.reset();
  std::ofstream(options_.directory + "/lock", std::ios::trunc) << "1 checking 2\n";
  Reopen();
  EXPECT_TRUE(Has("s")) << "others kill, too";
  cache_.reset();
  std::ofstream(options_.directory + "/lock", std::ios::trunc) << "1 checking 3\n";
  Reopen();
  EXPECT_FALSE(Has("s"));
}

// LMDB does not check its pages; the store does before it lets LMDB near them.
TEST_F(CacheRecovery, ChangedBytesInTheIndexNeverGiveWrongBytes) {
  for (int series = 0; series < 4; ++series) ASSERT_TRUE(Fill(Name(series), 40, 1000));
  cache_.reset();
  const std::string index = options_.directory + "/index/data.mdb";
  const auto size = static_cast<unsigned>(std::filesystem::file_size(index));
  const auto read_all = [&] {
    const UniqueFd quiet(::open("/dev/null", O_WRONLY));
    ::dup2(quiet.get(), STDERR_FILENO);
    auto opened = TryOpen();
    if (!opened) return 1;
    for (int series = 0; series < 4; ++series) {
      for (int i = 1; i <= 40; ++i) {
        const auto file = (*opened)->Open(Key(Name(series)), Version(), Sop(Name(i)));
        if (!file) continue;
        const auto range = (*file)->Read(0, 1000);
        if (range && MustRead(**file, 0, 1000) != AsText(Bytes(Name(series), Name(i), 1000)))
          return 3;
      }
    }
    return 0;
  };
  std::mt19937 random(11);
  for (int round = 0; round < 10; ++round) {
    for (int flips = 0; flips < 1 << (round / 2); ++flips)
      FlipByte(index, random() % size, static_cast<char>(1 + random() % 255));
    if (round % 2 == 0) std::filesystem::remove(options_.directory + "/index/seal");
    const int status = InChild(read_all);
    EXPECT_EQ(status, 0) << "round " << round << (status == 3 << 8 ? ": wrong bytes" : "");
  }
}

// A process in the midst of writing series "s" is killed; "1.1" is published, "1.2" half written.
TEST_F(CacheRecovery, AFileThatCannotBeRemovedDoesNotRefuseTheCache) {
  ASSERT_TRUE(Fill("other", 1, 5000));
  InChild([&] {
    auto opened = TryOpen();
    auto writer = (*opened)->BeginSeries({Key("s"), Version()});
    (void)Write(**writer, "s", "1.1", 5000);
    auto half = (*writer)->BeginInstance(Sop("1.2"));
    (void)(*half)->Append(Bytes("s", "1.2", kMiB + 5));
    ::_exit(0);
    return 0;
  });
  const std::string part = std::filesystem::path(DataFile("s", "1.1")).parent_path() / "2.part";
  ASSERT_TRUE(std::filesystem::exists(part));
  faults_.removes_fail = true;
  Reopen();
  EXPECT_TRUE(Has("other"));
  ExpectBytes(**Open("s", "1.1"), "s", "1.1");
  ExpectAccountsRight();
  EXPECT_TRUE(std::filesystem::exists(part));
  faults_.removes_fail = false;
  Reopen();
  EXPECT_FALSE(std::filesystem::exists(part)) << "tried again";
  EXPECT_TRUE(Has("s"));
  ExpectAccountsRight();
}

TEST_F(CacheRecovery, ADirectoryThatCannotBeReadDoesNotRefuseTheCache) {
  ASSERT_TRUE(Fill("other", 1, 5000));
  InChild([&] {
    auto opened = TryOpen();
    auto writer = (*opened)->BeginSeries({Key("s"), Version()});
    (void)Write(**writer, "s", "1.1", 5000);
    ::_exit(0);
    return 0;
  });
  faults_.lists_fail = true;
  Reopen();
  EXPECT_TRUE(Has("other"));
  EXPECT_FALSE(Has("s"));
  faults_.lists_fail = false;
  Reopen();
  ExpectAccountsRight();
}

TEST_F(CacheRecovery, ADamagedRecordOfASeriesLeavesNoFiles) {
  for (const bool removal_fails_first : {false, true}) {
    ASSERT_TRUE(Fill("damaged series", 3, 5000));
    ASSERT_TRUE(Fill("s", 1, 5000));
    InChild([&] {
      auto opened = TryOpen();
      ::_exit(0);
      return 0;
    });
    DamageRecordOf(options_.directory + "/index/data.mdb", "damaged series");
    faults_.removes_fail = removal_fails_first;
    if (removal_fails_first) {
      Reopen();
      EXPECT_TRUE(Has("s"));
      InChild([&] {
        auto opened = TryOpen();
        ::_exit(0);
        return 0;
      });
    }
    faults_.removes_fail = false;
    Reopen();
    EXPECT_TRUE(Has("s"));
    EXPECT_FALSE(std::filesystem::exists(DataFile("damaged series", "1.1")));
    ExpectAccountsRight();
  }
}

// After a power failure a removal that had not reached the disk is undone.
TEST_F(CacheRecovery, ADirectoryThatIsBackIsRemoved) {
  ASSERT_TRUE(Fill("s", 2, 5000));
  ASSERT_TRUE(Fill("t", 1, 5000));
  cache_.reset();
  const auto directory = std::filesystem::path(DataFile("s", "1.1")).parent_path();
  const std::string saved = temp_.File("saved");
  std::filesystem::copy(directory, saved);
  Reopen();
  ASSERT_TRUE(cache_->Evict(Key("s")));
  InChild([&] {
    auto opened = TryOpen();
    std::filesystem::copy(saved, directory);
    ::_exit(0);
    return 0;
  });
  ASSERT_TRUE(std::filesystem::exists(DataFile("s", "1.1")));
  Reopen();
  EXPECT_FALSE(std::filesystem::exists(DataFile("s", "1.1")));
  EXPECT_FALSE(Has("s"));
  EXPECT_TRUE(Has("t"));
  ExpectAccountsRight();
}

TEST_F(CacheRecovery, ALostIndexLeavesNoFiles) {
  ASSERT_TRUE(Fill("s", 2, 5000));
  cache_.reset();
  std::filesystem::remove_all(options_.directory + "/index");
  Reopen();
  EXPECT_FALSE(Has("s"));
  EXPECT_FALSE(std::filesystem::exists(DataFile("s", "1.1")));
  ExpectAccountsRight();
}

TEST_F(CacheRecovery, AWithdrawalWaitsForTheDisk) {
  ASSERT_TRUE(Fill("s", 2, 5000));
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  const int before = faults_.directory_syncs;
  ASSERT_TRUE((*writer)->Withdraw(Sop("1.1")));
  EXPECT_GT(faults_.directory_syncs, before);
}

TEST_F(CacheRecovery, ALockFileWithoutContentIsNoCleanEnd) {
  ASSERT_TRUE(Fill("s", 1, 5000));
  cache_.reset();
  const auto shelf = std::filesystem::path(DataFile("s", "1.1")).parent_path().parent_path();
  const auto stranger = shelf / (shelf.filename().string() + std::string(30, '0'));
  std::filesystem::create_directory(stranger);
  Reopen();
  EXPECT_TRUE(std::filesystem::exists(stranger)) << "closed well: nobody looks";
  cache_.reset();
  std::filesystem::resize_file(options_.directory + "/lock", 0);
  Reopen();
  EXPECT_FALSE(std::filesystem::exists(stranger));
  EXPECT_TRUE(Has("s"));
}

TEST_F(CacheRecovery, ASeriesOfWhichNothingWasLeftIsRecoveredOnce) {
  const auto unsettled = [&] {
    cache_.reset();
    auto index = Index::Open(Layout(options_.directory).index_directory(), 8 * kMiB);
    const auto entry = (*index)->Series(SeriesIdOf(Key("s")));
    return entry && *entry && (*entry)->unsettled;
  };
  InChild([&] {
    auto opened = TryOpen();
    auto writer = (*opened)->BeginSeries({Key("s"), Version()});
    ::_exit(writer ? 0 : 1);  // in the midst of it
    return 0;
  });
  EXPECT_TRUE(unsettled());
  Reopen();
  EXPECT_FALSE(unsettled());
}

TEST_F(CacheRecovery, ALoweredCapDoesNotRefuseForEver) {
  options_.cap_bytes = 1024 * kMiB;
  Reopen();
  cache_.reset();
  {
    auto index = Index::Open(Layout(options_.directory).index_directory(), 64 * kMiB);
    ASSERT_TRUE(index);
    SeriesEntry entry;
    entry.key = Key("large");
    const SeriesId id = SeriesIdOf(entry.key);
    entry.known = 120'000;
    ASSERT_TRUE((*index)->Commit([&] {
      IndexChanges changes;
      changes.series.push_back(entry);
      for (int i = 0; i < 120'000; ++i)
        changes.instances.emplace_back(
            InstanceKey(id, Sop(std::string(50, '1') + std::to_string(i))), InstanceEntry{});
      return changes;
    }));
    ASSERT_GT((*index)->file_bytes(), 12 * kMiB);
  }
  options_.cap_bytes = 16 * kMiB;
  Reopen();
  EXPECT_TRUE(Fill("t", 4, kMiB));
  EXPECT_TRUE(Has("t"));
  ExpectAccountsRight();
}

TEST_F(CacheRecovery, AFullIndexMakesRoomAtOpening) {
  ASSERT_TRUE(Fill("kept", 2, 5000));
  cache_.reset();
  {
    auto index = Index::Open(Layout(options_.directory).index_directory(), 8 * kMiB);
    ASSERT_TRUE(index);
    SeriesEntry unsettled;
    unsettled.key = Key("unsettled");
    unsettled.unsettled = true;
    IndexChanges large{{unsettled}, {}, {}, {}};  // which recovery writes anew
    for (int i = 0; i < 3000; ++i)
      large.instances.emplace_back(
          InstanceKey(SeriesIdOf(unsettled.key), Sop("1." + std::to_string(i))), InstanceEntry{});
    ASSERT_TRUE((*index)->Commit([&] { return large; }));
    int series = 0;
    for (const int records : {2000, 200, 20, 1, 1, 1}) {
      for (Status status; status; ++series) {
        IndexChanges changes;
        changes.series.emplace_back();
        changes.series.back().key = Key("remembered" + std::to_string(series));
        const SeriesId id = SeriesIdOf(changes.series.back().key);
        for (int i = 0; i < records; ++i)
          changes.instances.emplace_back(InstanceKey(id, Sop(std::to_string(i))), InstanceEntry{});
        status = (*index)->Commit([&] { return changes; });
      }
    }
    ASSERT_FALSE((*index)->Commit([&] { return large; }));
  }
  std::filesystem::resize_file(options_.directory + "/lock", 0);
  const auto shelf = std::filesystem::path(DataFile("kept", "1.1")).parent_path().parent_path();
  const auto stranger = shelf / (shelf.filename().string() + std::string(30, '0'));
  std::filesystem::create_directory(stranger);
  Reopen();
  EXPECT_FALSE(std::filesystem::exists(stranger)) << "after a crash all is looked over";
  EXPECT_TRUE(Has("kept"));
  EXPECT_TRUE(Fill("new", 2, 5000));
  Reopen();
  EXPECT_TRUE(Has("new"));
}

}  // namespace
}  // namespace tciafs::cache
