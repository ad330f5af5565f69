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
// kCancelled, kOffline, kUnsupported (the archive has no such call), kCorrupt, or what a sink
// returned.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
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

class Source {
 public:
  virtual ~Source() = default;

  // What separates the state kept for this archive and account from any other: a stable text
  // without secrets, e.g. "https://host/nbia-api|guest".
  virtual const std::string& scope() const = 0;
  virtual const std::string& name() const = 0;  // for people: the host
  virtual Capabilities capabilities() const = 0;

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
  virtual void FetchInstance(const SeriesQuery& series, const SopUid& sop, std::stop_token stop,
                             std::shared_ptr<SeriesSink> sink) = 0;
};

}  // namespace tciafs::source
