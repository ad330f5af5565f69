// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/directory_store.h"

#include <gtest/gtest.h>

#include "catalog/instance_plan.h"
#include "support/fakes.h"
#include "tciafs/catalog/names.h"

namespace tciafs::catalog {
namespace {

class DirectoryStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto store = CatalogStore::Open(directory_.path());
    ASSERT_TRUE(store) << store.error().message;
    store_.emplace(*store);
  }
  static Rows RowsNamed(const std::vector<std::string>& names) {
    Rows rows;
    for (const auto& name : names) rows.emplace(name, EncodeRow({}));
    return rows;
  }
  void Replace(const ObjectPath& path, const std::vector<std::string>& names) {
    auto write = store_->Begin();
    ASSERT_TRUE(write);
    AnswerTerms terms;
    terms.now_ms = ++now_ms_;
    terms.complete = true;
    ASSERT_TRUE(write->Replace(path, KeyOf(root_, path), RowsNamed(names), terms));
    ASSERT_TRUE(write->Commit());
  }
  // Answers how many keys went, and in `more` whether something is left.
  size_t Clear(size_t keys_max, bool* more) {
    const size_t before = Entries();
    auto write = store_->Begin();
    const auto cleared = write->ClearRemoved(keys_max);
    EXPECT_TRUE(cleared && write->Commit());
    *more = cleared && *cleared;
    return before - Entries();
  }
  size_t Entries() const {
    const auto txn = store_->environment().Read();
    return *txn->Count(store_->table(CatalogTable::kEntries));
  }

  testing::TempDirectory directory_;
  std::optional<DirectoryStore> store_;
  const DirectoryKey root_ = RootKey("https://x|guest");
  int64_t now_ms_ = 1'000;
  const source::CollectionId c_collection_{"C"};
  const ObjectPath c_ = ObjectPath{}.Child("C", 0);
};

TEST_F(DirectoryStoreTest, WhatLiesBelowARemovedNameIsClearedInBoundedTransactions) {
  Replace({}, {"C", "D"});
  std::vector<std::string> names;
  for (int i = 0; i < 20; ++i) names.push_back("P" + std::to_string(i));
  Replace(c_, names);
  for (const auto& name : names) Replace(c_.Child(name, 0), {"1", "2"});
  Replace(c_.Child("P7", 0).Child("1", 0), {"3", "4", "5"});
  ASSERT_EQ(Entries(), 2u + 20 + 40 + 3);
  Replace({}, {"D"});
  EXPECT_EQ(Entries(), 1u + 20 + 40 + 3) << "only the name goes at once";
  EXPECT_FALSE(store_->ReadState(KeyOf(root_, c_))) << "and its listing";
  bool more = true;
  for (int chunks = 0; more && chunks < 50; ++chunks) EXPECT_LE(Clear(8, &more), 8u);
  EXPECT_FALSE(more);
  EXPECT_EQ(Entries(), 1u);
  EXPECT_FALSE(store_->ReadState(KeyOf(root_, c_.Child("P3", 0))));
}

TEST_F(DirectoryStoreTest, ADirectoryListedAgainIsNotCleared) {
  Replace({}, {"C", "D"});
  Replace(c_, {"P0"});
  Replace({}, {"D"});
  Replace({}, {"C", "D"});
  Replace(c_, {"P0", "P1"});
  bool more = true;
  EXPECT_EQ(Clear(100, &more), 0u);
  EXPECT_FALSE(more);
  EXPECT_EQ(Entries(), 4u);
}

// The plan of a request for instances: three patients with one study of four series each.
source::SeriesRecord SeriesOf(int patient, int series, int64_t modified_s) {
  source::SeriesRecord record;
  record.collection = source::CollectionId("C");
  record.patient = source::PatientId("P" + std::to_string(patient));
  record.study = source::StudyUid("1." + std::to_string(patient));
  record.series = source::SeriesUid(record.study.text() + "." + std::to_string(series));
  record.modified_s = modified_s;
  return record;
}

