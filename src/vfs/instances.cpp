// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The difficulty: the kernel keeps one page cache and one size per node, whatever handle filled
// them, while the archive may replace an instance at any time, and may advertise sizes that are not
// so. The answers: every content that is opened is compared with the one before (Settle); where
// that one is still open, the new content gets a node of its own; a size the kernel believes in
// wrongly is taken back before the open is answered.
#include "vfs/instances.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "vfs/attributes.h"
#include "vfs/read_ahead.h"

namespace tciafs::vfs {
namespace {

// A bad block is fetched again; a second one in the same read means a disk that cannot be trusted.
constexpr int kRefetchesMax = 1;
// What an open may read and verify of an instance of an earlier run, to hand the kernel its file: a
// millisecond or two, and a few times what its first read would take. Of a larger one every read is
// asked for until its blocks are verified.
constexpr int64_t kVerifiedAtOpenBytesMax = 4 * 1024 * 1024;
// The size behind a handle cannot change unnoticed: a change takes the kernel's copy back.
constexpr int64_t kHandleAttributesValidMs = 60'000;

using FilePtr = std::shared_ptr<cache::InstanceFile>;

// An instance that has been brought here, and how it compares with what the kernel believes.
struct Settled {
  FilePtr file;
  Installed installed;
};

Error ReplacedError() { return {Errc::kStale, "the instance was replaced in the archive"}; }

// Acquires the instance behind a node, makes it the node's content and counts a handle. kStale
// where handles of other content are open: the kernel then asks for the name again, finds the new
// node, opens that.
void Settle(const ContextRef& context, NodeId node, Asker asker, Callback<Settled> done) {
  const auto copy = context->nodes.Find(node);
  if (!copy) return done(Fail(GoneError()));
  if (!copy->is_file())
    return done(Fail(Errc::kIsDirectory, copy->path.Text() + " is a directory"));
  const uint64_t changes = context->nodes.changes();
  auto series = ResolveSeries(*context, copy->path);
  if (!series) return done(Fail(std::move(series).error()));
  const source::SeriesVersion version = (*series)->version();
  AcquireInstance(
      *context, **series, copy->path.sop, std::move(asker),
      Continue<FilePtr, Settled>(
          context, std::move(done),
          [node, parent = copy->parent, name = copy->name, changes, version](
              const ContextRef& alive, FilePtr file, const Callback<Settled>& settled) {
            const Content content = ContentOf(file->size_bytes(), file->md5_hex(), version);
            const auto installed = alive->nodes.Install(node, content, changes);
            if (!installed) return settled(Fail(GoneError()));
            if (installed->parted) {
              settled(Fail(ReplacedError()));
              // Nor will it look the name up by itself. It is told after the answer: to drop pages
              // it waits for those that are being read.
              if (!alive->options.files_are_opened)
                alive->invalidations->Post({{Invalidation::Kind::kEntry, parent, name, nullptr}});
              return;
            }
            settled(Settled{std::move(file), *installed});
          }));
}

Result<cache::FileRange> ReadRange(cache::InstanceFile& file, int64_t offset, int64_t size_bytes) {
  if (offset >= file.size_bytes() || size_bytes == 0) return cache::FileRange{};
  return file.Read(offset, std::min(size_bytes, file.size_bytes() - offset));
}

bool SameBytes(const cache::InstanceFile& a, const cache::InstanceFile& b) {
  return a.size_bytes() == b.size_bytes() && !a.md5_hex().empty() && a.md5_hex() == b.md5_hex();
}

// Their files are closed when this returns.
void LetGo(Context& context, RecentFiles::Handles dropped) {
  for (const auto& handle : dropped) context.nodes.RemoveHandle(handle->node);
}

struct ReadRequest {
  NodeId node = 0;
  int64_t offset = 0;
  int64_t size_bytes = 0;
  int refetches_left = kRefetchesMax;
};

void ReadHandle(const ContextRef& context, std::shared_ptr<FileHandle> handle, ReadRequest request,
                std::stop_token stop, Callback<ReadReply> done);

// The handle's file proved damaged; the same bytes are asked for once more.
void RefetchHandle(const ContextRef& context, std::shared_ptr<FileHandle> handle, FilePtr damaged,
                   ReadRequest request, std::stop_token stop, Callback<ReadReply> done) {
  const auto copy = context->nodes.Find(handle->node);
  if (!copy) return done(Fail(GoneError()));
  const auto series = ResolveSeries(*context, copy->path);
  if (!series) return done(Fail(series.error()));
  --request.refetches_left;
  context->fetcher.Acquire(
      (*series)->target, copy->path.sop, stop,
      Continue<FilePtr, ReadReply>(
          context, std::move(done),
          [handle = std::move(handle), damaged = std::move(damaged), request, stop](
              const ContextRef& alive, FilePtr file, const Callback<ReadReply>& answer) {
            if (!SameBytes(*file, *damaged)) return answer(Fail(ReplacedError()));
            handle->Replace(std::move(file));
            ReadHandle(alive, handle, request, stop, answer);
          }));
}

void ReadHandle(const ContextRef& context, std::shared_ptr<FileHandle> handle, ReadRequest request,
                std::stop_token stop, Callback<ReadReply> done) {
  FilePtr file = handle->file();
  auto range = ReadRange(*file, request.offset, request.size_bytes);
  if (range) {
    const bool to_end =
        range->size_bytes > 0 && request.offset + range->size_bytes >= file->size_bytes();
    done(ReadReply{*range, std::move(file)});
    if (to_end) FollowReader(context, handle->node);
    return;
  }
  if (range.error().code != Errc::kCorrupt || request.refetches_left == 0)
    return done(Fail(std::move(range).error()));
  RefetchHandle(context, std::move(handle), std::move(file), request, std::move(stop),
                std::move(done));
}

// For a kernel that does not ask to open: the instance is settled by the first read, and kept open
// for the next ones.
void ReadNode(const ContextRef& context, ReadRequest request, Asker asker,
              Callback<ReadReply> done) {
  const int64_t now_ms = context->clock.MonotonicMs();
  LetGo(*context, context->recent_files.TakeOld(now_ms));
  if (auto recent = context->recent_files.Find(request.node, now_ms))
    return ReadHandle(context, std::move(recent), request, std::move(asker.stop), std::move(done));
  Settle(context, request.node, asker,
         Continue<Settled, ReadReply>(
             context, std::move(done),
             [request, stop = asker.stop](const ContextRef& alive, Settled settled,
                                          const Callback<ReadReply>& answer) {
               auto handle = std::make_shared<FileHandle>(request.node, std::move(settled.file));
               LetGo(*alive, alive->recent_files.Add(handle, alive->clock.MonotonicMs()));
               ReadHandle(alive, std::move(handle), request, stop, answer);
             }));
}

Status MayFetch(const Context& context, const SeriesAccess& series, int64_t pid) {
  if (context.options.fetch_guard == nullptr) return {};
  const auto path = catalog::ObjectPath::OfSeries(series.target.record, series.target.server);
  return context.options.fetch_guard(pid, path.Text());
}

}  // namespace

Result<SeriesAccessPtr> ResolveSeries(const Context& context, const catalog::ObjectPath& path) {
  if (path.server >= context.options.scopes.size())
    return Fail(Errc::kInternal, path.Text() + ": its server is not configured");
  const uint64_t revision = context.catalog.revision();
  if (auto recent = context.recent_series.Find(path, revision)) return recent;
  const auto series = path.At(catalog::Level::kSeries);
  auto record = context.catalog.Series(series);
  if (!record) return Fail(record.error().Within(series.Text()));
  auto access = std::make_shared<const SeriesAccess>(SeriesAccess{
      {context.options.scopes[path.server], path.series}, {path.server, std::move(*record)}});
  context.recent_series.Put(access, revision);
  return access;
}

void AcquireInstance(Context& context, const SeriesAccess& series, const source::SopUid& sop,
                     Asker asker, Callback<FilePtr> done) {
  // Whatever is wrong with the cache, the fetcher is the one to make it good.
  auto cached = context.cache.Open(series.key, series.version(), sop);
  ++(cached ? context.cache_hits : context.cache_misses);
  if (cached) return done(std::move(*cached));
  if (const Status allowed = MayFetch(context, series, asker.pid); !allowed)
    return done(Fail(allowed.error()));
  LetGo(context, context.recent_files.TakeAll());  // nothing that is open is evicted to make room
  // It is there, but for now there is no descriptor for it: nor would there be for the download.
  if (cached.error().code == Errc::kBusy)
    return done(Fail(Errc::kInternal, std::move(cached).error().message));
  if (series.version().image_count > 0)  // else nobody could tell when it is read through
    context.reading_order.Follow(
        catalog::ObjectPath::OfSeries(series.target.record, series.target.server));
  context.fetcher.Acquire(series.target, sop, std::move(asker.stop), std::move(done));
}

void OpenFile(const ContextRef& context, NodeId node, bool for_writing, Asker asker,
              Callback<OpenReply> done) {
  if (for_writing) return done(Fail(Errc::kReadOnly, "the archive cannot be written to"));
  Settle(context, node, std::move(asker),
         Continue<Settled, OpenReply>(
             context, std::move(done),
             [node](const ContextRef& alive, Settled settled, const Callback<OpenReply>& answer) {
               const Installed installed = settled.installed;
               const FilePtr grown = installed.grown ? settled.file : nullptr;
               OpenReply reply;
               reply.keep_cache = installed.keep_pages;
               reply.first = installed.first;
               reply.handle =
                   alive->files.Add(std::make_shared<FileHandle>(node, std::move(settled.file)));
               if (!installed.size_corrected && !installed.replaced && !installed.grown)
                 return answer(reply);
               alive->invalidations->PostThen({Invalidation::Kind::kFile, node, "", nullptr, grown},
                                              [answer, reply] { answer(reply); });
             }));
}

void ReadFile(const ContextRef& context, NodeId node, HandleId handle, int64_t offset,
              int64_t size_bytes, Asker asker, Callback<ReadReply> done) {
  if (offset < 0 || size_bytes < 0)
    return done(Fail(Errc::kInvalidArgument, "a negative offset or size"));
  ++context->reads;
  const ReadRequest request{node, offset, size_bytes, kRefetchesMax};
  if (handle == 0) return ReadNode(context, request, std::move(asker), std::move(done));
  auto opened = context->files.Find(handle);
  if (opened == nullptr || opened->node != node)
    return done(Fail(Errc::kInvalidArgument, "no such handle"));
  ReadHandle(context, std::move(opened), request, std::move(asker.stop), std::move(done));
}

void ReleaseFile(Context& context, HandleId handle) {
  const auto opened = context.files.Remove(handle);
  if (opened != nullptr) context.nodes.RemoveHandle(opened->node);
}

Result<BackingReply> FileHandleBacking(Context& context, HandleId handle) {
  const auto opened = context.files.Find(handle);
  if (opened == nullptr) return Fail(Errc::kInvalidArgument, "no such handle");
  FilePtr file = opened->file();
  const auto copy = context.nodes.Find(opened->node);
  if (!copy) return Fail(GoneError());
  if (context.reading_order.Follows(copy->path))
    return Fail(Errc::kUnsupported, "its reader is followed");
  TCIAFS_ASSIGN(const int fd, file->WholeFile(kVerifiedAtOpenBytesMax));
  return BackingReply{fd, std::move(file)};
}

Result<ReadReply> FileHandleHead(const ContextRef& context, HandleId handle) {
  const auto opened = context->files.Find(handle);
  if (opened == nullptr) return Fail(Errc::kInvalidArgument, "no such handle");
  FilePtr file = opened->file();
  TCIAFS_ASSIGN(const auto range, ReadRange(*file, 0, cache::kInstanceHeadBytes));
  if (range.size_bytes == file->size_bytes()) FollowReader(context, opened->node);
  return ReadReply{range, std::move(file)};
}

Result<AttributesReply> FileHandleAttributes(Context& context, NodeId node, HandleId handle) {
  const auto opened = context.files.Find(handle);
  if (opened == nullptr || opened->node != node)
    return Fail(Errc::kInvalidArgument, "no such handle");
  const auto copy = context.nodes.Find(node);
  if (!copy) return Fail(GoneError());
  const InstanceSize size =
      context.nodes.Tell(node, {opened->file()->size_bytes(), SizeOrigin::kExact});
  return AttributesReply{FileAttributes(context.options, copy->inode, copy->modified_s, size.bytes),
                         KernelValidity(context.options, kHandleAttributesValidMs)};
}

}  // namespace tciafs::vfs
