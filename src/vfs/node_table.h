// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The objects the kernel knows. A node is its name under its parent; the ids on the way down are
// found by walking up, so that a node costs about 300 bytes. It stays while it has lookups,
// handles, or children in the table (their paths lead through it), and its memory goes with it.
//
// For a file it also keeps what the kernel was told of the size and which content was opened last,
// so that a size that proves wrong, or content that was replaced, is noticed. The kernel keeps one
// set of pages per node and hands them to every handle without asking, so a node with open handles
// never changes its content: when an open brings another one, the name parts from the node and gets
// a new one, and the old handles keep the old bytes.
//
// Thread-safe; one mutex, a leaf. Returns copies. Sizes in bytes, -1 where unknown.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tciafs/catalog/catalog.h"
#include "tciafs/util/mutex.h"
#include "tciafs/vfs/filesystem.h"
#include "vfs/attributes.h"

namespace tciafs::vfs {

// The same for the same path on every mount. Never 0 (no inode) or 1 (the root).
uint64_t InodeOf(uint64_t parent_inode, std::string_view name);

// What tells one content of an instance from another.
struct Content {
  int64_t size_bytes = -1;    // -1: none
  uint64_t md5_hash = 0;      // 0: unknown
  uint64_t version_hash = 0;  // of the series; 0: unknown
};
Content ContentOf(int64_t size_bytes, std::string_view md5_hex,
                  const source::SeriesVersion& version);
// By MD5 where both are known, else by the version; what cannot be proved is not the same.
bool SameContent(const Content& a, const Content& b);

// What the kernel may keep of a directory it read without opening it.
struct ListedState {
  int64_t until_ms = -1;  // when the listing it was given is no longer fresh; -1: it has none
  uint32_t changes = 0;   // of the listing, since the kernel knows the node
};

struct NodeCopy {
  NodeId id = 0;
  NodeId parent = 0;  // the root's is the root
  std::string name;
  catalog::ObjectPath path;
  uint64_t inode = 0;
  uint64_t parent_inode = 0;
  int64_t modified_s = 0;
  int64_t advertised_bytes = -1;
  int64_t exact_bytes = -1;  // of the content opened last, while it is known to be current
  ListedState listed;        // of directories
  bool is_file() const { return path.level == catalog::Level::kInstance; }
};

// What a lookup learnt of a name. `size` is for files; `told_until_ms`, of directories, is how long
// the kernel may keep the attributes (monotonic).
struct NodeFacts {
  std::string_view name;
  size_t server = 0;
  int64_t modified_s = 0;
  int64_t advertised_bytes = -1;
  std::optional<InstanceSize> size;
  int64_t told_until_ms = 0;
};

struct Entered {
  NodeId id = 0;
  uint64_t inode = 0;
  InstanceSize size;   // what the kernel is to be told
  ListedState listed;  // of a directory
};

struct Installed {
  bool parted = false;          // not installed: handles of another content are open
  bool first = false;           // never opened before, and the kernel knows its size
  bool keep_pages = false;      // the content is that of the last open
  bool replaced = false;        // another content was open before
  bool size_corrected = false;  // the kernel was told another size as the truth
  bool grown = false;           // the kernel believes in a smaller size, were it an estimate
};

class NodeTable {
 public:
  // Where the kernel does not ask to open files, any node may have readers: content that is
  // replaced, or of another size than was told, always gets a node of its own, and names go to it
  // as soon as that is known.
  explicit NodeTable(bool files_are_opened = true);
  ~NodeTable();
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;

  std::optional<NodeCopy> Find(NodeId id) const;
  // Counts one lookup of the child. nullopt if the parent is gone.
  std::optional<Entered> Enter(NodeId parent, const NodeFacts& facts);
  void Forget(NodeId id, uint64_t lookups);
  // What the kernel is to be told of a file's size: the exact one if it has been learnt meanwhile.
  InstanceSize Tell(NodeId id, InstanceSize size);
  // The kernel is told the attributes of a directory, to keep until `until_ms`.
  ListedState TellDirectory(NodeId id, int64_t until_ms);
  // The kernel, which did not open it, is given a listing that is fresh until `until_ms`. True if
  // it keeps the attributes for longer, and so would not ask when the listing has become old.
  bool NoteListed(NodeId id, int64_t until_ms);

