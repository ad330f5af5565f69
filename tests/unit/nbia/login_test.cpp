// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/nbia/login.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nbia/json_values.h"
#include "nbia/limits.h"
#include "source_fixture.h"

namespace tciafs::nbia {
namespace {

using testing::Body;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::StatusAnswer;

class MapLogin final : public Login {
 public:
  explicit MapLogin(State state) : state_(std::move(state)) {}
  State Load() override { return state_; }
  void Save(const State&, const State& renewed) override {
    state_ = renewed;
    ++saves;
  }
  State state_;
  int saves = 0;
};

class LoginTest : public SourceTest {
 protected:
  LoginTest() {
    options_.credentials.username = "alice";
    options_.credentials.login = login_;
    UseFamily(ApiFamily::kV2);
    transport_.When("getCollectionValues", Body(R"([{"Collection":"A"}])"));
  }
  void Grant(const std::string& refresh, const std::string& answer, int times = -1) {
    transport_.Add({"oauth/token", Body(answer), "refresh_token=" + refresh + "&", "", times});
  }
  void RefuseTheRest() {
    transport_.When("oauth/token", StatusAnswer(400, R"({"error":"invalid_grant"})"));
  }
  static std::string Tokens(const std::string& access, const std::string& refresh) {
    return R"({"access_token":")" + access + R"(","expires_in":300,"refresh_token":")" + refresh +
           R"(","refresh_expires_in":1800})";
  }
  LoginPorts Ports() { return {transport_, executor_, scheduler_}; }

  const std::shared_ptr<MapLogin> login_ = std::make_shared<MapLogin>(Login::State{"r1", "nbia"});
};

