// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Listings: families, how one is settled, tokens, and everything a server may answer in place of a
// list.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "nbia/limits.h"
#include "source_fixture.h"

namespace tciafs::nbia {
namespace {

using testing::Body;
using testing::EmptyBody;
using testing::FakeAnswer;
using testing::StatusAnswer;

constexpr const char* kTwo = R"([{"Collection":"4D-Lung"},{"Collection":"CT COLONOGRAPHY"}])";
const std::vector<std::string> kTwoNames = {"4D-Lung", "CT COLONOGRAPHY"};

const std::string kMemoryKey = std::string("api|") + kRoot + "|guest";

std::string SeriesRow(const std::string& series, const std::string& patient = "P1",
                      const std::string& collection = "C") {
  return R"({"SeriesInstanceUID":")" + series + R"(","StudyInstanceUID":"1.1","Collection":")" +
         collection + R"(","PatientID":")" + patient + R"(","ImageCount":2,"FileSize":300})";
}

class ListingTest : public SourceTest {};

TEST_F(ListingTest, AutoSettlesOnV4WithoutAnExtraRequest) {
  transport_.When("v4/getCollectionValues", Body(kTwo));
  EXPECT_EQ(Collections(), kTwoNames);
  EXPECT_EQ(transport_.Count(), 1u);
  EXPECT_EQ(HeaderOf(transport_.Requests()[0], "Authorization"), "");
  EXPECT_EQ(memory_.Load(kMemoryKey), "v4");
  EXPECT_EQ(Collections(), kTwoNames);
  EXPECT_EQ(transport_.Count(), 2u);
}

TEST_F(ListingTest, AutoFallsBackToV2WithATokenThenV1) {
  GiveTokens();
  transport_.When("v2/getCollectionValues", Body(kTwo), 1);
  transport_.When("v1/getCollectionValues", Body(kTwo));
  EXPECT_EQ(Collections(), kTwoNames);
  EXPECT_EQ(memory_.Load(kMemoryKey), "v2");
  EXPECT_EQ(HeaderOf(transport_.Requests("v2/")[0], "Authorization"), "Bearer tok");

  Restart();
  memory_.Save(kMemoryKey, "");
  EXPECT_EQ(Collections(), kTwoNames);
  EXPECT_EQ(memory_.Load(kMemoryKey), "v1");
  EXPECT_EQ(HeaderOf(transport_.Requests("v1/")[0], "Authorization"), "");
}

TEST_F(ListingTest, AnUnreachableServerIsAskedOnce) {
  transport_.When("", FakeAnswer{.before_head = Error{Errc::kUnavailable, "refused"}});
  EXPECT_EQ(Collections(), std::vector<std::string>{"error"});
  EXPECT_EQ(last_code_, Errc::kUnavailable);
  EXPECT_EQ(transport_.Count(), 1u);
}

TEST_F(ListingTest, AServerThatListsNothingIsNoError) {
  GiveTokens();
  transport_.When("getCollectionValues", EmptyBody());
  EXPECT_TRUE(Collections().empty());
  EXPECT_EQ(memory_.Load(kMemoryKey), "");
}

TEST_F(ListingTest, ANamedAccountIsNeverShownTheGuestsView) {
  options_.credentials = {"me", "pw"};
  GiveTokens();
  transport_.When("v4/getCollectionValues", EmptyBody(), 1);
  transport_.When("v2/getCollectionValues", EmptyBody(), 1);
  transport_.When("v1/getCollectionValues", Body(R"([{"Collection":"Public"}])"));
  transport_.When("v4/getCollectionValues", Body(kTwo));
  memory_.Save(std::string("api|") + kRoot + "|me", "v1");
  memory_.Save(kMemoryKey, "v2");
  EXPECT_TRUE(Collections().empty());
  EXPECT_EQ(transport_.Count("v1/"), 0u);
  clock_.Advance(kSettledAtLeastMs);
  EXPECT_EQ(Collections(), kTwoNames);
  EXPECT_EQ(transport_.Count("v1/"), 0u);
  EXPECT_EQ(memory_.Load(std::string("api|") + kRoot + "|me"), "v4");
  EXPECT_EQ(memory_.Load(kMemoryKey), "v2");  // the guest's own
}