// As a bulk answer whose rows come in no order: the same directories are in several runs.
TEST_F(DirectoryStoreTest, StagedRunsAreTakenOutDirectoryByDirectory) {
  constexpr int kPatients = 60, kSeries = 5;
  constexpr uint32_t kRuns = 7;
  const std::string prefix(4, '\0'), other(3, '\0');
  OddIds odd_ids;
  for (uint32_t run = 0; run < kRuns; ++run) {
    RowTree tree(root_, 0, odd_ids);
    for (int i = static_cast<int>(run) * 31 % kRuns; i < kPatients * kSeries; i += kRuns)
      ASSERT_TRUE(tree.Add(SeriesOf(i / kSeries, i % kSeries, 100 * run + i), c_collection_, {}));
    auto write = store_->Begin();
    ASSERT_TRUE(write && write->Stage(prefix, run, tree));
    ASSERT_TRUE(write->Stage(other + "x", 0, tree));  // another bulk, which sorts behind
    ASSERT_TRUE(write->Commit());
  }
  StagedDirectories all;
  std::string last;
  for (int chunks = 0;; ++chunks) {
    auto write = store_->Begin();
    const auto taken = write->Unstage(prefix, kRuns, c_, 40);
    ASSERT_TRUE(taken && write->Commit());
    if (taken->empty()) break;
    EXPECT_LT(chunks, 100);
    for (const auto& [key, directory] : *taken) {
      EXPECT_LT(last, key.view()) << "in the order of the store, each directory once";
      last = key.view();
      all.emplace(key, directory);
    }
  }
  ASSERT_EQ(all.size(), 1u + kPatients + kPatients);
  EXPECT_EQ(all[KeyOf(root_, c_)].rows.size(), size_t{kPatients});
  for (int patient = 0; patient < kPatients; ++patient) {
    const auto path = c_.Child("P" + std::to_string(patient), 0);
    const auto study = path.Child("1." + std::to_string(patient), 0);
    EXPECT_EQ(all[KeyOf(root_, study)].rows.size(), size_t{kSeries});
    int64_t newest_s = 0;
    for (const auto& [name, row] : all[KeyOf(root_, study)].rows)
      newest_s = std::max(newest_s, DecodeRow(row)->modified_s);
    EXPECT_EQ(DecodeRow(all[KeyOf(root_, path)].rows.begin()->second)->modified_s, newest_s);
  }
  auto write = store_->Begin();
  ASSERT_TRUE(write->DropStaged(other + "x") && write->Commit());
  const auto txn = store_->environment().Read();
  EXPECT_EQ(*txn->Count(store_->table(CatalogTable::kStaging)), 0u);
}

TEST_F(DirectoryStoreTest, APlanEndsAtItsLimits) {
  Replace(c_, {"P1", "P2", "P3"});
  for (const char* patient : {"P1", "P2", "P3"}) {
    Replace(c_.Child(patient, 0), {"S"});
    Replace(c_.Child(patient, 0).Child("S", 0), {"1", "2", "3", "4"});
  }
  const ObjectPath wanted = c_.Child("P1", 0).Child("S", 0).Child("1", 0);
  const auto planned = [&](const PlanLimits& limits, bool on_a_walk = true) {
    const auto all = [](const DirectoryKey&) { return true; };
    const auto plan = PlanInstances(*store_, root_, wanted, on_a_walk, all, limits);
    EXPECT_EQ(plan.front(), wanted);
    return plan.size();
  };
  EXPECT_EQ(planned({}), 12u);
  EXPECT_EQ(planned({}, /*on_a_walk=*/false), 4u);
  EXPECT_EQ(planned({.series = 12}), 12u);
  EXPECT_EQ(planned({.series = 11}), 11u);
  EXPECT_EQ(planned({.series = 1}), 1u);
  EXPECT_EQ(planned({.images = 12 * kImagesIfUnknown}), 12u);
  EXPECT_EQ(planned({.images = 12 * kImagesIfUnknown - 1}), 11u);
  EXPECT_EQ(planned({.series_looked_at = 12}), 12u);
  EXPECT_EQ(planned({.series_looked_at = 11}), 11u);
}

}  // namespace
}  // namespace tciafs::catalog
