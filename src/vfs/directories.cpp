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
constexpr int kPlaceBits = 40;
constexpr uint64_t kPlaceMask = (uint64_t{1} << kPlaceBits) - 1;

// Of the version no more bits than a positive offset has room for.
uint64_t OffsetBase(const catalog::Listing& listing) {
  return static_cast<uint64_t>(listing.version) << kPlaceBits & INT64_MAX;
}

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
  DirectoryReader(Context& context, DirectoryHandle& handle, uint64_t place, bool with_attributes)
      : context_(context), handle_(handle), with_attributes_(with_attributes) {
    if (!with_attributes || handle.path.level != Level::kSeries) return;
    if (place > 0) series_ = handle.snapshot();
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

void ListingGiven(Context& context, NodeId node, const catalog::ListAnswer& list) {
  if (context.nodes.NoteListed(node, ToldUntil(context, list.fresh_for_ms)))
    context.invalidations->Post({{Invalidation::Kind::kAttributes, node, "", nullptr}});
}

void ResumeDirectory(const ContextRef& context, NodeId node, uint64_t offset, std::stop_token stop,
                     Callback<OpenReply> done) {
  auto copy = context->nodes.Find(node);
  if (!copy) return done(Fail(GoneError()));
  if (copy->is_file()) return done(Fail(Errc::kNotDirectory, copy->path.Text() + " is a file"));
  const bool begins = (offset & kPlaceMask) == 0;
  const uint64_t base = offset & ~kPlaceMask;
  const auto resume = [node](Context& in, std::shared_ptr<DirectoryHandle> reading,
                             const Callback<OpenReply>& answer) {
    if (!in.nodes.AddHandle(node)) return answer(Fail(GoneError()));
    OpenReply reply;
    reply.handle = in.directories.Add(std::move(reading));
    answer(reply);
  };
  if (!begins)
    if (auto reading = context->readings.Find(node, base))
      return resume(*context, std::move(reading), done);
  const catalog::ObjectPath path = copy->path;
  context->catalog.List(
      path, std::move(stop),
      Continue<catalog::ListAnswer, OpenReply>(
          context, std::move(done),
          [copy = std::move(*copy), begins, base, resume](const ContextRef& alive,
                                                          catalog::ListAnswer list,
                                                          const Callback<OpenReply>& answer) {
            const uint64_t found = OffsetBase(*list.listing);
            if (!begins && found != base)
              return answer(Fail(Errc::kStale, "the directory changed while it was read"));
            if (begins) ListingGiven(*alive, copy.id, list);
            auto reading = std::make_shared<DirectoryHandle>(copy, std::move(list));
            alive->readings.Put(copy.id, found, reading);
            resume(*alive, std::move(reading), answer);
          }));
}

Status ReadDirectory(Context& context, HandleId id, uint64_t offset, bool with_attributes,
                     const Filesystem::Emit& emit) {
  const auto handle = context.directories.Find(id);
  if (handle == nullptr) return Fail(Errc::kInvalidArgument, "no such directory handle");
  const catalog::Listing& listing = *handle->answer.listing;
  context.nodes.ListingUsed(handle->node, listing.version);
  const uint64_t end = listing.entries.size() + kDotEntries;
  const uint64_t place = offset & kPlaceMask;
  const uint64_t base = OffsetBase(listing);
  if (place >= end) return {};
  const DirectoryReader reader(context, *handle, place, with_attributes);
  if (place == 0 && !reader.EmitDot(".", handle->inode, base | 1, emit)) return {};
  if (place <= 1 && !reader.EmitDot("..", handle->parent_inode, base | 2, emit)) return {};
  for (uint64_t at = std::max(place, kDotEntries); at < end; ++at)
    if (!reader.Emit(listing.entries[at - kDotEntries], base | (at + 1), emit)) return {};
  return {};
}

void ReleaseDirectory(Context& context, HandleId id) {
  const auto handle = context.directories.Remove(id);
  if (handle != nullptr) context.nodes.RemoveHandle(handle->node);
}

}  // namespace tciafs::vfs
