// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The instances of many series, with the exact size of each, by two calls the archive's own portal
// makes: series UIDs to database keys, keys to images. Both are undocumented and may be missing or
// fail, so: either exists in two forms; a batch that fails is halved down to single series, so that
// one bad row does not spoil the rest; and what remains without an answer is listed by its
// SOPInstanceUIDs alone, but only the first series asked for, which is the one somebody waits for.
//
// A request for several series that times out is halved once per call, the half with the first
// series asked for going first, and later calls ask for less at a time.
//
// Thread-safe. `done` comes once, on the executor; series that got no answer are absent.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "nbia/active_calls.h"
#include "nbia/api_client.h"
#include "nbia/batch_limits.h"
#include "nbia/drill_down_health.h"
#include "nbia/endpoints.h"
#include "tciafs/source/records.h"
#include "tciafs/source/source.h"
#include "tciafs/util/clock.h"

namespace tciafs::nbia {

class InstanceListings {
 public:
  using Done =
      std::function<void(std::optional<Refusal>, std::vector<source::InstanceListing> listings)>;

  InstanceListings(const Endpoints& endpoints, ApiClient& client, const Clock& clock);

  void List(const std::shared_ptr<ActiveCall>& call, ApiFamily family,
            const std::vector<source::SeriesQuery>& series, Done done);
  // As far as is known so far.
  bool sizes_known() const;

 private:
  struct Listing;
  struct Batch;
  using ListingPtr = std::shared_ptr<Listing>;

  void AskForKeys(const ListingPtr& listing);
  void AskStudies(const ListingPtr& listing, size_t first);
  void EndStudies(const ListingPtr& listing, size_t first, size_t next,
                  std::optional<Refusal> refusal);
  void AskSearch(const ListingPtr& listing, size_t index);
  void MakeBatches(const ListingPtr& listing);
  void AskNextBatch(const ListingPtr& listing);
  void AskImages(const ListingPtr& listing, Batch batch, DrillDownCall form);
  void EndImages(const ListingPtr& listing, Batch batch, DrillDownCall form,
                 std::optional<Refusal> refusal);
  void EndTimedOut(const ListingPtr& listing, Batch batch, DrillDownCall form, Refusal refusal);
  void AskForFirstAlone(const ListingPtr& listing);
  void Split(const ListingPtr& listing, Batch batch);
  std::optional<DrillDownCall> ImagesForm(const Listing& listing) const;
  std::optional<DrillDownCall> OtherImagesForm(DrillDownCall form) const;
  void FailOnce(const ListingPtr& listing, DrillDownCall form, const Refusal& refusal);
  void AskSopUids(const ListingPtr& listing);
  void End(const ListingPtr& listing, std::optional<Refusal> refusal);

  const Endpoints& endpoints_;
  ApiClient& client_;
  DrillDownHealth health_;
  BatchLimits limits_;
};

}  // namespace tciafs::nbia
