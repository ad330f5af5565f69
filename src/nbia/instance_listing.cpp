// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/instance_listing.h"

#include <algorithm>
#include <array>
#include <deque>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "nbia/json_values.h"
#include "nbia/limits.h"
#include "nbia/row_mapping.h"
#include "tciafs/util/log.h"
#include "tciafs/util/text.h"

namespace tciafs::nbia {
namespace {

struct KeyedSeries {
  std::string key;
  int64_t image_count = -1;
  bool first = false;  // known to be the series somebody waits for
};

// Instances of one series, each once: a row per frame is possible.
struct FoundInstances {
  std::vector<source::InstanceRecord> instances;
  std::unordered_set<source::SopUid> seen;
  void Add(source::InstanceRecord instance) {
    if (seen.insert(instance.sop).second) instances.push_back(std::move(instance));
  }
};
using FoundBySeries = std::unordered_map<std::string, FoundInstances>;

// Nothing else asked of this server now would fare better.
bool IsFatal(const Refusal& refusal) {
  switch (refusal.error.code) {
    case Errc::kCancelled:
    case Errc::kOffline:
    case Errc::kTimedOut:
    case Errc::kThrottled:
      return true;
    default:
      return refusal.status == 0 || refusal.status >= 502;
  }
}

std::vector<SearchCriterion> CriteriaFor(const std::vector<source::SeriesQuery>& series) {
  if (series.size() == 1) return {{"SeriesCriteria", series.front().series.text()}};
  std::set<std::string> patients;
  std::set<std::string> collections;
  for (const auto& query : series) {
    patients.insert(query.patient.text());
    collections.insert(query.collection.text());
  }
  const bool by_patient = patients.size() <= kPatientSearchesMax;
  std::vector<SearchCriterion> criteria;
  for (const auto& value : by_patient ? patients : collections)
    criteria.push_back({by_patient ? "PatientCriteria" : "CollectionCriteria", value});
  return criteria;
}

void AppendField(std::string& form, std::string_view value) {
  if (!form.empty()) form += '&';
  form += "list=";
  form += UrlEncode(value);
}

}  // namespace

struct InstanceListings::Batch {
  std::vector<KeyedSeries> series;

  bool HasFirst() const {
    return std::any_of(series.begin(), series.end(), [](const auto& one) { return one.first; });
  }
  // -1 unless that of every series is known.
  int64_t ImageCount() const {
    int64_t images = 0;
    for (const auto& one : series) {
      if (one.image_count < 0) return -1;
      images += one.image_count;
    }
    return images;
  }
};

struct InstanceListings::Listing {
  std::shared_ptr<ActiveCall> call;
  ApiFamily family = ApiFamily::kV4;
  std::vector<source::SeriesQuery> queries;
  Done done;

  std::unordered_set<std::string> wanted;                // series UIDs
  std::set<std::pair<std::string, std::string>> owners;  // collection, patient
  std::vector<SearchCriterion> criteria;

  std::vector<KeyedSeries> keys;
  std::unordered_set<std::string> keys_seen;
  std::deque<Batch> batches;
  FoundBySeries found;

  std::array<bool, kDrillDownCalls> failure_counted = {};
  bool other_form_failed = false;
  bool timed_out = false;  // once; the second time ends it
  bool searched = false;   // keys do not tell whose they are
  size_t batches_answered = 0;
  size_t batches_failed = 0;
  size_t series_failed = 0;

