// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The kernel's side of the file system's model, and what is checked of each answer.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "model/vfs_world.h"
#include "tciafs/catalog/names.h"

namespace tciafs::model {
namespace {

constexpr int64_t kTtlMs = 600'000;
constexpr int64_t kPauseMs = 60'000;  // between two answers that take a name away
constexpr int64_t kCalmMs = 2 * 3600 * 1000LL;
constexpr int kCalmRounds = 5;

std::string IdOf(const catalog::ObjectPath& directory, const std::string& name) {
  const auto id = directory.level == catalog::Level::kSeries ? catalog::DecodeInstanceName(name)
                                                             : catalog::DecodeName(name);
  return id.value_or("");
}

size_t ServerOf(const catalog::ObjectPath& directory, const std::string& name) {
  if (directory.level != catalog::Level::kRoot) return directory.server;
  return name == "NLST" ? 1 : 0;
}

}  // namespace

VfsWorld::VfsWorld() {
  for (size_t server = 0; server < kServers; ++server) {
    sources_.push_back(std::make_unique<ModelSource>(server, archive_, executor_));
    sources_.back()->on_bad_answer = [this](const source::CollectionId& collection) {
      BadAnswers& bad = bad_answers_[collection.text()];
      bad.last_ms = clock_.MonotonicMs();
      if (bad.first_ms < 0) bad.first_ms = bad.last_ms;
    };
  }
  cache_options_.directory = temp_.File("images");
  cache_options_.cap_bytes = cache::kCapBytesMin;
  Mount();
}

VfsWorld::~VfsWorld() { Unmount(); }

void VfsWorld::Expect(bool holds, const std::string& what) {
  if (!holds && failure_.empty()) failure_ = what;
}

void VfsWorld::Mount() {
  auto opened = cache::OpenDiskCache(cache_options_, clock_);
  auto store = catalog::CatalogStore::Open(temp_.File("catalog"));
  Expect(opened && store, "cannot be mounted");
  if (!opened || !store) return;
  cache_ = std::move(*opened);
  store_ = *store;
  std::vector<source::Source*> sources;
  vfs::FilesystemOptions options;
  for (const auto& source : sources_) {
    sources.push_back(source.get());
    options.scopes.push_back(source->scope());
  }
  catalog::CatalogOptions catalog_options;
  catalog_options.ttl_ms = kTtlMs;
  catalog_ = *catalog::OpenCatalog(catalog_options, store_, sources, clock_, executor_, scheduler_);
  fetcher_ = fetch::CreateSeriesFetcher({}, sources, *cache_, clock_, executor_, scheduler_);
  fs_ = vfs::CreateFilesystem(options, *catalog_, *fetcher_, *cache_, executor_);
  fs_->OnInvalidation([this](const vfs::Invalidation& told) { OnInvalidation(told); });
  inodes_[vfs::kRootNode] = Inode();
  CheckInode({}, 1);
}

void VfsWorld::Unmount() {
  for (const auto& pending : pending_) pending->cancelled = true;
  if (fetcher_) fetcher_->Shutdown();
  fs_.reset();
  fetcher_.reset();
  catalog_.reset();
  for (auto& source : sources_) {
    source->holding = false;
    source->ReleaseAll();
  }
  executor_.RunAll();
  for (const auto& pending : pending_)
    Expect(pending->answered, pending->what + " is never answered, also not by the unmount");
  store_.reset();
  cache_.reset();
  inodes_.clear();
  files_.clear();
  directories_.clear();
  pending_.clear();
  nodes_ever_.clear();
}

void VfsWorld::Remount() {
  struct Cached {
    cache::SeriesKey key;
    source::SeriesVersion version;
    source::SopUid sop;
  };
  std::vector<Cached> cached;
  for (int i = 0; i < kSlots; ++i) {
    const Slot& slot = archive_.slot(i);
    const cache::SeriesKey key{sources_[slot.server()]->scope(), slot.series()};
    const auto version = slot.Record().version;
    for (const auto& known : cache_->Known(key, version))
      if (known.cached) cached.push_back({key, version, known.sop});
  }
  Unmount();
  Mount();
  for (const Cached& one : cached) {
    const auto known = cache_->Known(one.key, one.version, one.sop);
    Expect(known && known->cached, one.sop.text() + " is not here any more after a remount");
  }
}

void VfsWorld::Drain() {
  executor_.RunAll();
  pending_.erase(std::remove_if(pending_.begin(), pending_.end(),
                                [](const auto& pending) { return pending->answered; }),
                 pending_.end());
}

void VfsWorld::Pass(int64_t ms) {
  for (int64_t left = ms; left > 0;) {  // work goes on while time passes
    const int64_t step = std::min<int64_t>(left, ms > 10'000 ? ms / 8 + 1 : 100);
    scheduler_.Advance(step);
    Drain();
    left -= step;
  }
}

template <typename Reply>
Callback<Reply> VfsWorld::Awaited(const std::string& what, vfs::NodeId busy, std::stop_token& stop,
                                  std::function<void(Result<Reply>)> then) {
  auto pending = std::make_shared<Pending>();
  pending->what = what;
  stop = pending->stop.get_token();
  pending_.push_back(pending);
  ++inodes_.at(busy).busy;
  return [this, pending, busy, then = std::move(then)](Result<Reply> reply) {
    Expect(!std::exchange(pending->answered, true), pending->what + " is answered twice");
    const auto inode = inodes_.find(busy);
    if (inode == inodes_.end()) return;  // unmounted
    --inode->second.busy;
    if (!reply && pending->cancelled && reply.error().code == Errc::kCancelled) return;
    then(std::move(reply));
  };
}
template Callback<vfs::EntryReply> VfsWorld::Awaited(const std::string&, vfs::NodeId,
                                                     std::stop_token&,
                                                     std::function<void(Result<vfs::EntryReply>)>);
template Callback<vfs::OpenReply> VfsWorld::Awaited(const std::string&, vfs::NodeId,
                                                    std::stop_token&,
                                                    std::function<void(Result<vfs::OpenReply>)>);
template Callback<vfs::ReadReply> VfsWorld::Awaited(const std::string&, vfs::NodeId,
                                                    std::stop_token&,
                                                    std::function<void(Result<vfs::ReadReply>)>);
template Callback<vfs::AttributesReply> VfsWorld::Awaited(
    const std::string&, vfs::NodeId, std::stop_token&,
    std::function<void(Result<vfs::AttributesReply>)>);

void VfsWorld::OnInvalidation(const vfs::Invalidation& invalidation) {
  const auto inode = inodes_.find(invalidation.node);
  if (inode == inodes_.end() || invalidation.kind != vfs::Invalidation::Kind::kFile) return;
  inode->second.believed_size.reset();
  inode->second.has_pages = false;
}

std::optional<int64_t> VfsWorld::Believed(const Inode& inode) const {
  return clock_.MonotonicMs() < inode.believed_until_ms ? inode.believed_size : std::nullopt;
}

void VfsWorld::CheckInode(const Path& path, uint64_t inode) {
  const std::string text = path.Text();
  const auto known = inode_numbers_.emplace(text, inode).first;
  Expect(known->second == inode, text + " has another inode number than before");
  Expect(paths_.emplace(inode, text).first->second == text, text + " shares its inode number");
}

void VfsWorld::OnEntry(vfs::NodeId parent, const Path& directory, const std::string& name,
                       const vfs::EntryReply& reply) {
  (void)parent;
  const std::string where = directory.Text() + "/" + name;
  const auto names = archive_.Names(directory);
  if (reply.node == 0) {
    Expect(!Owes(directory) || owed_[directory.Text()].count(name) == 0,
           where + " was listed, the archive has it, and it is said not to exist");
    Expect(disturbed_ || names.count(name) == 0, where + " is said not to exist");
    return;
  }
  const Path path = directory.Child(IdOf(directory, name), ServerOf(directory, name));
  const std::string text = path.Text();
  Inode& inode = inodes_[reply.node];
  const bool is_new = inode.lookups++ == 0;
  inode.path = path;
  const std::string& was = nodes_ever_.emplace(reply.node, text).first->second;
  Expect(was == text, text + " is a node that was " + was);
  if (is_new)
    for (const auto& [other, known] : inodes_)
      Expect(other == reply.node || known.path != path || MayPart(known), text + " has two nodes");
  Expect(archive_.NamesEver(directory).count(name) != 0, text + " exists, and never did");
  const bool is_file = path.level == catalog::Level::kInstance;
  Expect((reply.attributes.type == vfs::NodeType::kFile) == is_file, text + " is of another type");
  CheckInode(path, reply.attributes.inode);
  OnAttributes(reply.node, reply.attributes, reply.attributes_valid_for_ms);
  if (names.count(name) != 0) owed_[directory.Text()].insert(name);
}

void VfsWorld::OnAttributes(vfs::NodeId node, const vfs::Attributes& attributes,
                            int64_t valid_for_ms) {
  Inode& inode = inodes_.at(node);
  CheckInode(inode.path, attributes.inode);
  if (inode.path.level != catalog::Level::kInstance) return;
  Expect(attributes.size_bytes > 0, inode.path.Text() + " is said to be empty");
  inode.believed_size = attributes.size_bytes;
  inode.believed_until_ms = clock_.MonotonicMs() + valid_for_ms;
  const auto [number, instance] = archive_.Find(inode.path);
  if (disturbed_ || number < 0 || archive_.slot(number).server() != 0) return;
  const auto size = static_cast<int64_t>(
      archive_.slot(number).Bytes(archive_.slot(number).version, instance).size());
  Expect(attributes.size_bytes == size, inode.path.Text() + " is said to have another size");
}

void VfsWorld::OnOpened(vfs::NodeId node, const vfs::OpenReply& reply) {
  Inode& inode = inodes_.at(node);
  const std::string text = inode.path.Text();
  ++inode.busy;
  inode.was_open = true;
  OpenFile file;
  file.node = node;
  const auto [number, instance] = archive_.Find(inode.path);
  Expect(number >= 0, text + " is opened and never existed");
  if (number < 0) return;
  const Slot& slot = archive_.slot(number);
  if (!reply.keep_cache) inode.has_pages = false;
  bool stale = false;
  fs_->GetAttributes(node, reply.handle, {}, [&](Result<vfs::AttributesReply> attributes) {
    stale = !attributes && attributes.error().code == Errc::kStale;
    Expect(attributes.has_value() || stale, text + " is open and cannot be asked for its size");
    if (!attributes) return;
    file.size_bytes = attributes->attributes.size_bytes;
    const auto believed = Believed(inode);
    Expect(!believed || *believed == file.size_bytes,
           text + " is opened while the kernel believes in another size");
    OnAttributes(node, attributes->attributes, attributes->valid_for_ms);
  });
  for (const int version : slot.versions) {
    if (instance >= slot.instances(version)) continue;
    const auto size = static_cast<int64_t>(slot.Bytes(version, instance).size());
    if (stale || size == file.size_bytes) file.versions.insert(version);
  }
  Expect(!file.versions.empty(), text + " is opened in a size it never had");
  files_[reply.handle] = file;
}

void VfsWorld::OnRead(uint64_t handle, int64_t offset, int64_t size_bytes,
                      const vfs::ReadReply& reply) {
  OpenFile& file = files_.at(handle);
  Inode& inode = inodes_.at(file.node);
  const std::string text = inode.path.Text();
  const int64_t begin = std::min(offset, file.size_bytes);
  const int64_t expected = std::min(size_bytes, file.size_bytes - begin);
  Expect(reply.range.size_bytes == expected, text + ": another number of bytes is read");
  if (!failure_.empty() || expected == 0) return;
  std::string got(static_cast<size_t>(expected), '\0');
  const ssize_t count = ::pread(reply.range.fd, got.data(), got.size(), reply.range.offset);
  Expect(count == static_cast<ssize_t>(got.size()), text + ": its file is cut short");
  const auto [number, instance] = archive_.Find(inode.path);
  std::set<int> versions;
  for (const int version : file.versions)
    if (archive_.slot(number)
            .Bytes(version, instance)
            .compare(static_cast<size_t>(begin), got.size(), got) == 0)
      versions.insert(version);
  Expect(!versions.empty(), text + ": wrong bytes, or bytes of two versions through one handle");
  file.versions = versions;
  std::set<int> pages = versions;
  if (inode.has_pages) {
    pages.clear();
    std::set_intersection(versions.begin(), versions.end(), inode.page_versions.begin(),
                          inode.page_versions.end(), std::inserter(pages, pages.end()));
    Expect(!pages.empty(), text + ": pages of two versions in the kernel");
  }
  inode.has_pages = true;
  inode.page_versions = pages;
  if (hurt_size_ < 0 || handle != hurt_handle_) return;
  const std::string path = "/proc/self/fd/" + std::to_string(reply.range.fd);
  Expect(::truncate(path.c_str(), std::exchange(hurt_size_, -1)) == 0, path + ": not cut");
}

bool VfsWorld::MayPart(const Inode& inode) const {
  const int number = archive_.Find(inode.path).first;
  return inode.was_open && number >= 0 && archive_.slot(number).versions.size() > 1;
}

bool VfsWorld::Owes(const Path& directory) const {
  const auto few = [&](const std::string& collection) {
    const auto bad = bad_answers_.find(collection);
    return bad == bad_answers_.end() || bad->second.last_ms - bad->second.first_ms < kPauseMs;
  };
  return few("") && few(directory.collection.text());
}

void VfsWorld::StopOwing() {
  for (int i = 0; i < kSlots; ++i) {
    const Path series = archive_.slot(i).path();
    const size_t server = archive_.slot(i).server();
    Path above;
    const auto prune = [&](const Path& directory) {
      const auto names = archive_.Names(directory);
      auto& owed = owed_[directory.Text()];
      for (auto name = owed.begin(); name != owed.end();)
        name = names.count(*name) == 0 ? owed.erase(name) : std::next(name);
    };
    for (const auto& id : {series.collection.text(), series.patient.text(), series.study.text(),
                           series.series.text()}) {
      prune(above);
      above = above.Child(id, server);
    }
    prune(above);
  }
}

void VfsWorld::CheckListing(const Path& directory, const OpenDirectory& opened) {
  const std::vector<std::string>& names = opened.names;
  const std::string text = directory.Text();
  Expect(names.size() >= 2 && names[0] == "." && names[1] == "..", text + ": no . and ..");
  if (!failure_.empty()) return;
  const std::vector<std::string> listed(names.begin() + 2, names.end());
  Expect(std::adjacent_find(listed.begin(), listed.end(), std::greater_equal<>()) == listed.end(),
         text + " is not sorted, or has a name twice");
  const auto& ever = archive_.NamesEver(directory);
  const auto now = archive_.Names(directory);
  for (const std::string& name : listed)
    Expect(ever.count(name) != 0, text + " lists " + name + ", which never was there");
  const std::set<std::string> set(listed.begin(), listed.end());
  Expect(disturbed_ || set == now, text + " is not listed as it is");
  auto& owed = owed_[text];
  if (Owes(directory))
    for (const std::string& name : owed)
      Expect(set.count(name) != 0 || opened.owed.count(name) == 0,
             text + " does not list " + name + " any more, which the archive still has");
  owed.clear();
  for (const std::string& name : listed)
    if (now.count(name) != 0) owed.insert(name);
}

void VfsWorld::CheckError(const std::string& what, const Error& error) {
  static const std::set<Errc> kAllowed = {Errc::kUnavailable, Errc::kNotFound, Errc::kStale,
                                          Errc::kTimedOut, Errc::kCorrupt};
  const bool structural = error.code == Errc::kNotDirectory || error.code == Errc::kIsDirectory;
  Expect(structural || (disturbed_ && kAllowed.count(error.code) != 0),
         what + " fails: " + std::string(ErrcName(error.code)) + ", " + error.message);
}

vfs::NodeId VfsWorld::PickNode(int number, int level) const {
  std::vector<vfs::NodeId> nodes;
  for (const auto& [node, inode] : inodes_)
    if (level < 0 || static_cast<int>(inode.path.level) == level) nodes.push_back(node);
  return nodes.empty() ? 0 : nodes[static_cast<size_t>(number) % nodes.size()];
}

vfs::NodeId VfsWorld::NodeOf(const Path& path) {
  const auto find = [&](const Path& wanted) {
    for (const auto& [node, inode] : inodes_)
      if (inode.path == wanted) return node;
    return vfs::NodeId{0};
  };
  vfs::NodeId node = vfs::kRootNode;
  Path above;
  std::vector<std::string> ids = {path.collection.text(), path.patient.text(), path.study.text(),
                                  path.series.text(), path.sop.text()};
  ids.resize(static_cast<size_t>(path.level));
  for (const std::string& id : ids) {
    const Path below = above.Child(id, path.server);
    const bool is_file = below.level == catalog::Level::kInstance;
    StartLookup(node, is_file ? catalog::InstanceName(id) : catalog::EncodeName(id));
    Drain();
    node = find(below);
    if (node == 0) return 0;
    above = below;
  }
  return node;
}

// All faults end, and time passes: then everything is as the archive has it.
void VfsWorld::Calm() {
  for (auto& source : sources_) {
    source->mood = Mood::kWell;
    source->holding = source->sizes_drift = false;
    source->ReleaseAll();
  }
  // A server that answers with nothing at all is never believed, so each has something.
  for (const int number : {0, kSlots - 1}) archive_.slot(number).present = true;
  archive_.NoteNames();
  Pass(100'000);
  for (const auto& pending : pending_) Expect(pending->answered, pending->what + " hangs");
  while (!directories_.empty() && failure_.empty())
    while (ReadOn(directories_.begin()->first, 100, false)) continue;
  owed_.clear();  // what two answers took away may not have been listed since
  bad_answers_.clear();
  for (const auto& [handle, file] : files_) {
    fs_->Release(handle);
    --inodes_.at(file.node).busy;
  }
  files_.clear();
  for (int round = 1; round <= kCalmRounds && failure_.empty(); ++round) {
    calm_ = round == kCalmRounds;
    CompareTree({}, vfs::kRootNode);
    Pass(kCalmMs);
  }
  for (const auto& [node, inode] : inodes_)
    if (node != vfs::kRootNode) fs_->Forget(node, inode.lookups);
  inodes_.clear();
  inodes_[vfs::kRootNode] = Inode();
  Expect(fs_->nodes() == 1, "all is forgotten, and there are nodes left");
}

void VfsWorld::CompareTree(const Path& directory, vfs::NodeId node) {
  StartOpenDirectory(node);
  Drain();
  Pass(100);
  Expect(!calm_ || !directories_.empty(), directory.Text() + " cannot be listed");
  if (directories_.empty()) return;
  const uint64_t handle = directories_.begin()->first;
  while (directories_.count(handle) != 0 && directories_.at(handle).names.size() < 1000 &&
         ReadOn(handle, 1, /*with_attributes=*/true))
    last_names_ = directories_.at(handle).names;
  const std::set<std::string> listed(
      last_names_.size() < 2 ? last_names_.end() : last_names_.begin() + 2, last_names_.end());
  Expect(!calm_ || listed == archive_.Names(directory),
         directory.Text() + " is not listed as the archive has it, long after");
  for (const std::string& name : listed) {
    if (!failure_.empty()) return;
    const Path path = directory.Child(IdOf(directory, name), ServerOf(directory, name));
    const vfs::NodeId child = NodeOf(path);
    Expect(!calm_ || child != 0, path.Text() + " cannot be looked up");
    if (child == 0) continue;
    if (path.level != catalog::Level::kInstance)
      CompareTree(path, child);
    else if (calm_)
      CompareFile(child, path);
  }
}

void VfsWorld::CompareFile(vfs::NodeId node, const Path& path) {
  StartOpen(node);
  Pass(600);
  Expect(files_.size() == 1, path.Text() + " cannot be opened");
  if (!failure_.empty()) return;
  const uint64_t handle = files_.begin()->first;
  StartRead(handle, 0, int64_t{1} << 30);
  Drain();
  const auto [number, instance] = archive_.Find(path);
  const OpenFile& file = files_.begin()->second;
  Expect(number >= 0 && file.versions.count(archive_.slot(number).version) != 0,
         path.Text() + " has bytes of an older version, long after");
  fs_->Release(handle);
  --inodes_.at(node).busy;
  files_.clear();
}

}  // namespace tciafs::model
