// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "support/fakes.h"
#include "tciafs/store/store.h"

namespace tciafs::store {
namespace {

class Store : public ::testing::Test {
 protected:
  EnvironmentOptions Options() const {
    return {.directory = temp_.File("db"), .tables = {"a", "b"}, .map_bytes_max = 64 << 20};
  }
  void Open() {
    env_.reset();
    auto opened = Environment::Open(Options());
    ASSERT_TRUE(opened) << opened.error().message;
    env_ = std::move(*opened);
  }
  void SetUp() override { Open(); }
  Table a() const { return env_->table(0); }
  Table b() const { return env_->table(1); }
  void PutAll(std::vector<std::string> keys) {
    auto txn = env_->Write();
    ASSERT_TRUE(txn);
    for (const auto& key : keys) ASSERT_TRUE(txn->Put(a(), key, "v" + key));
    ASSERT_TRUE(txn->Commit());
  }
  std::vector<std::string> Keys(std::string_view prefix, std::string_view from = {}) const {
    std::vector<std::string> keys;
    auto txn = env_->Read();
    EXPECT_TRUE(txn);
    EXPECT_TRUE(txn->Scan(
        a(), prefix,
        [&](std::string_view key, std::string_view value) {
          EXPECT_EQ("v" + std::string(key), value);
          keys.emplace_back(key);
          return true;
        },
        from));
    return keys;
  }

  testing::TempDirectory temp_;
  std::unique_ptr<Environment> env_;
};

using Strings = std::vector<std::string>;

TEST_F(Store, GivesBackWhatWasPut) {
  PutAll({"k"});
  auto txn = env_->Read();
  EXPECT_EQ(**txn->Get(a(), "k"), "vk");
  EXPECT_FALSE(*txn->Get(a(), "other"));
  EXPECT_FALSE(*txn->Get(b(), "k")) << "tables are apart";
  EXPECT_EQ(*txn->Count(a()), 1u);
}

TEST_F(Store, ScansBytewiseWithinThePrefix) {
  PutAll({"b2", "b\xff", "b1", "a", "c", std::string("b\0", 2), "b"});
  EXPECT_EQ(Keys("b"), (Strings{"b", std::string("b\0", 2), "b1", "b2", "b\xff"}));
  EXPECT_EQ(Keys("b", "b2"), (Strings{"b2", "b\xff"}));
  EXPECT_EQ(Keys("b", "b11"), (Strings{"b2", "b\xff"})) << "from need not exist";
  EXPECT_EQ(Keys("b", "a").size(), 5u) << "from before the prefix";
  EXPECT_EQ(Keys("b", "c"), Strings{}) << "from behind the prefix";
  EXPECT_EQ(Keys("").size(), 7u);
  EXPECT_EQ(Keys("zz"), Strings{});
}

TEST_F(Store, ScanEndsWhenTheVisitorSaysSo) {
  PutAll({"a", "b", "c"});
  int seen = 0;
  auto txn = env_->Read();
  ASSERT_TRUE(txn->Scan(a(), "", [&](auto, auto) { return ++seen < 2; }));
  EXPECT_EQ(seen, 2);
}

TEST_F(Store, ScanStartsBehindAKeyOfMaximalLength) {
  const std::string longest(kKeyBytesMax, 'x');
  PutAll({longest, "y"});
  EXPECT_EQ(Keys("", longest), (Strings{longest, "y"}));
  EXPECT_EQ(Keys("", longest + std::string(1, '\0')), Strings{"y"});
}

TEST_F(Store, RefusesKeysItCannotKeep) {
  auto txn = env_->Write();
  EXPECT_TRUE(txn->Put(a(), std::string(kKeyBytesMax, 'k'), "v"));
  EXPECT_EQ(txn->Put(a(), std::string(kKeyBytesMax + 1, 'k'), "v").error().code,
            Errc::kInvalidArgument);
  EXPECT_EQ(txn->Put(a(), "", "v").error().code, Errc::kInvalidArgument);
  EXPECT_EQ(txn->Get(a(), "").error().code, Errc::kInvalidArgument);
  EXPECT_TRUE(txn->Commit()) << "a refused key does not spoil the transaction";
}

TEST_F(Store, ADroppedTransactionChangesNothing) {
  PutAll({"a"});
  {
    auto txn = env_->Write();
    ASSERT_TRUE(txn->Put(a(), "b", "vb"));
    ASSERT_TRUE(txn->Delete(a(), "a"));
    EXPECT_EQ(**txn->Get(a(), "b"), "vb") << "a writer sees its own changes";
  }
  EXPECT_EQ(Keys(""), Strings{"a"});
}

TEST_F(Store, ViewsHoldWhileOthersWrite) {
  PutAll({"a"});
  auto before = env_->Read();
  const std::string_view value = **before->Get(a(), "a");
  for (int i = 0; i < 200; ++i) PutAll({"a", "b" + std::to_string(i)});
  {
    auto txn = env_->Write();
    ASSERT_TRUE(txn->Delete(a(), "a"));
    ASSERT_TRUE(txn->Commit());
  }
  EXPECT_EQ(value, "va");
  EXPECT_EQ(*before->Count(a()), 1u) << "a snapshot";
  EXPECT_EQ(*env_->Read()->Count(a()), 200u);
}

TEST_F(Store, DeletesByPrefix) {
  Strings keys{"a", "c"};
  for (int i = 0; i < 3000; ++i) keys.push_back("b" + std::to_string(i));
  PutAll(keys);
  auto txn = env_->Write();
  EXPECT_EQ(*txn->DeletePrefix(a(), "b"), 3000u);
  EXPECT_EQ(*txn->DeletePrefix(a(), "b"), 0u);
  ASSERT_TRUE(txn->Commit());
  EXPECT_EQ(Keys(""), (Strings{"a", "c"}));
}

TEST_F(Store, AppendsInWhateverOrder) {
  auto txn = env_->Write();
  ASSERT_TRUE(txn);
  for (const char* key : {"b", "d", "a", "d", "c", "e"})
    ASSERT_TRUE(txn->Append(a(), key, "v" + std::string(key)));
  ASSERT_TRUE(txn->Commit());
  EXPECT_EQ(Keys(""), (std::vector<std::string>{"a", "b", "c", "d", "e"}));
}

// How much of the store's map is in this process's memory.
int64_t ResidentKib() {
  std::ifstream maps("/proc/self/smaps");
  bool of_store = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(" r") != line.npos && line.find('-') < line.find(' '))
      of_store = line.ends_with("/data.mdb");
    if (of_store && line.starts_with("Rss:")) return std::stoll(line.substr(4));
  }
  return -1;
}

