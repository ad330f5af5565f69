// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A catalog over fake archives, on one thread: work runs when Drain is called, time moves when the
// test says so. Not thread-safe.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/fake_source.h"
#include "support/fakes.h"
#include "tciafs/catalog/lmdb_catalog.h"

namespace tciafs::catalog {

inline constexpr int64_t kTtlMs = 6 * 3600 * 1000LL;

class CatalogFixture : public ::testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  void TearDown() override { Close(); }

  void Close() {
    catalog_.reset();
    executor_.RunAll();  // what is left finds its gate closed
    store_.reset();
  }
  void Reopen() {
    Close();
    auto store = CatalogStore::Open(directory_.path());
    ASSERT_TRUE(store) << store.error().message;
    store_ = *store;
    std::vector<source::Source*> sources;
    for (const auto& archive : archives_) sources.push_back(archive.get());
    auto catalog = OpenCatalog(options_, store_, sources, clock_, executor_, scheduler_);
    ASSERT_TRUE(catalog) << catalog.error().message;
    catalog_ = std::move(*catalog);
    catalog_->OnChange([this](const Change& change) { changes_.push_back(change); });
  }
  testing::FakeSource& AddServer(const std::string& name) {
    archives_.push_back(std::make_unique<testing::FakeSource>(name, "https://" + name + "|guest"));
    Reopen();
    return *archives_.back();
  }

  static source::SeriesRecord Series(const std::string& collection, const std::string& patient,
                                     const std::string& study, const std::string& series,
                                     int64_t images = 2) {
    source::SeriesRecord record;
    record.collection = source::CollectionId(collection);
    record.patient = source::PatientId(patient);
    record.study = source::StudyUid(study);
    record.series = source::SeriesUid(series);
    record.version = {"2020-01-02", images, images * 1000};
    record.modified_s = 1'577'923'200;
    record.attributes = {{"Modality", "CT", false},
                         {"StudyInstanceUID", study, false},
                         {"StudyDate", "2019-12-31", false},
                         {"LicenseName", "Creative Commons Attribution 4.0 International", false},
                         {"ImageCount", std::to_string(images), true},
                         {"New Key", "x", false}};
    return record;
  }
  static std::string PatientName(int number) { return fmt::format("P{:04}", number); }
  // Patients P0000 on, with one study of `series` series each, two instances in each.
  static void Fill(testing::FakeSource& archive, const std::string& collection, int patients,
                   int series) {
    archive.AddCollection(collection);
    for (int p = 0; p < patients; ++p) {
      const std::string patient = PatientName(p);
      archive.AddPatient({source::CollectionId(collection),
                          source::PatientId(patient),
                          {{"PatientSex", "F", false}}});
      for (int s = 0; s < series; ++s) {
        const std::string uid = "2." + std::to_string(p) + "." + std::to_string(s);
        archive.AddSeries(Series(collection, patient, "1." + std::to_string(p), uid),
                          {{source::SopUid(uid + ".1"), 500}, {source::SopUid(uid + ".2"), 700}});
      }
    }
  }

  testing::FakeSource& archive(size_t index = 0) { return *archives_[index]; }
  void Drain() { executor_.RunAll(); }
  void Advance(int64_t ms) {
    scheduler_.Advance(ms);
    Drain();
  }

  // Starts a call without waiting; the answer appears in the returned slot.
  template <typename T>
  using Slot = std::shared_ptr<std::optional<Result<T>>>;
  Slot<ListAnswer> StartList(const ObjectPath& path, std::stop_token stop = {}) {
    auto slot = std::make_shared<std::optional<Result<ListAnswer>>>();
    catalog_->List(path, stop, [slot](Result<ListAnswer> answer) {
      EXPECT_FALSE(slot->has_value()) << "answered twice";
      slot->emplace(std::move(answer));
    });
    return slot;
  }
  Slot<LookupAnswer> StartLookup(const ObjectPath& path, const std::string& name,
                                 std::stop_token stop = {}) {
    auto slot = std::make_shared<std::optional<Result<LookupAnswer>>>();
    catalog_->Lookup(path, name, stop, [slot](Result<LookupAnswer> answer) {
      EXPECT_FALSE(slot->has_value()) << "answered twice";
      slot->emplace(std::move(answer));
    });
    return slot;
  }
  Result<ListAnswer> List(const ObjectPath& path) {
    const auto slot = StartList(path);
    Drain();
    if (!slot->has_value()) return Fail(Errc::kInternal, "still waiting");
    return **slot;
  }
  Result<LookupAnswer> Lookup(const ObjectPath& path, const std::string& name) {
    const auto slot = StartLookup(path, name);
    Drain();
    if (!slot->has_value()) return Fail(Errc::kInternal, "still waiting");
    return **slot;
  }
  Status Refresh(const ObjectPath& path) {
    std::optional<Status> outcome;
    catalog_->Refresh(path, {}, [&](Status status) { outcome = std::move(status); });
    Drain();
    return outcome ? *outcome : Status(Fail(Errc::kInternal, "still waiting"));
  }
  std::vector<std::string> Names(const ObjectPath& path) {
    const auto answer = List(path);
    if (!answer) return {"error: " + answer.error().message};
    std::vector<std::string> names;
    for (const auto& entry : answer->listing->entries) names.push_back(entry.name);
    return names;
  }
  // Lists everything, depth first, in order; answers how many entries there are.
  size_t Walk(const ObjectPath& path = {}) {
    const auto answer = List(path);
    EXPECT_TRUE(answer) << path.Text() << ": " << (answer ? "" : answer.error().message);
    if (!answer) return 0;
    size_t entries = 0;
    for (const auto& entry : answer->listing->entries) {
      ++entries;
      if (path.level != Level::kSeries) entries += Walk(path.Child(entry.name, entry.server));
    }
    return entries;
  }

  testing::TempDirectory directory_;
  testing::FakeClock clock_;
  testing::ManualExecutor executor_;
  testing::ManualScheduler scheduler_{clock_};
  CatalogOptions options_;
  std::vector<std::unique_ptr<testing::FakeSource>> archives_ = OneArchive();
  std::vector<Change> changes_;
  std::shared_ptr<CatalogStore> store_;
  std::unique_ptr<Catalog> catalog_;

  const ObjectPath root_{};
  const ObjectPath c_ = root_.Child("C", 0);
  const ObjectPath p0_ = c_.Child("P0000", 0);

 private:
  static std::vector<std::unique_ptr<testing::FakeSource>> OneArchive() {
    std::vector<std::unique_ptr<testing::FakeSource>> archives;
    archives.push_back(std::make_unique<testing::FakeSource>());
    return archives;
  }
};

}  // namespace tciafs::catalog
