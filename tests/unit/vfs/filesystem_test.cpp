// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/vfs/filesystem.h"

#include <atomic>
#include <fstream>
#include <thread>

#include "vfs_fixture.h"

namespace tciafs::testing {
namespace {

TEST_F(VfsTest, SpaceIsWhatADownloadCouldStillTake) {
  cache.usage_now.cap_bytes = 1000;
  cache.usage_now.used_bytes = 300;
  cache.usage_now.reserved_bytes = 100;
  cache.usage_now.disk_free_bytes = 10'000;
  cache.usage_now.free_floor_bytes = 500;
  cache.usage_now.instances = 7;
  const auto space = fs->Space();
  EXPECT_EQ(space.total_bytes, 1000);
  EXPECT_EQ(space.free_bytes, 600);
  EXPECT_EQ(space.files, 7);
  cache.usage_now.disk_free_bytes = 800;
  EXPECT_EQ(fs->Space().free_bytes, 200) << "the floor holds";
  cache.usage_now.disk_free_bytes = 100;
  EXPECT_EQ(fs->Space().free_bytes, 0);
}

TEST(Libraries, NeitherFuseNorCurlNorLmdbIsInSight) {
  std::ifstream maps("/proc/self/maps");
  ASSERT_TRUE(maps.is_open());
  bool any_library = false;
  for (std::string line; std::getline(maps, line);) {
    any_library |= line.find("libstdc++") != std::string::npos;
    for (const char* library : {"libfuse3", "libcurl", "liblmdb"})
      EXPECT_EQ(line.find(library), std::string::npos) << line;
  }
  EXPECT_TRUE(any_library);
}

// One thread's share of a busy mount: every answer must be right, or say that the object changed.
class Reader {
 public:
  Reader(vfs::Filesystem& fs, std::vector<std::string> contents)
      : fs_(fs), contents_(std::move(contents)) {}

  void Run(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      std::vector<vfs::NodeId> nodes = {vfs::kRootNode};
      for (const char* name : {"Lung", "LIDC-1", "1.2", "1.2.3", "1.2.3.4.dcm"})
        if (const auto node = Lookup(nodes.back(), name)) nodes.push_back(node);
      if (nodes.size() == 6) ReadOnce(nodes.back());
      if (nodes.size() >= 5) ListOnce(nodes[4]);
      for (size_t n = nodes.size(); n-- > 1;) fs_.Forget(nodes[n], 1);
    }
  }
  int wrong = 0;
  int good = 0;

 private:
  template <typename T>
  static Result<T> Wait(const std::function<void(Callback<T>)>& call) {
    std::atomic<bool> ready = false;
    std::optional<Result<T>> result;
    call([&](Result<T> answer) {
      result.emplace(std::move(answer));
      ready = true;
      ready.notify_one();
    });
    ready.wait(false);
    return *result;
  }
  vfs::NodeId Lookup(vfs::NodeId parent, const char* name) {
    const auto found = Wait<vfs::EntryReply>(
        [&](Callback<vfs::EntryReply> done) { fs_.Lookup(parent, name, {}, done); });
    return found ? found->node : 0;
  }
  void ReadOnce(vfs::NodeId node) {
    const auto opened = Wait<vfs::OpenReply>(
        [&](Callback<vfs::OpenReply> done) { fs_.Open(node, false, {}, done); });
    if (!opened) return;
    const auto read = Wait<vfs::ReadReply>(
        [&](Callback<vfs::ReadReply> done) { fs_.Read(node, opened->handle, 0, 4096, {}, done); });
    if (read) {
      std::string bytes(static_cast<size_t>(read->range.size_bytes), '\0');
      EXPECT_EQ(::pread(read->range.fd, bytes.data(), bytes.size(), read->range.offset),
                read->range.size_bytes);
      const bool known = std::find(contents_.begin(), contents_.end(), bytes) != contents_.end();
      ++(known ? good : wrong);
    } else if (read.error().code != Errc::kStale) {
      ++wrong;
    }
    fs_.GetXattr(node, "user.tcia.size");
    fs_.Release(opened->handle);
  }
  void ListOnce(vfs::NodeId node) {
    const auto opened = Wait<vfs::OpenReply>(
        [&](Callback<vfs::OpenReply> done) { fs_.OpenDirectory(node, {}, done); });
    if (!opened) return;
    std::vector<vfs::NodeId> entered;
    const Status status =
        fs_.ReadDirectory(opened->handle, 0, true, [&](const vfs::DirectoryEntry& item) {
          if (item.entry.node != 0) entered.push_back(item.entry.node);
          return true;
        });
    if (!status) ++wrong;
    for (const auto id : entered) fs_.Forget(id, 1);
    fs_.ReleaseDirectory(opened->handle);
  }

  vfs::Filesystem& fs_;
  const std::vector<std::string> contents_;
};

TEST_F(VfsTest, ManyThreadsAndAChangingArchive) {
  AddInstance("1.2.3.4", 500);
  AddInstance("1.2.3.5", 500);
  std::mutex serving;
  int served = 0;
  const std::vector<std::string> contents = {"one", "another", "a third content"};
  fetcher.serve = [&](const fetch::SeriesTarget& target,
                      const source::SopUid& sop) -> Result<std::shared_ptr<cache::InstanceFile>> {
    std::lock_guard lock(serving);
    auto file = std::make_shared<MemoryFile>(contents[served++ % contents.size()]);
    cache.Put(key, target.record.version, sop, file);
    return file;
  };
  WorkerPool pool("vfs-test", 2);
  fs = vfs::CreateFilesystem(options, catalog, fetcher, cache, pool);
  std::atomic<int> invalidations = 0;
  fs->OnInvalidation([&](const vfs::Invalidation&) { ++invalidations; });

  std::vector<std::unique_ptr<Reader>> readers;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) readers.push_back(std::make_unique<Reader>(*fs, contents));
  for (auto& reader : readers) threads.emplace_back([&reader] { reader->Run(300); });
  for (int year = 2000; year < 2100; ++year) {
    SetVersion(std::to_string(year), 10, 1'000'000);
    catalog.Announce({study, {}, {}, {"1.2.3"}});
    std::this_thread::yield();
  }
  for (auto& thread : threads) thread.join();
  for (const auto& reader : readers) {
    EXPECT_EQ(reader->wrong, 0);
    EXPECT_GT(reader->good, 0);
  }
  EXPECT_GT(invalidations, 0);
  EXPECT_EQ(fs->nodes(), 1u) << "all was forgotten";
  fs.reset();
}

TEST_F(VfsTest, TheListenerIsQuietOnceItIsTakenAway) {
  WorkerPool pool("vfs-test", 2);
  fs = vfs::CreateFilesystem(options, catalog, fetcher, cache, pool);
  for (int round = 0; round < 50; ++round) {
    auto alive = std::make_unique<std::atomic<int>>(0);
    fs->OnInvalidation([&alive](const vfs::Invalidation&) { ++*alive; });
    catalog.Announce({Path(), {}, {"New"}, {}});
    fs->OnInvalidation({});
    alive.reset();
  }
  fs.reset();
}

}  // namespace
}  // namespace tciafs::testing