TEST_F(Store, ReleasesThePagesItLookedAt) {
  auto write = env_->Write();
  ASSERT_TRUE(write);
  for (int i = 0; i < 20'000; ++i)
    ASSERT_TRUE(write->Append(a(), std::to_string(100'000 + i), std::string(1000, 'x')));
  ASSERT_TRUE(write->Commit());
  auto txn = env_->Read();
  ASSERT_TRUE(txn);
  const std::string_view first = **txn->Get(a(), "100000");
  int64_t bytes = 0;
  const auto add_up = [&](std::string_view, std::string_view value) {
    bytes += static_cast<int64_t>(std::count(value.begin(), value.end(), 'x'));
    return true;
  };
  ASSERT_TRUE(txn->Scan(a(), "", add_up));
  const int64_t looked_at_kib = ResidentKib();
  env_->ReleasePages();
  EXPECT_LT(ResidentKib(), looked_at_kib - 15'000);
  EXPECT_EQ(first, std::string(1000, 'x')) << "views stay good";
  ASSERT_TRUE(txn->Scan(a(), "", add_up));
  EXPECT_EQ(bytes, 2 * 20'000 * 1000);
}

TEST_F(Store, ATransactionEndsWithItsCommit) {
  auto txn = env_->Write();
  ASSERT_TRUE(txn->Commit());
  EXPECT_EQ(txn->Commit().error().code, Errc::kInternal);
  EXPECT_EQ(txn->Put(a(), "k", "v").error().code, Errc::kInternal);
  EXPECT_FALSE(txn->Get(a(), "k"));
}

TEST_F(Store, ReadTransactionsMayMoveBetweenThreads) {
  PutAll({"a"});
  std::vector<ReadTxn> txns;
  for (int i = 0; i < 300; ++i) txns.push_back(std::move(*env_->Read()));
  std::thread([&] {
    for (auto& txn : txns) EXPECT_EQ(**txn.Get(a(), "a"), "va");
    txns.clear();
  }).join();
}

TEST_F(Store, ReadersSeeWholeTransactionsDuringWrites) {
  PutAll({"x", "y"});
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (int i = 0; i < 300; ++i) {
      auto txn = env_->Write();
      ASSERT_TRUE(txn->Put(a(), "x", std::to_string(i)));
      ASSERT_TRUE(txn->Put(a(), "y", std::to_string(i)));
      ASSERT_TRUE(txn->Commit());
    }
    stop = true;
  });
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        auto txn = env_->Read();
        ASSERT_TRUE(txn);
        const std::string x(**txn->Get(a(), "x"));
        const std::string y(**txn->Get(a(), "y"));
        EXPECT_TRUE(x == y || x == "vx") << x << " " << y;
      }
    });
  }
  writer.join();
  for (auto& reader : readers) reader.join();
}

