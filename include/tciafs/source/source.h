// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Source: what any archive must answer. NBIA (src/nbia) is the first; a bucket or a DICOMweb server
// would be one more folder beside it, and nothing above would change.
//
// All calls are asynchronous and thread-safe; callbacks and sink methods come on any thread, the
// methods of one sink strictly one after the other. A stop request on the token makes the callback
// come soon with kCancelled (exactly one callback in any case). A Source outlives its calls: its
// destructor cancels them.
//
// An empty answer is not proof of absence (an archive may answer a database failure with an empty
// list): sources report it as it came, an empty vector, and the catalog decides what to believe.
// Errors: kNotFound, kPermission, kUnauthenticated, kUnavailable, kThrottled, kTimedOut,
// kUnreachable, kCancelled, kOffline, kUnsupported (the archive has no such call), kCorrupt, or
// what a sink returned.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "tciafs/source/records.h"
#include "tciafs/util/bytes.h"
#include "tciafs/util/result.h"

namespace tciafs::source {

struct Capabilities {
  bool sizes_known = false;      // ListInstances tells exact sizes
  bool ranged_reads = false;     // any byte range of an instance can be fetched
  bool instance_hashes = false;  // a stream can carry MD5 sums
  bool bulk_listing = false;     // ListCollectionSeries is one request
};

// Receives one series (or one instance) as it streams in. Called on worker threads and may block on
// the local disk; a slow sink slows the transfer. An error returned from any method aborts the
// stream.
class SeriesSink {
 public:
  virtual ~SeriesSink() = default;
  // The number under which the log knows the request that is about to bring the stream; comes again
  // where it has to be asked anew.
  virtual void KnowRequest(uint64_t /*request_id*/) {}
  // An archive may deliver an instance more than once; which is right is for the sink to find out.
  virtual Status BeginInstance(const SopUid& sop) = 0;
  virtual Status Data(ByteView bytes) = 0;
  // The instance is whole and its checksum in transit matched.
  virtual Status EndInstance() = 0;
  // MD5 sums the archive announces, 32 lower-case hex digits; may come before or after the
  // instances.
  virtual void ExpectMd5(const SopUid& sop, const std::string& md5_hex) = 0;
  // Once and last. An error while an instance was open means that instance is not intact.
  // Success means the stream ended as a well-formed whole, not that nothing is missing.
  virtual void Done(Status status) = 0;
};

// How far a catalog may trust a bulk answer that came in pieces.
using SeriesBatch = std::function<Status(std::vector<SeriesRecord>)>;

// A series as the source needs to know it to ask for its instances.
struct SeriesQuery {
  CollectionId collection;
  PatientId patient;
  StudyUid study;
  SeriesUid series;
};

// The questions there are, as they are counted.
enum class RequestKind {
  kCollections,
  kPatients,
  kPatientSeries,
  kCollectionSeries,
  kInstances,
  kSeriesImages,
  kSingleImage,
  kMd5,
};
inline constexpr size_t kRequestKinds = 8;
std::string_view RequestName(RequestKind kind);

struct RequestCount {
  RequestKind kind = RequestKind::kCollections;
  std::optional<Errc> failure;  // nullopt: they went well
  int64_t count = 0;
};

// Who a server is and how it has been lately. Plain data, for people; never with secrets.
struct ServerStatus {
  enum class State {
    kOk,
    kFailing,  // calls failed; being found out whether the server is at fault
    kOffline,  // it does not answer, or may not be asked: calls are refused at once
  };
  std::string name;
  std::string url;
  std::string scope;
  std::string api;  // the dialect it speaks; "" while that is not known
  State state = State::kOk;
  int64_t since_unix_ms = 0;  // of `state`; 0: unknown
  std::string reason;         // why it is not kOk
  std::string last_error;     // of any call, also where a later one worked
  int64_t last_error_unix_ms = 0;
  std::vector<RequestCount> requests;  // that have ended, those refused unasked left out
  int64_t image_bytes = 0;             // delivered, inflated
  int64_t retry_in_ms = -1;  // until it is asked whether it is back; -1: it is not going to be
};

std::string_view StateName(ServerStatus::State state);  // for people and programs

class Source {
 public:
  virtual ~Source() = default;

  // What separates the state kept for this archive and account from any other: a stable text
  // without secrets, e.g. "https://host/nbia-api|guest".
  virtual const std::string& scope() const = 0;
  virtual const std::string& name() const = 0;  // for people: the host
  virtual Capabilities capabilities() const = 0;
  virtual ServerStatus status() const {
    ServerStatus status;
    status.name = name();
    status.scope = scope();
    return status;
  }
  // False: calls are refused at once. Asking all the same is what shows that it is wanted back.
  virtual bool answering() const { return true; }
  // What a call would be refused with, at once and unasked; nullopt: it would be made. Shows that
  // the server is wanted back, as a call does.
  virtual std::optional<Error> Refuses() { return std::nullopt; }
  // When it last came back after it had not answered, in monotonic milliseconds: what failed before
  // may be asked for again. The least value if it never did.
  virtual int64_t recovered_at_ms() const { return std::numeric_limits<int64_t>::min(); }

  virtual void ListCollections(std::stop_token stop,
                               Callback<std::vector<CollectionRecord>> done) = 0;
  virtual void ListPatients(const CollectionId& collection, std::stop_token stop,
                            Callback<std::vector<PatientRecord>> done) = 0;
  // Studies and series of one patient in one call.
  virtual void ListPatientSeries(const CollectionId& collection, const PatientId& patient,
                                 std::stop_token stop,
                                 Callback<std::vector<SeriesRecord>> done) = 0;
  // Every series of a collection. Batches come one after the other; `done` only after the last. If
  // the archive's connection breaks half-way the source does not start again by itself.
  virtual void ListCollectionSeries(const CollectionId& collection, std::stop_token stop,
                                    SeriesBatch batch, Callback<void> done) = 0;
  // Instances of many series of one collection. A series the archive did not answer for is absent
  // from the result.
  virtual void ListInstances(std::vector<SeriesQuery> series, std::stop_token stop,
                             Callback<std::vector<InstanceListing>> done) = 0;

  virtual void StreamSeries(const SeriesQuery& series, std::stop_token stop,
                            std::shared_ptr<SeriesSink> sink) = 0;
  // The MD5 sum of an instance, 32 lower-case hex digits; "" if the archive does not tell it.
  virtual void AskMd5(const SopUid& /*sop*/, std::stop_token /*stop*/, Callback<std::string> done) {
    done(std::string());
  }
  // The same for a whole series, in one question: what SeriesMd5 makes of its instances' sums.
  virtual void AskSeriesMd5(const SeriesUid& /*series*/, std::stop_token /*stop*/,
                            Callback<std::string> done) {
    done(std::string());
  }
  virtual void FetchInstance(const SeriesQuery& series, const SopUid& sop, std::stop_token stop,
                             std::shared_ptr<SeriesSink> sink) = 0;
};

}  // namespace tciafs::source
