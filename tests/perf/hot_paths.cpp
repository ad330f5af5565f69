// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The paths that a mount takes again and again, over a real catalog and a real cache but without
// the kernel and the network, for instructions_test.py to count their instructions under callgrind:
//   tciafs-hot-paths NAME      prints how many operations were counted
// Counting is switched on around the operations alone, after one round to warm up.
#include <valgrind/callgrind.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nbia/json_rows.h"
#include "support/fake_fetcher.h"
#include "support/fake_source.h"
#include "support/fakes.h"
#include "tciafs/cache/disk_cache.h"
#include "tciafs/catalog/lmdb_catalog.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs {
namespace {

constexpr int kInstances = 1000;
constexpr int kPatients = 300;
constexpr int64_t kInstanceBytes = 16 << 10;

template <typename T>
T Must(Result<T> result, const char* what) {
  if (result) return *std::move(result);
  std::fprintf(stderr, "%s: %s\n", what, result.error().message.c_str());
  std::exit(1);
}
void Must(const Status& status, const char* what) {
  if (status) return;
  std::fprintf(stderr, "%s: %s\n", what, status.error().message.c_str());
  std::exit(1);
}

source::SeriesRecord Series(const std::string& patient, const std::string& uid, int64_t images) {
  source::SeriesRecord record;
  record.collection = source::CollectionId("C");
  record.patient = source::PatientId(patient);
  record.study = source::StudyUid("1." + patient);
  record.series = source::SeriesUid(uid);
  record.version = {"2020-01-02", images, images * kInstanceBytes};
  record.modified_s = 1'577'923'200;
  record.attributes = {{"Modality", "CT", false},
                       {"StudyDate", "2019-12-31", false},
                       {"SeriesDescription", "CHEST WITHOUT CONTRAST " + uid, false},
                       {"LicenseName", "Creative Commons Attribution 4.0 International", false},
                       {"ImageCount", std::to_string(images), true}};
  return record;
}

// One series with many instances, all of them cached, and a collection of patients beside it.
class World {
 public:
  World() {
    archive_.AddCollection("C");
    std::vector<source::InstanceRecord> instances;
    for (int i = 0; i < kInstances; ++i)
      instances.push_back({source::SopUid("1.9." + std::to_string(1000 + i)), kInstanceBytes});
    AddPatient("0000");
    archive_.AddSeries(Series("0000", "1.8", kInstances), std::move(instances));
    for (int p = 1; p <= kPatients; ++p) {
      const std::string patient = std::to_string(1000 + p);
      AddPatient(patient);
      archive_.AddSeries(Series(patient, "1.7." + patient, 2));
    }
    store_ =
        Must(catalog::CatalogStore::Open(directory_.path() + "/catalog"), "the catalog's store");
    catalog_ = Must(catalog::OpenCatalog({}, store_, {&archive_}, clock_, executor_, scheduler_),
                    "the catalog");
    cache::CacheOptions options;
    options.directory = directory_.path() + "/cache";
    options.cap_bytes = 256 << 20;
    cache_ = Must(cache::OpenDiskCache(options, clock_), "the cache");
    vfs::FilesystemOptions vfs_options;
    vfs_options.scopes = {archive_.scope()};
    vfs_options.clock = &clock_;
    filesystem_ = vfs::CreateFilesystem(vfs_options, *catalog_, fetcher_, *cache_, executor_);
  }
  ~World() {
    filesystem_.reset();
    catalog_.reset();
    executor_.RunAll();
  }

  void FillCache() {
    const auto record = Series("0000", "1.8", kInstances);
    auto writer = Must(cache_->BeginSeries({{archive_.scope(), record.series}, record.version}),
                       "the series");
    const std::vector<std::byte> bytes(static_cast<size_t>(kInstanceBytes), std::byte{7});
    for (int i = 0; i < kInstances; ++i) {
      auto instance = Must(writer->BeginInstance(source::SopUid("1.9." + std::to_string(1000 + i))),
                           "an instance");
      Must(instance->Append(bytes), "its bytes");
      Must(instance->Publish(""), "its publication");
    }
    Must(writer->MarkVerified(), "the series");
  }

  template <typename T>
  T Await(const std::function<void(Callback<T>)>& call) {
    std::optional<Result<T>> answer;
    call([&](Result<T> result) { answer.emplace(std::move(result)); });
    executor_.RunAll();
    if (!answer) std::abort();
    return Must(std::move(*answer), "an operation");
  }
  vfs::EntryReply Lookup(vfs::NodeId parent, const std::string& name) {
    return Await<vfs::EntryReply>(
        [&](auto done) { filesystem_->Lookup(parent, name, {}, std::move(done)); });
  }
  vfs::NodeId SeriesNode() {
    vfs::NodeId node = vfs::kRootNode;
    for (const char* name : {"C", "0000", "1.0000", "1.8"}) node = Lookup(node, name).node;
    ReadDirectory(node, true);
    return node;
  }
  void ReadDirectory(vfs::NodeId node, bool forget) {
    const auto reply = Await<vfs::OpenReply>(
        [&](auto done) { filesystem_->ResumeDirectory(node, 0, {}, std::move(done)); });
    std::vector<vfs::NodeId> entered;
    Must(filesystem_->ReadDirectory(reply.handle, 0, true,
                                    [&](const vfs::DirectoryEntry& entry) {
                                      if (entry.entry.node != 0)
                                        entered.push_back(entry.entry.node);
                                      return true;
                                    }),
         "a listing");
    filesystem_->ReleaseDirectory(reply.handle);
    if (!forget) return;
    for (const vfs::NodeId one : entered) filesystem_->Forget(one, 1);
  }
  void ReadPatients() {
    const auto collection = Lookup(vfs::kRootNode, "C").node;
    ReadDirectory(collection, true);
    for (int p = 1; p <= kPatients; ++p) {
      const auto patient = Lookup(collection, std::to_string(1000 + p)).node;
      ReadDirectory(patient, true);
      filesystem_->Forget(patient, 1);
    }
  }