TEST_F(Store, AFullMapIsNoSpaceAndKeepsWhatWasThere) {
  PutAll({"a"});
  const std::string big(1 << 20, 'v');
  Status status;
  {
    auto txn = env_->Write();
    for (int i = 0; i < 100 && status; ++i) status = txn->Put(a(), "big" + std::to_string(i), big);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::kNoSpace);
    EXPECT_EQ(txn->Commit().error().code, Errc::kNoSpace) << "never a part of a transaction";
  }
  EXPECT_EQ(Keys(""), Strings{"a"});
  PutAll({"b"});
}

TEST_F(Store, KeepsEverythingAcrossReopening) {
  PutAll({"a", "b"});
  ASSERT_TRUE(env_->Sync());
  EXPECT_GT(env_->used_bytes(), 0);
  EXPECT_GE(env_->file_bytes(), env_->used_bytes());
  Open();
  EXPECT_EQ(Keys(""), (Strings{"a", "b"}));
}

TEST_F(Store, IsPrivateToItsUser) {
  struct stat info {};
  ASSERT_EQ(::stat(temp_.File("db").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  for (const char* name : {"db/data.mdb", "db/lock.mdb"}) {
    ASSERT_EQ(::stat(temp_.File(name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u) << name;
  }
}

TEST_F(Store, GarbageIsCorrupt) {
  env_.reset();
  std::ofstream(temp_.File("db/data.mdb"), std::ios::trunc) << std::string(100'000, 'g');
  EXPECT_EQ(Environment::Open(Options()).error().code, Errc::kCorrupt);
}

TEST_F(Store, AFileCutShortIsDamageNotACrash) {
  Strings keys;
  for (int i = 0; i < 5000; ++i) keys.push_back("key" + std::to_string(i));
  PutAll(keys);
  env_.reset();
  std::filesystem::resize_file(temp_.File("db/data.mdb"), 3 * 4096);
  auto opened = Environment::Open(Options());
  Status status;
  if (!opened) {
    status = Fail(opened.error());
  } else {
    auto txn = (*opened)->Read();
    status = txn ? txn->Scan((*opened)->table(0), "", [](auto, auto) { return true; })
                 : Status(Fail(txn.error()));
  }
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kCorrupt);
}

TEST_F(Store, TakesLessAddressSpaceWhereItMust) {
  auto options = Options();
  options.directory = temp_.File("large");
  options.map_bytes_max = int64_t{1} << 52;  // more than a process can have
  auto opened = Environment::Open(options);
  ASSERT_TRUE(opened) << opened.error().message;
}

TEST_F(Store, ADirectoryThatCannotBeMadeSaysWhich) {
  std::ofstream(temp_.File("file")) << "x";
  auto options = Options();
  options.directory = temp_.File("file/db");
  auto opened = Environment::Open(options);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("file/db"), std::string::npos);
}

}  // namespace
}  // namespace tciafs::store
