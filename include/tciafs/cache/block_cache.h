// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The block cache: one directory per series, one data file per instance with every byte at its
// natural offset, and an index of series, instances and blocks (man/tciafs-cache.5 is the format).
//
// What a caller may rely on: nothing is visible before it is whole (an instance is published in one
// index transaction after its bytes were written); a crash leaves a miss, never wrong bytes; the
// byte cap holds at every moment, also while writing, and the cache does not write below the
// free-space floor (it looks every few MiB, since others write too); after a power failure files
// may be back whose removal had not reached the disk: never read, but not counted; files in use
// stay readable after eviction; sizes and MD5 sums are remembered after eviction (the oldest go
// when the index is full); blocks written by an earlier run are checked against their checksums
// before their first use. A disk that fails degrades to memory-backed instances with a loud log,
// not to errors.
//
// This header is the seam towards fetch and vfs: no LMDB in sight. cache/disk_cache.h makes the
// real one. Thread-safe, except that one SeriesWriter/InstanceWriter is used by one thread at a
// time. The cache outlives its writers and InstanceFiles; an InstanceWriter may outlive its
// SeriesWriter, the fetch then ends with it. Errors: kNotFound (a miss), kCorrupt (a block failed
// its checksum: now a miss), kNoSpace (with the reason), kBusy (somebody else is writing it),
// kInvalidArgument (ids that are empty or too long), kInternal.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "tciafs/source/records.h"
#include "tciafs/util/bytes.h"
#include "tciafs/util/result.h"

namespace tciafs::cache {

// The scope (server and account) is part of the key: what one account may see is not another's.
struct SeriesKey {
  std::string scope;
  source::SeriesUid series;
  friend bool operator==(const SeriesKey&, const SeriesKey&) = default;
  friend auto operator<=>(const SeriesKey&, const SeriesKey&) = default;
};

// Of an instance, what programs look at that want to know what it is; checked by itself.
inline constexpr int64_t kInstanceHeadBytes = int64_t{16} << 10;

// Bytes of an instance as a range of a file; the fd stays valid while the InstanceFile lives.
struct FileRange {
  int fd = -1;
  int64_t offset = 0;
  int64_t size_bytes = 0;  // 0 at or past the end of the instance
};

// An instance that can be read. Holding it keeps its series from being evicted from under the
// reader.
class InstanceFile {
 public:
  virtual ~InstanceFile() = default;
  virtual int64_t size_bytes() const = 0;
  virtual std::string md5_hex() const = 0;  // of the bytes as stored; "" if not computed
  // Clamped to the instance. Verifies the touched blocks first if an earlier run wrote them, and
  // always that the file is as long as it should be; kCorrupt: it is not, or a block was bad, and
  // the instance has been withdrawn and must be fetched again.
  virtual Result<FileRange> Read(int64_t offset, int64_t size_bytes) = 0;
  // For a reader that will not ask again: the descriptor of a file that holds the instance, from
  // its first byte to its last and nothing else, all of it verified, and its series too; valid as
  // that of a range is. Reads and verifies at most `unverified_bytes_max` for that. kUnsupported:
  // more would be needed, the series is not verified (its instances may yet prove wrong and be
  // withdrawn), or the instance is held in memory; kCorrupt as from Read.
  virtual Result<int> WholeFile(int64_t unverified_bytes_max) = 0;
};

// What is known of an instance from having had it, whether or not its bytes are still here.
struct KnownInstance {
  source::SopUid sop;
  int64_t size_bytes = 0;
  std::string md5_hex;
  bool cached = false;
};

class InstanceWriter {
 public:
  virtual ~InstanceWriter() = default;  // dropping it unpublished discards the bytes
  // kNoSpace if the reservation cannot be stretched, or others have filled the disk; disk failures
  // go to memory instead.
  virtual Status Append(ByteView bytes) = 0;
  // Makes it visible to Open. Fails without side effects.
  virtual Result<std::shared_ptr<InstanceFile>> Publish(const std::string& md5_hex) = 0;
};

// One fetch of one series. Destroying it gives back what was reserved and not used.
class SeriesWriter {
 public:
  virtual ~SeriesWriter() = default;
  // For an instance that is here already the writer takes the bytes without looking at them, and
  // Publish gives the instance that is here. kBusy while another writer of the instance lives.
  virtual Result<std::unique_ptr<InstanceWriter>> BeginInstance(const source::SopUid& sop) = 0;
  // Takes a published instance back (its MD5 proved wrong): it is a miss again, and the next Read
  // of a handle opened meanwhile gives kCorrupt. Its size and MD5 are forgotten. kNotFound if it is
  // not here.
  virtual Status Withdraw(const source::SopUid& sop) = 0;
  // Count, sum and hashes have been checked: the series is complete. Without effect where the
  // version's image_count tells otherwise, as when some could only be held in memory.
  virtual Status MarkVerified() = 0;
};

struct SeriesPlan {
  SeriesKey key;
  source::SeriesVersion version;  // total_bytes -1: unknown, space is then reserved as bytes land
};

// Whether series that are wanted could all be here at once. What files take on the disk beyond
// their size is counted in; a series of unknown size counts as nothing.
struct RoomFor {
  int64_t needed_bytes = 0;       // still to come
  int64_t room_bytes = 0;         // free under the cap and above the floor, or evicted to be so
  int64_t pinned_lack_bytes = 0;  // what is still to come of other series that are pinned
  // Of other series, not to be had:
  int64_t pinned_bytes = 0;
  int64_t in_use_bytes = 0;  // being read, or fetched
  bool Fits() const { return needed_bytes <= room_bytes; }
};

struct Usage {
  int64_t cap_bytes = 0;
  int64_t used_bytes = 0;      // on disk, file-system blocks and index included
  int64_t reserved_bytes = 0;  // promised to fetches under way, not yet written
  int64_t free_floor_bytes = 0;
  int64_t disk_free_bytes = 0;
  int64_t series = 0;
  int64_t series_pinned = 0;  // also those that are not here
  int64_t instances = 0;      // cached
  int64_t evictions = 0;  // series evicted for space since it was opened
  bool degraded = false;      // the disk failed; new data goes to memory
};

// A series that is here, in whole or in part, or that is pinned.
struct CachedSeries {
  SeriesKey key;
  source::SeriesVersion version;
  int64_t instances = 0;   // here
  int64_t disk_bytes = 0;  // of the directory and all in it
  int64_t last_use_unix_ms = 0;
  bool verified = false;
  bool pinned = false;
  bool in_use = false;  // being read, or fetched
};

class BlockCache {
 public:
  virtual ~BlockCache() = default;

