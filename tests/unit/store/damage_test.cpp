// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Bytes of the data file change while it is closed: opening it never ends the process, and what it
// gives is right or, where records carry checksums, seen to be wrong.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>

#include "store/page_check.h"
#include "store/seal.h"
#include "support/fakes.h"
#include "tciafs/store/store.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::store {
namespace {

// Commits wait for the disk, which these tests have no need of.
const bool kTemporaryFilesInMemory =
    ::access("/dev/shm", W_OK) == 0 && ::setenv("TMPDIR", "/dev/shm", /*overwrite=*/0) == 0;

// A value that tells whether it is intact and belongs to its key, as the records of the cache do.
std::string Sealed(std::string_view key, size_t size, char fill) {
  std::string value(size, fill);
  const uint64_t hash = Xxh3(AsBytes(value), Xxh3(AsBytes(key)));
  value.append(reinterpret_cast<const char*>(&hash), sizeof hash);
  return value;
}

bool IsIntact(std::string_view key, std::string_view value) {
  if (value.size() < sizeof(uint64_t)) return false;
  uint64_t hash = 0;
  const std::string_view body = value.substr(0, value.size() - sizeof hash);
  std::memcpy(&hash, value.data() + body.size(), sizeof hash);
  return hash == Xxh3(AsBytes(body), Xxh3(AsBytes(key)));
}

// TCIAFS_SWEEP=all: every byte instead of a sample, and the random tests ten times as long.
const bool kSweepAll = ::getenv("TCIAFS_SWEEP") != nullptr;
// A page's head and pointers are looked at byte by byte, of the rest a sample.
size_t Stride(std::mt19937& random, size_t at, unsigned about) {
  return kSweepAll || at % 4096 < 100 ? 1 : 1 + random() % about;
}

class StoreDamage : public ::testing::Test {
 protected:
  using Content = std::map<std::string, std::string>;

