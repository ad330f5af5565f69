// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Every decision of the file system: names to nodes, attributes, sizes, handles, extended
// attributes, errors. Knows nothing of FUSE, curl or LMDB; src/fuse decodes a request, calls here,
// and encodes the answer. All data comes through the three seams: catalog (names), fetch and cache
// (bytes).
//
// Nobody waits on a thread here: an operation that needs the archive returns at once and its
// callback comes later, exactly once, from whoever finished the work, with no lock of this class
// held (a reply can be the last reference the kernel has, and can lead straight back into Forget).
// A stop request ends an operation with kCancelled.
//
// Node ids name objects the kernel knows: a node lives while its lookup count is above zero, and is
// never reused for another object. Inode numbers (Attributes::inode) are derived from the path and
// so stay the same across mounts.
//
// Every directory holds a directory `.tcia` that is never listed: files the file system makes
// itself (src/vfs/virtual_files.h). Looking up one that tells rows of the archive may ask for
// listings.
//
// Lock order: the node table's mutex is a leaf; no lock is held across a call into catalog, fetch
// or cache, nor across a callback.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tciafs/cache/block_cache.h"
#include "tciafs/catalog/catalog.h"
#include "tciafs/fetch/fetcher.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/executor.h"
#include "tciafs/util/result.h"
#include "tciafs/vfs/operations.h"
#include "tciafs/vfs/status.h"

namespace tciafs::vfs {

using NodeId = uint64_t;
using HandleId = uint64_t;
inline constexpr NodeId kRootNode = 1;

enum class NodeType { kDirectory, kFile };

struct Attributes {
  uint64_t inode = 0;
  NodeType type = NodeType::kDirectory;
  int64_t size_bytes = 0;
  int64_t modified_s = 0;
  int32_t modified_ns = 0;  // of a directory: moves with each change of its listing
  uint32_t mode = 0;        // permission bits
  uint32_t uid = 0;
  uint32_t gid = 0;
};

struct AttributesReply {
  Attributes attributes;
  int64_t valid_for_ms = 0;
};

// `node` 0: there is no such name, which may be remembered for `entry_valid_for_ms`. Any other
// reply has counted one lookup of the node: if it cannot be delivered, Forget it.
struct EntryReply {
  NodeId node = 0;
  Attributes attributes;
  int64_t entry_valid_for_ms = 0;
  int64_t attributes_valid_for_ms = 0;
};

// If it cannot be delivered, Release (or ReleaseDirectory) the handle.
struct OpenReply {
  HandleId handle = 0;
  bool keep_cache = false;  // pages (or directory entries) of an earlier open are still good
  // The kernel knows the size and cannot have, or wait for, any page: it may be given the head.
  bool first = false;
  bool cache_directory = false;
};

struct DirectoryEntry {
  std::string_view name;
  uint64_t next_offset = 0;  // where to go on after this entry
  // Node 0, with inode and type alone, unless asked for with attributes; and always for ".", ".."
  // and a file whose size would have to be fetched first.
  EntryReply entry;
};

// Bytes to answer a read with: a range of a file or, where that has no descriptor, `bytes`; either
// lasts as long as `keep_alive`.
struct ReadReply {
  cache::FileRange range;
  std::shared_ptr<const void> keep_alive;
  std::string_view bytes = {};
};

// A cache file that holds exactly the bytes of an instance, verified; `fd` is valid as long as
// `file` is kept, and for that long the cache knows that it is used.
struct BackingReply {
  int fd = -1;
  std::shared_ptr<cache::InstanceFile> file;
};

struct SpaceReply {
  int64_t block_bytes = 4096;
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;
  int64_t files = 0;
};

// How much of what the kernel caches is no longer true; the fuse layer passes it on.
//   kEntry       the name `name` in the directory `node`
//   kDirectory   the attributes and the entries of the directory `node`
//   kAttributes  the attributes of the directory `node` alone
//   kFile        the attributes and the pages of the file `node`
// Keep a copy until the kernel has been told: an open that found another size than the kernel
// believes is answered when the last copy has gone, so that fstat is exact from then on. Where the
// kernel believes in a smaller size, `grown` is the file: not every way of reading asks for the
// size again (sendfile and splice do not), so its end has to be handed to the kernel.
struct Invalidation {
  enum class Kind { kEntry, kDirectory, kAttributes, kFile };
  Kind kind = Kind::kEntry;
  NodeId node = 0;   // the parent (kEntry), or the node itself
  std::string name;  // kEntry
  std::shared_ptr<const void> until_told = nullptr;
  std::shared_ptr<cache::InstanceFile> grown = nullptr;
};

enum class UnknownSize { kEstimate, kFetch, kZero };

// Whether a program may start a download of this path; an error is what it gets in its place.
// Called for what is not in the cache, on the thread of the operation.
using FetchGuard = std::function<Status(int64_t pid, const std::string& path)>;

struct FilesystemOptions {
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t umask = 022;
  UnknownSize unknown_size = UnknownSize::kEstimate;
  int64_t kernel_validity_max_ms = 24 * 3600 * 1000LL;
  // False: the kernel reads files it did not ask to open (the handle of Read is 0). No guessed size
  // is told then, as with kFetch, since nothing would correct it in time.
  bool files_are_opened = true;
  FetchGuard fetch_guard = nullptr;  // null: every program may
  std::vector<std::string> scopes;   // of the servers, by index
  std::string version;               // of the program, told in .tcia/status.json
  std::string mountpoint;            // likewise
  bool offline = false;              // likewise
  std::string scratch_directory;     // for long files of .tcia, without names; "": in memory
  const Clock* clock = nullptr;      // borrowed; null: the system's
};

// Who asks, and how long the answer is wanted. A stop token alone is somebody unknown.
struct Asker {
  Asker(std::stop_token until = {}, int64_t asking_pid = 0)
      : stop(std::move(until)), pid(asking_pid) {}
  std::stop_token stop;
  int64_t pid = 0;  // or thread; 0: unknown, of another PID namespace, or the kernel itself
};

class Filesystem {
 public:
  virtual ~Filesystem() = default;