TEST_F(ListingTest, AFamilyFoundPastAnAilingOneIsHeldForAWhileOnly) {
  for (const auto& ailing : {EmptyBody(), StatusAnswer(500, "database is down")}) {
    Restart();
    transport_.Forget();
    memory_.Save(kMemoryKey, "");
    GiveTokens();
    transport_.When("v4/getCollectionValues", ailing, 1);
    transport_.When("v4/getCollectionValues", Body(kTwo));
    transport_.When("v2/getCollectionValues", Body(R"([{"Collection":"Old"}])"));
    EXPECT_EQ(Collections(), std::vector<std::string>{"Old"});
    EXPECT_EQ(memory_.Load(kMemoryKey), "");
    EXPECT_EQ(Collections(), std::vector<std::string>{"Old"});
    clock_.Advance(kSettledAtLeastMs);
    EXPECT_EQ(Collections(), kTwoNames);
    EXPECT_EQ(memory_.Load(kMemoryKey), "v4");
  }
}

TEST_F(ListingTest, ARememberedFamilyThatListsNothingTwiceIsDoubted) {
  const FakeAnswer redirected{.before_head = Error{Errc::kUnavailable, "redirected to x"}};
  for (const auto& odd : {EmptyBody(), Body("<html>Welcome"), redirected}) {
    Restart();
    transport_.Forget();
    memory_.Save(kMemoryKey, "v1");
    transport_.When("v1/getCollectionValues", odd);
    transport_.When("v4/getCollectionValues", Body(kTwo));
    EXPECT_NE(Collections(), kTwoNames);
    EXPECT_EQ(Collections(), kTwoNames);
    EXPECT_EQ(memory_.Load(kMemoryKey), "v4");
  }
}

TEST_F(ListingTest, AListBetweenTwoEmptyOnesClearsTheFamilyOfDoubt) {
  memory_.Save(kMemoryKey, "v1");
  transport_.When("v4/", Body(kTwo));
  transport_.When("v1/", EmptyBody(), 1);
  transport_.When("v1/", Body(R"([{"Collection":"Old"}])"), 1);
  transport_.When("v1/", EmptyBody(), 1);
  transport_.When("v1/", StatusAnswer(503, ""));
  for (int i = 0; i < 5; ++i) Collections();
  EXPECT_EQ(transport_.Count("v4/"), 0u);
}

TEST_F(ListingTest, ADoubtedFamilyIsKeptWhereThereIsNoneElseAndNotDoubtedAgainSoon) {
  memory_.Save(kMemoryKey, "v4");
  GiveTokens();
  transport_.When("getCollectionValues", Body("<html>Maintenance"));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Collections(), std::vector<std::string>{"error"});
  EXPECT_EQ(transport_.Count("v1/"), 1u);
  EXPECT_EQ(transport_.Count("v4/"), 7u);
  clock_.Advance(kSettledAtLeastMs);
  Collections();
  Collections();
  EXPECT_EQ(transport_.Count("v1/"), 2u);
  transport_.Forget();
  transport_.When("v4/getCollectionValues", Body(kTwo));
  EXPECT_EQ(Collections(), kTwoNames);
}

TEST_F(ListingTest, OneProbeServesAllWhoWait) {
  transport_.When("v4/getCollectionValues", Body(kTwo));
  transport_.When("v4/getPatient?Collection=C", Body(R"([{"PatientId":"P1","Collection":"C"}])"));
  Answer<std::vector<source::CollectionRecord>> collections;
  Answer<std::vector<source::PatientRecord>> first;
  Answer<std::vector<source::PatientRecord>> second;
  Source().ListPatients(source::CollectionId("C"), {}, first.callback());
  Source().ListCollections({}, collections.callback());
  Source().ListPatients(source::CollectionId("C"), {}, second.callback());
  RunAll();
  EXPECT_TRUE(collections.ok() && first.ok() && second.ok());
  EXPECT_EQ(transport_.Count("getCollectionValues"), 1u);
}

