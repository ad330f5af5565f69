// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/source/guarded_source.h"

#include <gmock/gmock.h>

#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/fakes.h"
#include "tciafs/util/bytes.h"
#include "tciafs/util/log.h"

namespace tciafs::source {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using State = ServerStatus::State;

// Holds every call until the test answers it; a stop request answers it with kCancelled.
class HeldSource final : public Source {
 public:
  using Answer = std::function<void(Status)>;
  struct Call {
    std::string what;
    Answer answer;  // empty once given
    std::shared_ptr<SeriesSink> sink;
    SeriesBatch batch;
    std::unique_ptr<std::stop_callback<std::function<void()>>> on_stop;
  };

  const std::string& scope() const override { return scope_; }
  const std::string& name() const override { return name_; }
  Capabilities capabilities() const override { return {}; }

  void ListCollections(std::stop_token stop,
                       Callback<std::vector<CollectionRecord>> done) override {
    Hold<std::vector<CollectionRecord>>("collections", stop, std::move(done));
  }
  void ListPatients(const CollectionId& collection, std::stop_token stop,
                    Callback<std::vector<PatientRecord>> done) override {
    Hold<std::vector<PatientRecord>>(collection.text(), stop, std::move(done));
  }
  void ListPatientSeries(const CollectionId&, const PatientId& patient, std::stop_token stop,
                         Callback<std::vector<SeriesRecord>> done) override {
    Hold<std::vector<SeriesRecord>>(patient.text(), stop, std::move(done));
  }
  void ListCollectionSeries(const CollectionId& collection, std::stop_token stop, SeriesBatch batch,
                            Callback<void> done) override {
    Put({"all of " + collection.text(), std::move(done), nullptr, std::move(batch), nullptr}, stop);
  }
  void ListInstances(std::vector<SeriesQuery> series, std::stop_token stop,
                     Callback<std::vector<InstanceListing>> done) override {
    Hold<std::vector<InstanceListing>>(series.front().series.text(), stop, std::move(done));
  }
  void StreamSeries(const SeriesQuery& series, std::stop_token stop,
                    std::shared_ptr<SeriesSink> sink) override {
    Put({series.series.text(), [sink](Status status) { sink->Done(std::move(status)); }, sink,
         nullptr, nullptr},
        stop);
  }
  void FetchInstance(const SeriesQuery& series, const SopUid&, std::stop_token stop,
                     std::shared_ptr<SeriesSink> sink) override {
    StreamSeries(series, stop, std::move(sink));
  }

  // The call under way with this name; null if there is none.
  Call* Find(const std::string& what) {
    for (Call& call : calls_)
      if (call.what == what && call.answer) return &call;
    return nullptr;
  }
  bool Give(const std::string& what, Status status) {
    Call* call = Find(what);
    if (call == nullptr) return false;
    std::exchange(call->answer, nullptr)(std::move(status));
    return true;
  }
  int asked(const std::string& what) const {
    int count = 0;
    for (const Call& call : calls_) count += call.what == what ? 1 : 0;
    return count;
  }

 private:
  template <typename T>
  void Hold(std::string what, const std::stop_token& stop, Callback<T> done) {
    Put({std::move(what),
         [done = std::move(done)](Status status) {
           if (status)
             done(T());
           else
             done(Fail(status.error()));
         },
         nullptr, nullptr, nullptr},
        stop);
  }
  void Put(Call held, const std::stop_token& stop) {
    calls_.push_back(std::move(held));
    Call& call = calls_.back();
    auto on_stop = std::make_unique<std::stop_callback<std::function<void()>>>(stop, [&call] {
      if (call.answer) std::exchange(call.answer, nullptr)(Fail(Errc::kCancelled, "stopped"));
    });
    call.on_stop = std::move(on_stop);
  }

