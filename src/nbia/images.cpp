// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/images.h"

#include <fmt/core.h>

#include <optional>
#include <utility>

#include "nbia/image_reader.h"
#include "nbia/limits.h"
#include "nbia/md5_list.h"
#include "nbia/readers.h"
#include "nbia/series_zip_reader.h"
#include "tciafs/util/log.h"

namespace tciafs::nbia {
namespace {

// The form for a series, or a server, where another one does not do.
std::optional<ZipForm> NextForm(ApiFamily family, ZipForm form) {
  if (form == ZipForm::kHashes) return ZipForm::kPlain;
  if (form == ZipForm::kPlain && family == ApiFamily::kV4) return ZipForm::kRenamed;
  return std::nullopt;
}

// The server has no sum of that, or no such call: what a sum would say nobody can know.
bool IsUntold(const Refusal& refusal) {
  return refusal.no_such_path || refusal.error.code == Errc::kNotFound ||
         refusal.error.code == Errc::kUnsupported;
}

}  // namespace

// One series on its way.
struct Images::Download {
  std::shared_ptr<ActiveCall> call;
  ApiFamily family = ApiFamily::kV4;
  source::SeriesUid series;
  std::shared_ptr<source::SeriesSink> sink;
  ExchangeDone done;
  ZipForm form = ZipForm::kHashes;
  bool hash_form_unknown = false;  // this server refused it
};

Images::Images(const Endpoints& endpoints, ApiClient& client, const Clock& clock)
    : endpoints_(endpoints), client_(client), clock_(clock) {}

void Images::StreamSeries(const std::shared_ptr<ActiveCall>& call, ApiFamily family,
                          const source::SeriesUid& series, std::shared_ptr<source::SeriesSink> sink,
                          ExchangeDone done) {
  auto download = std::make_shared<Download>();
  download->call = call;
  download->family = family;
  download->series = series;
  download->sink = std::move(sink);
  download->done = std::move(done);
  download->form = ChooseForm(family, series);
  Ask(download);
}

void Images::Ask(const std::shared_ptr<Download>& download) {
  ApiCall api_call = endpoints_.SeriesZip(download->family, download->series, download->form);
  auto reader =
      std::make_shared<SeriesZipReader>(api_call.question, download->series, download->sink);
  client_.Send(download->call, std::move(api_call), reader,
               [this, download, reader](std::optional<Refusal> refusal) {
                 Judge(download, *reader, std::move(refusal));
               });
}

void Images::Judge(const std::shared_ptr<Download>& download, const SeriesZipReader& reader,
                   std::optional<Refusal> refusal) {
  const bool with_hashes = download->form == ZipForm::kHashes;
  const auto next = NextForm(download->family, download->form);
  const bool form_unknown = with_hashes && refusal &&
                            (refusal->no_such_path || refusal->error.code == Errc::kUnsupported);
  const bool nothing_came = !refusal && reader.instances() == 0;
  if (form_unknown) download->hash_form_unknown = true;
  if (!refusal && download->hash_form_unknown) RememberNoHashForm();
  // Without its list of sums the answer may have been cut short. Where it was not, the other form
  // does no harm.
  if (!refusal && with_hashes && !reader.md5_list_complete()) RememberSpoilt(download->series);
  // Nothing has reached the sink yet, so another form may still serve this very call. Where the
  // plain form is spoilt by the same cause, it is left out.
  if ((form_unknown || nothing_came) && next) {
    const bool plain_is_spoilt = nothing_came && download->family == ApiFamily::kV4;
    download->form = plain_is_spoilt ? ZipForm::kRenamed : *next;
    return Ask(download);
  }
  download->done(std::move(refusal));
}

ZipForm Images::ChooseForm(ApiFamily family, const source::SeriesUid& series) const {
  MutexLock lock(mutex_);
  if (spoilt_.contains(series))
    return family == ApiFamily::kV4 ? ZipForm::kRenamed : ZipForm::kPlain;
  const bool missing = hash_form_missing_ && clock_.MonotonicMs() < hash_form_retry_ms_;
  return missing ? ZipForm::kPlain : ZipForm::kHashes;
}

void Images::RememberSpoilt(const source::SeriesUid& series) {
  MutexLock lock(mutex_);
  if (!spoilt_.insert(series).second) return;
  spoilt_order_.push_back(series);
  if (spoilt_order_.size() <= kPlainFormSeriesMax) return;
  spoilt_.erase(spoilt_order_.front());
  spoilt_order_.pop_front();
}

void Images::RememberNoHashForm() {
  MutexLock lock(mutex_);
  hash_form_missing_ = true;
  hash_form_retry_ms_ = clock_.MonotonicMs() + kFormRetryMs;
}

void Images::FetchInstance(const std::shared_ptr<ActiveCall>& call, ApiFamily family,
                           const source::SeriesUid& series, const source::SopUid& sop,
                           std::shared_ptr<source::SeriesSink> sink, ExchangeDone done) {
  ApiCall api_call = endpoints_.SingleImage(family, series, sop);
  auto reader = std::make_shared<ImageReader>(api_call.question, sop, sink);
  auto end = [this, call, family, sop, sink, reader,
              done = std::move(done)](std::optional<Refusal> refusal) {
    if (refusal) return done(std::move(refusal));
    ApiCall md5_call = endpoints_.ImageMd5(family, sop);
    auto md5_reader = std::make_shared<SmallBodyReader>(md5_call.question, kErrorBodyBytesMax);
    const Question question = md5_call.question;
    client_.Send(
        call, std::move(md5_call), md5_reader,
        [question, call, sop, sink, md5_reader, md5 = reader->FinishMd5(),
         done](std::optional<Refusal> no_sum) {
          if (no_sum && !IsUntold(*no_sum)) return done(std::move(no_sum));
          const std::string sum = no_sum ? "" : CanonicalMd5(md5_reader->body());
          Status ended;
          if (!sum.empty() && sum != md5)
            ended = Fail(Within(question,
                                {Errc::kCorrupt, fmt::format("image {} arrived with MD5 {}, not {}",
                                                             sop.text(), md5, sum)}));
          if (!sum.empty() && ended) sink->ExpectMd5(sop, sum);
          if (ended) ended = sink->EndInstance();
          if (ended) return done(std::nullopt);
          done(Refusal{ended.error()});
        });
  };
  client_.Send(call, std::move(api_call), reader, std::move(end));
}

void Images::AskMd5(const std::shared_ptr<ActiveCall>& call, ApiFamily family,
                    const source::SopUid& sop, std::shared_ptr<std::string> sum,
                    ExchangeDone done) {
  ApiCall api_call = endpoints_.ImageMd5(family, sop);
  auto reader = std::make_shared<SmallBodyReader>(api_call.question, kErrorBodyBytesMax);
  client_.Send(
      call, std::move(api_call), reader,
      [reader, sum = std::move(sum), done = std::move(done)](std::optional<Refusal> refusal) {
        if (!refusal) *sum = CanonicalMd5(reader->body());
        const bool untold = refusal && IsUntold(*refusal) && !refusal->no_such_path;
        done(untold ? std::nullopt : std::move(refusal));
      });
}

// No sum is told of a whole series where somebody may not ask, or the call is none of the family's:
// those of its images can be asked for all the same.
void Images::AskSeriesMd5(const std::shared_ptr<ActiveCall>& call, ApiFamily family,
                          const source::SeriesUid& series, std::shared_ptr<std::string> sum,
                          ExchangeDone done) {
  ApiCall api_call = endpoints_.SeriesMd5(family, series);
  auto reader = std::make_shared<SmallBodyReader>(api_call.question, kErrorBodyBytesMax);
  client_.Send(
      call, std::move(api_call), reader,
      [reader, sum = std::move(sum), done = std::move(done)](std::optional<Refusal> refusal) {
        if (!refusal) *sum = CanonicalMd5(reader->body());
        const bool untold = refusal && refusal->error.code != Errc::kCancelled &&
                            (refusal->no_such_path || !IsTransient(refusal->error.code));
        done(untold ? std::nullopt : std::move(refusal));
      });
}

}  // namespace tciafs::nbia
