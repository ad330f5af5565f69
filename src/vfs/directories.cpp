// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/directories.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "vfs/entries.h"

namespace tciafs::vfs {
namespace {

using catalog::Level;

constexpr uint64_t kDotEntries = 2;  // "." and "..", the first of every directory

NodeType TypeBelow(Level directory) {
  return directory == Level::kSeries ? NodeType::kFile : NodeType::kDirectory;
}

std::shared_ptr<const SeriesSnapshot> SnapshotSeries(const Context& context,
                                                     const catalog::ObjectPath& path) {
  auto series = std::make_shared<SeriesSnapshot>(SeriesRecordOf(context, path));
  if (series->access)
    series->known = context.cache.Known(series->access->key, series->access->version());
  return series;
}

// One pass over a listing. The series is looked at once, not per entry.
class DirectoryReader {
 public:
  DirectoryReader(Context& context, DirectoryHandle& handle, uint64_t offset, bool with_attributes)
      : context_(context), handle_(handle), with_attributes_(with_attributes) {
    if (!with_attributes || handle.path.level != Level::kSeries) return;
    if (offset > 0) series_ = handle.snapshot();
    if (series_ != nullptr) return;
    series_ = SnapshotSeries(context, handle.path);
    handle.set_snapshot(series_);
  }

  bool EmitDot(std::string_view name, uint64_t inode, uint64_t next_offset,
               const Filesystem::Emit& emit) const {
    DirectoryEntry item{name, next_offset, {}};
    item.entry.attributes.inode = inode;
    return emit(item);
  }

  // False when the emitter has had enough.
  bool Emit(const catalog::Entry& entry, uint64_t next_offset, const Filesystem::Emit& emit) const {
    DirectoryEntry item{entry.name, next_offset, {}};
    if (with_attributes_) {
      if (auto reply = WithAttributes(entry)) item.entry = std::move(*reply);
    }
    if (item.entry.node == 0) {
      item.entry.attributes.inode = InodeOf(handle_.inode, entry.name);
      item.entry.attributes.type = TypeBelow(handle_.path.level);
    }
    if (emit(item)) return true;
    if (item.entry.node != 0) context_.nodes.Forget(item.entry.node, 1);
    return false;
  }

 private:
  std::optional<EntryReply> WithAttributes(const catalog::Entry& entry) const {
    const auto path = PathOf(handle_.path, entry);
    if (!path) return std::nullopt;
    NodeFacts facts{entry.name, entry.server, entry.modified_s, entry.size_bytes, std::nullopt};
    if (series_ != nullptr) {
      facts.modified_s = ModifiedOf(entry, *series_);
      facts.size = SizeOf(context_, entry, *series_, KnownBytes(*series_, path->sop));
    }
    if (MustFetch(context_, facts.size)) return std::nullopt;
    return EnterEntry(context_, handle_.node, facts, handle_.answer.fresh_for_ms);
  }

  Context& context_;
  const DirectoryHandle& handle_;
  const bool with_attributes_;
  std::shared_ptr<const SeriesSnapshot> series_;  // with attributes, in a series
};

}  // namespace

void OpenDirectory(const ContextRef& context, NodeId node, std::stop_token stop,
                   Callback<OpenReply> done) {
  auto copy = context->nodes.Find(node);
  if (!copy) return done(Fail(GoneError()));
  if (copy->is_file()) return done(Fail(Errc::kNotDirectory, copy->path.Text() + " is a file"));
  const catalog::ObjectPath path = copy->path;
  context->catalog.List(
      path, std::move(stop),
      Continue<catalog::ListAnswer, OpenReply>(
          context, std::move(done),
          [copy = std::move(*copy)](const ContextRef& alive, catalog::ListAnswer list,
                                    const Callback<OpenReply>& answer) {
            if (!alive->nodes.AddHandle(copy.id)) return answer(Fail(GoneError()));
            const bool unchanged = alive->nodes.SwapListingVersion(copy.id, list.listing->version);
            OpenReply reply;
            reply.cache_directory = list.fresh_for_ms > 0;
            reply.keep_cache = reply.cache_directory && unchanged;
            reply.handle =
                alive->directories.Add(std::make_shared<DirectoryHandle>(copy, std::move(list)));
            answer(reply);
          }));
}

Status ReadDirectory(Context& context, HandleId id, uint64_t offset, bool with_attributes,
                     const Filesystem::Emit& emit) {
  const auto handle = context.directories.Find(id);
  if (handle == nullptr) return Fail(Errc::kInvalidArgument, "no such directory handle");
  const catalog::Listing& listing = *handle->answer.listing;
  context.nodes.ListingUsed(handle->node, listing.version);
  const uint64_t end = listing.entries.size() + kDotEntries;
  if (offset >= end) return {};
  const DirectoryReader reader(context, *handle, offset, with_attributes);
  if (offset == 0 && !reader.EmitDot(".", handle->inode, 1, emit)) return {};
  if (offset <= 1 && !reader.EmitDot("..", handle->parent_inode, 2, emit)) return {};
  for (uint64_t at = std::max(offset, kDotEntries); at < end; ++at)
    if (!reader.Emit(listing.entries[at - kDotEntries], at + 1, emit)) return {};
  return {};
}

void ReleaseDirectory(Context& context, HandleId id) {
  const auto handle = context.directories.Remove(id);
  if (handle != nullptr) context.nodes.RemoveHandle(handle->node);
}

}  // namespace tciafs::vfs
