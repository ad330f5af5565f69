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
#include "vfs/status_report.h"
#include "vfs/virtual_files.h"
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

void NoteFailure(Context& context, NodeId node, const std::string& name, const Error& error) {
  std::string path;
  if (IsVirtual(node)) {
    path = VirtualPath(context, node, name);
    if (path.empty()) return;
  } else {
    const auto copy = context.nodes.Find(node);
    if (!copy) return;
    path = copy->path.Text();
    if (!name.empty()) path += (path == "/" ? "" : "/") + name;
  }
  context.recent_errors.Note(context.clock.UnixMs(), std::move(path), error);
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
  ~ArchiveFilesystem() override {
    context_->invalidations->SetListener({});
    context_->ending = true;
    context_->gate.Close();
    context_->gate.WaitUntilEmpty();
  }

  void Lookup(NodeId parent, std::string_view name, Asker asker,
              Callback<EntryReply> done) override {
    if (IsVirtual(parent))
      return LookupVirtual(context_, parent, name, std::move(asker.stop),
                           Noting(parent, std::string(name), std::move(done)));
    LookupName(context_, parent, name, std::move(asker),
               Noting(parent, std::string(name), std::move(done)));
  }
  void Forget(NodeId node, uint64_t lookups) override {
    if (IsVirtual(node)) return ForgetVirtual(*context_, node, lookups);
    context_->nodes.Forget(node, lookups);
  }
  void GetAttributes(NodeId node, HandleId handle, Asker asker,
                     Callback<AttributesReply> done) override {
    if (IsVirtual(node)) return done(VirtualAttributes(*context_, node));
    if (handle != 0) return done(FileHandleAttributes(*context_, node, handle));
    GetNodeAttributes(context_, node, std::move(asker), Noting(node, "", std::move(done)));
  }

  void OpenDirectory(NodeId node, std::stop_token stop, Callback<OpenReply> done) override {
    if (IsVirtual(node)) return done(OpenVirtualDirectory(*context_, node));
    vfs::OpenDirectory(context_, node, std::move(stop), Noting(node, "", std::move(done)));
  }
  Status ReadDirectory(HandleId handle, uint64_t offset, bool with_attributes,
                       const Emit& emit) override {
    if (IsVirtual(handle)) return ReadVirtualDirectory(*context_, handle, offset, emit);
    return vfs::ReadDirectory(*context_, handle, offset, with_attributes, emit);
  }
  void ResumeDirectory(NodeId node, uint64_t offset, std::stop_token stop,
                       Callback<OpenReply> done) override {
    if (IsVirtual(node)) return done(OpenVirtualDirectory(*context_, node));
    vfs::ResumeDirectory(context_, node, offset, std::move(stop),
                         Noting(node, "", std::move(done)));
  }
  void ReleaseDirectory(HandleId handle) override { vfs::ReleaseDirectory(*context_, handle); }

  void Open(NodeId node, bool for_writing, Asker asker, Callback<OpenReply> done) override {
    if (IsVirtual(node)) return done(OpenVirtual(*context_, node, for_writing));
    OpenFile(context_, node, for_writing, std::move(asker), Noting(node, "", std::move(done)));
  }
  void Read(NodeId node, HandleId handle, int64_t offset, int64_t size_bytes, Asker asker,
            Callback<ReadReply> done) override {
    if (IsVirtual(node)) return done(ReadVirtual(*context_, node, offset, size_bytes));
    ReadFile(context_, node, handle, offset, size_bytes, std::move(asker),
             Noting(node, "", std::move(done)));
  }
  void Release(HandleId handle) override { ReleaseFile(*context_, handle); }
  Result<BackingReply> Backing(HandleId handle) override {
    if (IsVirtual(handle)) return Fail(Errc::kUnsupported, "no file of the cache");
    return FileHandleBacking(*context_, handle);
  }
  Result<ReadReply> Head(HandleId handle) override {
    if (IsVirtual(handle)) return Fail(Errc::kUnsupported, "no instance");
    return FileHandleHead(context_, handle);
  }

  Result<std::string> GetXattr(NodeId node, std::string_view name) override {
    return GetNodeXattr(*context_, node, name);
  }
  Result<std::vector<std::string>> ListXattr(NodeId node) override {
    return ListNodeXattr(*context_, node);
  }

  MountStatus Report() const override { return TakeStatus(*context_); }
  std::string StatusJson() const override { return StatusReport(TakeStatus(*context_)); }

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
  OperationCounters& operations() override { return context_->operations; }
  size_t nodes() const override { return context_->nodes.size() + context_->virtual_nodes.size(); }

 private:
  // Hands the outcome on; a failure is remembered under the path of the node, or of `name` in it.
  template <typename Reply>
  Callback<Reply> Noting(NodeId node, std::string name, Callback<Reply> done) {
    return [weak = std::weak_ptr<Context>(context_), node, name = std::move(name),
            done = std::move(done)](Result<Reply> reply) {
      if (!reply && RecentErrors::IsWorthTelling(reply.error().code))
        if (const ContextRef alive = weak.lock()) NoteFailure(*alive, node, name, reply.error());
      done(std::move(reply));
    };
  }

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
