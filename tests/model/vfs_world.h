// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The file system over the real catalog, fetcher and block cache, used as a kernel uses it, beside
// an archive that changes and fails. The kernel's part is played here too: which nodes it has
// looked up and how often, what it believes of sizes, which version the pages it holds are of.
// After each operation everything it was told is checked against what the archive holds and has
// ever held; at the end, with all faults over, everything must be as the archive has it. Not
// thread-safe: answers come when the world runs its executor.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "model/runner.h"
#include "model/vfs_archive.h"
#include "support/fakes.h"
#include "tciafs/cache/disk_cache.h"
#include "tciafs/catalog/lmdb_catalog.h"
#include "tciafs/fetch/series_fetcher.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs::model {

class VfsWorld {
 public:
  static std::vector<OpKind> Kinds();

  VfsWorld();
  ~VfsWorld();
  // What is wrong, "" if nothing.
  std::string Run(const std::vector<Op>& ops);

 private:
  using Path = catalog::ObjectPath;

  // What the kernel knows of a node.
  struct Inode {
    Path path;
    uint64_t lookups = 0;
    int busy = 0;                          // operations under way and open handles keep it
    std::optional<int64_t> believed_size;  // while it may be believed
    int64_t believed_until_ms = 0;
    std::set<int> page_versions;  // the pages held may be of these; empty: there are none
    bool has_pages = false;
    bool was_open = false;
  };
  struct OpenFile {
    vfs::NodeId node = 0;
    std::set<int> versions;  // that what was read so far can be of
    int64_t size_bytes = -1;
  };
  struct OpenDirectory {
    vfs::NodeId node = 0;
    uint64_t offset = 0;
    std::vector<std::string> names;  // read so far
    std::set<std::string> owed;      // when it was opened
  };
  struct Pending {
    std::string what;
    std::stop_source stop;
    bool answered = false;
    bool cancelled = false;
  };

  // --- operations (vfs_world.cpp)
  void Do(const Op& op);
  void LookUp(const Op& op);
  void WalkTo(const Op& op);
  void Forget(const Op& op);
  void ReadDirectory(const Op& op);
  void GetAttributes(const Op& op);
  void OpenNode(const Op& op);
  void ReadFile(const Op& op);
  void ReleaseFile(const Op& op);
  void ReadXattrs(const Op& op);
  void ReadOffline(const Op& op);
  void Cancel(const Op& op);
  void ReplaceOpen(const Op& op);
  void HurtOpen(const Op& op);
  void ChangeArchive(const Op& op);
  void EvictSeries(const Op& op);
  void Remount();

  void StartLookup(vfs::NodeId parent, const std::string& name);
  void StartOpenDirectory(vfs::NodeId node);
  void StartOpen(vfs::NodeId node);
  void StartRead(uint64_t handle, int64_t offset, int64_t size_bytes);
  // False at the end, and the handle is closed.
  bool ReadOn(uint64_t handle, size_t entries, bool with_attributes);

  // --- the kernel's side, and checks (vfs_kernel.cpp)
  void Expect(bool holds, const std::string& what);
  template <typename Reply>
  Callback<Reply> Awaited(const std::string& what, vfs::NodeId busy, std::stop_token& stop,
                          std::function<void(Result<Reply>)> then);
  void Mount();
  void Unmount();
  void Drain();
  void Pass(int64_t ms);
  void OnInvalidation(const vfs::Invalidation& invalidation);
  void OnEntry(vfs::NodeId parent, const Path& directory, const std::string& name,
               const vfs::EntryReply& reply);
  void OnAttributes(vfs::NodeId node, const vfs::Attributes& attributes, int64_t valid_for_ms);
  void OnOpened(vfs::NodeId node, const vfs::OpenReply& reply);
  void OnRead(uint64_t handle, int64_t offset, int64_t size_bytes, const vfs::ReadReply& reply);
  void CheckListing(const Path& directory, const OpenDirectory& opened);
  void CheckError(const std::string& what, const Error& error);
  void CheckInode(const Path& path, uint64_t inode);
  std::optional<int64_t> Believed(const Inode& inode) const;
  vfs::NodeId PickNode(int number, int level) const;  // level -1: any
  vfs::NodeId NodeOf(const Path& path);               // looks it up; 0 if it cannot be
  // What replaces the content of a file that is open gets a node of its own.
  bool MayPart(const Inode& inode) const;
  // Two answers some time apart that lack a name may take it away.
  bool Owes(const Path& directory) const;
  void StopOwing();  // names the archive has dropped

  // --- the end (vfs_kernel.cpp)
  void Calm();
  void CompareTree(const Path& directory, vfs::NodeId node);
  void CompareFile(vfs::NodeId node, const Path& path);

  testing::TempDirectory temp_;
  testing::FakeClock clock_;
  testing::ManualExecutor executor_;
  testing::ManualScheduler scheduler_{clock_};
  Archive archive_;
  std::vector<std::unique_ptr<ModelSource>> sources_;
  cache::CacheOptions cache_options_;
  std::unique_ptr<cache::BlockCache> cache_;
  std::shared_ptr<catalog::CatalogStore> store_;
  std::unique_ptr<catalog::Catalog> catalog_;
  std::unique_ptr<fetch::Fetcher> fetcher_;
  std::unique_ptr<vfs::Filesystem> fs_;

  std::map<vfs::NodeId, Inode> inodes_;
  std::map<uint64_t, OpenFile> files_;
  std::map<uint64_t, OpenDirectory> directories_;
  std::vector<std::shared_ptr<Pending>> pending_;
  std::map<std::string, uint64_t> inode_numbers_;  // by path, for ever
  std::map<uint64_t, std::string> paths_;          // the other way round
  // By directory: names an answer has shown and that the archive has never been without since.
  std::map<std::string, std::set<std::string>> owed_;
  std::map<vfs::NodeId, std::string> nodes_ever_;  // of this mount
  struct BadAnswers {                              // that lacked something: the first and the last
    int64_t first_ms = -1;
    int64_t last_ms = -1;
  };
  std::map<std::string, BadAnswers> bad_answers_;  // by collection; "": of the list of these
  bool disturbed_ = false;    // something has failed or changed: errors are to be expected
  uint64_t hurt_handle_ = 0;  // whose file is cut when it is read next
  int64_t hurt_size_ = -1;    // to this; -1: it is not
  bool calm_ = false;         // the last look at everything, where nothing is forgiven
  std::vector<std::string> last_names_;
  std::string failure_;
};

}  // namespace tciafs::model
