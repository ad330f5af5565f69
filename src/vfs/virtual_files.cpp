// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/virtual_files.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "vfs/context.h"
#include "vfs/lookups.h"
#include "vfs/status_report.h"

namespace tciafs::vfs {
namespace {

constexpr std::array kVirtualFiles = {
    VirtualFile{catalog::Level::kRoot, "status.json",
                [](const Context& context, const catalog::ObjectPath&) -> Result<std::string> {
                  return StatusReport(TakeStatus(context));
                }},
};

std::vector<const VirtualFile*> FilesAt(catalog::Level level) {
  std::vector<const VirtualFile*> files;
  for (const VirtualFile& file : kVirtualFiles)
    if (file.level == level) files.push_back(&file);
  std::sort(files.begin(), files.end(), [](auto* a, auto* b) { return a->name < b->name; });
  return files;
}

int64_t ForEver(const Context& context) {
  return KernelValidity(context.options, context.options.kernel_validity_max_ms);
}

Attributes AttributesOf(const Context& context, const VirtualNode& node) {
  if (node.file == nullptr)
    return DirectoryAttributes(context.options, node.inode, node.modified_s);
  return FileAttributes(context.options, node.inode, node.modified_s,
                        static_cast<int64_t>(node.text->size()));
}

EntryReply AbsentVirtual(const Context& context) {
  EntryReply reply;
  reply.entry_valid_for_ms = ForEver(context);
  return reply;
}

// Counts the lookup. A directory stays what it is; the name of a file means new content each time.
Result<EntryReply> EnterVirtual(Context& context, VirtualNode node) {
  const Attributes attributes = AttributesOf(context, node);
  const NodeId directory = node.directory;
  const int64_t name_valid_ms = node.file == nullptr ? ForEver(context) : 0;
  if (!context.nodes.AddHandle(directory)) return Fail(GoneError());
  const auto entered = context.virtual_nodes.Enter(std::move(node));
  if (!entered.is_new) context.nodes.RemoveHandle(directory);
  return EntryReply{entered.id, attributes, name_valid_ms, ForEver(context)};
}

Result<VirtualNode> FindVirtual(const Context& context, NodeId id, bool want_directory) {
  auto node = context.virtual_nodes.Find(id);
  if (!node) return Fail(GoneError());
  if ((node->file == nullptr) == want_directory) return *std::move(node);
  if (want_directory) return Fail(Errc::kNotDirectory, std::string(node->file->name));
  return Fail(Errc::kIsDirectory, std::string(kVirtualDirectoryName));
}

}  // namespace

VirtualNodes::Entered VirtualNodes::Enter(VirtualNode node) {
  MutexLock lock(mutex_);
  const bool is_directory = node.file == nullptr;
  if (is_directory) {
    if (const auto known = directories_.find(node.directory); known != directories_.end()) {
      ++nodes_.at(known->second).lookups;
      return {known->second, false};
    }
  }
  const NodeId id = node.id = next_id_++;
  if (is_directory) directories_.emplace(node.directory, id);
  nodes_.emplace(id, Counted{std::move(node), 1});
  return {id, true};
}

std::optional<VirtualNode> VirtualNodes::Find(NodeId id) const {
  MutexLock lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return std::nullopt;
  return found->second.node;
}

std::optional<NodeId> VirtualNodes::Forget(NodeId id, uint64_t lookups) {
  std::unordered_map<NodeId, Counted>::node_type gone;  // its text goes outside the lock
  MutexLock lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return std::nullopt;
  found->second.lookups -= std::min(found->second.lookups, lookups);
  if (found->second.lookups > 0) return std::nullopt;
  gone = nodes_.extract(found);
  if (gone.mapped().node.file == nullptr) directories_.erase(gone.mapped().node.directory);
  return gone.mapped().node.directory;
}

size_t VirtualNodes::size() const {
  MutexLock lock(mutex_);
  return nodes_.size();
}

Result<EntryReply> LookupVirtualDirectory(Context& context, const NodeCopy& directory) {
  if (FilesAt(directory.path.level).empty()) return AbsentVirtual(context);
  VirtualNode node;
  node.directory = directory.id;
  node.directory_inode = directory.inode;
  node.inode = InodeOf(directory.inode, kVirtualDirectoryName);
  node.path = directory.path;
  return EnterVirtual(context, std::move(node));
}

Result<EntryReply> LookupVirtual(Context& context, NodeId parent, std::string_view name) {
  TCIAFS_ASSIGN(VirtualNode node, FindVirtual(context, parent, /*want_directory=*/true));
  if (name == ".") return EnterVirtual(context, std::move(node));
  const auto files = FilesAt(node.path.level);
  const auto found =
      std::find_if(files.begin(), files.end(), [&](auto* file) { return file->name == name; });
  if (found == files.end()) return AbsentVirtual(context);
  node.file = *found;
  node.inode = InodeOf(node.inode, name);
  node.modified_s = context.clock.UnixMs() / 1000;
  TCIAFS_ASSIGN(std::string text, node.file->generate(context, node.path));
  node.text = std::make_shared<const std::string>(std::move(text));
  return EnterVirtual(context, std::move(node));
}

void ForgetVirtual(Context& context, NodeId node, uint64_t lookups) {
  if (const auto directory = context.virtual_nodes.Forget(node, lookups))
    context.nodes.RemoveHandle(*directory);
}

Result<AttributesReply> VirtualAttributes(const Context& context, NodeId id) {
  const auto node = context.virtual_nodes.Find(id);
  if (!node) return Fail(GoneError());
  return AttributesReply{AttributesOf(context, *node), ForEver(context)};
}

Result<OpenReply> OpenVirtualDirectory(const Context& context, NodeId id) {
  TCIAFS_TRY(FindVirtual(context, id, /*want_directory=*/true));
  OpenReply reply;
  reply.handle = id;
  reply.keep_cache = reply.cache_directory = true;
  return reply;
}

Status ReadVirtualDirectory(const Context& context, HandleId handle, uint64_t offset,
                            const Filesystem::Emit& emit) {
  TCIAFS_ASSIGN(const VirtualNode node, FindVirtual(context, handle, /*want_directory=*/true));
  std::vector<DirectoryEntry> entries(2);
  entries[0].name = ".";
  entries[0].entry.attributes.inode = node.inode;
  entries[1].name = "..";
  entries[1].entry.attributes.inode = node.directory_inode;
  for (const VirtualFile* file : FilesAt(node.path.level)) {
    DirectoryEntry& entry = entries.emplace_back();
    entry.name = file->name;
    entry.entry.attributes.inode = InodeOf(node.inode, file->name);
    entry.entry.attributes.type = NodeType::kFile;
  }
  for (uint64_t at = offset; at < entries.size(); ++at) {
    entries[at].next_offset = at + 1;
    if (!emit(entries[at])) return {};
  }
  return {};
}

Result<OpenReply> OpenVirtual(const Context& context, NodeId id, bool for_writing) {
  TCIAFS_TRY(FindVirtual(context, id, /*want_directory=*/false));
  if (for_writing) return Fail(Errc::kReadOnly, "this file cannot be written to");
  OpenReply reply;
  reply.handle = id;
  reply.keep_cache = true;
  return reply;
}

Result<ReadReply> ReadVirtual(const Context& context, NodeId id, int64_t offset,
                              int64_t size_bytes) {
  if (offset < 0 || size_bytes < 0)
    return Fail(Errc::kInvalidArgument, "a negative offset or size");
  TCIAFS_ASSIGN(VirtualNode node, FindVirtual(context, id, /*want_directory=*/false));
  ReadReply reply;
  reply.text = std::move(node.text);
  const auto from = std::min(static_cast<size_t>(offset), reply.text->size());
  reply.bytes = std::string_view(*reply.text).substr(from, static_cast<size_t>(size_bytes));
  return reply;
}

}  // namespace tciafs::vfs
