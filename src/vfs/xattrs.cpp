// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/xattrs.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "vfs/attributes.h"
#include "vfs/entries.h"
#include "vfs/limits.h"
#include "vfs/tables.h"
#include "vfs/virtual_files.h"

namespace tciafs::vfs {
namespace {

std::string Prefixed(std::string_view name) { return std::string(kXattrPrefix).append(name); }

bool KeptInName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

std::string ShortError(std::string error) {
  if (error.size() > kXattrValueBytesMax) error.resize(kXattrValueBytesMax);  // a text for people
  return error;
}

// An instance that failed on its own account says so; else, while it is not here, what failed its
// series is why.
std::string InstanceError(const Context& context, const SeriesAccess& series,
                          const source::SopUid& sop, bool cached) {
  std::string error = context.fetcher.LastError(series.key, sop);
  if (error.empty() && !cached) error = context.fetcher.LastError(series.key, source::SopUid());
  return error;
}

Xattrs InstanceXattrs(const Context& context, const NodeCopy& node) {
  const SeriesSnapshot series = SeriesRecordOf(context, node.path);
  std::optional<cache::KnownInstance> known;
  std::string error;
  if (series.access) {
    const source::SopUid& sop = node.path.sop;
    known = context.cache.Known(series.access->key, series.access->version(), sop);
    error = InstanceError(context, *series.access, sop, known && known->cached);
  }
  catalog::Entry entry;
  entry.size_bytes = node.advertised_bytes;
  const int64_t exact_bytes = known ? known->size_bytes : node.exact_bytes;
  const InstanceSize size = SizeOf(context, entry, series, exact_bytes);

  Xattrs xattrs;
  xattrs.emplace_back(Prefixed("cached"), known && known->cached ? "1" : "0");
  xattrs.emplace_back(Prefixed("size"), SizeOriginName(size.origin));
  if (known && !known->md5_hex.empty()) xattrs.emplace_back(Prefixed("md5"), known->md5_hex);
  if (!error.empty()) xattrs.emplace_back(Prefixed("error"), ShortError(std::move(error)));
  return xattrs;
}

std::string DirectoryError(const Context& context, const catalog::ObjectPath& path) {
  std::string error = context.catalog.LastError(path);
  const bool in_series = path.level == catalog::Level::kSeries;
  if (!error.empty() || !in_series || path.server >= context.options.scopes.size()) return error;
  return context.fetcher.LastError({context.options.scopes[path.server], path.series},
                                   source::SopUid());
}

// What is stored of it; of a collection all there is to tell is who lists it.
source::Attributes RowOf(const Context& context, const catalog::ObjectPath& path) {
  if (path.level == catalog::Level::kCollection)
    return {ServerOf(context.catalog.Health(), path.server)};
  auto attributes = context.catalog.AttributesOf(path);
  return attributes ? *std::move(attributes) : source::Attributes();
}

Result<Xattrs> XattrsOf(const Context& context, NodeId id) {
  if (IsVirtual(id)) return VirtualXattrs(context, id);
  const auto node = context.nodes.Find(id);
  if (!node) return Fail(GoneError());
  if (node->is_file()) return InstanceXattrs(context, *node);
  return DirectoryXattrs(WithIds(node->path, RowOf(context, node->path)),
                         DirectoryError(context, node->path));
}

}  // namespace

std::string XattrNameOf(std::string_view attribute) {
  std::string name;
  std::copy_if(attribute.begin(), attribute.end(), std::back_inserter(name), KeptInName);
  return name;
}

Xattrs DirectoryXattrs(const source::Attributes& attributes, const std::string& error) {
  Xattrs xattrs;
  std::unordered_set<std::string> taken = {Prefixed("error")};
  size_t list_bytes = 0;
  const auto add = [&](std::string name, std::string value) {
    if (list_bytes + name.size() + 1 > kXattrListBytesMax) return;
    list_bytes += name.size() + 1;
    xattrs.emplace_back(std::move(name), std::move(value));
  };
  if (!error.empty()) add(Prefixed("error"), ShortError(error));
  for (const source::Attribute& attribute : attributes) {
    const std::string name = XattrNameOf(attribute.name);
    if (name.empty() || attribute.value.size() > kXattrValueBytesMax) continue;
    std::string full = Prefixed(name);
    if (full.size() <= kXattrNameBytesMax && taken.insert(full).second)
      add(std::move(full), attribute.value);
  }
  return xattrs;
}

// Labels and ACLs are asked of every file by `ls -l`, unless it hears that there are none at all.
Error ForeignXattr(std::string_view name) {
  const bool of_users = name.starts_with(kUserXattrPrefix);
  return {of_users ? Errc::kNoAttribute : Errc::kUnsupported, std::string(name)};
}

Result<std::string> GetNodeXattr(const Context& context, NodeId node, std::string_view name) {
  if (!name.starts_with(kXattrPrefix)) return Fail(ForeignXattr(name));
  TCIAFS_ASSIGN(const Xattrs xattrs, XattrsOf(context, node));
  for (const auto& [known, value] : xattrs)
    if (known == name) return value;
  return Fail(Errc::kNoAttribute, std::string(name));
}

Result<std::vector<std::string>> ListNodeXattr(const Context& context, NodeId node) {
  TCIAFS_ASSIGN(const Xattrs xattrs, XattrsOf(context, node));
  std::vector<std::string> names;
  names.reserve(xattrs.size());
  for (const auto& [name, value] : xattrs) names.push_back(name);
  return names;
}

}  // namespace tciafs::vfs
