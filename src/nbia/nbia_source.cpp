// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/nbia/nbia_source.h"

#include <fmt/core.h>

#include <atomic>
#include <unordered_set>
#include <utility>

#include "nbia/active_calls.h"
#include "nbia/api_client.h"
#include "nbia/endpoints.h"
#include "nbia/family_choice.h"
#include "nbia/images.h"
#include "nbia/instance_listing.h"
#include "nbia/limits.h"
#include "nbia/row_mapping.h"
#include "tciafs/util/log.h"

namespace tciafs::nbia {
namespace {

template <typename T>
Result<T> ToResult(std::optional<Refusal> refusal, T value) {
  if (refusal) return Fail(std::move(refusal->error));
  return value;
}

class NbiaSource final : public source::Source {
 public:
  NbiaSource(const NbiaOptions& options, http::Transport& transport, ServerMemory& memory,
             const Clock& clock, Executor& executor, Scheduler& scheduler)
      : executor_(executor),
        endpoints_(options),
        ports_{transport, executor, scheduler},
        scope_(endpoints_.root_url() + '|' + endpoints_.account()),
        client_(endpoints_, ports_, memory, clock, calls_),
        family_(options.api, endpoints_, client_, memory, clock, executor, calls_),
        images_(endpoints_, client_, clock),
        instances_(endpoints_, client_, clock) {}

  ~NbiaSource() override {
    client_.StopKeeping();
    calls_.StopAndWait();
  }

  const std::string& scope() const override { return scope_; }
  const std::string& name() const override { return endpoints_.host(); }
  source::Capabilities capabilities() const override {
    return {.sizes_known = instances_.sizes_known(),
            .ranged_reads = false,
            .instance_hashes = true,
            .bulk_listing = true};
  }
  source::ServerStatus status() const override {
    source::ServerStatus status = Source::status();
    status.url = endpoints_.root_url();
    if (const auto family = family_.current()) status.api = FamilyName(*family);
    return status;
  }

  void ListCollections(std::stop_token stop,
                       Callback<std::vector<source::CollectionRecord>> done) override;
  void ListPatients(const source::CollectionId& collection, std::stop_token stop,
                    Callback<std::vector<source::PatientRecord>> done) override;
  void ListPatientSeries(const source::CollectionId& collection, const source::PatientId& patient,
                         std::stop_token stop,
                         Callback<std::vector<source::SeriesRecord>> done) override;
  void ListCollectionSeries(const source::CollectionId& collection, std::stop_token stop,
                            source::SeriesBatch batch, Callback<void> done) override;
  void ListInstances(std::vector<source::SeriesQuery> series, std::stop_token stop,
                     Callback<std::vector<source::InstanceListing>> done) override;
  void StreamSeries(const source::SeriesQuery& series, std::stop_token stop,
                    std::shared_ptr<source::SeriesSink> sink) override;
  void FetchInstance(const source::SeriesQuery& series, const source::SopUid& sop,
                     std::stop_token stop, std::shared_ptr<source::SeriesSink> sink) override;
  void AskMd5(const source::SopUid& sop, std::stop_token stop, Callback<std::string> done) override;
  void AskSeriesMd5(const source::SeriesUid& series, std::stop_token stop,
                    Callback<std::string> done) override;

 private:
  using Call = std::shared_ptr<ActiveCall>;
  // Asks in the family given, once; may be called a second time with another family.
  using Ask = std::function<void(const SettledFamily& settled, ExchangeDone done)>;

  void InSettledFamily(const Call& call, Ask ask, ExchangeDone done, bool again = false);

  Executor& executor_;
  const Endpoints endpoints_;
  const ExchangePorts ports_;
  const std::string scope_;

