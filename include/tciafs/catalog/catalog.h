// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The tree of names with their records, persisted, and how fresh each part of it is.
//
// A directory is answered from the store at once while it is fresh; when its time has passed it is
// still answered at once, and renewed behind the scenes; when the renewal fails, or comes back
// empty, the old listing stays and the reason is kept; a single name goes when two answers lack it,
// some time apart. Only what was never listed makes a caller wait. Equal requests in flight are one
// request. A walk is recognised and answered by bulk requests.
//
// This header is the seam towards vfs: no store and no network in sight. catalog/lmdb_catalog.h
// makes the real one. Thread-safe. Callbacks come exactly once, on any thread (also on the calling
// one, before the call returns, when the answer is at hand), with no lock held. A stop request
// detaches the waiter with kCancelled; the shared request behind it goes on. Errors: those of
// source::Source; kNotFound, kNotDirectory, kOffline.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "tciafs/source/records.h"
#include "tciafs/source/source.h"
#include "tciafs/util/result.h"

namespace tciafs::catalog {

enum class Level { kRoot, kCollection, kPatient, kStudy, kSeries, kInstance };

// Names one object of the tree by the ids on the way down; ids below `level` are empty.
// `server` is the index of the source that listed the collection.
struct ObjectPath {
  Level level = Level::kRoot;
  size_t server = 0;
  source::CollectionId collection;
  source::PatientId patient;
  source::StudyUid study;
  source::SeriesUid series;
  source::SopUid sop;

  // The path one level down whose own id is `id`; for a child of the root, `server` says whose it
  // is.
  ObjectPath Child(std::string id, size_t child_server) const&;
  ObjectPath Child(std::string id, size_t child_server) &&;
  // The object of that level on the way down to this one; this one where it is not below that.
  ObjectPath At(Level ancestor) const&;
  ObjectPath At(Level ancestor) &&;
  static ObjectPath OfSeries(const source::SeriesRecord& record, size_t server);
  // "/Collection/Patient/..." with encoded names, as the user sees it.
  std::string Text() const;
  friend bool operator==(const ObjectPath&, const ObjectPath&) = default;
};

struct Entry {
  std::string name;  // encoded, with .dcm for an instance
  size_t server = 0;
  int64_t modified_s = 0;   // 0: unknown
  int64_t size_bytes = -1;  // instance: as advertised by the archive, -1 if it does not tell
};

struct Listing {
  std::vector<Entry> entries;  // sorted by name, bytewise; names unique
  int64_t version = 0;         // grows when the content changes
  const Entry* Find(std::string_view name) const;
};

struct ListAnswer {
  std::shared_ptr<const Listing> listing;
  int64_t fresh_for_ms = 0;  // how long a caller may keep it; 0 while a renewal is under way
};

struct LookupAnswer {
  Entry entry;
  int64_t fresh_for_ms = 0;
};

// A directory whose content is no longer what was answered before.
struct Change {
  ObjectPath directory;
  std::vector<std::string> removed;
  std::vector<std::string> added;
  std::vector<std::string> changed;  // same name, other record (e.g. a series re-submitted)
};

struct ServerHealth {
  std::string name;
  std::string scope;
  bool reachable = true;
  std::string last_error;       // "" if none since it last answered
  source::ServerStatus status;  // what the source itself says, and the last error of listing
  Errc last_error_code = {};    // of `last_error`
};

// One object with what the archive said of it.
struct Row {
  ObjectPath path;
  source::Attributes attributes;
};

// The stored rows of all objects of one level below a directory, of one moment: every pass shows
// the same. Used by one thread at a time, and not for long: what is stored meanwhile takes space.
// To be gone before the catalog.
class RowReader {
 public:
  virtual ~RowReader() = default;
  // In the order of the names on the way down, until the visitor returns false.
  using Visitor = std::function<bool(const Row&)>;
  virtual Status ForEach(const Visitor& visit) const = 0;
};

class Catalog {
 public:
  virtual ~Catalog() = default;

  virtual void List(const ObjectPath& directory, std::stop_token stop,
                    Callback<ListAnswer> done) = 0;
  // One name. Never lists a whole collection to answer for one patient.
  virtual void Lookup(const ObjectPath& directory, std::string name, std::stop_token stop,
                      Callback<LookupAnswer> done) = 0;

  // Has all objects of `level` below `directory` stored: where some never were, the archive is
  // asked for them, for many at once where that takes fewer requests. kTimedOut when the archive
  // has made no progress for so long; what was asked for still comes, behind.
  virtual void ListBelow(const ObjectPath& directory, Level level, std::stop_token stop,
                         Callback<void> done) = 0;

  // What is stored, at once, without the network; kNotFound if it was never listed.
  virtual Result<source::SeriesRecord> Series(const ObjectPath& series) const = 0;
  virtual Result<source::Attributes> AttributesOf(const ObjectPath& object) const = 0;
  // `level` from below `directory`, which is not the root, to kSeries.
  virtual Result<std::unique_ptr<RowReader>> Rows(const ObjectPath& directory,
                                                  Level level) const = 0;
  // Grows with everything that is stored: while it has not, all stored is what it was.
  virtual uint64_t revision() const = 0;

  // Asks the archive again now, whatever the age of the listing.
  virtual void Refresh(const ObjectPath& directory, std::stop_token stop, Callback<void> done) = 0;

  // The reason of the last failed renewal of this directory, "" if the last one worked.
  virtual std::string LastError(const ObjectPath& directory) const = 0;
  virtual std::vector<ServerHealth> Health() const = 0;

  // One listener, set before the first call. Called with no lock held, on any thread.
  virtual void OnChange(std::function<void(const Change&)> listener) = 0;
};

}  // namespace tciafs::catalog
