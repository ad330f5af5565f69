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