  void AddKey(std::string key, int64_t image_count, bool first) {
    if (keys_seen.insert(key).second) keys.push_back({std::move(key), image_count, first});
  }
  const std::string& first_uid() const { return queries.front().series.text(); }
  bool first_found() const { return found.contains(first_uid()); }
};

InstanceListings::InstanceListings(const Endpoints& endpoints, ApiClient& client,
                                   const Clock& clock)
    : endpoints_(endpoints), client_(client), health_(clock), limits_(clock) {}

bool InstanceListings::sizes_known() const {
  return (health_.usable(DrillDownCall::kStudies) ||
          health_.usable(DrillDownCall::kPatientSearch)) &&
         (health_.usable(DrillDownCall::kImagesV4) ||
          health_.usable(DrillDownCall::kImagesUnversioned));
}

void InstanceListings::List(const std::shared_ptr<ActiveCall>& call, ApiFamily family,
                            const std::vector<source::SeriesQuery>& series, Done done) {
  auto listing = std::make_shared<Listing>();
  listing->call = call;
  listing->family = family;
  listing->queries = series;
  listing->done = std::move(done);
  for (const auto& query : series) {
    listing->wanted.insert(query.series.text());
    listing->owners.emplace(query.collection.text(), query.patient.text());
  }
  if (!sizes_known()) return AskSopUids(listing);
  AskForKeys(listing);
}

void InstanceListings::AskForKeys(const ListingPtr& listing) {
  if (health_.usable(DrillDownCall::kStudies)) return AskStudies(listing, 0);
  if (!health_.usable(DrillDownCall::kPatientSearch)) return AskSopUids(listing);
  listing->criteria = CriteriaFor(listing->queries);
  AskSearch(listing, 0);
}

// Step one, first form: as many series in one body as the server's proxy lets through.
void InstanceListings::AskStudies(const ListingPtr& listing, size_t first) {
  std::string form;
  size_t next = first;
  const size_t series_max = limits_.current().series;
  for (; next < listing->queries.size() && next - first < series_max &&
         form.size() < kFormBodyBytesMax;
       ++next)
    AppendField(form, listing->queries[next].series.text());
  RowReader::Spec rows;
  rows.limits.row_bytes_max = kNestedRowBytesMax;
  rows.on_row = [listing](std::string_view text) -> Status {
    TCIAFS_ASSIGN(std::vector<SeriesKey> keys, ParseStudyRow(text));
    for (auto& key : keys)
      if (listing->wanted.contains(key.series_uid))
        listing->AddKey(std::move(key.key), key.image_count,
                        key.series_uid == listing->first_uid());
    return {};
  };
  client_.SendForRows(listing->call, endpoints_.StudyDrillDown(listing->family, std::move(form)),
                      std::move(rows),
                      [this, listing, first, next](std::optional<Refusal> refusal) {
                        EndStudies(listing, first, next, std::move(refusal));
                      });
}

void InstanceListings::EndStudies(const ListingPtr& listing, size_t first, size_t next,
                                  std::optional<Refusal> refusal) {
  if (refusal && refusal->error.code == Errc::kTimedOut) {
    if (next - first > 1) {
      limits_.TimedOut(next - first, -1);
      if (!std::exchange(listing->timed_out, true)) return AskStudies(listing, first);
    }
    if (first > 0) return MakeBatches(listing);  // the series somebody waits for has been asked
  }
  if (refusal) {
    health_.Failed(DrillDownCall::kStudies, *refusal);
    if (IsFatal(*refusal)) return End(listing, std::move(refusal));
    LogInfo("{}", refusal->error.message);
    if (!health_.usable(DrillDownCall::kPatientSearch)) return AskSopUids(listing);
    listing->criteria = CriteriaFor(listing->queries);
    return AskSearch(listing, 0);
  }
  health_.Worked(DrillDownCall::kStudies);
  if (next < listing->queries.size()) return AskStudies(listing, next);
  MakeBatches(listing);
}

// Step one, second form. Its rows name keys only; the images' own rows will say whose they are.
void InstanceListings::AskSearch(const ListingPtr& listing, size_t index) {
  listing->searched = true;
  if (index == listing->criteria.size()) {
    health_.Worked(DrillDownCall::kPatientSearch);
    return MakeBatches(listing);
  }
  RowReader::Spec rows;
  rows.array_key = "resultSet";
  rows.limits.row_bytes_max = kNestedRowBytesMax;
  rows.on_row = [listing](std::string_view text) -> Status {
    TCIAFS_ASSIGN(PatientSearchRow row, ParsePatientSearchRow(text));
    if (!listing->owners.contains({row.collection, row.patient})) return {};
    for (auto& key : row.series_keys) listing->AddKey(std::move(key), -1, false);
    return {};
  };
  client_.SendForRows(listing->call,
                      endpoints_.PatientSearch(listing->family, listing->criteria[index]),
                      std::move(rows), [this, listing, index](std::optional<Refusal> refusal) {
                        if (!refusal) return AskSearch(listing, index + 1);
                        health_.Failed(DrillDownCall::kPatientSearch, *refusal);
                        if (IsFatal(*refusal)) return End(listing, std::move(refusal));
                        LogInfo("{}", refusal->error.message);
                        AskSopUids(listing);
                      });
}

void InstanceListings::MakeBatches(const ListingPtr& listing) {
  const BatchLimit limit = limits_.current();
  int64_t images = 0;
  for (auto& series : listing->keys) {
    const int64_t count = std::max<int64_t>(series.image_count, 0);
    if (listing->batches.empty() || listing->batches.back().series.size() >= limit.series ||
        images + count > limit.images) {
      listing->batches.emplace_back();
      images = 0;
    }
    images += count;
    listing->batches.back().series.push_back(std::move(series));
  }
  const auto wanted = std::find_if(listing->batches.begin(), listing->batches.end(),
                                   [](const Batch& batch) { return batch.HasFirst(); });
  if (wanted != listing->batches.end()) std::iter_swap(listing->batches.begin(), wanted);
  AskNextBatch(listing);
}

void InstanceListings::AskNextBatch(const ListingPtr& listing) {
  const auto form = ImagesForm(*listing);
  // Nothing but failures, down to single series: it is the call, not the data.
  const bool hopeless = listing->batches_failed > kFailedBatchesMax ||
                        (listing->batches_answered == 0 && listing->series_failed >= 2);
  if (listing->batches.empty() || !form || hopeless) return AskSopUids(listing);
  Batch batch = std::move(listing->batches.front());
  listing->batches.pop_front();
  AskImages(listing, std::move(batch), *form);
}

void InstanceListings::AskImages(const ListingPtr& listing, Batch batch, DrillDownCall form) {
  std::string body;
  for (const auto& series : batch.series) AppendField(body, series.key);
  // Kept apart until the answer is whole, so that a broken one leaves no half-listed series.
  auto found = std::make_shared<FoundBySeries>();
  RowReader::Spec rows;
  rows.on_begin = [found] { found->clear(); };
  rows.on_row = [listing, found](std::string_view text) -> Status {
    TCIAFS_ASSIGN(std::optional<ImageRow> row, ParseImageRow(text));
    if (row && listing->wanted.contains(row->series_uid))
      (*found)[row->series_uid].Add(std::move(row->instance));
    return {};
  };
  const bool unversioned = form == DrillDownCall::kImagesUnversioned;
  client_.SendForRows(
      listing->call, endpoints_.ImageDrillDown(listing->family, unversioned, std::move(body)),
      std::move(rows),
      [this, listing, found, form, batch = std::move(batch)](std::optional<Refusal> refusal) {
        if (!refusal) listing->found.merge(*found);
        EndImages(listing, batch, form, std::move(refusal));
      });
}

void InstanceListings::EndImages(const ListingPtr& listing, Batch batch, DrillDownCall form,
                                 std::optional<Refusal> refusal) {
  if (!refusal) {
    ++listing->batches_answered;
    health_.Worked(form);
    return AskNextBatch(listing);
  }
  const bool more_at_once = batch.series.size() > 1 || listing->searched;
  if (refusal->error.code == Errc::kTimedOut && more_at_once)
    return EndTimedOut(listing, std::move(batch), form, std::move(*refusal));
  if (IsFatal(*refusal)) {
    FailOnce(listing, form, *refusal);
    return End(listing, std::move(refusal));
  }
  LogInfo("{}", refusal->error.message);
  ++listing->batches_failed;
  const auto other = OtherImagesForm(form);
  const bool first_choice = ImagesForm(*listing) == form;
  if (refusal->no_such_path || refusal->token_refused || listing->batches_answered == 0)
    FailOnce(listing, form, *refusal);
  if (!first_choice) listing->other_form_failed = true;
  if (first_choice && other && !listing->other_form_failed)
    return AskImages(listing, std::move(batch), *other);
  Split(listing, std::move(batch));
}

// Too much for the server. Somebody waits: what he asked for is tried once more with less beside
// it; whoever comes later asks for less from the start.
void InstanceListings::EndTimedOut(const ListingPtr& listing, Batch batch, DrillDownCall form,
                                   Refusal refusal) {
  if (batch.series.size() > 1) limits_.TimedOut(batch.series.size(), batch.ImageCount());
  const bool alone = batch.series.size() == 1 && listing->queries.size() == 1;
  if (alone || std::exchange(listing->timed_out, true) || listing->first_found()) {
    FailOnce(listing, form, refusal);
    return End(listing, std::move(refusal));
  }
  LogInfo("{}", refusal.error.message);
  if (listing->searched) return AskForFirstAlone(listing);
  std::stable_partition(batch.series.begin(), batch.series.end(),
                        [](const KeyedSeries& series) { return series.first; });
  Split(listing, std::move(batch));
}

// The first series can be told from the others by a search for nothing else.
void InstanceListings::AskForFirstAlone(const ListingPtr& listing) {
  listing->keys.clear();
  listing->keys_seen.clear();
  listing->batches.clear();
  listing->criteria = CriteriaFor({listing->queries.front()});
  AskSearch(listing, 0);
}

// Halves a failed batch; the halves come next, so that the failing one is cornered first.
void InstanceListings::Split(const ListingPtr& listing, Batch batch) {
  if (batch.series.size() <= 1) {
    ++listing->series_failed;
    return AskNextBatch(listing);
  }
  const auto middle = batch.series.begin() + static_cast<ptrdiff_t>(batch.series.size() / 2);
  Batch second{{middle, batch.series.end()}};
  batch.series.erase(middle, batch.series.end());
  listing->batches.push_front(std::move(second));
  listing->batches.push_front(std::move(batch));
  AskNextBatch(listing);
}

// v4 needs no token, but trips over rows without a size; the other form prints them as null.
std::optional<DrillDownCall> InstanceListings::ImagesForm(const Listing& listing) const {
  std::array forms = {DrillDownCall::kImagesV4, DrillDownCall::kImagesUnversioned};
  if (listing.family == ApiFamily::kV2) std::swap(forms[0], forms[1]);
  for (const auto form : forms)
    if (health_.usable(form)) return form;
  return std::nullopt;
}

std::optional<DrillDownCall> InstanceListings::OtherImagesForm(DrillDownCall form) const {
  const auto other = form == DrillDownCall::kImagesV4 ? DrillDownCall::kImagesUnversioned
                                                      : DrillDownCall::kImagesV4;
  if (!health_.usable(other)) return std::nullopt;
  return other;
}

// The halves of one bad batch are one failure of the call.
void InstanceListings::FailOnce(const ListingPtr& listing, DrillDownCall form,
                                const Refusal& refusal) {
  if (std::exchange(listing->failure_counted[static_cast<size_t>(form)], true)) return;
  health_.Failed(form, refusal);
}

void InstanceListings::AskSopUids(const ListingPtr& listing) {
  const source::SeriesUid& first = listing->queries.front().series;
  if (listing->first_found()) return End(listing, std::nullopt);
  auto found = std::make_shared<FoundInstances>();
  RowReader::Spec rows;
  rows.on_begin = [found] { *found = {}; };
  rows.on_row = [found](std::string_view text) -> Status {
    TCIAFS_ASSIGN(const source::Attributes row, ParseRow(text));
    const auto sop = ValueOf(row, "SOPInstanceUID");
    if (IsUid(sop)) found->Add({source::SopUid(std::string(sop)), -1});
    return {};
  };
  client_.SendForRows(listing->call, endpoints_.SopInstanceUids(listing->family, first),
                      std::move(rows), [this, listing, found](std::optional<Refusal> refusal) {
                        if (!refusal) listing->found[listing->first_uid()] = std::move(*found);
                        End(listing, std::move(refusal));
                      });
}

// What was found counts, also when the rest failed; but not without the series somebody waits for.
void InstanceListings::End(const ListingPtr& listing, std::optional<Refusal> refusal) {
  std::vector<source::InstanceListing> listings;
  const bool first_found = listing->first_found();
  for (const auto& query : listing->queries) {
    auto found = listing->found.extract(query.series.text());
    if (!found.empty()) listings.push_back({query.series, std::move(found.mapped().instances)});
  }
  const bool cancelled = refusal && refusal->error.code == Errc::kCancelled;
  if (first_found && !cancelled) refusal.reset();
  listing->done(std::move(refusal), std::move(listings));
}

}  // namespace tciafs::nbia