  // Errors: kStale (a node that is gone), kNotDirectory, kNameTooLong, those of catalog::Catalog
  // but for kNotFound, which is a reply with node 0; with UnknownSize::kFetch also those of fetch.
  virtual void Lookup(NodeId parent, std::string_view name, Asker asker,
                      Callback<EntryReply> done) = 0;
  virtual void Forget(NodeId node, uint64_t lookups) = 0;
  // `handle` 0 if there is none.
  virtual void GetAttributes(NodeId node, HandleId handle, Asker asker,
                             Callback<AttributesReply> done) = 0;

  virtual void OpenDirectory(NodeId node, std::stop_token stop, Callback<OpenReply> done) = 0;
  // Emits entries from `offset` on until the emitter returns false (it did not fit: that entry is
  // taken back). With attributes, every entry emitted counts as one lookup of its node.
  using Emit = std::function<bool(const DirectoryEntry&)>;
  virtual Status ReadDirectory(HandleId handle, uint64_t offset, bool with_attributes,
                               const Emit& emit) = 0;
  virtual void ReleaseDirectory(HandleId handle) = 0;
  // For a kernel that does not ask to open directories: a handle to read on with from `offset`, in
  // the listing the offset comes from; release it when that is done. Such a kernel keeps entries
  // until it is told, or sees the directory modified when its attributes have become old: they are
  // valid no longer than the listing is fresh, and to ask for them has an old listing renewed.
  // kStale if the listing has changed and the earlier one is not kept any more.
  virtual void ResumeDirectory(NodeId node, uint64_t offset, std::stop_token stop,
                               Callback<OpenReply> done) = 0;

  // Brings the instance here if it is not; afterwards GetAttributes with the handle is exact.
  // kStale also where the archive has replaced the instance while handles of the node are open:
  // they keep the old bytes, and the name has a new node from now on, found by Lookup.
  virtual void Open(NodeId node, bool for_writing, Asker asker, Callback<OpenReply> done) = 0;
  // Without a handle: an instance is brought here by its first read, and one that proves replaced,
  // or of another size than was told, is kStale. What was replaced has another node then.
  virtual void Read(NodeId node, HandleId handle, int64_t offset, int64_t size_bytes, Asker asker,
                    Callback<ReadReply> done) = 0;
  virtual void Release(HandleId handle) = 0;
  // The file behind an open handle, for a kernel that is to read it without asking us. Handles of
  // one node have the same bytes, so one file serves them all. kUnsupported where every read must
  // be asked for, kCorrupt where the bytes have just proved damaged (a Read fetches them again).
  virtual Result<BackingReply> Backing(HandleId handle) = 0;
  // The first bytes behind an open handle, to be handed to a kernel that has not asked for them
  // yet, at most cache::kInstanceHeadBytes. At once; on failure a Read is to tell what is wrong.
  virtual Result<ReadReply> Head(HandleId handle) = 0;

  virtual Result<std::string> GetXattr(NodeId node, std::string_view name) = 0;
  virtual Result<std::vector<std::string>> ListXattr(NodeId node) = 0;
  virtual SpaceReply Space() const = 0;
  virtual MountStatus Report() const = 0;
  virtual std::string StatusJson() const = 0;  // what /.tcia/status.json has

  // One listener, set before the first call; called with no lock held, never from inside an
  // operation of the kernel's (posted to the executor given at creation). An empty one takes it
  // away again: once that call has returned, the earlier one is not running any more. Not to be
  // called from the listener itself.
  virtual void OnInvalidation(std::function<void(const Invalidation&)> listener) = 0;

  // Counted by whoever answers the kernel.
  virtual OperationCounters& operations() = 0;
  virtual size_t nodes() const = 0;  // for tests and metrics
};

// The references are borrowed and outlive the file system. Callbacks of operations still under way
// when it is destroyed come with kCancelled.
std::unique_ptr<Filesystem> CreateFilesystem(const FilesystemOptions& options,
                                             catalog::Catalog& catalog, fetch::Fetcher& fetcher,
                                             cache::BlockCache& cache, Executor& executor);

}  // namespace tciafs::vfs
