// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// An NBIA source over a scripted transport, all on the test's own thread: RunAll plays network and
// workers until nothing is left. Also the sink that writes down what it is told, and the smallest
// DICOM file with a given UID.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/fake_transport.h"
#include "support/fakes.h"
#include "support/zip_writer.h"
#include "tciafs/nbia/nbia_source.h"

namespace tciafs::nbia {

constexpr const char* kRoot = "https://archive.example/nbia-api";

class MapMemory final : public ServerMemory {
 public:
  std::string Load(const std::string& key) override {
    MutexLock lock(mutex_);
    return values_[key];
  }
  void Save(const std::string& key, const std::string& value) override {
    MutexLock lock(mutex_);
    values_[key] = value;
  }

 private:
  Mutex mutex_;
  std::map<std::string, std::string> values_ TCIAFS_GUARDED_BY(mutex_);
};

inline void AppendUid(std::string& out, char group, char element, std::string uid) {
  if (uid.size() % 2 != 0) uid += '\0';
  out += group;
  out += '\0';
  out += element;
  out += '\0';
  out += "UI";
  out += static_cast<char>(uid.size());
  out += '\0';
  out += uid;
}

inline std::string Dicom(const std::string& sop, const std::string& pixels = "pixels") {
  std::string meta;
  AppendUid(meta, 2, 2, "1.2.840.10008.5.1.4.1.1.2");
  AppendUid(meta, 2, 3, sop);
  AppendUid(meta, 2, 0x10, "1.2.840.10008.1.2.1");
  std::string file(128, '\0');
  file += "DICM";
  file += std::string("\x02\0\0\0UL\x04\0", 8);
  file += static_cast<char>(meta.size());
  file += std::string(3, '\0');
  file += meta;
  AppendUid(file, 8, 0x16, "1.2.840.10008.5.1.4.1.1.2");
  AppendUid(file, 8, 0x18, sop);
  return file + pixels;
}

// Writes down what it is told; fails the test when told out of order.
class RecordingSink final : public source::SeriesSink {
 public:
  Status BeginInstance(const source::SopUid& sop) override {
    EXPECT_FALSE(done) << "after Done";
    EXPECT_TRUE(open.empty()) << "an instance inside an instance";
    open = sop.text();
    bytes[open].clear();
    return fail_at_begin;
  }
  Status Data(ByteView data) override {
    EXPECT_FALSE(open.empty());
    bytes[open] += AsText(data);
    return fail_at_data;
  }
  Status EndInstance() override {
    EXPECT_FALSE(open.empty());
    ended.push_back(open);
    open.clear();
    return {};
  }
  void ExpectMd5(const source::SopUid& sop, const std::string& hex) override {
    EXPECT_FALSE(done);
    md5[sop.text()] = hex;
  }
  void Done(Status result) override {
    EXPECT_FALSE(done) << "told twice";
    done = std::move(result);
  }

  Errc error() const { return done && !*done ? done->error().code : Errc::kInternal; }
  bool succeeded() const { return done && done->has_value(); }

  std::string open;
  std::map<std::string, std::string> bytes;
  std::vector<std::string> ended;
  std::map<std::string, std::string> md5;
  std::optional<Status> done;
  Status fail_at_begin;
  Status fail_at_data;
};

// Where a call's one answer lands.
template <typename T>
struct Answer {
  Callback<T> callback() {
    return [this](Result<T> answered) {
      EXPECT_FALSE(result) << "answered twice";
      result = std::move(answered);
    };
  }
  bool ok() const { return result && result->has_value(); }
  const auto& value() const { return **result; }
  Errc error() const { return result && !*result ? result->error().code : Errc::kInternal; }
  std::string message() const { return result && !*result ? result->error().message : ""; }
  std::optional<Result<T>> result;
};

class SourceTest : public ::testing::Test {
 protected:
  SourceTest() { options_.root_url = kRoot; }

  using Rule = testing::FakeTransport::Rule;

  // Late, so that a test can set `options` and script the memory first.
  source::Source& Source() {
    if (!source_)
      source_ = CreateNbiaSource(options_, transport_, memory_, clock_, executor_, scheduler_);
    return *source_;
  }
  void Restart() { source_.reset(); }
  void RunAll() { executor_.RunAll(); }

  void UseFamily(ApiFamily family) { options_.api = family; }
  void GiveTokens(const std::string& text = "tok", int times = -1) {
    transport_.When("oauth/token",
                    testing::Body(R"({"access_token":")" + text + R"(","expires_in":7200})"),
                    times);
  }

  std::vector<std::string> Collections() {
    Answer<std::vector<source::CollectionRecord>> answer;
    Source().ListCollections({}, answer.callback());
    RunAll();
    last_error_ = answer.message();
    last_code_ = answer.error();
    std::vector<std::string> names;
    if (!answer.ok()) return {"error"};
    for (const auto& record : answer.value()) names.push_back(record.collection.text());
    return names;
  }
  Answer<std::vector<source::PatientRecord>> Patients(const std::string& collection) {
    Answer<std::vector<source::PatientRecord>> answer;
    Source().ListPatients(source::CollectionId(collection), {}, answer.callback());
    RunAll();
    return answer;
  }
  Answer<std::vector<source::SeriesRecord>> PatientSeries(const std::string& collection,
                                                          const std::string& patient) {
    Answer<std::vector<source::SeriesRecord>> answer;
    Source().ListPatientSeries(source::CollectionId(collection), source::PatientId(patient), {},
                               answer.callback());
    RunAll();
    return answer;
  }
  static source::SeriesQuery Query(const std::string& series, const std::string& patient = "P1") {
    return {source::CollectionId("C"), source::PatientId(patient), source::StudyUid("1.1"),
            source::SeriesUid(series)};
  }
  std::shared_ptr<RecordingSink> Stream(const std::string& series = "1.2") {
    auto sink = std::make_shared<RecordingSink>();
    Source().StreamSeries(Query(series), {}, sink);
    RunAll();
    return sink;
  }
  std::shared_ptr<RecordingSink> Single(const std::string& sop) {
    auto sink = std::make_shared<RecordingSink>();
    Source().FetchInstance(Query("1.2"), source::SopUid(sop), {}, sink);
    RunAll();
    return sink;
  }
  static std::string HeaderOf(const http::Request& request, const std::string& name) {
    for (const auto& [key, value] : request.headers)
      if (key == name) return value;
    return "";
  }

  testing::FakeClock clock_;
  testing::ManualScheduler scheduler_{clock_};
  testing::ManualExecutor executor_;
  testing::FakeTransport transport_{executor_};
  MapMemory memory_;
  NbiaOptions options_;
  std::string last_error_;
  Errc last_code_ = Errc::kInternal;
  std::unique_ptr<source::Source> source_;
};

}  // namespace tciafs::nbia