  // kNotFound if it is not here, or is here in another version of the series; kBusy if it is here
  // and the process is out of descriptors or memory. Touches the LRU clock.
  virtual Result<std::shared_ptr<InstanceFile>> Open(const SeriesKey& key,
                                                     const source::SeriesVersion& version,
                                                     const source::SopUid& sop) = 0;
  // Sorted by SOP UID. Instances of another version of the series are not told.
  virtual std::vector<KnownInstance> Known(const SeriesKey& key,
                                           const source::SeriesVersion& version) const = 0;
  virtual std::optional<KnownInstance> Known(const SeriesKey& key,
                                             const source::SeriesVersion& version,
                                             const source::SopUid& sop) const = 0;

  // Reserves the space first, evicting least recently used series that are neither pinned nor in
  // use; kNoSpace, before a byte is fetched, if it cannot fit. An older version of the same series
  // is dropped; where that or the evicting fails the fetch goes to memory. One writer per series at
  // a time: a second gets kBusy.
  virtual Result<std::unique_ptr<SeriesWriter>> BeginSeries(const SeriesPlan& plan) = 0;

  // True if BeginSeries was once completed with MarkVerified for this version and all is still
  // here.
  virtual bool Verified(const SeriesKey& key, const source::SeriesVersion& version) const = 0;

  // A pinned series is never evicted for space; pinning one that is not here is remembered.
  virtual Status Pin(const SeriesKey& key, bool pinned) = 0;
  // The same for many, at once or, where the disk fails, perhaps for some.
  virtual Status Pin(const std::vector<SeriesPlan>& plans, bool pinned) = 0;
  virtual bool Pinned(const SeriesKey& key) const = 0;
  // At this moment; nothing is promised. It counts what is here of the wanted series as kept.
  virtual RoomFor CheckRoom(const std::vector<SeriesPlan>& wanted) const = 0;
  // Also under its readers (they keep their bytes) and if pinned (the pin stays). kNotFound if it
  // is not here, kBusy while it is being written, another error if files are left (to be tried
  // again).
  virtual Status Evict(const SeriesKey& key) = 0;
  // Least recently used first.
  virtual std::vector<CachedSeries> Cached() const = 0;
  // Reads an instance again from the disk, whatever was checked before, and compares every block
  // with its checksum and the whole with its MD5, where that is known; the LRU clock stands still.
  // kCorrupt, with the reason: it was not intact and is a miss now, also for who has it open.
  // kNotFound: it is not here, or held in memory only; kBusy as from Open; kCancelled.
  virtual Status CheckIntact(const SeriesKey& key, const source::SopUid& sop,
                             const std::stop_token& stop) = 0;
  virtual Usage usage() const = 0;
};

}  // namespace tciafs::cache
