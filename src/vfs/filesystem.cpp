// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Ties the parts together: names in lookups.cpp and directories.cpp, bytes in instances.cpp.
#include "tciafs/vfs/filesystem.h"

#include <algorithm>
#include <utility>

#include "vfs/context.h"
#include "vfs/directories.h"
#include "vfs/instances.h"
#include "vfs/lookups.h"
#include "vfs/xattrs.h"

namespace tciafs::vfs {
namespace {

// What a download could still take: both the cap and the free-space floor hold, and space promised
// to downloads under way is gone already.
int64_t FreeBytes(const cache::Usage& usage) {
  const int64_t below_cap = usage.cap_bytes - usage.used_bytes;
  const int64_t above_floor = usage.disk_free_bytes - usage.free_floor_bytes;
  return std::max<int64_t>(std::min(below_cap, above_floor) - usage.reserved_bytes, 0);
}

class ArchiveFilesystem final : public Filesystem {
 public:
  explicit ArchiveFilesystem(ContextRef context) : context_(std::move(context)) {
    context_->catalog.OnChange(
        [weak = std::weak_ptr<Context>(context_)](const catalog::Change& change) {
          const ContextRef alive = weak.lock();
          if (alive != nullptr) alive->invalidations->Post(alive->nodes.ApplyChange(change));
        });
  }
  ~ArchiveFilesystem() override { context_->invalidations->SetListener({}); }

  void Lookup(NodeId parent, std::string_view name, std::stop_token stop,
              Callback<EntryReply> done) override {
    LookupName(context_, parent, name, std::move(stop), std::move(done));
  }
  void Forget(NodeId node, uint64_t lookups) override { context_->nodes.Forget(node, lookups); }
  void GetAttributes(NodeId node, HandleId handle, std::stop_token stop,
                     Callback<AttributesReply> done) override {
    if (handle != 0) return done(FileHandleAttributes(*context_, node, handle));
    GetNodeAttributes(context_, node, std::move(stop), std::move(done));
  }

  void OpenDirectory(NodeId node, std::stop_token stop, Callback<OpenReply> done) override {
    vfs::OpenDirectory(context_, node, std::move(stop), std::move(done));
  }
  Status ReadDirectory(HandleId handle, uint64_t offset, bool with_attributes,
                       const Emit& emit) override {
    return vfs::ReadDirectory(*context_, handle, offset, with_attributes, emit);
  }
  void ReleaseDirectory(HandleId handle) override { vfs::ReleaseDirectory(*context_, handle); }

  void Open(NodeId node, bool for_writing, std::stop_token stop,
            Callback<OpenReply> done) override {
    OpenFile(context_, node, for_writing, std::move(stop), std::move(done));
  }
  void Read(NodeId node, HandleId handle, int64_t offset, int64_t size_bytes, std::stop_token stop,
            Callback<ReadReply> done) override {
    ReadFile(context_, node, handle, offset, size_bytes, std::move(stop), std::move(done));
  }
  void Release(HandleId handle) override { ReleaseFile(*context_, handle); }

  Result<std::string> GetXattr(NodeId node, std::string_view name) override {
    return GetNodeXattr(*context_, node, name);
  }
  Result<std::vector<std::string>> ListXattr(NodeId node) override {
    return ListNodeXattr(*context_, node);
  }

  SpaceReply Space() const override {
    const cache::Usage usage = context_->cache.usage();
    SpaceReply space;
    space.total_bytes = usage.cap_bytes;
    space.free_bytes = FreeBytes(usage);
    space.files = usage.instances;
    return space;
  }

  void OnInvalidation(std::function<void(const Invalidation&)> listener) override {
    context_->invalidations->SetListener(std::move(listener));
  }
  size_t nodes() const override { return context_->nodes.size(); }

 private:
  const ContextRef context_;
};

}  // namespace

std::unique_ptr<Filesystem> CreateFilesystem(const FilesystemOptions& options,
                                             catalog::Catalog& catalog, fetch::Fetcher& fetcher,
                                             cache::BlockCache& cache, Executor& executor) {
  return std::make_unique<ArchiveFilesystem>(
      std::make_shared<Context>(options, catalog, fetcher, cache, executor));
}

}  // namespace tciafs::vfs
