// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/node_table.h"

#include <algorithm>
#include <array>
#include <utility>

#include "tciafs/catalog/names.h"
#include "tciafs/util/bytes.h"
#include "tciafs/util/hash.h"

namespace tciafs::vfs {
namespace {

constexpr int64_t kNoListingVersion = -1;
constexpr size_t kBucketsKept = 1024;  // below this a hash table is not worth shrinking
// New names in one change whose remembered absence is taken back one by one; with more, the few
constexpr size_t kLevels = 6;
// What was listed together is told a little apart.
constexpr int64_t kListedSlackMs = 1000;

template <typename Table>
void ShrinkIfSparse(Table& table) {
  if (table.bucket_count() > kBucketsKept && table.size() < table.bucket_count() / 8)
    table.rehash(0);
}

uint64_t NonZero(uint64_t hash) { return hash != 0 ? hash : 1; }

// The names of a directory's path, the topmost first.
std::vector<std::string> NamesOf(const catalog::ObjectPath& path) {
  using catalog::EncodeName;
  const std::array ids = {&path.collection.text(), &path.patient.text(), &path.study.text(),
                          &path.series.text()};
  std::vector<std::string> names;
  for (size_t i = 0; i < ids.size() && i < static_cast<size_t>(path.level); ++i)
    names.push_back(EncodeName(*ids[i]));
  return names;
}

}  // namespace

uint64_t InodeOf(uint64_t parent_inode, std::string_view name) {
  const uint64_t hash = Xxh3(AsBytes(name), parent_inode);
  return hash > kRootNode ? hash : hash + 2;
}

Content ContentOf(int64_t size_bytes, std::string_view md5_hex,
                  const source::SeriesVersion& version) {
  Content content{size_bytes, 0, 0};
  if (!md5_hex.empty()) content.md5_hash = NonZero(Xxh3(AsBytes(md5_hex)));
  if (!version.timestamp.empty()) {
    const auto seed = static_cast<uint64_t>(version.image_count) * 0x9E3779B97F4A7C15u ^
                      static_cast<uint64_t>(version.total_bytes);
    content.version_hash = NonZero(Xxh3(AsBytes(version.timestamp), seed));
  }
  return content;
}

bool SameContent(const Content& a, const Content& b) {
  if (a.size_bytes != b.size_bytes) return false;
  if (a.md5_hash != 0 && b.md5_hash != 0) return a.md5_hash == b.md5_hash;
  return a.version_hash != 0 && a.version_hash == b.version_hash;
}

size_t NodeTable::ChildHash::operator()(const Node* node) const { return node->inode; }
size_t NodeTable::ChildHash::operator()(const ChildKey& key) const { return key.inode; }
bool NodeTable::ChildEqual::operator()(const Node* a, const Node* b) const { return a == b; }
bool NodeTable::ChildEqual::operator()(const ChildKey& key, const Node* node) const {
  return node->parent == key.parent && node->name == key.name;
}
bool NodeTable::ChildEqual::operator()(const Node* node, const ChildKey& key) const {
  return (*this)(key, node);
}

NodeTable::NodeTable(bool files_are_opened) : files_are_opened_(files_are_opened) {
  Node& root = nodes_[kRootNode];
  root.id = kRootNode;
  root.inode = kRootNode;
  root.parent = &root;
}
NodeTable::~NodeTable() = default;

NodeTable::Node* NodeTable::FindNode(NodeId id) const {
  const auto found = nodes_.find(id);
  return found != nodes_.end() ? const_cast<Node*>(&found->second) : nullptr;
}

NodeTable::Node* NodeTable::FindChild(const Node& parent, std::string_view name) const {
  const auto found = children_.find(ChildKey{&parent, name, InodeOf(parent.inode, name)});
  return found != children_.end() ? *found : nullptr;
}

std::optional<NodeCopy> NodeTable::Find(NodeId id) const {
  std::array<const Node*, kLevels> way;  // upwards
  size_t depth = 0;
  MutexLock lock(mutex_);
  const Node* node = FindNode(id);
  if (node == nullptr) return std::nullopt;
  NodeCopy copy;
  copy.id = id;
  copy.parent = node->parent->id;
  copy.name = node->name;
  copy.inode = node->inode;
  copy.parent_inode = node->parent->inode;
  copy.modified_s = node->modified_s;
  copy.advertised_bytes = node->advertised_bytes;
  copy.listed = node->listed;
  if (node->content_current) copy.exact_bytes = node->content.size_bytes;
  for (; node->id != kRootNode; node = node->parent) way[depth++] = node;
  const size_t server = depth > 0 ? way[depth - 1]->server : 0;  // a collection belongs to one
  while (depth > 0) {
    const Node& next = *way[--depth];
    auto own_id = next.level == catalog::Level::kInstance ? catalog::DecodeInstanceName(next.name)
                                                          : catalog::DecodeName(next.name);
    if (!own_id) return std::nullopt;  // Enter has seen to it that this cannot be
    copy.path = std::move(copy.path).Child(std::move(*own_id), server);
  }
  return copy;
}

std::optional<Entered> NodeTable::Enter(NodeId parent_id, const NodeFacts& facts) {
  MutexLock lock(mutex_);
  Node* parent = FindNode(parent_id);
  if (parent == nullptr || parent->level == catalog::Level::kInstance) return std::nullopt;
  const uint64_t inode = InodeOf(parent->inode, facts.name);
  const auto found = children_.find(ChildKey{parent, facts.name, inode});
  Node& node = found != children_.end() ? **found : AddChild(*parent, facts, inode);
  ++node.lookups;
  node.server = static_cast<uint32_t>(facts.server);
  node.modified_s = facts.modified_s;
  node.advertised_bytes = facts.advertised_bytes;
  Entered entered{node.id, node.inode, {}, node.listed};
  if (!facts.size) {
    node.ToldUntil(facts.told_until_ms);
    return entered;
  }
  entered.size = node.content_current ? InstanceSize{node.content.size_bytes, SizeOrigin::kExact}
                                      : *facts.size;
  node.Told(entered.size);
  return entered;
}

NodeTable::Node& NodeTable::AddChild(Node& parent, const NodeFacts& facts, uint64_t inode) {
  const NodeId id = next_id_++;
  Node& node = nodes_[id];
  node.id = id;
  node.name = std::string(facts.name);
  node.inode = inode;
  node.parent = &parent;
  node.level = static_cast<catalog::Level>(static_cast<int>(parent.level) + 1);
  node.next = parent.first_child;
  if (node.next != nullptr) node.next->previous = &node;
  parent.first_child = &node;
  children_.insert(&node);
  return node;
}

void NodeTable::Forget(NodeId id, uint64_t lookups) {
  MutexLock lock(mutex_);
  Node* node = FindNode(id);
  if (node == nullptr || id == kRootNode) return;
  node->lookups -= std::min(node->lookups, lookups);
  DropIfUnused(node);
}

// Upwards: a parent may have stayed only for this child.
void NodeTable::DropIfUnused(Node* node) {
  while (node->id != kRootNode && node->lookups == 0 && node->handles == 0 &&
         node->first_child == nullptr) {
    Node* parent = node->parent;
    children_.erase(node);
    (node->previous != nullptr ? node->previous->next : parent->first_child) = node->next;
    if (node->next != nullptr) node->next->previous = node->previous;
    nodes_.erase(node->id);
    node = parent;
  }
  ShrinkIfSparse(nodes_);
  ShrinkIfSparse(children_);
}

InstanceSize NodeTable::Tell(NodeId id, InstanceSize size) {
  MutexLock lock(mutex_);
  Node* node = FindNode(id);
  if (node == nullptr) return size;
  if (node->content_current) size = {node->content.size_bytes, SizeOrigin::kExact};
  node->Told(size);
  return size;
}

ListedState NodeTable::TellDirectory(NodeId id, int64_t until_ms) {
  MutexLock lock(mutex_);
  Node* node = FindNode(id);
  if (node == nullptr) return {};
  node->ToldUntil(until_ms);
  return node->listed;
}

bool NodeTable::NoteListed(NodeId id, int64_t until_ms) {
  MutexLock lock(mutex_);
  Node* node = FindNode(id);
  if (node == nullptr) return false;
  node->listed.until_ms = until_ms;
  if (node->told_until_ms <= until_ms + kListedSlackMs) return false;
  node->told_until_ms = until_ms;
  return true;
}

bool NodeTable::AddHandle(NodeId id) {
  MutexLock lock(mutex_);
  Node* node = FindNode(id);
  if (node == nullptr) return false;
  ++node->handles;
  return true;
}

void NodeTable::RemoveHandle(NodeId id) {
  MutexLock lock(mutex_);
  Node* node = FindNode(id);
  if (node == nullptr || node->handles == 0) return;
  if (--node->handles == 0 && node->superseded) {
    node->superseded = false;
    node->content_current = false;
  }
  DropIfUnused(node);
}

uint64_t NodeTable::changes() const {
  MutexLock lock(mutex_);
  return changes_;
}

std::optional<Installed> NodeTable::Install(NodeId id, const Content& content,
                                            uint64_t changes_before) {
  MutexLock lock(mutex_);
  Node* node = FindNode(id);
  if (node == nullptr) return std::nullopt;
  Installed installed;
  if (node->content.size_bytes >= 0) {
    installed.keep_pages = SameContent(node->content, content);
    installed.replaced = !installed.keep_pages;
  }
  installed.first = node->content.size_bytes < 0 && node->told_bytes == content.size_bytes;
  installed.size_corrected = node->told_bytes >= 0 && node->told_bytes != content.size_bytes;
  installed.grown = node->believed_bytes >= 0 && node->believed_bytes < content.size_bytes;
  if (!files_are_opened_ && installed.size_corrected) node->misled = true;
  if ((installed.replaced && (node->handles > 0 || !files_are_opened_)) || node->misled) {
    children_.erase(node);
    node->superseded = true;
    return Installed{.parted = true};
  }
  ++node->handles;
  node->content = content;
  node->superseded = changes_before != changes_;
  node->content_current = true;
  return installed;
}

bool NodeTable::SwapListingVersion(NodeId id, int64_t version) {
  MutexLock lock(mutex_);
  Node* node = FindNode(id);
  return node != nullptr && std::exchange(node->listing_version, version) == version;
}

void NodeTable::ListingUsed(NodeId id, int64_t version) {
  MutexLock lock(mutex_);
  Node* node = FindNode(id);
  if (node != nullptr && node->listing_version != version)
    node->listing_version = kNoListingVersion;
}

// The name still stands for the same object, so its entry stays: dropping the entry of a directory
// would leave every program that works inside it without a way to its own path.
void NodeTable::Outdate(Node& node, std::vector<Invalidation>& invalidations) {
  using Kind = Invalidation::Kind;
  const bool is_file = node.level == catalog::Level::kInstance;
  invalidations.push_back({is_file ? Kind::kFile : Kind::kDirectory, node.id, "", nullptr});
  if (!is_file) ++node.listed.changes;
  const bool may_have_readers = !files_are_opened_ && is_file && node.content.size_bytes >= 0;
  if (may_have_readers && children_.erase(&node) > 0)
    invalidations.push_back({Kind::kEntry, node.parent->id, node.name, nullptr});
  if (node.handles > 0)
    node.superseded = true;
  else
    node.content_current = false;
  if (node.level != catalog::Level::kSeries) return;
  for (Node* child = node.first_child; child != nullptr; child = child->next)
    Outdate(*child, invalidations);
}

std::vector<Invalidation> NodeTable::ApplyChange(const catalog::Change& change) {
  using Kind = Invalidation::Kind;
  std::vector<Invalidation> invalidations;
  const std::vector<std::string> names = NamesOf(change.directory);
  MutexLock lock(mutex_);
  ++changes_;
  Node* directory = FindNode(kRootNode);
  for (const std::string& name : names) {
    directory = FindChild(*directory, name);
    if (directory == nullptr) return invalidations;
  }
  if (!change.removed.empty() || !change.added.empty() || change.changed.empty()) {
    invalidations.push_back({Kind::kDirectory, directory->id, "", nullptr});
    ++directory->listed.changes;
  }
  for (const std::string& name : change.removed) {
    Node* child = FindChild(*directory, name);
    if (child == nullptr) continue;
    Outdate(*child, invalidations);
    invalidations.push_back({Kind::kEntry, directory->id, name, nullptr});
  }
  for (const std::string& name : change.changed)
    if (Node* child = FindChild(*directory, name)) Outdate(*child, invalidations);
  // That a name now added was told to be absent the kernel forgets by itself before long. Telling
  // it would wait for every lookup under way in this directory, and whatever comes after for that.
  return invalidations;
}

size_t NodeTable::size() const {
  MutexLock lock(mutex_);
  return nodes_.size();
}

}  // namespace tciafs::vfs
