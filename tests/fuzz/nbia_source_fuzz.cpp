// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Every call of the NBIA source, in every family, against a server that answers anything: the call
// ends, exactly once, after a bounded number of requests, with what was asked for or an error; and
// with the same however the answers are cut into pieces.
//
// Input: call and family (1 byte), seed of the pieces (1 byte), then answers in the order the
// requests come: a byte that chooses status and end, two bytes of length, the body. When they are
// used up every path is unknown.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/fuzz.h"
#include "nbia/row_mapping.h"
#include "support/fake_transport.h"
#include "support/fakes.h"
#include "tciafs/nbia/nbia_source.h"

namespace tciafs::nbia {
namespace {

constexpr size_t kAnswersMax = 12;
constexpr size_t kRequestsMax = 64;
const source::CollectionId kCollection("C");
const source::PatientId kPatient("P1");

class Memory final : public ServerMemory {
 public:
  std::string Load(const std::string& key) override { return values_[key]; }
  void Save(const std::string& key, const std::string& value) override { values_[key] = value; }

 private:
  std::map<std::string, std::string> values_;
};

// What a call came to, written down so that two runs can be compared.
struct Outcome {
  std::vector<std::string> lines;
  int ends = 0;
  bool succeeded = false;

  void End(const Status& status) {
    FUZZ_REQUIRE(++ends == 1);
    succeeded = status.has_value();
    lines.push_back(status ? "ok" : std::string(ErrcName(status.error().code)));
    if (status) return;
    const std::string& message = status.error().message;
    FUZZ_REQUIRE(!message.empty() && message.size() < 1000);
    FUZZ_REQUIRE(message.find('\n') == message.npos && message.find("geheim") == message.npos);
  }
  template <typename T, typename Write>
  Callback<T> Take(Write write) {
    return [this, write](Result<T> result) {
      if (result) write(*result);
      End(result ? Status() : Status(Fail(result.error())));
    };
  }
};

class Sink final : public source::SeriesSink {
 public:
  explicit Sink(Outcome& outcome) : outcome_(outcome) {}
  Status BeginInstance(const source::SopUid& sop) override {
    FUZZ_REQUIRE(outcome_.ends == 0 && open_.empty() && IsUid(sop.text()));
    open_ = sop.text();
    data_.clear();
    return {};
  }
  Status Data(ByteView bytes) override {
    FUZZ_REQUIRE(!open_.empty());
    data_ += AsText(bytes);
    return {};
  }
  Status EndInstance() override {
    FUZZ_REQUIRE(!open_.empty());
    outcome_.lines.push_back(std::exchange(open_, "") + '=' + std::exchange(data_, ""));
    return {};
  }
  void ExpectMd5(const source::SopUid& sop, const std::string& md5_hex) override {
    sums_.insert(sop.text() + ' ' + md5_hex);  // in no order
  }
  void Done(Status status) override {
    for (const std::string& sum : sums_) outcome_.lines.push_back(sum);
    outcome_.End(status);
    FUZZ_REQUIRE(!status || open_.empty());
  }

