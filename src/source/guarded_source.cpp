// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/source/guarded_source.h"

#include <atomic>
#include <utility>

#include "source/server_guard.h"

namespace tciafs::source {
namespace {

using GuardPtr = std::shared_ptr<ServerGuard>;
using CallPtr = ServerGuard::CallPtr;

// Passes a stream on. What the sink below refuses is not the server's fault.
class GuardedSink final : public SeriesSink {
 public:
  GuardedSink(GuardPtr guard, CallPtr call, std::shared_ptr<SeriesSink> sink)
      : guard_(std::move(guard)), call_(std::move(call)), sink_(std::move(sink)) {}

  void KnowRequest(uint64_t request_id) override { sink_->KnowRequest(request_id); }
  Status BeginInstance(const SopUid& sop) override { return Noting(sink_->BeginInstance(sop)); }
  Status Data(ByteView bytes) override {
    guard_->NoteDelivery(*call_);
    guard_->CountImageBytes(bytes.size());
    return Noting(sink_->Data(bytes));
  }
  Status EndInstance() override { return Noting(sink_->EndInstance()); }
  void ExpectMd5(const SopUid& sop, const std::string& md5_hex) override {
    sink_->ExpectMd5(sop, md5_hex);
  }
  void Done(Status status) override {
    if (status)
      guard_->Succeed(call_);
    else
      status = Fail(guard_->Fail(call_, std::move(status).error(), refused_));
    sink_->Done(std::move(status));
  }

 private:
  Status Noting(Status status) {
    if (!status) refused_ = true;
    return status;
  }

  const GuardPtr guard_;
  const CallPtr call_;
  const std::shared_ptr<SeriesSink> sink_;
  bool refused_ = false;
};

class GuardedSource final : public Source {
 public:
  GuardedSource(std::unique_ptr<Source> source, const GuardOptions& options, const Clock& clock,
                Executor& executor, Scheduler& scheduler)
      : source_(std::move(source)),
        guard_(std::make_shared<ServerGuard>(
            source_->name(), options,
            [this](std::stop_token stop, std::function<void(Status)> done) {
              source_->ListCollections(
                  std::move(stop),
                  [done = std::move(done)](const Result<std::vector<CollectionRecord>>& answer) {
                    done(answer ? Status() : Status(Fail(answer.error())));
                  });
            },
            clock, executor, scheduler)) {}
  ~GuardedSource() override {
    guard_->Shutdown();
    source_.reset();  // ends every call
  }

  const std::string& scope() const override { return source_->scope(); }
  const std::string& name() const override { return source_->name(); }
  Capabilities capabilities() const override { return source_->capabilities(); }
  ServerStatus status() const override {
    ServerStatus status = source_->status();
    guard_->Describe(status);
    return status;
  }
  bool answering() const override { return guard_->answering(); }
  std::optional<Error> Refuses() override { return guard_->Refuses(); }
  int64_t recovered_at_ms() const override { return guard_->recovered_at_ms(); }

