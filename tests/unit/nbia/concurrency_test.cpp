// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Calls on real threads: the end of a source with calls under way, stops that race with answers.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <mutex>
#include <random>

#include "source_fixture.h"

namespace tciafs::nbia {
namespace {

using testing::Body;
using testing::FakeAnswer;

class ThreadsTest : public ::testing::Test {
 protected:
  ThreadsTest() { options_.root_url = kRoot; }
  std::unique_ptr<source::Source> Create() {
    return CreateNbiaSource(options_, transport_, memory_, clock_, workers_, timers_);
  }
  testing::FakeClock clock_;
  MapMemory memory_;
  NbiaOptions options_;
  TimerThread timers_;
  WorkerPool workers_{"workers", 3};
  WorkerPool network_{"network", 1};
  testing::FakeTransport transport_{network_};
};

TEST_F(ThreadsTest, DestructionCancelsWhatIsUnderWay) {
  transport_.When("", FakeAnswer{.pieces = {"["}, .hang = true});
  std::atomic<int> cancelled = 0;
  auto source = Create();
  for (int i = 0; i < 20; ++i)
    source->ListPatients(source::CollectionId("C"), {}, [&](auto result) {
      if (!result && result.error().code == Errc::kCancelled) ++cancelled;
    });
  source.reset();
  EXPECT_EQ(cancelled, 20);
}

TEST_F(ThreadsTest, AStopDetachesOneWaiterFromTheSharedProbe) {
  transport_.When("", FakeAnswer{.pieces = {"["}, .hang = true});
  std::latch stopped(1);
  std::atomic<bool> other_answered = false;
  std::stop_source stop;
  auto source = Create();
  source->ListCollections({}, [&](auto) { other_answered = true; });
  source->ListCollections(stop.get_token(), [&](auto result) {
    EXPECT_EQ(result.error().code, Errc::kCancelled);
    stopped.count_down();
  });
  stop.request_stop();
  stopped.wait();
  EXPECT_FALSE(other_answered);
  source.reset();
  EXPECT_TRUE(other_answered);
}

TEST_F(ThreadsTest, EveryCallEndsOnceWhateverRaces) {
  const std::string image = Dicom("1.2.1", std::string(100'000, 'x'));
  const std::string zip = testing::ZipWriter().Add("LICENSE", "free").Add("1.dcm", image).Finish();
  FakeAnswer zip_answer;
  for (size_t at = 0; at < zip.size(); at += 64) zip_answer.pieces.push_back(zip.substr(at, 64));
  options_.api = ApiFamily::kV2;
  transport_.When("oauth/token", Body(R"({"access_token":"t","expires_in":1})"), 3);
  transport_.When("oauth/token", FakeAnswer{.status = 503}, 2);
  transport_.When("oauth/token", Body(R"({"access_token":"t","expires_in":300})"));
  transport_.When("getImage", zip_answer);
  transport_.When("getPatient", Body(R"([{"PatientId":"P1"}])"), 20);
  transport_.When("getPatient", FakeAnswer{.status = 401}, 5);
  transport_.When("getPatient", FakeAnswer{.pieces = {"["}, .hang = true});

  constexpr int kCalls = 120;
  std::atomic<int> ended = 0;
  std::mt19937 random(7);
  std::vector<std::stop_source> stops(kCalls);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  auto source = Create();
  for (int i = 0; i < kCalls; ++i) {
    const auto stop = stops[i].get_token();
    if (i % 3 == 0) {
      sinks.push_back(std::make_shared<RecordingSink>());
      source->StreamSeries({source::CollectionId("C"), source::PatientId("P1"),
                            source::StudyUid("1.1"), source::SeriesUid("1.2")},
                           stop, sinks.back());
    } else {
      source->ListPatients(source::CollectionId("C"), stop, [&](auto) { ++ended; });
    }
    if (random() % 2 == 0) stops[random() % static_cast<unsigned>(i + 1)].request_stop();
  }
  source.reset();
  EXPECT_EQ(ended, kCalls - static_cast<int>(sinks.size()));
  for (const auto& sink : sinks) {
    ASSERT_TRUE(sink->done);
    if (sink->succeeded()) {
      EXPECT_EQ(sink->bytes["1.2.1"], image);
    }
  }
}

}  // namespace
}  // namespace tciafs::nbia
