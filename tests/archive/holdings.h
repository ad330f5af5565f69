// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Everything the test archive holds, and what has been done to it since: series hidden or replaced,
// collections withdrawn, patients added. Collections are added before serving starts; after that
// all methods are thread-safe. Each visit sees one consistent state of the changes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "collection.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/mutex.h"

namespace tciafs::archive {

// The account that asks. Collections restricted to others do not exist for it.
using Viewer = std::string;
inline constexpr const char* kGuest = "nbia_guest";
inline constexpr const char* kAnyViewer = "*";  // sees all that is not withdrawn

// As the database compares text: trailing blanks never count.
bool SameText(std::string_view a, std::string_view b, bool ignore_case);

// What a visit may be narrowed to; collection and patient compare without case. The visitor sees
// at least what fits.
struct Scope {
  Viewer viewer = kGuest;
  std::optional<std::string> collection;
  std::optional<std::string> patient_id;
  std::optional<std::string> study_uid;
  std::optional<std::string> series_uid;
  uint64_t order =
      0;  // 0: as they stand; else some other order, patients and studies kept together
};

// A series and where its files come from.
struct SeriesHandle {
  const Collection* collection = nullptr;
  Series row;
  Edition edition;
  bool visible = false;  // in lists and whole-series downloads of that viewer

  Instance InstanceAt(int64_t instance) const {
    return collection->InstanceAt(row.index, instance, edition);
  }
  Result<std::string> Bytes(int64_t instance) const {
    return collection->Bytes(row.index, instance, edition);
  }
};

struct InstanceHandle {
  SeriesHandle series;
  int64_t instance = 0;
};

class Holdings {
 public:
  explicit Holdings(const Clock& clock) : clock_(clock) {}

  // kInvalidArgument if the name, or one of its UIDs, is taken.
  Status Add(std::unique_ptr<Collection> collection);
  // From now on only that account sees the collection.
  Status Restrict(const std::string& collection, const Viewer& viewer);

  std::vector<std::string> CollectionNames(const Viewer& viewer) const;  // sorted
  // Visible series, until the visitor says false.
  void VisitSeries(const Scope& scope, const std::function<bool(const Series&)>& visitor) const;

  // These find hidden series too (see SeriesHandle::visible), but nothing of a collection that is
  // withdrawn or restricted to others.
  std::optional<SeriesHandle> FindSeries(const Viewer& viewer, const std::string& series_uid) const;
  std::optional<SeriesHandle> FindSeriesByKey(int64_t series_pk) const;
  std::optional<InstanceHandle> FindInstance(const Viewer& viewer,
                                             const std::string& sop_uid) const;

  // Changes. Each carries a submission date of its own: today for the first, then a day more for
  // each, since the archive's dates are often without a time of day. kNotFound names nobody here.
  Status HideSeries(const std::string& series_uid, bool hidden);
  Status ReplaceSeries(const std::string& series_uid, bool other_size);
  Status DropCollection(const std::string& name, bool dropped);
  Status AddPatients(const std::string& collection, int64_t count);

 private:
  struct SeriesState {
    bool hidden = false;
    Edition edition;
    Second submitted{};
  };
  struct Changes {
    std::map<std::string, SeriesState> series;
    std::set<std::string> dropped;
    std::map<std::string, Viewer> restricted;
    int64_t count = 0;
  };
  struct Shelf {
    std::unique_ptr<Collection> collection;
    int64_t first_key = 0;
    int64_t keys = 0;
  };

  std::shared_ptr<const Changes> changes() const;
  Status Change(const std::function<Status(Changes&)>& change);
  static bool IsOpen(const Changes& changes, const std::string& collection, const Viewer& viewer);
  SeriesHandle Handle(const Changes& changes, const Shelf& shelf, int64_t index) const;
  static void Apply(const SeriesState& state, Series& row);
  static void MakeKeysUnique(const Shelf& shelf, Series& row);
  const Shelf* FindShelf(const std::string& collection) const;
  bool VisitShelf(const Shelf& shelf, const Changes& changes, const Scope& scope,
                  const std::function<bool(const Series&)>& visitor) const;
  bool VisitPatient(const Shelf& shelf, const Changes& changes, int64_t patient, bool backwards,
                    Series& row, const std::function<bool(const Series&)>& visitor) const;
  Second NextSubmission(const Changes& changes) const;

  const Clock& clock_;
  std::vector<Shelf> shelves_;
  mutable Mutex mutex_;
  std::shared_ptr<const Changes> changes_ TCIAFS_GUARDED_BY(mutex_) =
      std::make_shared<const Changes>();
};

}  // namespace tciafs::archive