TEST_F(LoginTest, ARefreshTokenIsUsedAndReplaced) {
  Grant("r1", Tokens("t1", "r2"), 1);
  Grant("r2", Tokens("t2", "r3"), 1);
  RefuseTheRest();
  EXPECT_EQ(Collections(), std::vector<std::string>{"A"});
  EXPECT_EQ(HeaderOf(transport_.Requests("getCollectionValues")[0], "Authorization"), "Bearer t1");
  EXPECT_EQ(login_->state_.refresh_token, "r2");
  const std::string body = transport_.Requests("oauth/token")[0].body;
  EXPECT_THAT(body, HasSubstr("client_id=nbia"));
  EXPECT_THAT(body, HasSubstr("grant_type=refresh_token"));
  EXPECT_THAT(body, Not(HasSubstr("password")));
  clock_.Advance(300'000);
  EXPECT_EQ(Collections(), std::vector<std::string>{"A"});
  EXPECT_EQ(login_->state_.refresh_token, "r3");
  EXPECT_EQ(login_->saves, 2);
}

TEST_F(LoginTest, ALoginThatNobodyNeedsIsKeptAlive) {
  Grant("r1", Tokens("t1", "r2"), 1);
  Grant("r2", Tokens("t2", "r3"), 1);
  transport_.Add({"oauth/token", StatusAnswer(503, ""), "refresh_token=r3&", "", 1});
  Grant("r3", Tokens("t3", "r4"), 1);
  RefuseTheRest();
  EXPECT_EQ(Collections(), std::vector<std::string>{"A"});
  const auto pass = [this](int64_t ms) {
    scheduler_.Advance(ms);
    RunAll();
    return login_->state_.refresh_token;
  };
  EXPECT_EQ(pass(899'999), "r2");
  EXPECT_EQ(pass(1), "r3");
  EXPECT_EQ(pass(900'000), "r3");
  EXPECT_EQ(pass(kLoginRetryMs), "r4");
  EXPECT_EQ(transport_.Count("getCollectionValues"), 1u);
  Restart();  // nothing is left to begin
  EXPECT_EQ(pass(3'600'000), "r4");
}

TEST_F(LoginTest, ALoginInUseNeedsNoKeeping) {
  Grant("r1", Tokens("t1", "r2"), 1);
  Grant("r2", Tokens("t2", "r3"), 1);
  RefuseTheRest();
  Collections();
  scheduler_.Advance(600'000);
  Collections();  // the token has run out
  scheduler_.Advance(899'999);
  RunAll();
  EXPECT_EQ(transport_.Count("oauth/token"), 2u);
}

TEST_F(LoginTest, OneThatIsKeptIsNotStoredAnew) {
  Grant("r1", R"({"access_token":"t1","expires_in":300})");
  EXPECT_EQ(Collections(), std::vector<std::string>{"A"});
  EXPECT_EQ(login_->saves, 0);
}

TEST_F(LoginTest, TheEndOfALoginSaysWhatToDo) {
  RefuseTheRest();
  EXPECT_EQ(Collections(), std::vector<std::string>{"error"});
  EXPECT_EQ(last_code_, Errc::kUnauthenticated);
  EXPECT_EQ(last_error_, "archive.example: the login there has ended; log in again: tciafs login " +
                             std::string(kRoot));
  const size_t asked = transport_.Count("oauth/token");
  EXPECT_EQ(Collections(), std::vector<std::string>{"error"});
  EXPECT_EQ(transport_.Count("oauth/token"), asked);  // not insisted on
}

TEST_F(LoginTest, ANewLoginIsTakenUpAtOnce) {
  RefuseTheRest();
  EXPECT_EQ(Collections(), std::vector<std::string>{"error"});
  transport_.Forget();
  transport_.When("getCollectionValues", Body(R"([{"Collection":"A"}])"));
  Grant("other", Tokens("t", "other2"));
  login_->state_.refresh_token = "other";
  EXPECT_EQ(Collections(), std::vector<std::string>{"A"});
}

TEST_F(LoginTest, AForgottenLoginAsksNobody) {
  login_->state_ = {};
  EXPECT_EQ(Collections(), std::vector<std::string>{"error"});
  EXPECT_THAT(last_error_, HasSubstr("log in again"));
  EXPECT_EQ(transport_.Count(), 0u);
}

// Somebody else used it between our looking and our asking.
TEST_F(LoginTest, WhatAnotherProcessRenewedIsUsed) {
  class Raced final : public Login {
   public:
    State Load() override { return {++loads_ == 1 ? "r1" : "r2", "nbia"}; }
    void Save(const State& used, const State&) override { used_ = used.refresh_token; }
    int loads_ = 0;
    std::string used_;
  };
  const auto raced = std::make_shared<Raced>();
  options_.credentials.login = raced;
  Grant("r2", Tokens("t", "r3"));
  RefuseTheRest();
  EXPECT_EQ(Collections(), std::vector<std::string>{"A"});
  EXPECT_EQ(raced->used_, "r2");
}

TEST_F(LoginTest, AServerThatFailsDoesNotEndTheLogin) {
  transport_.When("oauth/token", StatusAnswer(503, ""));
  EXPECT_EQ(Collections(), std::vector<std::string>{"error"});
  EXPECT_EQ(last_code_, Errc::kUnavailable);
  EXPECT_THAT(last_error_, Not(HasSubstr("log in again")));
}

TEST_F(LoginTest, TheNameOfTheClientIsFoundOut) {
  login_->state_.client_id = "";
  transport_.Add({"oauth/token", Body(Tokens("t", "r2")), "client_id=nbia&", "", -1});
  RefuseTheRest();
  EXPECT_EQ(Collections(), std::vector<std::string>{"A"});
  EXPECT_EQ(login_->state_.client_id, "nbia");
}

TEST_F(LoginTest, LoggingIn) {
  options_.credentials = {"alice", "wonder", nullptr};
  // {"azp":"private-client"}
  transport_.When("oauth/token", Body(Tokens("h.eyJhenAiOiJwcml2YXRlLWNsaWVudCJ9.s", "r1")));
  Answer<LoginGiven> answer;
  LogIn(options_, Ports(), {}, answer.callback());
  RunAll();
  ASSERT_TRUE(answer.ok()) << answer.message();
  EXPECT_EQ(answer.value().state.refresh_token, "r1");
  EXPECT_EQ(answer.value().state.client_id, "private-client");
  EXPECT_EQ(answer.value().life_s, 1800);
}

TEST_F(LoginTest, LoggingInInVain) {
  options_.credentials = {"alice", "hidden", nullptr};
  transport_.When("oauth/token", StatusAnswer(401, R"({"error":"invalid_grant hidden"})"), 1);
  transport_.When("oauth/token", Body(R"({"access_token":"t"})"));
  Answer<LoginGiven> refused;
  LogIn(options_, Ports(), {}, refused.callback());
  RunAll();
  EXPECT_EQ(refused.error(), Errc::kUnauthenticated);
  EXPECT_THAT(refused.message(), Not(HasSubstr("hidden")));
  Answer<LoginGiven> nothing_lasting;
  LogIn(options_, Ports(), {}, nothing_lasting.callback());
  RunAll();
  EXPECT_EQ(nothing_lasting.error(), Errc::kUnsupported);
}

TEST_F(LoginTest, LoggingOutIsProvedByTryingAgain) {
  Grant("r1", Tokens("t1", "r2"));
  transport_.When("services/logout", StatusAnswer(204, ""));
  RefuseTheRest();
  Answer<LogoutOutcome> answer;
  LogOut(options_, Ports(), {}, answer.callback());
  RunAll();
  ASSERT_TRUE(answer.ok()) << answer.message();
  EXPECT_EQ(answer.value(), LogoutOutcome::kEnded);
  const auto request = transport_.Requests("services/logout")[0];
  EXPECT_EQ(HeaderOf(request, "Authorization"), "Bearer t1");
  EXPECT_THAT(request.body, HasSubstr("refresh_token=r2"));
  EXPECT_EQ(request.url.find("r2"), std::string::npos);
}

TEST_F(LoginTest, AServerThatKeepsALoginAllTheSame) {
  Grant("r1", Tokens("t1", "r2"));
  Grant("r2", Tokens("t2", "r3"));
  transport_.When("services/logout", StatusAnswer(400, ""));
  transport_.When("/nbia-api/logout", Body("You Have Logged Out successfully."));
  Answer<LogoutOutcome> answer;
  LogOut(options_, Ports(), {}, answer.callback());
  RunAll();
  ASSERT_TRUE(answer.ok()) << answer.message();
  EXPECT_EQ(answer.value(), LogoutOutcome::kStillGood);
  EXPECT_EQ(transport_.Count("/nbia-api/logout"), 1u);  // the old path, too
}

TEST(TokenAnswer, NamesItsClient) {
  EXPECT_EQ(ParseTokenAnswer(R"({"access_token":"a.eyJhenAiOiJuYmlhIn0.c"})")->client_id, "nbia");
  for (const char* none : {"uuid-of-old-servers", "a.!!.c", "a.e30.c", "a.", "..", "a.bnVsbA.c"})
    EXPECT_EQ(ParseTokenAnswer(std::string(R"({"access_token":")") + none + "\"}")->client_id, "")
        << none;
}

}  // namespace
}  // namespace tciafs::nbia
