// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Downloads: a series as a zip, or one image. Chooses the form of the zip call: the one with MD5
// sums first; the plain one for a series whose answer was empty or cut short in that form (one
// image without a sum in the database does that), and for servers that do not know the form.
//
// Thread-safe. The sink's methods, all but Done, are called before `done`.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <unordered_set>

#include "nbia/active_calls.h"
#include "nbia/api_client.h"
#include "nbia/endpoints.h"
#include "tciafs/source/source.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/mutex.h"

namespace tciafs::nbia {

class SeriesZipReader;

class Images {
 public:
  Images(const Endpoints& endpoints, ApiClient& client, const Clock& clock);

  void StreamSeries(const std::shared_ptr<ActiveCall>& call, ApiFamily family,
                    const source::SeriesUid& series, std::shared_ptr<source::SeriesSink> sink,
                    ExchangeDone done);
  void FetchInstance(const std::shared_ptr<ActiveCall>& call, ApiFamily family,
                     const source::SeriesUid& series, const source::SopUid& sop,
                     std::shared_ptr<source::SeriesSink> sink, ExchangeDone done);
  // "" if the server has none, or does not know the call.
  void AskMd5(const std::shared_ptr<ActiveCall>& call, ApiFamily family, const source::SopUid& sop,
              std::shared_ptr<std::string> sum, ExchangeDone done);
  void AskSeriesMd5(const std::shared_ptr<ActiveCall>& call, ApiFamily family,
                    const source::SeriesUid& series, std::shared_ptr<std::string> sum,
                    ExchangeDone done);

 private:
  struct Download;
  void Ask(const std::shared_ptr<Download>& download);
  void Judge(const std::shared_ptr<Download>& download, const SeriesZipReader& reader,
             std::optional<Refusal> refusal);
  ZipForm ChooseForm(ApiFamily family, const source::SeriesUid& series) const;
  void RememberSpoilt(const source::SeriesUid& series);
  void RememberNoHashForm();

  const Endpoints& endpoints_;
  ApiClient& client_;
  const Clock& clock_;

  mutable Mutex mutex_;
  std::unordered_set<source::SeriesUid> spoilt_ TCIAFS_GUARDED_BY(mutex_);
  std::deque<source::SeriesUid> spoilt_order_ TCIAFS_GUARDED_BY(mutex_);  // oldest first
  bool hash_form_missing_ TCIAFS_GUARDED_BY(mutex_) = false;
  int64_t hash_form_retry_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;  // monotonic
};

}  // namespace tciafs::nbia
