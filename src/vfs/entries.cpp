// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/entries.h"

#include <algorithm>
#include <utility>

#include "tciafs/catalog/names.h"
#include "vfs/instances.h"

namespace tciafs::vfs {

std::optional<catalog::ObjectPath> PathOf(const catalog::ObjectPath& directory,
                                          const catalog::Entry& entry) {
  auto id = directory.level == catalog::Level::kSeries ? catalog::DecodeInstanceName(entry.name)
                                                       : catalog::DecodeName(entry.name);
  if (!id) return std::nullopt;
  return directory.Child(std::move(*id), entry.server);
}

source::Attribute ServerOf(const std::vector<catalog::ServerHealth>& servers, size_t server) {
  return {"Server", server < servers.size() ? servers[server].name : std::string(), false};
}

SeriesSnapshot SeriesRecordOf(const Context& context, const catalog::ObjectPath& path) {
  auto access = ResolveSeries(context, path);
  if (!access) return {};
  return {*std::move(access), {}};
}

int64_t KnownBytes(const Context& context, const SeriesSnapshot& series,
                   const source::SopUid& sop) {
  if (!series.access) return -1;
  const auto known = context.cache.Known(series.access->key, series.access->version(), sop);
  return known ? known->size_bytes : -1;
}

const cache::KnownInstance* FindKnown(const SeriesSnapshot& series, const source::SopUid& sop) {
  const auto known = std::lower_bound(
      series.known.begin(), series.known.end(), sop,
      [](const cache::KnownInstance& k, const source::SopUid& s) { return k.sop < s; });
  return known != series.known.end() && known->sop == sop ? &*known : nullptr;
}

int64_t KnownBytes(const SeriesSnapshot& series, const source::SopUid& sop) {
  const cache::KnownInstance* known = FindKnown(series, sop);
  return known != nullptr ? known->size_bytes : -1;
}

InstanceSize SizeOf(const Context& context, const catalog::Entry& entry,
                    const SeriesSnapshot& series, int64_t exact_bytes) {
  SizeFacts facts;
  facts.exact_bytes = exact_bytes;
  facts.advertised_bytes = entry.size_bytes;
  if (series.access) {
    facts.series_bytes = series.access->version().total_bytes;
    facts.series_instances = series.access->version().image_count;
  }
  return ChooseSize(facts, context.options.unknown_size);
}

int64_t ModifiedOf(const catalog::Entry& entry, const SeriesSnapshot& series) {
  if (entry.modified_s != 0 || !series.access) return entry.modified_s;
  return series.access->target.record.modified_s;
}

bool MustFetch(const Context& context, const std::optional<InstanceSize>& size) {
  const bool guesses_do =
      context.options.unknown_size != UnknownSize::kFetch && context.options.files_are_opened;
  return size && size->origin == SizeOrigin::kEstimated && !guesses_do;
}

AttributesReply FileReply(const Context& context, uint64_t inode, int64_t modified_s,
                          const InstanceSize& told, int64_t fresh_for_ms) {
  const int64_t valid_for_ms = KernelValidity(context.options, fresh_for_ms);
  return {FileAttributes(context.options, inode, modified_s, told.bytes),
          told.origin == SizeOrigin::kEstimated ? 0 : valid_for_ms};
}

int64_t ToldUntil(const Context& context, int64_t fresh_for_ms) {
  return context.clock.MonotonicMs() + KernelValidity(context.options, fresh_for_ms);
}

AttributesReply DirectoryReply(const Context& context, uint64_t inode, int64_t modified_s,
                               const ListedState& listed, int64_t fresh_for_ms) {
  int64_t valid_for_ms = KernelValidity(context.options, fresh_for_ms);
  if (listed.until_ms >= 0) {
    const int64_t listed_for_ms = listed.until_ms - context.clock.MonotonicMs();
    valid_for_ms = std::clamp<int64_t>(listed_for_ms, 0, valid_for_ms);
  }
  Attributes attributes = DirectoryAttributes(context.options, inode, modified_s);
  attributes.modified_ns = static_cast<int32_t>(listed.changes % 1'000'000'000);
  return {attributes, valid_for_ms};
}

std::optional<EntryReply> EnterEntry(Context& context, NodeId parent, NodeFacts facts,
                                     int64_t fresh_for_ms) {
  if (!facts.size) facts.told_until_ms = ToldUntil(context, fresh_for_ms);
  const auto entered = context.nodes.Enter(parent, facts);
  if (!entered) return std::nullopt;
  const AttributesReply reply =
      facts.size ? FileReply(context, entered->inode, facts.modified_s, entered->size, fresh_for_ms)
                 : DirectoryReply(context, entered->inode, facts.modified_s, entered->listed,
                                  fresh_for_ms);
  return EntryReply{entered->id, reply.attributes, KernelValidity(context.options, fresh_for_ms),
                    reply.valid_for_ms};
}

}  // namespace tciafs::vfs