  ActiveCalls calls_;
  ApiClient client_;
  FamilyChoice family_;
  Images images_;
  InstanceListings instances_;
};

// Settles the family first, and settles it anew, once, if the server does not know its calls.
void NbiaSource::InSettledFamily(const Call& call, Ask ask, ExchangeDone done, bool again) {
  family_.Settle(call, [this, call, ask = std::move(ask), done = std::move(done),
                        again](Result<SettledFamily> settled) {
    if (!settled) return done(Refusal{settled.error()});
    const ApiFamily family = settled->family;
    ask(*settled, [this, call, ask, done, again, family](std::optional<Refusal> refusal) {
      const bool unknown = refusal && refusal->no_such_path;
      if (unknown && !again && family_.Doubt(family)) return InSettledFamily(call, ask, done, true);
      done(std::move(refusal));
    });
  });
}

void NbiaSource::ListCollections(std::stop_token stop,
                                 Callback<std::vector<source::CollectionRecord>> done) {
  const Call call = calls_.Begin(stop);
  auto found = std::make_shared<std::vector<source::CollectionRecord>>();
  InSettledFamily(
      call,
      [this, call, found](const SettledFamily& settled, ExchangeDone end) {
        if (settled.collections) {
          *found = *settled.collections;
          return end(std::nullopt);
        }
        family_.ReadCollections(
            call, settled.family, false,
            [this, found, family = settled.family, end = std::move(end)](
                std::optional<Refusal> refusal, std::vector<source::CollectionRecord> collections) {
              *found = std::move(collections);
              end(family_.Appraise(family, std::move(refusal), found->empty()));
            });
      },
      [call, found, done = std::move(done)](std::optional<Refusal> refusal) {
        done(ToResult(std::move(refusal), std::move(*found)));
      });
}

void NbiaSource::ListPatients(const source::CollectionId& collection, std::stop_token stop,
                              Callback<std::vector<source::PatientRecord>> done) {
  struct Found {
    std::vector<source::PatientRecord> patients;
    std::unordered_set<source::PatientId> seen;
  };
  const Call call = calls_.Begin(stop);
  auto found = std::make_shared<Found>();
  InSettledFamily(
      call,
      [this, call, found, collection](const SettledFamily& settled, ExchangeDone end) {
        RowReader::Spec rows;
        rows.limits.body_bytes_max = kKeptListBytesMax;
        rows.on_begin = [found] { *found = {}; };
        rows.on_row = [found, collection](std::string_view text) -> Status {
          TCIAFS_ASSIGN(source::Attributes row, ParseRow(text));
          auto record = ToPatient(std::move(row), collection);
          if (record && found->seen.insert(record->patient).second)
            found->patients.push_back(std::move(*record));
          return {};
        };
        client_.SendForRows(call, endpoints_.Patients(settled.family, collection), std::move(rows),
                            std::move(end));
      },
      [call, found, done = std::move(done)](std::optional<Refusal> refusal) {
        done(ToResult(std::move(refusal), std::move(found->patients)));
      });
}

void NbiaSource::ListPatientSeries(const source::CollectionId& collection,
                                   const source::PatientId& patient, std::stop_token stop,
                                   Callback<std::vector<source::SeriesRecord>> done) {
  struct Found {
    std::vector<source::SeriesRecord> series;
    std::unordered_set<source::SeriesUid> seen;
  };
  const Call call = calls_.Begin(stop);
  auto found = std::make_shared<Found>();
  InSettledFamily(
      call,
      [this, call, found, collection, patient](const SettledFamily& settled, ExchangeDone end) {
        RowReader::Spec rows;
        rows.limits.body_bytes_max = kKeptListBytesMax;
        rows.on_begin = [found] { *found = {}; };
        rows.on_row = [found, collection, patient](std::string_view text) -> Status {
          TCIAFS_ASSIGN(source::Attributes row, ParseRow(text));
          auto record = ToSeries(std::move(row), collection, patient);
          if (record && found->seen.insert(record->series).second)
            found->series.push_back(std::move(*record));
          return {};
        };
        client_.SendForRows(call, endpoints_.PatientSeries(settled.family, collection, patient),
                            std::move(rows), std::move(end));
      },
      [call, found, done = std::move(done)](std::optional<Refusal> refusal) {
        done(ToResult(std::move(refusal), std::move(found->series)));
      });
}

void NbiaSource::ListCollectionSeries(const source::CollectionId& collection, std::stop_token stop,
                                      source::SeriesBatch batch, Callback<void> done) {
  const Call call = calls_.Begin(stop);
  auto records = std::make_shared<std::vector<source::SeriesRecord>>();
  InSettledFamily(
      call,
      [this, call, records, collection, batch](const SettledFamily& settled, ExchangeDone end) {
        RowReader::Spec rows;
        rows.restartable = false;
        rows.limits.body_bytes_max = kBulkBytesMax;
        rows.on_row = [records, collection, batch](std::string_view text) -> Status {
          TCIAFS_ASSIGN(source::Attributes row, ParseRow(text));
          auto record = ToSeries(std::move(row), collection, source::PatientId());
          if (record) records->push_back(std::move(*record));
          if (records->size() < kBatchRecords) return {};
          return batch(std::exchange(*records, {}));
        };
        client_.SendForRows(call, endpoints_.CollectionSeries(settled.family, collection),
                            std::move(rows), std::move(end));
      },
      [call, records, batch, done = std::move(done)](std::optional<Refusal> refusal) {
        if (refusal) return done(Fail(std::move(refusal->error)));
        if (records->empty()) return done({});
        done(batch(std::move(*records)));
      });
}

void NbiaSource::ListInstances(std::vector<source::SeriesQuery> series, std::stop_token stop,
                               Callback<std::vector<source::InstanceListing>> done) {
  const Call call = calls_.Begin(stop);
  if (series.empty()) {
    executor_.Post(
        [call, done = std::move(done)] { done(std::vector<source::InstanceListing>()); });
    return;
  }
  auto found = std::make_shared<std::vector<source::InstanceListing>>();
  InSettledFamily(
      call,
      [this, call, found, series = std::move(series)](const SettledFamily& settled,
                                                      ExchangeDone end) {
        instances_.List(
            call, settled.family, series,
            [found, end = std::move(end)](std::optional<Refusal> refusal,
                                          std::vector<source::InstanceListing> listings) {
              *found = std::move(listings);
              end(std::move(refusal));
            });
      },
      [call, found, done = std::move(done)](std::optional<Refusal> refusal) {
        done(ToResult(std::move(refusal), std::move(*found)));
      });
}

void NbiaSource::StreamSeries(const source::SeriesQuery& series, std::stop_token stop,
                              std::shared_ptr<source::SeriesSink> sink) {
  const Call call = calls_.Begin(stop);
  InSettledFamily(
      call,
      [this, call, uid = series.series, sink](const SettledFamily& settled, ExchangeDone end) {
        images_.StreamSeries(call, settled.family, uid, sink, std::move(end));
      },
      [call, sink](std::optional<Refusal> refusal) {
        sink->Done(refusal ? Status(Fail(std::move(refusal->error))) : Status());
      });
}

void NbiaSource::AskMd5(const source::SopUid& sop, std::stop_token stop,
                        Callback<std::string> done) {
  const Call call = calls_.Begin(stop);
  auto sum = std::make_shared<std::string>();
  InSettledFamily(
      call,
      [this, call, sop, sum](const SettledFamily& settled, ExchangeDone end) {
        images_.AskMd5(call, settled.family, sop, sum, std::move(end));
      },
      [call, sum, done = std::move(done)](std::optional<Refusal> refusal) {
        if (refusal && refusal->no_such_path) return done(std::string());
        done(ToResult(std::move(refusal), std::move(*sum)));
      });
}

void NbiaSource::AskSeriesMd5(const source::SeriesUid& series, std::stop_token stop,
                              Callback<std::string> done) {
  const Call call = calls_.Begin(stop);
  auto sum = std::make_shared<std::string>();
  InSettledFamily(
      call,
      [this, call, series, sum](const SettledFamily& settled, ExchangeDone end) {
        images_.AskSeriesMd5(call, settled.family, series, sum, std::move(end));
      },
      [call, sum, done = std::move(done)](std::optional<Refusal> refusal) {
        done(ToResult(std::move(refusal), std::move(*sum)));
      });
}

void NbiaSource::FetchInstance(const source::SeriesQuery& series, const source::SopUid& sop,
                               std::stop_token stop, std::shared_ptr<source::SeriesSink> sink) {
  const Call call = calls_.Begin(stop);
  InSettledFamily(
      call,
      [this, call, uid = series.series, sop, sink](const SettledFamily& settled, ExchangeDone end) {
        images_.FetchInstance(call, settled.family, uid, sop, sink, std::move(end));
      },
      [call, sink](std::optional<Refusal> refusal) {
        sink->Done(refusal ? Status(Fail(std::move(refusal->error))) : Status());
      });
}

}  // namespace

std::unique_ptr<source::Source> CreateNbiaSource(const NbiaOptions& options,
                                                 http::Transport& transport, ServerMemory& memory,
                                                 const Clock& clock, Executor& executor,
                                                 Scheduler& scheduler) {
  return std::make_unique<NbiaSource>(options, transport, memory, clock, executor, scheduler);
}

}  // namespace tciafs::nbia