TEST_F(ListingTest, ARememberedFamilyThatIsGoneIsSettledAnew) {
  memory_.Save(kMemoryKey, "v2");
  GiveTokens();
  transport_.When("v4/getCollectionValues", Body(kTwo));
  transport_.When("v4/getPatient", Body(R"([{"PatientId":"P1"}])"));
  const auto answer = Patients("C");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer.value().size(), 1u);
  EXPECT_EQ(memory_.Load(kMemoryKey), "v4");
}

TEST_F(ListingTest, AFixedFamilyIsNeverDoubted) {
  UseFamily(ApiFamily::kV1);
  const auto answer = Patients("C");
  EXPECT_EQ(answer.error(), Errc::kUnavailable);
  EXPECT_EQ(transport_.Count(), 1u);
}

TEST_F(ListingTest, ParametersAreSpeltAsEachCallWantsThem) {
  for (const auto family : {ApiFamily::kV4, ApiFamily::kV1}) {
    Restart();
    UseFamily(family);
    options_.api_key = "key1";
    Patients("CT COLONOGRAPHY");
    PatientSeries("A&B", "P+1/2 ");
  }
  std::vector<std::string> tails;
  for (const auto& request : transport_.Requests())
    tails.push_back(request.url.substr(std::string(kRoot).size()));
  EXPECT_EQ(tails, (std::vector<std::string>{
                       "/services/v4/getPatient?Collection=CT%20COLONOGRAPHY",
                       "/services/v4/getSeries?Collection=A%26B&PatientID=P%2B1%2F2%20",
                       "/services/v1/getPatient?Collection=CT%20COLONOGRAPHY",
                       "/services/v1/getSeries?Collection=A%26B&PatientID=P%2B1%2F2%20"}));
  EXPECT_EQ(HeaderOf(transport_.Requests("v4/")[0], "api_key"), "");
  EXPECT_EQ(HeaderOf(transport_.Requests("v1/")[0], "api_key"), "key1");
  EXPECT_EQ(HeaderOf(transport_.Requests("v1/")[0], "Accept"), "*/*");
}

TEST_F(ListingTest, RowsOfOthersAreDroppedAndTwinsKeptOnce) {
  UseFamily(ApiFamily::kV4);
  transport_.When("getPatient", Body(R"([{},{"PatientId":"p1","Collection":"C"},)"
                                     R"({"PatientID":"P1","Collection":"C"},)"
                                     R"({"PatientId":"P1","Collection":"C","PatientSex":"F"},)"
                                     R"({"PatientId":"P2","Collection":"c"}])"));
  const auto patients = Patients("C");
  ASSERT_TRUE(patients.ok());
  ASSERT_EQ(patients.value().size(), 2u);
  EXPECT_EQ(patients.value()[1].patient.text(), "P1");

  transport_.When("getSeries", Body("[" + SeriesRow("1.2") + "," + SeriesRow("1.3", "p1") + "," +
                                    SeriesRow("1.4", "P1", "other") + "]"));
  const auto series = PatientSeries("C", "P1");
  ASSERT_TRUE(series.ok());
  ASSERT_EQ(series.value().size(), 1u);
  EXPECT_EQ(series.value()[0].series.text(), "1.2");
}