  const std::string name_ = "nbia.example";
  const std::string scope_ = "https://nbia.example|guest";
  std::deque<Call> calls_;  // addresses are stable
};

class TakingSink final : public SeriesSink {
 public:
  Status BeginInstance(const SopUid&) override { return verdict; }
  Status Data(ByteView) override { return verdict; }
  Status EndInstance() override { return verdict; }
  void ExpectMd5(const SopUid&, const std::string&) override {}
  void Done(Status status) override { outcome = std::move(status); }
  Status verdict;
  std::optional<Status> outcome;
};

class GuardedSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GuardOptions options;
    options.questions = 1;
    Make(options);
  }
  void TearDown() override {
    source_.reset();
    executor_.RunAll();
    (void)ConfigureLog({});
  }

  void Make(const GuardOptions& options) {
    source_.reset();
    auto held = std::make_unique<HeldSource>();
    server_ = held.get();
    source_ = CreateGuardedSource(std::move(held), options, clock_, executor_, scheduler_);
  }
  // Answers where there is one, else nullopt.
  using Outcome = std::shared_ptr<std::optional<Status>>;
  // One question has failed, and so has the first that was to find out; another waits.
  Outcome AskAnotherAfterAFailure() {
    Make({});
    const auto first = Ask("A");
    server_->Give("A", Dead());
    const auto waiting = Ask("B");
    Pass(0);
    EXPECT_TRUE(server_->Give("collections", Dead()));
    return waiting;
  }
  Outcome Ask(const std::string& collection, std::stop_token stop = {}) {
    auto outcome = std::make_shared<std::optional<Status>>();
    source_->ListPatients(CollectionId(collection), std::move(stop), [outcome](const auto& answer) {
      EXPECT_FALSE(outcome->has_value()) << "answered twice";
      *outcome = answer ? Status() : Status(Fail(answer.error()));
    });
    return outcome;
  }
  std::shared_ptr<TakingSink> Download(const std::string& series) {
    auto sink = std::make_shared<TakingSink>();
    source_->StreamSeries({{}, {}, {}, SeriesUid(series)}, {}, sink);
    return sink;
  }
  static Status Dead() { return Fail(Errc::kUnavailable, "nbia.example: connection refused"); }
  static Errc CodeOf(const Outcome& outcome) {
    return *outcome && !**outcome ? (**outcome).error().code : Errc::kInternal;
  }
  void Pass(int64_t ms) {
    scheduler_.Advance(ms);
    executor_.RunAll();
  }
  // One object fails, then the question.
  void GoOffline() {
    auto outcome = Ask("A");
    server_->Give("A", Dead());
    Pass(0);
    ASSERT_TRUE(server_->Give("collections", Dead()));
    ASSERT_EQ(state(), State::kOffline);
  }
  State state() const { return source_->status().state; }

  testing::FakeClock clock_;
  testing::ManualExecutor executor_;
  testing::ManualScheduler scheduler_{clock_};
  HeldSource* server_ = nullptr;
  std::unique_ptr<Source> source_;
};

TEST_F(GuardedSourceTest, CountsQuestionsByOutcomeAndBytes) {
  for (int i = 0; i < 2; ++i) {
    Ask("A");
    server_->Give("A", {});
  }
  Ask("B");
  server_->Give("B", Fail(Errc::kNotFound, "no such collection"));
  Download("1.2");
  EXPECT_TRUE(server_->Find("1.2")->sink->Data(AsBytes("bytes")));
  server_->Give("1.2", {});
  const ServerStatus status = source_->status();
  EXPECT_EQ(status.image_bytes, 5);
  ASSERT_EQ(status.requests.size(), 3u);
  EXPECT_EQ(status.requests[0].kind, RequestKind::kPatients);
  EXPECT_EQ(status.requests[0].failure, std::nullopt);
  EXPECT_EQ(status.requests[0].count, 2);
  EXPECT_EQ(status.requests[1].failure, Errc::kNotFound);
  EXPECT_EQ(status.requests[2].kind, RequestKind::kSeriesImages);
}