  vfs::Filesystem& filesystem() { return *filesystem_; }

 private:
  void AddPatient(const std::string& patient) {
    archive_.AddPatient({source::CollectionId("C"), source::PatientId(patient), {}});
  }

  testing::TempDirectory directory_;
  testing::FakeClock clock_;
  testing::ManualExecutor executor_;
  testing::ManualScheduler scheduler_{clock_};
  testing::FakeSource archive_;
  testing::FakeFetcher fetcher_;
  std::shared_ptr<catalog::CatalogStore> store_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<cache::BlockCache> cache_;
  std::unique_ptr<vfs::Filesystem> filesystem_;
};

// Twice, the second time counted.
void Count(const std::function<void()>& round) {
  round();
  CALLGRIND_TOGGLE_COLLECT;
  round();
  CALLGRIND_TOGGLE_COLLECT;
}

int LookUpNames() {
  World world;
  world.FillCache();
  const auto series = world.SeriesNode();
  Count([&] {
    for (int i = 0; i < kInstances; ++i) {
      const auto entry = world.Lookup(series, "1.9." + std::to_string(1000 + i) + ".dcm");
      world.filesystem().Forget(entry.node, 1);
    }
  });
  return kInstances;
}

int ListWithAttributes() {
  World world;
  world.FillCache();
  const auto series = world.SeriesNode();
  Count([&] { world.ReadDirectory(series, true); });
  return kInstances;
}

int OpenReadClose() {
  World world;
  world.FillCache();
  const auto series = world.SeriesNode();
  std::vector<vfs::NodeId> nodes;
  for (int i = 0; i < kInstances; ++i)
    nodes.push_back(world.Lookup(series, "1.9." + std::to_string(1000 + i) + ".dcm").node);
  Count([&] {
    for (const auto node : nodes) {
      const auto opened = world.Await<vfs::OpenReply>(
          [&](auto done) { world.filesystem().Open(node, false, {}, std::move(done)); });
      world.Await<vfs::ReadReply>([&](auto done) {
        world.filesystem().Read(node, opened.handle, 0, 4096, {}, std::move(done));
      });
      world.filesystem().Release(opened.handle);
    }
  });
  return kInstances;
}

int PublishInstances() {
  World world;
  CALLGRIND_TOGGLE_COLLECT;
  world.FillCache();
  CALLGRIND_TOGGLE_COLLECT;
  return kInstances;
}

// The first walk over a collection, which lists all its series at once.
int StoreSeries() {
  World world;
  CALLGRIND_TOGGLE_COLLECT;
  world.ReadPatients();
  CALLGRIND_TOGGLE_COLLECT;
  return kPatients;
}

int WalkAgain() {
  World world;
  Count([&] { world.ReadPatients(); });
  return kPatients;
}

int ReadRows() {
  std::string text = "[";
  for (int i = 0; i < kInstances; ++i)
    text += std::string(i == 0 ? "" : ",") +
            R"({"StudyInstanceUID":"1.3.6.1.4.1.14519.5.2.1.6279.6001.)" + std::to_string(i) +
            R"(","SeriesInstanceUID":"1.3.6.1.4.1.14519.5.2.1.6279.6001.1)" + std::to_string(i) +
            R"(","Modality":"CT","SeriesDate":"2000-01-01","BodyPartExamined":"CHEST",)"
            R"("SeriesNumber":3000566,"Collection":"LIDC-IDRI","PatientID":"LIDC-IDRI-0001",)"
            R"("Manufacturer":"GE MEDICAL SYSTEMS","ImageCount":133,"FileSize":70057982,)"
            R"("TimeStamp":"2011-12-22 14:33:11.0","LicenseName":"CC BY 3.0"})";
  text += "]";
  Count([&] {
    size_t rows = 0;
    nbia::RowCutter cutter("", {}, [&](std::string_view row) -> Status {
      rows += row.size() > 2 ? 1 : 0;
      return {};
    });
    Must(cutter.Push(text), "the rows");
    Must(cutter.Finish(), "the rows");
    if (rows != kInstances) std::abort();
  });
  return kInstances;
}

}  // namespace
}  // namespace tciafs

int main(int argc, char** argv) {
  const std::map<std::string, int (*)()> paths = {
      {"look_up_names", tciafs::LookUpNames},
      {"list_with_attributes", tciafs::ListWithAttributes},
      {"open_read_close", tciafs::OpenReadClose},
      {"publish_instances", tciafs::PublishInstances},
      {"store_series", tciafs::StoreSeries},
      {"walk_again", tciafs::WalkAgain},
      {"cut_rows", tciafs::ReadRows}};
  const auto path = argc == 2 ? paths.find(argv[1]) : paths.end();
  if (path == paths.end()) {
    for (const auto& [name, run] : paths) std::puts(name.c_str());
    return 2;
  }
  std::printf("%d\n", path->second());
  return 0;
}