TEST_F(ListingTest, EmptyAnd204AndNoDataFoundAreEmptyLists) {
  UseFamily(ApiFamily::kV4);
  for (const auto& answer : {EmptyBody(), StatusAnswer(204, ""), Body("[]"), Body("  \n"),
                             StatusAnswer(500, "No data found.")}) {
    transport_.Forget();
    transport_.When("getPatient", answer);
    const auto patients = Patients("C");
    ASSERT_TRUE(patients.ok()) << answer.status;
    EXPECT_TRUE(patients.value().empty());
  }
}

TEST_F(ListingTest, WhatIsNoListIsUnavailableAndSaysWhy) {
  UseFamily(ApiFamily::kV4);
  const std::vector<std::pair<FakeAnswer, std::string>> cases = {
      {Body("<html><h1>Maintenance</h1>"), "a web page"},
      {Body("A parameter, Collection is required"), "A parameter, Collection"},
      {Body("{\"error\":\"odd\"}"), "{\"error\":\"odd\"}"},
      {Body("[{\"PatientId\":\"P1\""), "cut short"},
      {Body("[{\"PatientId\":}]"), "no JSON"},
      {StatusAnswer(502, "<html>Bad Gateway"), "HTTP 502 with a web page"},
      {FakeAnswer{.pieces = {"[{}"}, .after_body = Error{Errc::kUnavailable, "reset"}}, "reset"},
  };
  for (const auto& [answer, words] : cases) {
    transport_.Forget();
    transport_.When("getPatient", answer);
    const auto patients = Patients("C");
    EXPECT_EQ(patients.error(), Errc::kUnavailable) << words;
    EXPECT_NE(patients.message().find(words), std::string::npos) << patients.message();
    EXPECT_NE(patients.message().find("archive.example: v4/getPatient"), std::string::npos)
        << patients.message();
  }
}

TEST_F(ListingTest, AListThatStartsOverIsNotDoubled) {
  UseFamily(ApiFamily::kV4);
  transport_.When("getPatient",
                  FakeAnswer{.pieces = {"[{\"PatientId\":\"P1\"},", "{\"PatientId\":\"P2\"}]"},
                             .after_body = Error{Errc::kUnavailable, "reset"},
                             .restart = true});
  const auto patients = Patients("C");
  ASSERT_TRUE(patients.ok());
  EXPECT_EQ(patients.value().size(), 2u);
}

// --- tokens ---

TEST_F(ListingTest, ARefusedTokenIsRenewedOnce) {
  UseFamily(ApiFamily::kV2);
  GiveTokens("old", 1);
  GiveTokens("new");
  transport_.Add(
      {.url_part = "getPatient", .answer = StatusAnswer(401, ""), .header_part = "Bearer old"});
  transport_.When("getPatient", Body(R"([{"PatientId":"P1"}])"));
  EXPECT_TRUE(Patients("C").ok());
  EXPECT_EQ(transport_.Count("oauth/token"), 2u);

  transport_.Forget();
  GiveTokens("newer");
  transport_.When("getPatient", StatusAnswer(403, ""));
  clock_.Advance(kTokenProofMs + 1);
  EXPECT_EQ(Patients("C").error(), Errc::kPermission);
  EXPECT_EQ(transport_.Count("getPatient"), 4u);
  EXPECT_EQ(transport_.Count("oauth/token"), 3u);
}

TEST_F(ListingTest, AThingThatIsForbiddenForGoodCostsNoLogins) {
  UseFamily(ApiFamily::kV2);
  GiveTokens();
  transport_.When("getPatient?Collection=C", StatusAnswer(403, ""));
  transport_.When("getPatient", Body(R"([{"PatientId":"P1"}])"));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Patients("C").error(), Errc::kPermission);
  EXPECT_EQ(transport_.Count("oauth/token"), 1u);  // young
  clock_.Advance(kTokenProofMs + 1);
  EXPECT_TRUE(Patients("D").ok());
  Patients("C");
  EXPECT_EQ(transport_.Count("oauth/token"), 1u);  // it has just worked elsewhere
  clock_.Advance(kTokenProofMs + 1);
  Patients("C");
  Patients("C");
  EXPECT_TRUE(Patients("D").ok());
  EXPECT_EQ(transport_.Count("oauth/token"), 2u);
}

