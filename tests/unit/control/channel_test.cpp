// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/control/channel.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support/fakes.h"
#include "tciafs/control/limits.h"

namespace tciafs::control {
namespace {

constexpr int64_t kWaitMs = 30'000;

class Channel : public ::testing::Test {
 protected:
  std::unique_ptr<Server> Serve(Handler handler, uint32_t owner_uid = ::getuid()) {
    auto server = Server::Start(path_, owner_uid, std::move(handler));
    EXPECT_TRUE(server) << server.error().message;
    return *std::move(server);
  }
  Connection Connect() {
    auto connection = Connection::Open(path_);
    EXPECT_TRUE(connection) << connection.error().message;
    return *std::move(connection);
  }
  Status AskFor(const std::string& kind) {
    auto connection = Connect();
    return Ask(connection, Message(kind), kWaitMs,
               [this](const Message& answer) { answers_.push_back(answer.Text("n")); });
  }

  testing::TempDirectory directory_;
  // Longer than the address of a socket has room for.
  const std::string deep_ = directory_.path() + "/" + std::string(120, 'd');
  const std::string path_ = deep_ + "/s";
  const bool made_ = ::mkdir(deep_.c_str(), 0700) == 0;
  std::vector<std::string> answers_;
};

Status CountToThree(const Message&, Answers& answers) {
  for (int n = 1; n <= 3; ++n) TCIAFS_TRY(answers.Send(Message("number").Add("n", n)));
  return {};
}

// Until somebody stops it.
Status Wait(const Message&, Answers& answers) {
  TCIAFS_TRY(answers.Send(Message("waits").Add("n", "")));
  while (!answers.stop().stop_requested())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return Fail(Errc::kCancelled, "stopped");
}

TEST_F(Channel, AnswersInOrderAndThenTheOutcome) {
  const auto server = Serve(CountToThree);
  EXPECT_TRUE(AskFor("count"));
  EXPECT_THAT(answers_, ::testing::ElementsAre("1", "2", "3"));
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(Channel, AnErrorIsTheOutcome) {
  const auto server = Serve([](const Message& request, Answers&) -> Status {
    return Fail(Errc::kNoSpace, request.kind() + ": no room");
  });
  const Status asked = AskFor("fetch");
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, Errc::kNoSpace);
  EXPECT_EQ(asked.error().message, "fetch: no room");
}

TEST_F(Channel, OnlyTheOwnerAndRootAreAnswered) {
  const bool is_root = ::getuid() == 0;
  const auto server = Serve(CountToThree, ::getuid() + 1);
  const Status asked = AskFor("count");
  EXPECT_EQ(asked.has_value(), is_root);
  if (!asked) {
    EXPECT_EQ(asked.error().code, Errc::kPermission);
  }
}

TEST_F(Channel, HangingUpStopsTheRequest) {
  std::atomic<int> stopped = 0;
  const auto server = Serve([&](const Message& request, Answers& answers) {
    const Status waited = Wait(request, answers);
    ++stopped;
    return waited;
  });
  {
    auto connection = Connect();
    ASSERT_TRUE(connection.Send(Message("wait")));
    ASSERT_TRUE(connection.Receive(kWaitMs));
  }
  for (int i = 0; stopped == 0 && i < 30'000; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(stopped, 1);
  EXPECT_FALSE(AskFor("bad kind")) << "and others are answered";
}

TEST_F(Channel, EndsWithRequestsUnderWayAndSilentClients) {
  auto server = Serve(Wait);
  auto silent = Connect();
  auto asking = Connect();
  ASSERT_TRUE(asking.Send(Message("wait")));
  ASSERT_TRUE(asking.Receive(kWaitMs));
  server.reset();
  EXPECT_NE(::access(path_.c_str(), F_OK), 0) << "the socket is removed";
  const auto gone = Connection::Open(path_);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Errc::kNotFound);
}

TEST_F(Channel, RequestsAtOnceEndAtTheirLimit) {
  const auto server = Serve(Wait);
  std::vector<Connection> asking;
  for (size_t i = 0; i < kRequestsMax; ++i) {
    asking.push_back(Connect());
    ASSERT_TRUE(asking.back().Send(Message("wait")));
    const auto answer = asking.back().Receive(kWaitMs);
    ASSERT_TRUE(answer && *answer);
    EXPECT_EQ((*answer)->kind(), "waits");
  }
  const Status more = AskFor("wait");
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, Errc::kBusy);
}

TEST_F(Channel, TheSocketOfAProcessThatWasKilledIsReplaced) {
  { const UniqueFd left(::open(path_.c_str(), O_CREAT | O_RDWR, 0600)); }
  const auto server = Serve(CountToThree);
  EXPECT_TRUE(AskFor("count"));
}

TEST_F(Channel, TheSocketOfASuccessorStays) {
  auto first = Serve(CountToThree);
  const auto successor = Serve(CountToThree);  // while the first is still on its way out
  first.reset();
  EXPECT_TRUE(AskFor("count"));
}

TEST_F(Channel, ALineEndsAtItsLimit) {
  const auto server = Serve([](const Message&, Answers& answers) {
    return answers.Send(Message("long").Add("n", std::string(kLineBytesMax, 'x')));
  });
  const Status asked = AskFor("long");
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, Errc::kInvalidArgument);
}

}  // namespace
}  // namespace tciafs::control