  void ListCollections(std::stop_token stop,
                       Callback<std::vector<CollectionRecord>> done) override {
    List(RequestKind::kCollections, stop, std::move(done), [&](std::stop_token own, auto guarded) {
      source_->ListCollections(std::move(own), std::move(guarded));
    });
  }
  void ListPatients(const CollectionId& collection, std::stop_token stop,
                    Callback<std::vector<PatientRecord>> done) override {
    List(RequestKind::kPatients, stop, std::move(done), [&](std::stop_token own, auto guarded) {
      source_->ListPatients(collection, std::move(own), std::move(guarded));
    });
  }
  void ListPatientSeries(const CollectionId& collection, const PatientId& patient,
                         std::stop_token stop, Callback<std::vector<SeriesRecord>> done) override {
    List(RequestKind::kPatientSeries, stop, std::move(done),
         [&](std::stop_token own, auto guarded) {
           source_->ListPatientSeries(collection, patient, std::move(own), std::move(guarded));
         });
  }
  void ListInstances(std::vector<SeriesQuery> series, std::stop_token stop,
                     Callback<std::vector<InstanceListing>> done) override {
    List(RequestKind::kInstances, stop, std::move(done), [&](std::stop_token own, auto guarded) {
      source_->ListInstances(std::move(series), std::move(own), std::move(guarded));
    });
  }
  void ListCollectionSeries(const CollectionId& collection, std::stop_token stop, SeriesBatch batch,
                            Callback<void> done) override;
  void StreamSeries(const SeriesQuery& series, std::stop_token stop,
                    std::shared_ptr<SeriesSink> sink) override {
    Stream(RequestKind::kSeriesImages, stop, std::move(sink),
           [&](std::stop_token own, std::shared_ptr<SeriesSink> guarded) {
             source_->StreamSeries(series, std::move(own), std::move(guarded));
           });
  }
  void AskMd5(const SopUid& sop, std::stop_token stop, Callback<std::string> done) override {
    List(RequestKind::kMd5, stop, std::move(done), [&](std::stop_token own, auto guarded) {
      source_->AskMd5(sop, std::move(own), std::move(guarded));
    });
  }
  void AskSeriesMd5(const SeriesUid& series, std::stop_token stop,
                    Callback<std::string> done) override {
    List(RequestKind::kMd5, stop, std::move(done), [&](std::stop_token own, auto guarded) {
      source_->AskSeriesMd5(series, std::move(own), std::move(guarded));
    });
  }
  void FetchInstance(const SeriesQuery& series, const SopUid& sop, std::stop_token stop,
                     std::shared_ptr<SeriesSink> sink) override {
    Stream(RequestKind::kSingleImage, stop, std::move(sink),
           [&](std::stop_token own, std::shared_ptr<SeriesSink> guarded) {
             source_->FetchInstance(series, sop, std::move(own), std::move(guarded));
           });
  }

 private:
  template <typename T, typename Start>
  void List(RequestKind kind, const std::stop_token& stop, Callback<T> done, Start start) {
    auto call = guard_->Admit(kind, stop, /*patient=*/false);
    if (!call) return done(Fail(std::move(call).error()));
    start((*call)->stop(),
          [guard = guard_, call = *call, done = std::move(done)](Result<T> answer) {
            if (answer)
              guard->Succeed(call);
            else
              answer = Fail(guard->Fail(call, std::move(answer).error(), /*ours=*/false));
            done(std::move(answer));
          });
  }
  template <typename Start>
  void Stream(RequestKind kind, const std::stop_token& stop, std::shared_ptr<SeriesSink> sink,
              Start start) {
    auto call = guard_->Admit(kind, stop, /*patient=*/false);
    if (!call) return sink->Done(Fail(std::move(call).error()));
    start((*call)->stop(), std::make_shared<GuardedSink>(guard_, *call, std::move(sink)));
  }

  std::unique_ptr<Source> source_;
  const GuardPtr guard_;
};

// May be silent for minutes before its first byte, and nobody waits for it: it ends by itself.
void GuardedSource::ListCollectionSeries(const CollectionId& collection, std::stop_token stop,
                                         SeriesBatch batch, Callback<void> done) {
  auto call = guard_->Admit(RequestKind::kCollectionSeries, stop, /*patient=*/true);
  if (!call) return done(Fail(std::move(call).error()));
  const auto refused = std::make_shared<std::atomic<bool>>(false);
  source_->ListCollectionSeries(
      collection, (*call)->stop(),
      [guard = guard_, call = *call, refused,
       batch = std::move(batch)](std::vector<SeriesRecord> records) {
        guard->NoteDelivery(*call);
        Status taken = batch(std::move(records));
        if (!taken) *refused = true;
        return taken;
      },
      [guard = guard_, call = *call, refused, done = std::move(done)](Status status) {
        if (status)
          guard->Succeed(call);
        else
          status = Fail(guard->Fail(call, std::move(status).error(), *refused));
        done(std::move(status));
      });
}

}  // namespace

std::unique_ptr<Source> CreateGuardedSource(std::unique_ptr<Source> source,
                                            const GuardOptions& options, const Clock& clock,
                                            Executor& executor, Scheduler& scheduler) {
  return std::make_unique<GuardedSource>(std::move(source), options, clock, executor, scheduler);
}

}  // namespace tciafs::source