TEST_F(ListingTest, ATokenRefusedTwiceInACallStaysForTheOthers) {
  UseFamily(ApiFamily::kV2);
  GiveTokens();
  transport_.When("getPatient?Collection=C", StatusAnswer(401, ""));
  transport_.When("getPatient", Body(R"([{"PatientId":"P1"}])"));
  EXPECT_EQ(Patients("C").error(), Errc::kUnauthenticated);
  EXPECT_EQ(transport_.Count("oauth/token"), 2u);
  EXPECT_TRUE(Patients("D").ok());
  EXPECT_EQ(transport_.Count("oauth/token"), 2u);
}

TEST_F(ListingTest, AnEmptyAnswerToAnOldTokenIsAskedAgainWithANewOne) {
  UseFamily(ApiFamily::kV2);
  GiveTokens("old", 1);
  GiveTokens("new");
  transport_.Add({.url_part = "getPatient", .answer = EmptyBody(), .header_part = "Bearer old"});
  transport_.When("getPatient", Body(R"([{"PatientId":"P1"}])"));
  EXPECT_TRUE(Patients("C").value().empty());  // the token is minutes young: believed
  EXPECT_EQ(transport_.Count("getPatient"), 1u);
  clock_.Advance(kTokenProofMs + 1);
  EXPECT_EQ(Patients("C").value().size(), 1u);
  EXPECT_EQ(transport_.Count("getPatient"), 3u);
}

