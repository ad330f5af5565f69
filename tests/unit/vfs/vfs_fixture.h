// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A file system over fakes: one collection, patient, study and series ("Lung" / "LIDC-1" / "1.2" /
// "1.2.3") whose instances the test adds, and calls that wait for nothing: an answer that has not
// come is nullopt.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memory_cache.h"
#include "support/fake_catalog.h"
#include "support/fake_fetcher.h"
#include "support/fakes.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs::testing {

template <typename T>
struct Waiting {
  std::shared_ptr<std::optional<Result<T>>> result = std::make_shared<std::optional<Result<T>>>();
  std::shared_ptr<int> calls = std::make_shared<int>(0);
  Callback<T> callback() const {
    return [result = result, calls = calls](Result<T> answer) {
      ++*calls;
      result->emplace(std::move(answer));
    };
  }
  bool answered() const { return result->has_value(); }
  bool ok() const { return answered() && (*result)->has_value(); }
  Errc code() const { return ok() || !answered() ? Errc::kInternal : (*result)->error().code; }
  const T& value() const { return ***result; }
};

class VfsTest : public ::testing::Test {
 protected:
  using Path = catalog::ObjectPath;

  VfsTest() {
    options.scopes = {"archive|guest"};
    options.uid = 1000;
    options.gid = 100;
    catalog.Add(Path(), Directory("Lung"));
    catalog.Add(collection, Directory("LIDC-1"));
    catalog.Add(patient, Directory("1.2"));
    catalog.Add(study, Directory("1.2.3"));
    SetVersion("2020-01-01", 10, 1'000'000);
    fetcher.serve = [this](const fetch::SeriesTarget& target, const source::SopUid& sop) {
      return Serve(target, sop);
    };
    Mount();
  }

  void Mount() {
    fs.reset();
    fs = vfs::CreateFilesystem(options, catalog, fetcher, cache, executor);
    fs->OnInvalidation([this](const vfs::Invalidation& invalidation) {
      told.push_back({invalidation.kind, invalidation.node, invalidation.name, nullptr});
    });
  }

  static catalog::Entry Directory(std::string name) { return {std::move(name), 0, 0, -1}; }
  void AddInstance(const std::string& sop, int64_t advertised_bytes = -1) {
    catalog.Add(series, {sop + ".dcm", 0, 0, advertised_bytes});
  }
  void SetVersion(std::string timestamp, int64_t images, int64_t total_bytes) {
    source::SeriesRecord record;
    record.collection = series.collection;
    record.patient = series.patient;
    record.study = series.study;
    record.series = series.series;
    record.version = version = {std::move(timestamp), images, total_bytes};
    record.modified_s = 1'577'836'800;
    catalog.SetSeries(series, record);
  }
  // What the archive serves for an instance from now on.
  std::shared_ptr<MemoryFile> SetBytes(const std::string& sop, const std::string& bytes,
                                       bool with_md5 = true) {
    auto file = std::make_shared<MemoryFile>(bytes, with_md5);
    archive[source::SopUid(sop)] = file;
    return file;
  }
  Result<std::shared_ptr<cache::InstanceFile>> Serve(const fetch::SeriesTarget& target,
                                                     const source::SopUid& sop) {
    const auto found = archive.find(sop);
    if (found == archive.end()) return Fail(Errc::kUnavailable, "the archive failed");
    cache.Put(key, target.record.version, sop, found->second);
    return found->second;
  }

  template <typename T>
  static T Value(const Waiting<T>& waiting) {
    EXPECT_TRUE(waiting.answered());
    EXPECT_EQ(*waiting.calls, 1);
    EXPECT_TRUE(waiting.ok()) << (waiting.answered() && !waiting.ok()
                                      ? (*waiting.result)->error().message
                                      : "");
    return waiting.ok() ? waiting.value() : T();
  }

  Waiting<vfs::EntryReply> LookupAsync(vfs::NodeId parent, const std::string& name,
                                       std::stop_token stop = {}) {
    Waiting<vfs::EntryReply> waiting;
    fs->Lookup(parent, name, stop, waiting.callback());
    return waiting;
  }
  vfs::EntryReply Lookup(vfs::NodeId parent, const std::string& name) {
    return Value(LookupAsync(parent, name));
  }
  vfs::NodeId LookupSeries() {
    vfs::NodeId node = vfs::kRootNode;
    for (const char* name : {"Lung", "LIDC-1", "1.2", "1.2.3"}) node = Lookup(node, name).node;
    return node;
  }
  vfs::NodeId LookupInstance(const std::string& sop) {
    return Lookup(LookupSeries(), sop + ".dcm").node;
  }
  Waiting<vfs::AttributesReply> GetAttributesAsync(vfs::NodeId node, vfs::HandleId handle = 0) {
    Waiting<vfs::AttributesReply> waiting;
    fs->GetAttributes(node, handle, {}, waiting.callback());
    return waiting;
  }
  vfs::AttributesReply GetAttributes(vfs::NodeId node, vfs::HandleId handle = 0) {
    return Value(GetAttributesAsync(node, handle));
  }
  Waiting<vfs::OpenReply> OpenAsync(vfs::NodeId node, std::stop_token stop = {}) {
    Waiting<vfs::OpenReply> waiting;
    fs->Open(node, false, stop, waiting.callback());
    return waiting;
  }
  vfs::OpenReply Open(vfs::NodeId node) {
    const auto waiting = OpenAsync(node);
    executor.RunAll();
    return Value(waiting);
  }
  Waiting<vfs::ReadReply> ReadAsync(vfs::NodeId node, vfs::HandleId handle, int64_t offset = 0,
                                    int64_t size_bytes = 1 << 20) {
    Waiting<vfs::ReadReply> waiting;
    fs->Read(node, handle, offset, size_bytes, {}, waiting.callback());
    return waiting;
  }
  static std::string BytesOf(const vfs::ReadReply& reply) {
    std::string bytes(static_cast<size_t>(reply.range.size_bytes), '\0');
    if (bytes.empty()) return bytes;
    EXPECT_EQ(::pread(reply.range.fd, bytes.data(), bytes.size(), reply.range.offset),
              reply.range.size_bytes);
    return bytes;
  }
  std::string Read(vfs::NodeId node, vfs::HandleId handle, int64_t offset = 0,
                   int64_t size_bytes = 1 << 20) {
    return BytesOf(Value(ReadAsync(node, handle, offset, size_bytes)));
  }
  vfs::OpenReply OpenDirectory(vfs::NodeId node) {
    Waiting<vfs::OpenReply> waiting;
    fs->OpenDirectory(node, {}, waiting.callback());
    return Value(waiting);
  }

  const Path collection = Path().Child("Lung", 0);
  const Path patient = collection.Child("LIDC-1", 0);
  const Path study = patient.Child("1.2", 0);
  const Path series = study.Child("1.2.3", 0);
  const cache::SeriesKey key{"archive|guest", source::SeriesUid("1.2.3")};
  source::SeriesVersion version;

  vfs::FilesystemOptions options;
  FakeCatalog catalog;
  FakeFetcher fetcher;
  MemoryCache cache;
  ManualExecutor executor;
  std::map<source::SopUid, std::shared_ptr<MemoryFile>> archive;
  std::vector<vfs::Invalidation> told;
  std::unique_ptr<vfs::Filesystem> fs;
};

}  // namespace tciafs::testing
