// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/virtual_files.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "vfs/attributes.h"
#include "vfs/context.h"
#include "vfs/virtual_content.h"

namespace tciafs::vfs {
namespace {

using catalog::Level;
using Kind = VirtualFile::Kind;
constexpr TableFormat kCsv = TableFormat::kCsv;
constexpr TableFormat kJson = TableFormat::kJson;

constexpr std::array kVirtualFiles = {
    VirtualFile{Level::kRoot, "status.json", Kind::kStatus},
    VirtualFile{Level::kRoot, "metrics", Kind::kMetrics},
    VirtualFile{Level::kRoot, "collections.csv", Kind::kCollections, Level::kCollection, kCsv},
    VirtualFile{Level::kRoot, "collections.json", Kind::kCollections, Level::kCollection, kJson},
    VirtualFile{Level::kCollection, "patients.csv", Kind::kRows, Level::kPatient, kCsv},
    VirtualFile{Level::kCollection, "patients.json", Kind::kRows, Level::kPatient, kJson},
    VirtualFile{Level::kCollection, "series.csv", Kind::kRows, Level::kSeries, kCsv},
    VirtualFile{Level::kCollection, "series.json", Kind::kRows, Level::kSeries, kJson},
    VirtualFile{Level::kPatient, "studies.csv", Kind::kRows, Level::kStudy, kCsv},
    VirtualFile{Level::kPatient, "studies.json", Kind::kRows, Level::kStudy, kJson},
    VirtualFile{Level::kPatient, "series.csv", Kind::kRows, Level::kSeries, kCsv},
    VirtualFile{Level::kPatient, "series.json", Kind::kRows, Level::kSeries, kJson},
    VirtualFile{Level::kStudy, "series.csv", Kind::kRows, Level::kSeries, kCsv},
    VirtualFile{Level::kStudy, "series.json", Kind::kRows, Level::kSeries, kJson},
    VirtualFile{Level::kSeries, "series.json", Kind::kOwnRow, Level::kSeries, kJson},
    VirtualFile{Level::kSeries, "instances.csv", Kind::kInstances, Level::kInstance, kCsv},
    VirtualFile{Level::kSeries, "instances.json", Kind::kInstances, Level::kInstance, kJson},
    VirtualFile{Level::kSeries, "LICENSE", Kind::kLicense},
};

std::vector<const VirtualFile*> FilesAt(Level level) {
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
  return FileAttributes(context.options, node.inode, node.modified_s, node.text->size_bytes());
}

EntryReply AbsentVirtual(const Context& context) {
  EntryReply reply;
  reply.entry_valid_for_ms = ForEver(context);
  return reply;
}

// Counts the lookup, unless it has been. A directory stays what it is; the name of a file may mean
// new content each time.
Result<EntryReply> EnterVirtual(Context& context, VirtualNode node) {
  const Attributes attributes = AttributesOf(context, node);
  const NodeId directory = node.directory;
  const int64_t name_valid_ms = node.file == nullptr ? ForEver(context) : 0;
  if (node.file != nullptr && node.id != 0)
    return EntryReply{node.id, attributes, name_valid_ms, ForEver(context)};
  if (!context.nodes.AddHandle(directory)) return Fail(GoneError());
  const auto entered = context.virtual_nodes.Enter(std::move(node));
  if (!entered.is_new) context.nodes.RemoveHandle(directory);
  return EntryReply{entered.id, attributes, name_valid_ms, ForEver(context)};
}

std::string PathText(const VirtualNode& node) {
  std::string path = node.path.level == Level::kRoot ? std::string() : node.path.Text();
  path.append("/").append(kVirtualDirectoryName);
  if (node.file != nullptr) path.append("/").append(node.file->name);
  return path;
}

Result<VirtualNode> FindVirtual(const Context& context, NodeId id, bool want_directory) {
  auto node = context.virtual_nodes.Find(id);
  if (!node) return Fail(GoneError());
  if ((node->file == nullptr) == want_directory) return *std::move(node);
  if (want_directory) return Fail(Errc::kNotDirectory, std::string(node->file->name));
  return Fail(Errc::kIsDirectory, std::string(kVirtualDirectoryName));
}

}  // namespace

Result<EntryReply> LookupVirtualDirectory(Context& context, const NodeCopy& directory) {
  VirtualNode node;
  node.directory = directory.id;
  node.directory_inode = directory.inode;
  node.inode = InodeOf(directory.inode, kVirtualDirectoryName);
  node.path = directory.path;
  return EnterVirtual(context, std::move(node));
}

void LookupVirtual(const ContextRef& context, NodeId parent, std::string_view name,
                   std::stop_token stop, Callback<EntryReply> done) {
  auto node = FindVirtual(*context, parent, /*want_directory=*/true);
  if (!node) return done(Fail(std::move(node).error()));
  if (name == ".") return done(EnterVirtual(*context, *std::move(node)));
  const auto files = FilesAt(node->path.level);
  const auto found =
      std::find_if(files.begin(), files.end(), [&](auto* file) { return file->name == name; });
  if (found == files.end()) return done(AbsentVirtual(*context));
  node->id = 0;
  node->file = *found;
  node->inode = InodeOf(node->inode, name);
  const std::string path = PathText(*node);
  MakeContent(context, *std::move(node), std::move(stop),
              [weak = std::weak_ptr<Context>(context), path,
               done = std::move(done)](Result<VirtualNode> made) {
                const ContextRef alive = weak.lock();
                if (alive == nullptr) return done(Fail(UnmountedError()));
                if (!made) return done(Fail(made.error().Within(path)));
                done(EnterVirtual(*alive, *std::move(made)));
              });
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
  const int64_t from = std::min(offset, node.text->size_bytes());
  size_bytes = std::min(size_bytes, node.text->size_bytes() - from);
  if (node.text->fd() >= 0)
    reply.range = {node.text->fd(), from, size_bytes};
  else
    reply.bytes = std::string_view(node.text->text())
                      .substr(static_cast<size_t>(from), static_cast<size_t>(size_bytes));
  reply.keep_alive = std::move(node.text);
  return reply;
}

Result<Xattrs> VirtualXattrs(const Context& context, NodeId id) {
  const auto node = context.virtual_nodes.Find(id);
  if (!node) return Fail(GoneError());
  if (node->file != nullptr) return Xattrs();
  return DirectoryXattrs({}, context.catalog.LastError(node->path));
}

std::string VirtualPath(const Context& context, NodeId id, std::string_view name) {
  const auto node = context.virtual_nodes.Find(id);
  if (!node) return {};
  std::string path = PathText(*node);
  if (!name.empty()) path.append("/").append(name);
  return path;
}

}  // namespace tciafs::vfs