  // A handle keeps its node. False if it is gone.
  bool AddHandle(NodeId id);
  void RemoveHandle(NodeId id);

  // Changes applied so far: taken before the catalog is asked, it tells Install whether the answer
  // may have been overtaken by a change.
  uint64_t changes() const;
  // The content an instance proved to have; counts a handle. If there may be readers of another
  // content, the name parts from the node: the next Enter makes a new one. nullopt if the node is
  // gone.
  std::optional<Installed> Install(NodeId id, const Content& content, uint64_t changes_before);

  // True if the listing of the directory opened last had this version too. `version` is remembered.
  bool SwapListingVersion(NodeId id, int64_t version);
  // Called when entries of a listing are handed out: if another one was opened since, the kernel's
  // directory cache may hold either, so the next open must not keep it.
  void ListingUsed(NodeId id, int64_t version);

  // What the kernel has to drop after this change, none for what it does not know.
  std::vector<Invalidation> ApplyChange(const catalog::Change& change);

  size_t size() const;

 private:
  struct Node {
    NodeId id = 0;
    Node* parent = nullptr;
    Node* first_child = nullptr;
    Node* previous = nullptr;  // siblings
    Node* next = nullptr;
    std::string name;
    uint64_t inode = 0;
    uint64_t lookups = 0;
    int64_t modified_s = 0;
    int64_t advertised_bytes = -1;
    int64_t told_bytes = -1;       // the size the kernel may hold on to
    int64_t believed_bytes = -1;   // the size the kernel heard last, estimates too
    int64_t listing_version = -1;  // of the open before; -1: none that can be relied on
    int64_t told_until_ms = 0;     // of directories
    ListedState listed;            // of directories
    Content content;
    uint32_t handles = 0;
    uint32_t server = 0;
    catalog::Level level = catalog::Level::kRoot;
    bool content_current = false;  // `content` is what an open would bring
    bool superseded = false;       // the series changed while handles were open
    bool misled = false;  // not opened, and told a wrong size: whatever is read may end too early

    void Told(const InstanceSize& size) {
      told_bytes = size.origin == SizeOrigin::kEstimated ? -1 : size.bytes;
      believed_bytes = size.bytes;
    }
    void ToldUntil(int64_t until_ms) {  // attributes are told for no longer than the listing
      told_until_ms = listed.until_ms < 0 ? until_ms : std::min(until_ms, listed.until_ms);
    }
  };
  struct ChildKey {
    const Node* parent = nullptr;
    std::string_view name;
    uint64_t inode = 0;
  };
  struct ChildHash {
    using is_transparent = void;
    size_t operator()(const Node* node) const;
    size_t operator()(const ChildKey& key) const;
  };
  struct ChildEqual {
    using is_transparent = void;
    bool operator()(const Node* a, const Node* b) const;
    bool operator()(const ChildKey& key, const Node* node) const;
    bool operator()(const Node* node, const ChildKey& key) const;
  };

  Node* FindNode(NodeId id) const TCIAFS_REQUIRES(mutex_);
  Node* FindChild(const Node& parent, std::string_view name) const TCIAFS_REQUIRES(mutex_);
  Node& AddChild(Node& parent, const NodeFacts& facts, uint64_t inode) TCIAFS_REQUIRES(mutex_);
  void DropIfUnused(Node* node) TCIAFS_REQUIRES(mutex_);
  void Outdate(Node& node, std::vector<Invalidation>& invalidations) TCIAFS_REQUIRES(mutex_);

  const bool files_are_opened_;
  mutable Mutex mutex_;
  std::unordered_map<NodeId, Node> nodes_ TCIAFS_GUARDED_BY(mutex_);  // addresses are stable
  std::unordered_set<Node*, ChildHash, ChildEqual> children_ TCIAFS_GUARDED_BY(mutex_);
  uint64_t changes_ TCIAFS_GUARDED_BY(mutex_) = 0;
  NodeId next_id_ TCIAFS_GUARDED_BY(mutex_) = kRootNode + 1;
};

}  // namespace tciafs::vfs
