// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A catalog in memory: what the test added is there, fresh for as long as it says; answers come at
// once, or, while `hold` is set, when `held` is released. Thread-safe.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "support/held_calls.h"
#include "tciafs/catalog/catalog.h"
#include "tciafs/catalog/names.h"

namespace tciafs::testing {

class FakeCatalog final : public catalog::Catalog {
 public:
  std::atomic<int64_t> fresh_for_ms = 60'000;
  std::atomic<bool> hold = false;
  HeldCalls held;
  std::atomic<int> lists = 0;
  std::atomic<int> lookups = 0;
  mutable std::atomic<int> rows_read = 0;
  mutable std::atomic<int> records_read = 0;

  // Replaces an entry of the same name.
  void Add(const catalog::ObjectPath& directory, catalog::Entry entry) {
    std::lock_guard lock(mutex_);
    auto& entries = directories_[directory.Text()].entries;
    std::erase_if(entries, [&](const auto& old) { return old.name == entry.name; });
    entries.push_back(std::move(entry));
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    ++directories_[directory.Text()].version;
    ++revision_;
  }
  void Remove(const catalog::ObjectPath& directory, const std::string& name) {
    std::lock_guard lock(mutex_);
    auto& listing = directories_[directory.Text()];
    std::erase_if(listing.entries, [&](const auto& old) { return old.name == name; });
    ++listing.version;
    ++revision_;
  }
  void SetSeries(const catalog::ObjectPath& series, source::SeriesRecord record) {
    std::lock_guard lock(mutex_);
    series_[series.Text()] = std::move(record);
    ++revision_;
  }
  void SetAttributes(const catalog::ObjectPath& object, source::Attributes attributes) {
    std::lock_guard lock(mutex_);
    attributes_[object.Text()] = std::move(attributes);
    ++revision_;
  }
  // Every List and Lookup in this directory fails so, and it is its last error.
  void SetFailure(const catalog::ObjectPath& directory, Error error) {
    std::lock_guard lock(mutex_);
    failures_[directory.Text()] = std::move(error);
  }
  void Announce(const catalog::Change& change) {
    if (listener_) listener_(change);
  }

  void List(const catalog::ObjectPath& directory, std::stop_token stop,
            Callback<catalog::ListAnswer> done) override {
    ++lists;
    Answer<catalog::ListAnswer>(stop, std::move(done),
                                [this, text = directory.Text()] { return ListNow(text); });
  }
  void Lookup(const catalog::ObjectPath& directory, std::string name, std::stop_token stop,
              Callback<catalog::LookupAnswer> done) override {
    ++lookups;
    Answer<catalog::LookupAnswer>(
        stop, std::move(done),
        [this, text = directory.Text(), name = std::move(name)] { return LookupNow(text, name); });
  }
  void ListBelow(const catalog::ObjectPath& directory, catalog::Level, std::stop_token stop,
                 Callback<void> done) override {
    ++lists;
    Answer<void>(stop, std::move(done), [this, text = directory.Text()]() -> Status {
      if (auto list = ListNow(text); !list) return Fail(list.error());
      return {};
    });
  }
  Result<source::SeriesRecord> Series(const catalog::ObjectPath& series) const override {
    ++records_read;
    std::lock_guard lock(mutex_);
    const auto found = series_.find(series.Text());
    if (found == series_.end()) return Fail(Errc::kNotFound, "no such series");
    return found->second;
  }
  Result<source::Attributes> AttributesOf(const catalog::ObjectPath& object) const override {
    std::lock_guard lock(mutex_);
    const auto found = attributes_.find(object.Text());
    if (found == attributes_.end()) return Fail(Errc::kNotFound, "no such row");
    return found->second;
  }
  Result<std::unique_ptr<catalog::RowReader>> Rows(const catalog::ObjectPath& directory,
                                                   catalog::Level level) const override {
    ++rows_read;
    auto reader = std::make_unique<FakeRows>();
    CollectRows(directory, level, reader->rows);
    return std::unique_ptr<catalog::RowReader>(std::move(reader));
  }
  uint64_t revision() const override { return revision_; }
  void Refresh(const catalog::ObjectPath&, std::stop_token, Callback<void> done) override {
    done({});
  }
  std::string LastError(const catalog::ObjectPath& directory) const override {
    std::lock_guard lock(mutex_);
    const auto found = failures_.find(directory.Text());
    return found != failures_.end() ? found->second.message : "";
  }
  std::vector<catalog::ServerHealth> health;  // set before use
  std::vector<catalog::ServerHealth> Health() const override { return health; }
  void OnChange(std::function<void(const catalog::Change&)> listener) override {
    listener_ = std::move(listener);
  }

 private:
  struct FakeRows final : catalog::RowReader {
    Status ForEach(const Visitor& visit) const override {
      for (const auto& row : rows)
        if (!visit(row)) break;
      return {};
    }
    std::vector<catalog::Row> rows;
  };
  void CollectRows(const catalog::ObjectPath& directory, catalog::Level level,
                   std::vector<catalog::Row>& rows) const {
    const auto list = ListNow(directory.Text());
    if (!list) return;
    for (const auto& entry : list->listing->entries) {
      const auto child = directory.Child(*catalog::DecodeName(entry.name), entry.server);
      if (child.level != level) {
        CollectRows(child, level, rows);
        continue;
      }
      auto attributes = AttributesOf(child);
      rows.push_back({child, attributes ? *attributes : source::Attributes()});
    }
  }

  template <typename T, typename Now>
  void Answer(const std::stop_token& stop, Callback<T> done, Now now) {
    if (!hold) return done(now());
    held.Add(stop, [done = std::move(done), now = std::move(now)](bool cancelled) {
      cancelled ? done(Fail(Errc::kCancelled, "stopped")) : done(now());
    });
  }
  Result<catalog::ListAnswer> ListNow(const std::string& directory) const {
    std::lock_guard lock(mutex_);
    if (const auto failure = failures_.find(directory); failure != failures_.end())
      return Fail(failure->second);
    const auto found = directories_.find(directory);
    if (found == directories_.end()) return Fail(Errc::kNotFound, "no such directory");
    return catalog::ListAnswer{std::make_shared<const catalog::Listing>(found->second),
                               fresh_for_ms};
  }
  Result<catalog::LookupAnswer> LookupNow(const std::string& directory,
                                          const std::string& name) const {
    std::lock_guard lock(mutex_);
    if (const auto failure = failures_.find(directory); failure != failures_.end())
      return Fail(failure->second);
    const auto found = directories_.find(directory);
    const auto* entry = found != directories_.end() ? found->second.Find(name) : nullptr;
    if (entry == nullptr) return Fail(Errc::kNotFound, "no such name");
    return catalog::LookupAnswer{*entry, fresh_for_ms};
  }

  std::atomic<uint64_t> revision_ = 1;
  mutable std::mutex mutex_;
  std::map<std::string, catalog::Listing> directories_;  // by the directory's path
  std::map<std::string, source::SeriesRecord> series_;
  std::map<std::string, source::Attributes> attributes_;
  std::map<std::string, Error> failures_;
  std::function<void(const catalog::Change&)> listener_;
};

}  // namespace tciafs::testing