 private:
  Outcome& outcome_;
  std::string open_;
  std::string data_;
  std::set<std::string> sums_;
};

source::SeriesQuery Query(const std::string& series) {
  return {kCollection, kPatient, source::StudyUid("1.1"), source::SeriesUid(series)};
}

void WriteSeries(const std::vector<source::SeriesRecord>& records, bool of_patient,
                 Outcome& outcome) {
  for (const auto& record : records) {
    FUZZ_REQUIRE(record.collection == kCollection);
    FUZZ_REQUIRE(!of_patient || record.patient == kPatient);
    for (const auto& id : {record.patient.text(), record.study.text(), record.series.text()})
      FUZZ_REQUIRE(!id.empty() && id.size() <= 500);
    outcome.lines.push_back(record.patient.text() + '/' + record.study.text() + '/' +
                            record.series.text() + ' ' + record.version.timestamp + ' ' +
                            std::to_string(record.version.image_count) + ' ' +
                            std::to_string(record.attributes.size()));
  }
}

void WriteInstances(const std::vector<source::InstanceListing>& listings, Outcome& outcome) {
  FUZZ_REQUIRE(listings.size() <= 3);
  for (const auto& listing : listings) {
    FUZZ_REQUIRE(listing.series.text().starts_with("1.2."));
    std::set<std::string> seen;
    for (const auto& instance : listing.instances) {
      FUZZ_REQUIRE(IsUid(instance.sop.text()) && instance.size_bytes >= -1);
      FUZZ_REQUIRE(seen.insert(instance.sop.text()).second);
      outcome.lines.push_back(listing.series.text() + '/' + instance.sop.text() + ' ' +
                              std::to_string(instance.size_bytes));
    }
  }
}

void Call(source::Source& source, int call, Outcome& outcome) {
  switch (call) {
    case 0:
      return source.ListCollections(
          {}, outcome.Take<std::vector<source::CollectionRecord>>([&](const auto& records) {
            for (const auto& record : records) outcome.lines.push_back(record.collection.text());
          }));
    case 1:
      return source.ListPatients(
          kCollection, {}, outcome.Take<std::vector<source::PatientRecord>>([&](const auto& rows) {
            for (const auto& record : rows) {
              FUZZ_REQUIRE(record.collection == kCollection && !record.patient.empty());
              outcome.lines.push_back(record.patient.text());
            }
          }));
    case 2:
      return source.ListPatientSeries(
          kCollection, kPatient, {},
          outcome.Take<std::vector<source::SeriesRecord>>(
              [&](const auto& records) { WriteSeries(records, true, outcome); }));
    case 3:
      return source.ListCollectionSeries(
          kCollection, {},
          [&](const std::vector<source::SeriesRecord>& records) -> Status {
            FUZZ_REQUIRE(outcome.ends == 0);
            WriteSeries(records, false, outcome);
            return {};
          },
          [&](const Status& status) { outcome.End(status); });
    case 4:
      return source.ListInstances(
          {Query("1.2.1"), Query("1.2.2"), Query("1.2.3")}, {},
          outcome.Take<std::vector<source::InstanceListing>>(
              [&](const auto& listings) { WriteInstances(listings, outcome); }));
    case 5:
      return source.StreamSeries(Query("1.2.1"), {}, std::make_shared<Sink>(outcome));
    default:
      return source.FetchInstance(Query("1.2.1"), source::SopUid("1.2.1.1"), {},
                                  std::make_shared<Sink>(outcome));
  }
}

void CheckRequests(const std::vector<http::Request>& requests) {
  FUZZ_REQUIRE(requests.size() <= kRequestsMax);
  for (const auto& request : requests) {
    FUZZ_REQUIRE(request.url.starts_with("https://archive.example/nbia-api/"));
    FUZZ_REQUIRE(request.url.find("geheim") == std::string::npos);
    for (const auto& [name, value] : request.headers)
      FUZZ_REQUIRE(std::none_of(value.begin(), value.end(), [](char c) { return c < ' '; }));
  }
}

testing::FakeAnswer AnswerFrom(fuzz::Reader& in, uint64_t seed) {
  constexpr int kStatuses[] = {200, 200, 200, 200, 204, 302, 400, 401,
                               403, 404, 405, 429, 500, 500, 502, 503};
  testing::FakeAnswer answer;
  const uint8_t choice = in.Byte();
  const std::string body = in.Text(20'000);
  answer.status = kStatuses[choice % 16];
  for (const auto piece : fuzz::Pieces(body, seed)) answer.pieces.emplace_back(piece);
  const Error broken = {Errc::kUnavailable, "archive.example: connection closed"};
  switch (choice >> 4) {
    case 1:
      answer.before_head = broken;
      break;
    case 2:
      answer.after_body = broken;
      break;
    case 3:
      answer.after_body = broken;
      answer.restart = true;
      break;
    case 4:
      answer.before_head = Error{Errc::kTimedOut, "archive.example: no byte for 60 s"};
      break;
    default:
      break;
  }
  return answer;
}

Outcome Run(std::string_view input, uint64_t more_seed) {
  constexpr ApiFamily kFamilies[] = {ApiFamily::kV4, ApiFamily::kV2, ApiFamily::kV1,
                                     ApiFamily::kAuto};
  fuzz::Reader in(input);
  const uint8_t choice = in.Byte();
  const uint64_t seed = in.Byte() + more_seed;
  testing::FakeClock clock;
  testing::ManualScheduler scheduler(clock);
  testing::ManualExecutor executor;
  testing::FakeTransport transport(executor);
  Memory memory;
  for (size_t i = 0; i < kAnswersMax && !in.empty(); ++i)
    transport.When("", AnswerFrom(in, seed + i), 1);
  NbiaOptions options;
  options.root_url = "https://archive.example/nbia-api";
  options.api = kFamilies[choice / 8 % 4];
  if ((choice & 0x20) != 0) options.credentials = {"someone", "geheim"};
  if ((choice & 0x40) != 0) options.api_key = "key";
  Outcome outcome;
  {
    const auto source = CreateNbiaSource(options, transport, memory, clock, executor, scheduler);
    Call(*source, choice % 8, outcome);
    executor.RunAll();
    FUZZ_REQUIRE(outcome.ends == 1);
    CheckRequests(transport.Requests());
  }
  FUZZ_REQUIRE(executor.pending() == 0);
  return outcome;
}

}  // namespace
}  // namespace tciafs::nbia

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = tciafs::fuzz::TextOf(data, size);
  // A server that knows the password from elsewhere may say it: that is no leak of ours.
  if (input.find("geheim") != std::string_view::npos) return 0;
  const auto one = tciafs::nbia::Run(input, 0);
  const auto other = tciafs::nbia::Run(input, 1'000);
  FUZZ_REQUIRE(one.lines == other.lines);
  return 0;
}