  EnvironmentOptions Options() const {
    return {.directory = temp_.File("db"), .tables = {"a", "b", "c"}, .map_bytes_max = 64 << 20};
  }
  std::string DataFile() const { return temp_.File("db") + "/data.mdb"; }
  std::string SealFile() const { return temp_.File("db") + "/seal"; }
  void Open() {
    auto opened = Environment::Open(Options());
    ASSERT_TRUE(opened) << opened.error().message;
    env_ = std::move(*opened);
  }
  // Some pages of each kind: branches, leaves, large values, a list of free pages.
  void Fill() {
    Open();
    for (int round = 0; round < 3; ++round) {
      auto txn = env_->Write();
      ASSERT_TRUE(txn);
      for (int i = 0; i < 60; ++i) {
        const std::string key = "key " + std::to_string(i * 7919 % 1000);
        const size_t size = i % 20 == round ? 9000 : 40 + static_cast<size_t>(i);
        const size_t table = static_cast<size_t>(i % 2);
        content_[table][key] = Sealed(key, size, static_cast<char>('a' + round));
        ASSERT_TRUE(txn->Put(env_->table(table), key, content_[table][key]));
      }
      ASSERT_TRUE(txn->Commit());
    }
    auto txn = env_->Write();
    for (int i = 0; i < 20; ++i) {
      const std::string key = "key " + std::to_string(i * 7919 % 1000);
      content_[static_cast<size_t>(i % 2)].erase(key);
      ASSERT_TRUE(txn->Delete(env_->table(static_cast<size_t>(i % 2)), key));
    }
    ASSERT_TRUE(txn->Commit());
  }
  // What a process that dies leaves: no seal.
  void CloseWithoutSeal() {
    env_.reset();
    std::filesystem::remove(SealFile());
  }
  std::string DataBytes() const {
    std::ifstream file(DataFile(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Reads everything and changes something; false if the damage was seen.
  bool UseIt() {
    auto opened = Environment::Open(Options());
    if (!opened) {
      EXPECT_EQ(opened.error().code, Errc::kCorrupt) << opened.error().message;
      return false;
    }
    bool intact = true;
    for (size_t table = 0; table < 2; ++table) {
      auto txn = (*opened)->Read();
      if (!txn) return false;
      const Status scanned =
          txn->Scan((*opened)->table(table), "", [&](std::string_view key, std::string_view value) {
            intact = intact && IsIntact(key, value);
            if (IsIntact(key, value)) {
              const auto expected = content_[table].find(std::string(key));
              EXPECT_TRUE(expected != content_[table].end() && expected->second == value) << key;
            }
            return true;
          });
      intact = intact && scanned;
    }
    auto txn = (*opened)->Write();
    if (!txn) return false;
    for (int i = 0; i < 12; ++i) {
      const std::string key = "new " + std::to_string(i);
      (void)txn->Put((*opened)->table(2), key, std::string(i == 0 ? 9000 : 300, 'n'));
    }
    (void)txn->DeletePrefix((*opened)->table(0), "key 1");
    (void)txn->Commit();
    return intact;
  }

  testing::TempDirectory temp_;
  std::unique_ptr<Environment> env_;
  Content content_[2];
};

TEST_F(StoreDamage, WhatLmdbWritesIsFoundIntact) {
  std::mt19937 random(5);
  Open();
  for (int round = 0; round < (kSweepAll ? 5000 : 250); ++round) {
    auto txn = env_->Write();
    ASSERT_TRUE(txn);
    const size_t table = random() % 3;
    const int changes = static_cast<int>(random() % (round % 10 == 0 ? 400 : 20));
    for (int i = 0; i < changes; ++i) {
      const std::string key = std::string(random() % 60, 'k') + std::to_string(random() % 3000);
      const size_t size = random() % 30 == 0 ? random() % 50'000 : random() % 200;
      if (random() % 3 == 0) {
        ASSERT_TRUE(txn->Delete(env_->table(table), key));
      } else {
        ASSERT_TRUE(txn->Put(env_->table(table), key, std::string(size, 'v')));
      }
    }
    if (random() % 20 == 0) {
      ASSERT_TRUE(txn->DeletePrefix(env_->table(table), ""));
    }
    if (random() % 10 != 0) {
      ASSERT_TRUE(txn->Commit());
    }
    txn = Fail(Errc::kInternal, "ended");
    const Status checked = CheckPages(DataFile(), Options().tables);
    ASSERT_TRUE(checked) << "round " << round << ": " << checked.error().message;
    if (random() % 25 != 0) continue;
    CloseWithoutSeal();
    Open();
  }
}

TEST_F(StoreDamage, TheSealSeesEveryChangedByte) {
  Fill();
  env_.reset();
  const std::string original = DataBytes();
  ASSERT_EQ(*CompareSeal(temp_.File("db")), Seal::kFits);
  const UniqueFd file(::open(DataFile().c_str(), O_WRONLY | O_CLOEXEC));
  std::mt19937 random(1);
  for (size_t at = 0; at < original.size(); at += 1 + (kSweepAll ? 0 : random() % 400)) {
    const char changed = static_cast<char>(original[at] ^ (1 << random() % 8));
    ASSERT_EQ(::pwrite(file.get(), &changed, 1, static_cast<off_t>(at)), 1);
    ASSERT_EQ(*CompareSeal(temp_.File("db")), Seal::kBroken) << "byte " << at;
    ASSERT_EQ(::pwrite(file.get(), &original[at], 1, static_cast<off_t>(at)), 1);
  }
  EXPECT_EQ(*CompareSeal(temp_.File("db")), Seal::kFits);
  EXPECT_TRUE(UseIt());
}

TEST_F(StoreDamage, ASealIsThereOnlyWhileNobodyHasItOpen) {
  Fill();
  EXPECT_FALSE(std::filesystem::exists(SealFile()));
  env_.reset();
  EXPECT_TRUE(std::filesystem::exists(SealFile()));
  Open();
  EXPECT_FALSE(std::filesystem::exists(SealFile()));
  env_.reset();
  std::filesystem::resize_file(DataFile(), std::filesystem::file_size(DataFile()) + 1);
  EXPECT_EQ(Environment::Open(Options()).error().code, Errc::kCorrupt);
}

TEST_F(StoreDamage, ADamagedSealCountsAsNone) {
  Fill();
  env_.reset();
  std::ifstream sealed(SealFile(), std::ios::binary);
  const std::string original{std::istreambuf_iterator<char>(sealed), {}};
  for (size_t at = 0; at < original.size(); ++at) {
    std::string changed = original;
    changed[at] = static_cast<char>(changed[at] ^ 4);
    std::ofstream(SealFile(), std::ios::binary) << changed;
    EXPECT_EQ(*CompareSeal(temp_.File("db")), Seal::kAbsent) << "byte " << at;
  }
  EXPECT_TRUE(UseIt()) << "the data file is whole";
}

// The heart of it: no seal, as after a crash, and any single bit changed.
TEST_F(StoreDamage, NoChangedBitEndsTheProcessOrGivesAWrongValue) {
  Fill();
  CloseWithoutSeal();
  const std::string original = DataBytes();
  std::mt19937 random(2);
  size_t seen = 0;
  size_t harmless = 0;
  const auto write = [&](const std::string& content) {
    std::ofstream(DataFile(), std::ios::binary | std::ios::trunc) << content;
  };
  for (size_t at = 0; at < original.size(); at += Stride(random, at, 60)) {
    std::string changed = original;
    changed[at] = static_cast<char>(changed[at] ^ (1 << random() % 8));
    const UniqueFd file(::open(DataFile().c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(file.get(), &changed[at], 1, static_cast<off_t>(at)), 1);
    if (!CheckPages(DataFile(), Options().tables)) {
      ++seen;
    } else if (random() % 24 == 0) {
      UseIt();  // must come back
      ++harmless;
      write(original);
      continue;
    }
    ASSERT_EQ(::pwrite(file.get(), &original[at], 1, static_cast<off_t>(at)), 1);
  }
  EXPECT_GT(seen, 200u);
  EXPECT_GT(harmless, 200u);
}

TEST_F(StoreDamage, ManyChangedBytesNeitherEndTheProcess) {
  Fill();
  CloseWithoutSeal();
  const std::string original = DataBytes();
  std::mt19937 random(3);
  size_t used = 0;
  for (int round = 0; round < (kSweepAll ? 6000 : 600); ++round) {
    std::string changed = original;
    const size_t page = random() % (original.size() / 4096) * 4096;
    for (unsigned flips = 1 + random() % 4; flips > 0;
         --flips)  // near a page's header, or anywhere
      changed[random() % 2 == 0 ? page + random() % 64 : random() % changed.size()] ^=
          1 << random() % 8;
    if (random() % 10 == 0) changed.resize(random() % changed.size());
    std::ofstream(DataFile(), std::ios::binary | std::ios::trunc) << changed;
    std::filesystem::remove(SealFile());
    used += UseIt() ? 1 : 0;
  }
  EXPECT_GT(used, 0u);
}

TEST_F(StoreDamage, ATableThatIsNotOursIsNotTouched) {
  Fill();
  CloseWithoutSeal();
  EXPECT_EQ(CheckPages(DataFile(), {"a", "b"}).error().code, Errc::kCorrupt);
  EXPECT_TRUE(CheckPages(DataFile(), {"a", "b", "c", "new"}));
}

}  // namespace
}  // namespace tciafs::store