TEST_F(GuardedSourceTest, PassesOnWhatWorksAndAsksNothingItself) {
  for (int i = 0; i < 100; ++i) {
    const auto outcome = Ask("A");
    server_->Give("A", {});
    EXPECT_TRUE(**outcome);
  }
  Pass(3'600'000);
  EXPECT_EQ(server_->asked("collections"), 0);
  EXPECT_EQ(state(), State::kOk);
}

TEST_F(GuardedSourceTest, OneBadObjectCondemnsNobody) {
  for (int i = 0; i < 20; ++i) {
    const auto bad = Ask("bad");
    server_->Give("bad", Fail(Errc::kUnavailable, "HTTP 500"));
    EXPECT_EQ(CodeOf(bad), Errc::kUnavailable);
    Pass(1'000);
    server_->Give("collections", {});
    EXPECT_TRUE(source_->answering());
    const auto good = Ask("good");
    EXPECT_TRUE(server_->Give("good", {}));
  }
  EXPECT_LE(server_->asked("collections"), 3) << "20 s: not more often than every 10 s";
  EXPECT_THAT(source_->status().last_error, HasSubstr("HTTP 500"));
  EXPECT_EQ(source_->recovered_at_ms(), std::numeric_limits<int64_t>::min());
}

TEST_F(GuardedSourceTest, AServerThatStumblesOnceMoreIsNotCondemned) {
  const auto waiting = AskAnotherAfterAFailure();
  EXPECT_EQ(state(), State::kFailing);
  EXPECT_FALSE(*waiting);
  Pass(499);
  EXPECT_EQ(server_->asked("collections"), 1);
  Pass(1);
  ASSERT_TRUE(server_->Give("collections", {}));
  EXPECT_EQ(state(), State::kOk);
  EXPECT_FALSE(*waiting);
}

TEST_F(GuardedSourceTest, AServerThatFailsTheSecondQuestionTooIsCondemned) {
  const auto waiting = AskAnotherAfterAFailure();
  Pass(500);
  ASSERT_TRUE(server_->Give("collections", Dead()));
  EXPECT_EQ(state(), State::kOffline);
  EXPECT_EQ(CodeOf(waiting), Errc::kUnreachable);
}

TEST_F(GuardedSourceTest, ADeadServerIsAskedOnceMoreAndThenNobodyWaits) {
  const auto first = Ask("A");
  server_->Give("A", Dead());
  EXPECT_EQ(CodeOf(first), Errc::kUnavailable);
  EXPECT_EQ(state(), State::kFailing);
  const auto waiting = Ask("B");
  Pass(0);
  ASSERT_TRUE(server_->Give("collections", Dead()));
  EXPECT_EQ(CodeOf(waiting), Errc::kUnreachable);
  const auto refused = Ask("C");
  EXPECT_EQ(CodeOf(refused), Errc::kUnreachable);
  EXPECT_EQ(server_->asked("C"), 0);
  EXPECT_THAT((**refused).error().message, StartsWith("nbia.example: not answering since "));
  EXPECT_THAT((**refused).error().message, HasSubstr("(connection refused); asked again in "));
  EXPECT_GT((**refused).error().retry_after_ms, 0);
  const auto sink = Download("1.2.3");
  ASSERT_TRUE(sink->outcome);
  EXPECT_EQ(sink->outcome->error().code, Errc::kUnreachable);
}

TEST_F(GuardedSourceTest, ASilentServerCondemnsItselfWellBeforeTheTimeOut) {
  const auto hanging = Ask("A");
  const auto other = Ask("B");
  server_->Give("B", Fail(Errc::kTimedOut, "nbia.example: no answer within 60 s"));
  Pass(9'999);
  EXPECT_FALSE(*hanging);
  Pass(1);
  EXPECT_EQ(CodeOf(hanging), Errc::kUnreachable);
  EXPECT_EQ(state(), State::kOffline);
  Pass(50'000);
  EXPECT_EQ(server_->asked("collections"), 1) << "it is still listened to";
  server_->Give("collections", {});
  EXPECT_EQ(state(), State::kOk) << "it was only slow";
}

TEST_F(GuardedSourceTest, ComesBackByItself) {
  GoOffline();
  const int64_t offline_ms = clock_.MonotonicMs();
  Pass(1'300);
  ASSERT_EQ(server_->asked("collections"), 2);
  EXPECT_EQ(CodeOf(Ask("B")), Errc::kUnreachable) << "while it is being asked";
  server_->Give("collections", {});
  EXPECT_EQ(state(), State::kOk);
  EXPECT_GT(source_->recovered_at_ms(), offline_ms);
  const auto outcome = Ask("B");
  EXPECT_TRUE(server_->Give("B", {}));
  EXPECT_TRUE(**outcome);
}

TEST_F(GuardedSourceTest, AsksEverLessOftenAndAtLeastEveryMinuteOrSo) {
  GoOffline();
  std::vector<int64_t> pauses_ms;
  for (int i = 0; i < 10; ++i) {
    const int64_t from_ms = clock_.MonotonicMs();
    Ask("wanted");
    while (server_->Find("collections") == nullptr) Pass(10);
    pauses_ms.push_back(clock_.MonotonicMs() - from_ms);
    server_->Give("collections", Dead());
  }
  EXPECT_LE(pauses_ms[0], 1'300);
  EXPECT_GE(pauses_ms[1], 1'400);
  EXPECT_GE(pauses_ms[4], 11'000);
  for (int i = 6; i < 10; ++i) {
    EXPECT_GE(pauses_ms[i], 44'000);
    EXPECT_LE(pauses_ms[i], 76'000);
  }
  EXPECT_EQ(server_->asked("wanted"), 0);
}

TEST_F(GuardedSourceTest, LeavesAloneWhatNobodyWants) {
  GoOffline();
  for (int i = 0; i < 200; ++i) {
    Pass(30'000);
    server_->Give("collections", Dead());
  }
  const int asked = server_->asked("collections");
  Pass(24 * 3'600'000);
  EXPECT_EQ(server_->asked("collections"), asked);
  // Who comes then is let through, with the question, and does not wait for more than it.
  const auto outcome = Ask("B");
  executor_.RunAll();
  EXPECT_EQ(server_->asked("B"), 1);
  EXPECT_EQ(server_->asked("collections"), asked + 1);
  server_->Give("collections", Dead());
  EXPECT_EQ(CodeOf(outcome), Errc::kUnreachable);
  EXPECT_EQ(CodeOf(Ask("C")), Errc::kUnreachable);
}

TEST_F(GuardedSourceTest, OneThatCameBackUnseenServesTheFirstCall) {
  GoOffline();
  for (int i = 0; i < 200; ++i) {
    Pass(30'000);
    server_->Give("collections", Dead());
  }
  const auto outcome = Ask("B");
  executor_.RunAll();
  server_->Give("B", {});
  EXPECT_TRUE(**outcome);
  EXPECT_EQ(state(), State::kOk);
}

TEST_F(GuardedSourceTest, ThrottlingIsObeyedAtOnce) {
  const auto first = Ask("A");
  Error busy{Errc::kThrottled, "nbia.example: HTTP 429", 20'000};
  server_->Give("A", Fail(busy));
  EXPECT_EQ(CodeOf(first), Errc::kThrottled);
  EXPECT_EQ(CodeOf(Ask("B")), Errc::kUnreachable);
  Pass(19'900);
  EXPECT_EQ(server_->asked("collections"), 0);
  Pass(200);
  EXPECT_EQ(server_->asked("collections"), 1);
}

TEST_F(GuardedSourceTest, AThrottlingServerMaySendWhatItSendsToTheEnd) {
  const auto flowing = Download("1.2.3");
  const auto waiting = Download("1.2.4");
  EXPECT_TRUE(server_->Find("1.2.3")->sink->Data({}));
  Ask("A");
  server_->Give("A", Fail(Error{Errc::kThrottled, "nbia.example: HTTP 429", 20'000}));
  EXPECT_FALSE(flowing->outcome);
  EXPECT_EQ(waiting->outcome->error().code, Errc::kUnreachable);
  EXPECT_TRUE(server_->Find("1.2.3")->sink->Data({}));
  EXPECT_EQ(state(), State::kOffline) << "it takes no requests all the same";
  EXPECT_TRUE(server_->Give("1.2.3", {}));
  EXPECT_TRUE(*flowing->outcome);
  EXPECT_EQ(state(), State::kOffline);
  Ask("B");
  Pass(20'100);
  EXPECT_TRUE(server_->Give("collections", {}));
  EXPECT_EQ(state(), State::kOk);
}

TEST_F(GuardedSourceTest, TellsBeforehandWhatItWouldRefuse) {
  EXPECT_FALSE(source_->Refuses());
  GoOffline();
  ASSERT_TRUE(source_->Refuses());
  EXPECT_EQ(source_->Refuses()->code, Errc::kUnreachable);
  int asked = server_->asked("collections");
  for (int i = 0; i < 3; ++i) {  // who only asks whether it would wants it back, too
    source_->Refuses();
    Pass(600'000);
    source_->Refuses();
    EXPECT_GT(server_->asked("collections"), std::exchange(asked, server_->asked("collections")));
    server_->Give("collections", Dead());
  }
}

TEST_F(GuardedSourceTest, DaysOfPatienceAreGrantedInSteps) {
  Ask("A");
  Error busy{Errc::kThrottled, "nbia.example: HTTP 429", 86'400'000};
  server_->Give("A", Fail(busy));
  int asked = 0;
  for (const int64_t granted_ms : {20'000, 40'000, 80'000, 160'000, 320'000, 640'000, 900'000}) {
    Ask("wanted");
    Pass(granted_ms - 1'000);
    EXPECT_EQ(server_->asked("collections"), asked);
    Pass(2'000);
    EXPECT_EQ(server_->asked("collections"), ++asked) << granted_ms;
    server_->Give("collections", Fail(busy));
  }
}

TEST_F(GuardedSourceTest, WhatItSaysNoToIsNotItsFault) {
  for (const Errc code : {Errc::kNotFound, Errc::kPermission, Errc::kUnauthenticated,
                          Errc::kUnsupported, Errc::kCorrupt, Errc::kCancelled, Errc::kInternal}) {
    const auto outcome = Ask("A");
    server_->Give("A", Fail(code, "no"));
    EXPECT_EQ(CodeOf(outcome), code);
    Pass(60'000);
  }
  EXPECT_EQ(state(), State::kOk);
  EXPECT_EQ(server_->asked("collections"), 0);
}

TEST_F(GuardedSourceTest, WhatTheSinkRefusesIsNotItsFault) {
  const auto sink = Download("1.2.3");
  sink->verdict = Fail(Errc::kUnavailable, "more than was announced");
  EXPECT_FALSE(server_->Find("1.2.3")->sink->Data({}));
  server_->Give("1.2.3", sink->verdict);
  Pass(60'000);
  EXPECT_EQ(sink->outcome->error().message, "more than was announced");
  EXPECT_EQ(server_->asked("collections"), 0);
}

TEST_F(GuardedSourceTest, AFlowingDownloadProvesIt) {
  const auto sink = Download("1.2.3");
  const auto failed = Ask("A");
  server_->Give("A", Dead());
  EXPECT_EQ(state(), State::kFailing);
  EXPECT_TRUE(server_->Find("1.2.3")->sink->Data({}));
  EXPECT_EQ(state(), State::kOk);
  Pass(0);
  EXPECT_EQ(server_->asked("collections"), 0);
  EXPECT_FALSE(sink->outcome);
}

TEST_F(GuardedSourceTest, AHangingDownloadRaisesSuspicionToo) {
  const auto sink = Download("1.2.3");
  const auto other = Download("1.2.4");
  server_->Give("1.2.3", Fail(Errc::kTimedOut, "no data for 60 s"));
  Pass(0);
  EXPECT_EQ(sink->outcome->error().code, Errc::kTimedOut);
  server_->Give("collections", Dead());
  EXPECT_EQ(other->outcome->error().code, Errc::kUnreachable);
}

TEST_F(GuardedSourceTest, ABulkListingIsLeftToEndByItself) {
  std::optional<Status> outcome;
  source_->ListCollectionSeries(
      CollectionId("A"), {}, [](std::vector<SeriesRecord>) { return Status(); },
      [&](Status status) { outcome = std::move(status); });
  GoOffline();
  EXPECT_FALSE(outcome);
  EXPECT_TRUE(server_->Find("all of A")->batch({}));
  EXPECT_EQ(state(), State::kOk) << "it delivers";
  server_->Give("all of A", {});
  EXPECT_TRUE(*outcome);
}

TEST_F(GuardedSourceTest, TheCallersOwnStopIsACancellation) {
  std::stop_source stop;
  const auto outcome = Ask("A", stop.get_token());
  stop.request_stop();
  EXPECT_EQ(CodeOf(outcome), Errc::kCancelled);
  EXPECT_EQ(state(), State::kOk);
}

TEST_F(GuardedSourceTest, AThousandWaitersAreAnsweredTogether) {
  std::vector<Outcome> waiting;
  for (int i = 0; i < 1'000; ++i) waiting.push_back(Ask("W" + std::to_string(i)));
  GoOffline();
  for (const auto& outcome : waiting) ASSERT_EQ(CodeOf(outcome), Errc::kUnreachable);
}

TEST_F(GuardedSourceTest, OfflineAsksNobodyEver) {
  GuardOptions options;
  options.offline = true;
  Make(options);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(CodeOf(Ask("A")), Errc::kOffline);
    Pass(3'600'000);
  }
  EXPECT_EQ(server_->asked("A") + server_->asked("collections"), 0);
  EXPECT_EQ(state(), State::kOffline);
  EXPECT_EQ(source_->status().retry_in_ms, -1);
}

TEST_F(GuardedSourceTest, TransitionsAreLoggedOnce) {
  testing::TempDirectory directory;
  LogOptions log;
  log.target = LogOptions::Target::kFile;
  log.file_path = directory.File("log");
  ASSERT_TRUE(ConfigureLog(log));
  GoOffline();
  for (int i = 0; i < 5; ++i) {
    Ask("B");
    Pass(60'000);
    server_->Give("collections", Dead());
  }
  Pass(100'000);
  server_->Give("collections", {});
  ASSERT_TRUE(ConfigureLog({}));
  std::FILE* file = std::fopen(log.file_path.c_str(), "r");
  ASSERT_NE(file, nullptr);
  std::string text(64 * 1024, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  const auto lines_with = [&](const std::string& words) {
    int count = 0;
    for (size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1))
      ++count;
    return count;
  };
  EXPECT_EQ(lines_with("nbia.example"), 2) << text;
  EXPECT_EQ(lines_with("not answering: connection refused"), 1);
  EXPECT_EQ(lines_with("answering again after "), 1);
}

TEST_F(GuardedSourceTest, MayGoAwayWithCallsAndQuestionsUnderWay) {
  const auto outcome = Ask("A");
  server_->Give("A", Dead());
  Pass(0);
  ASSERT_NE(server_->Find("collections"), nullptr);
  source_.reset();
  Pass(100'000);
}

}  // namespace
}  // namespace tciafs::source