TEST_F(ListingTest, TokensAreRenewedBeforeTheyExpireAndFetchedOnceForAll) {
  UseFamily(ApiFamily::kV2);
  transport_.When("oauth/token", Body(R"({"access_token":"t","expires_in":"300"})"));
  transport_.When("getPatient", Body(R"([{"PatientId":"P1"}])"));
  Answer<std::vector<source::PatientRecord>> first;
  Answer<std::vector<source::PatientRecord>> second;
  Source().ListPatients(source::CollectionId("C"), {}, first.callback());
  Source().ListPatients(source::CollectionId("C"), {}, second.callback());
  RunAll();
  EXPECT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(transport_.Count("oauth/token"), 1u);
  clock_.Advance(269'000);
  Patients("C");
  EXPECT_EQ(transport_.Count("oauth/token"), 1u);
  clock_.Advance(2'000);
  Patients("C");
  EXPECT_EQ(transport_.Count("oauth/token"), 2u);
}

TEST_F(ListingTest, BothTokenPathsAreTriedAndTheRightOneRemembered) {
  UseFamily(ApiFamily::kV2);
  options_.credentials = {"me", "p&ss word"};
  transport_.When("services/oauth/token", Body(R"({"access_token":"t","expires_in":1})"));
  transport_.When("/oauth/token", StatusAnswer(404, "<html>"));
  transport_.When("getPatient", Body(R"([{"PatientId":"P1"}])"));
  EXPECT_TRUE(Patients("C").ok());
  clock_.Advance(5'000);
  Restart();
  EXPECT_TRUE(Patients("C").ok());
  const auto asked = transport_.Requests("oauth/token");
  ASSERT_EQ(asked.size(), 3u);
  EXPECT_EQ(asked[0].url, std::string(kRoot) + "/oauth/token");
  EXPECT_EQ(asked[2].url, std::string(kRoot) + "/services/oauth/token");
  EXPECT_EQ(asked[0].method, "POST");
  EXPECT_EQ(asked[0].body, "username=me&password=p%26ss%20word&client_id=NBIA&grant_type=password");
}

TEST_F(ListingTest, RejectedCredentialsAreNotRepeated) {
  UseFamily(ApiFamily::kV2);
  options_.credentials = {"me", "s3cret"};
  transport_.When("oauth/token", StatusAnswer(401, R"({"error":"invalid_grant","hint":"s3cret"})"));
  for (int i = 0; i < 3; ++i) {
    const auto answer = Patients("C");
    EXPECT_EQ(answer.error(), Errc::kUnauthenticated);
    EXPECT_EQ(answer.message().find("s3cret"), std::string::npos);
  }
  EXPECT_EQ(transport_.Count("oauth/token"), 1u);
  clock_.Advance(kRejectionMemoryMs + 1);
  Patients("C");
  EXPECT_EQ(transport_.Count("oauth/token"), 2u);
}

TEST_F(ListingTest, ATokenThatWouldBreakAHeaderIsNotUsed) {
  UseFamily(ApiFamily::kV2);
  transport_.When("oauth/token", Body(R"({"access_token":"a\r\nX: y","expires_in":300})"));
  EXPECT_EQ(Patients("C").error(), Errc::kUnavailable);
  EXPECT_EQ(transport_.Count("getPatient"), 0u);
}

TEST_F(ListingTest, ANamedAccountIsNamedInV4Too) {
  options_.credentials = {"me", "pw"};
  GiveTokens();
  transport_.When("v4/getCollectionValues", Body(kTwo));
  EXPECT_EQ(Collections(), kTwoNames);
  EXPECT_EQ(HeaderOf(transport_.Requests("v4/")[0], "Authorization"), "Bearer tok");
}

// --- scope, bulk, cancellation ---

TEST_F(ListingTest, ScopeTellsAccountsApartWithoutSecrets) {
  EXPECT_EQ(Source().scope(), std::string(kRoot) + "|guest");
  EXPECT_EQ(Source().name(), "archive.example");
  Restart();
  options_.root_url = "https://u:s3cret@archive.example:8443/nbia-api/";
  options_.credentials = {"me", "s3cret"};
  const std::string scope = Source().scope();
  EXPECT_TRUE(scope.starts_with("https://archive.example:8443/nbia-api|me+url:")) << scope;
  EXPECT_EQ(scope.find("s3cret"), std::string::npos);
  EXPECT_EQ(Source().name(), "archive.example:8443");
}

TEST_F(ListingTest, ScopeTellsKeysAndUrlUsersApart) {
  std::set<std::string> scopes;
  const auto add = [&](const std::string& root, const std::string& user, const std::string& key) {
    Restart();
    options_.root_url = root;
    options_.credentials.username = user;
    options_.api_key = key;
    scopes.insert(Source().scope());
    EXPECT_EQ(Source().scope().find("k-"), std::string::npos) << Source().scope();
  };
  add(kRoot, "", "");
  add(kRoot, "nbia_guest", "");
  EXPECT_EQ(scopes.size(), 1u);
  add(kRoot, "", "k-1");
  add(kRoot, "", "k-2");
  add(kRoot, "me", "");
  add(kRoot, "me", "k-1");
  add(kRoot, "guest", "");
  add("https://a:p@archive.example/nbia-api", "", "");
  add("https://b:p@archive.example/nbia-api", "", "");
  EXPECT_EQ(scopes.size(), 8u);
  add("https://b:q@archive.example/nbia-api", "", "");  // the same user, another password
  EXPECT_EQ(scopes.size(), 8u);
}

class BulkTest : public SourceTest {
 protected:
  BulkTest() { UseFamily(ApiFamily::kV4); }
  void List(std::stop_token stop = {}) {
    Source().ListCollectionSeries(
        source::CollectionId("C"), stop,
        [this](std::vector<source::SeriesRecord> records) -> Status {
          batch_sizes_.push_back(records.size());
          return batch_error_;
        },
        done_.callback());
  }
  std::vector<size_t> batch_sizes_;
  Status batch_error_;
  Answer<void> done_;
};

TEST_F(BulkTest, ComesInBatchesFromPiecesOfAnySize) {
  std::string body = "[";
  for (int i = 0; i < 2500; ++i) body += (i ? "," : "") + SeriesRow("1.2." + std::to_string(i));
  body += "]";
  FakeAnswer answer;
  for (size_t at = 0; at < body.size(); at += 7777) answer.pieces.push_back(body.substr(at, 7777));
  transport_.When("v4/getSeries?Collection=C", answer);
  List();
  RunAll();
  ASSERT_TRUE(done_.result && *done_.result);
  EXPECT_EQ(batch_sizes_, (std::vector<size_t>{1000, 1000, 500}));
  EXPECT_EQ(transport_.Requests()[0].stall_timeout_ms, options_.bulk_silence_ms);
  // A server that puts us off makes no progress either.
  EXPECT_EQ(transport_.Requests()[0].retry.window_ms, options_.io_timeout_ms);
}

TEST_F(BulkTest, ABreakHalfWayIsAnErrorWithoutRepetition) {
  transport_.When("getSeries", FakeAnswer{.pieces = {"[" + SeriesRow("1.2") + ","},
                                          .after_body = Error{Errc::kUnavailable, "reset"},
                                          .restart = true});
  List();
  RunAll();
  EXPECT_EQ(done_.error(), Errc::kUnavailable);
  EXPECT_TRUE(batch_sizes_.empty());
}

TEST_F(BulkTest, ABatchErrorEndsTheTransfer) {
  std::string body = "[" + SeriesRow("1.0");
  for (int i = 1; i < 3000; ++i) body += "," + SeriesRow("1.2." + std::to_string(i));
  transport_.When("getSeries", FakeAnswer{.pieces = {body}, .hang = true});
  batch_error_ = Fail(Errc::kNoSpace, "full");
  List();
  RunAll();
  EXPECT_EQ(done_.error(), Errc::kNoSpace);
  EXPECT_EQ(batch_sizes_.size(), 1u);
}

TEST_F(BulkTest, SilenceInTheMiddleTimesOutThoughTheBeginningMayBeSlow) {
  transport_.When("getSeries", FakeAnswer{.pieces = {"[" + SeriesRow("1.2")}, .hang = true});
  List();
  RunAll();
  scheduler_.Advance(options_.io_timeout_ms * 2 + 1);
  RunAll();
  EXPECT_EQ(done_.error(), Errc::kTimedOut);
  EXPECT_EQ(scheduler_.pending(), 0u);
}

TEST_F(BulkTest, AReaderThatFallsBehindPausesTheTransfer) {
  std::string row = SeriesRow("1.2");
  FakeAnswer answer;
  answer.pieces.push_back("[" + row);
  for (int i = 0; i < 40; ++i) answer.pieces.push_back("," + row + std::string(500'000, ' '));
  answer.pieces.push_back("]");
  // The network runs on while the worker stands still.
  testing::ManualExecutor network;
  testing::FakeTransport transport(network);
  transport.When("getSeries", answer);
  auto source = CreateNbiaSource(options_, transport, memory_, clock_, executor_, scheduler_);
  source->ListCollectionSeries(
      source::CollectionId("C"), {}, [](std::vector<source::SeriesRecord>) { return Status(); },
      done_.callback());
  network.RunAll();
  EXPECT_EQ(transport.pauses(), 1);
  for (int turn = 0; turn < 100 && !done_.result; ++turn) {
    executor_.RunAll();
    network.RunAll();
  }
  EXPECT_TRUE(done_.result && *done_.result);
  EXPECT_GE(transport.pauses(), 3);
}

TEST_F(BulkTest, AStopRequestEndsItSoon) {
  transport_.When("getSeries", FakeAnswer{.pieces = {"["}, .hang = true});
  std::stop_source stop;
  List(stop.get_token());
  RunAll();
  EXPECT_FALSE(done_.result);
  stop.request_stop();
  RunAll();
  EXPECT_EQ(done_.error(), Errc::kCancelled);
}

}  // namespace
}  // namespace tciafs::nbia
