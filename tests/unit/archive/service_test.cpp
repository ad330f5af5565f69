// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "service.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "archive_fixture.h"

namespace tciafs::archive {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(ArchiveTest, V4RefusesWhatItDoesNotKnow) {
  const Reply reply = Get("v4/getPatient?PatientID=LUNG-0001");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.body,
            "Invalid query parameter: 'PatientID'. Allowed parameters are: "
            "[Collection, PatientId, format]");
  EXPECT_EQ(Get("v4/getImage?SeriesInstanceUID=1&format=json").status, 400);
  EXPECT_EQ(Get("v4/getSeries?collection=LUNG").status, 400);
  EXPECT_THAT(Post("v4/getImageDrillDown", "lists=1").body, StartsWith("Invalid form parameter"));
}

TEST_F(ArchiveTest, OldFamiliesIgnoreWhatTheyDoNotKnow) {
  EXPECT_EQ(Rows("v1/getPatient?Colection=LUNG").size(), Rows("v1/getPatient").size());
}

TEST_F(ArchiveTest, MissingParametersAreToldInEnglish) {
  const Reply image = Get("v4/getImage");
  EXPECT_EQ(image.status, 400);
  EXPECT_EQ(image.content_type, "application/json");
  EXPECT_EQ(image.body, "A parameter, SeriesInstanceUID, is required for this API call.");
  EXPECT_EQ(Get("v1/getSeriesSize").body,
            "A parameter, SeriesInstanceUID is required for this API call.");
}

TEST_F(ArchiveTest, WrongPathsAreServerErrorsInsideAndHtmlOutside) {
  EXPECT_EQ(Get("v4/getNothing").body,
            "Server was not able to process your request\nHTTP 404 Not Found");
  EXPECT_EQ(Get("v4/getNothing").status, 500);
  EXPECT_EQ(Post("v4/getSeries", "").body,
            "Server was not able to process your request\nHTTP 405 Method Not Allowed");
  const Reply outside = service_->Handle(GetRequest("/elsewhere"));
  EXPECT_EQ(outside.status, 404);
  EXPECT_EQ(outside.content_type, "text/html");
}

TEST_F(ArchiveTest, AMissingFamilyIsAWrongPath) {
  ServiceOptions options;
  options.families = static_cast<unsigned>(Family::kV1);
  options.drill_down = false;
  Build(options);
  EXPECT_EQ(Get("v1/getCollectionValues").status, 200);
  for (const char* target : {"v2/getCollectionValues", "v4/getCollectionValues"})
    EXPECT_THAT(Get(target).body, HasSubstr("HTTP 404"));
  EXPECT_THAT(Post("getImageDrillDown", "list=1", "Bearer undefined").body, HasSubstr("HTTP 404"));
}

TEST_F(ArchiveTest, V2WantsAToken) {
  const Reply without = Get("v2/getCollectionValues");
  EXPECT_EQ(without.status, 500);
  EXPECT_EQ(without.body.size(), 48U);
  EXPECT_EQ(Get("v2/getCollectionValues", "short").status, 500);
  EXPECT_GT(Rows("v2/getCollectionValues", "Bearer undefined").size(), 5U);
}

TEST_F(ArchiveTest, ARejectedTokenLooksEmptyOnListsAndFailsElsewhere) {
  const std::string stale = "Bearer stale";
  EXPECT_EQ(BodyOf(Get("v2/getSeries", stale)), "");
  EXPECT_EQ(Get("v2/getSeries", stale).status, 200);
  EXPECT_EQ(BodyOf(Get("v4/getPatient", stale)), "");
  EXPECT_EQ(Get("v4/getSeries", stale).status, 500);
  EXPECT_EQ(Get("v2/getImage?SeriesInstanceUID=1", stale).status, 401);
  EXPECT_EQ(Get("v4/getImage?SeriesInstanceUID=1", stale).status, 401);
  EXPECT_EQ(Post("getImageDrillDown", "list=1", stale).status, 401);
  EXPECT_EQ(Get("v1/getCollectionValues", stale).status, 200);
}

TEST_F(ArchiveTest, TokensLiveAsLongAsTheySay) {
  TokenOptions tokens;
  tokens.life_s = 300;
  Build({}, tokens);
  const std::string token = "Bearer " + Token("grant_type=password&username=nbia_guest&password=");
  EXPECT_NE(BodyOf(Get("v2/getPatient", token)), "");
  clock_.Advance(299'999);
  EXPECT_NE(BodyOf(Get("v2/getPatient", token)), "");
  clock_.Advance(1);
  EXPECT_EQ(BodyOf(Get("v2/getPatient", token)), "");
}

TEST_F(ArchiveTest, RefreshTokensAreGoodForOneUseAndTheRightClient) {
  const auto answer =
      nlohmann::json::parse(Post("oauth/token", "grant_type=password&username=nbia_guest").body);
  EXPECT_EQ(answer.at("expires_in"), 7200);
  const std::string refresh =
      "grant_type=refresh_token&refresh_token=" + answer.at("refresh_token").get<std::string>();
  EXPECT_EQ(Post("oauth/token", refresh + "&client_id=other").status, 401);
  EXPECT_EQ(Post("oauth/token", refresh + "&client_id=NBIA").status, 200);
  EXPECT_EQ(Post("oauth/token", refresh + "&client_id=NBIA").status, 400);
  EXPECT_EQ(Post("oauth/token", "grant_type=refresh_token&refresh_token=&client_id=NBIA").status,
            400);
}

TEST_F(ArchiveTest, WrongPasswordsAndStrangeGrantsAreRefused) {
  const Reply wrong = Post("oauth/token", "grant_type=password&username=bob&password=x");
  EXPECT_EQ(wrong.status, 401);
  EXPECT_EQ(nlohmann::json::parse(wrong.body).at("error"), "invalid_grant");
  EXPECT_EQ(Post("oauth/token", "username=bob").status, 500);
  EXPECT_EQ(service_
                ->Handle(PostRequest("/nbia-api/oauth/token",
                                     "grant_type=password&username=bob&password=secret"))
                .status,
            200);
}

TEST_F(ArchiveTest, LogoutForgetsTheToken) {
  const std::string token = "Bearer " + Token("grant_type=password&username=bob&password=secret");
  EXPECT_EQ(Post("logout", "", token).status, 200);
  EXPECT_EQ(Get("v2/getImage?SeriesInstanceUID=1", token).status, 401);
}

TEST_F(ArchiveTest, RestrictedCollectionsExistOnlyForTheirUser) {
  const std::string bob = "Bearer " + Token("grant_type=password&username=bob&password=secret");
  const auto rows = Rows("v4/getSeries?Collection=odd-twins", bob);
  ASSERT_EQ(rows.size(), 5U);
  for (const auto& row : rows) {
    if (row.at("Collection") != "odd-twins") continue;
    const std::string image =
        "v4/getImage?SeriesInstanceUID=" + row.at("SeriesInstanceUID").get<std::string>();
    EXPECT_EQ(Get(image, bob).status, 200);
    EXPECT_EQ(Get(image).status, 400);
  }
}

TEST_F(ArchiveTest, V1MayWantAnApiKey) {
  ServiceOptions options;
  options.api_key = "key";
  Build(options);
  EXPECT_EQ(Get("v1/getCollectionValues").status, 401);
  Request request = GetRequest("/nbia-api/services/v1/getCollectionValues");
  request.api_key = "key";
  EXPECT_EQ(service_->Handle(request).status, 200);
  EXPECT_EQ(Get("v4/getCollectionValues").status, 200);
}

TEST_F(ArchiveTest, CountsByEndpointAndKindButNotItsOwnControl) {
  Rows("v4/getCollectionValues");
  Get("v4/nonsense");
  Token("grant_type=password&username=nbia_guest");
  const Reply image = Get("v1/getImage?SeriesInstanceUID=" + AnySeries());
  image.on_sent(1000);
  const auto counted = [this] {
    return nlohmann::json::parse(service_->Handle(GetRequest("/_test/counters")).body);
  };
  auto counters = counted();
  EXPECT_EQ(counters.at("v4/getCollectionValues").at("requests"), 1);
  EXPECT_EQ(counters.at("v1/getImage").at("bytes"), 1000);
  EXPECT_EQ(counters.at("v1/getImage").at("active"), 1);
  EXPECT_EQ(counters.at("totals").at("metadata"), 2);
  EXPECT_EQ(counters.at("totals").at("images"), 1);
  EXPECT_EQ(counters.at("totals").at("tokens"), 1);
  EXPECT_EQ(counters.at("totals").at("unknown"), 1);
  EXPECT_EQ(Control("reset", "").status, 200);
  counters = counted();
  EXPECT_EQ(counters.at("v4/getCollectionValues").at("requests"), 0);
  EXPECT_EQ(counters.at("v1/getImage").at("active"), 1);
}

TEST_F(ArchiveTest, HidesAndShowsSeries) {
  const std::string uid = AnySeries();
  ASSERT_EQ(Control("mutate", R"({"hide_series":")" + uid + "\"}").status, 200);
  EXPECT_EQ(Rows("v4/getSeries?SeriesInstanceUID=" + uid).size(), 0U);
  EXPECT_EQ(Rows("v4/getSeries?Collection=LUNG").size(), 47U);
  EXPECT_EQ(Get("v4/getImage?SeriesInstanceUID=" + uid).status, 400);
  EXPECT_EQ(Rows("v4/getSOPInstanceUIDs?SeriesInstanceUID=" + uid).size(), 4U);
  ASSERT_EQ(Control("mutate", R"({"show_series":")" + uid + "\"}").status, 200);
  EXPECT_EQ(Rows("v4/getSeries?Collection=LUNG").size(), 48U);
  EXPECT_EQ(Control("mutate", R"({"hide_series":"1.2"})").status, 400);
  EXPECT_EQ(Control("mutate", "nonsense").status, 400);
}

TEST_F(ArchiveTest, ReplacesSeriesUnderTheSameUids) {
  const std::string uid = AnySeries();
  const std::string row = "v4/getSeries?SeriesInstanceUID=" + uid;
  const std::string sops = "v4/getSOPInstanceUIDs?SeriesInstanceUID=" + uid;
  const auto before = Rows(row);
  const auto sops_before = Rows(sops);
  const std::string zip_before = BodyOf(Get("v4/getImage?SeriesInstanceUID=" + uid));
  Control("mutate", R"({"replace_series":")" + uid + "\"}");
  const auto after = Rows(row);
  EXPECT_EQ(after.at(0).at("FileSize"), before.at(0).at("FileSize"));
  EXPECT_NE(after.at(0).at("MaxSubmissionTimestamp"), before.at(0).at("MaxSubmissionTimestamp"));
  EXPECT_EQ(Rows(sops), sops_before);
  EXPECT_NE(BodyOf(Get("v4/getImage?SeriesInstanceUID=" + uid)), zip_before);
  Control("mutate", R"({"replace_series":")" + uid + R"(","other_size":true})");
  const auto grown = Rows(row);
  EXPECT_GT(grown.at(0).at("FileSize"), after.at(0).at("FileSize"));
  EXPECT_NE(grown.at(0).at("MaxSubmissionTimestamp"), after.at(0).at("MaxSubmissionTimestamp"));
}

TEST_F(ArchiveTest, DropsCollectionsAndAddsPatients) {
  Control("mutate", R"({"drop_collection":"LUNG"})");
  EXPECT_EQ(Rows("v4/getPatient?Collection=LUNG").size(), 0U);
  Control("mutate", R"({"restore_collection":"LUNG"})");
  EXPECT_EQ(Rows("v4/getPatient?Collection=LUNG").size(), 12U);
  const Reply added = Control("mutate", R"({"add_patients":{"collection":"LUNG","count":2}})");
  ASSERT_EQ(added.status, 200) << added.body;
  EXPECT_EQ(Rows("v4/getPatient?Collection=LUNG").size(), 14U);
  // The fake clock begins in November 2023.
  EXPECT_EQ(Rows("v4/NewPatientsInCollection?Collection=LUNG&fromDate=11-14-2023").size(), 2U);
}

TEST_F(ArchiveTest, PlansApplyWhereAndAsOftenAsTheySay) {
  ASSERT_EQ(Control("plan", R"([{"endpoint":"v4/get*Values","match":{"Collection":"LUNG"},
      "skip":1,"times":2,"action":"status","code":503,"headers":{"Retry-After":"7"}}])")
                .status,
            200);
  const std::string hit = "v4/getModalityValues?Collection=LUNG";
  EXPECT_EQ(Get(hit).status, 200);
  EXPECT_EQ(Get("v4/getModalityValues").status, 200);
  const Reply busy = Get(hit);
  EXPECT_EQ(busy.status, 503);
  EXPECT_EQ(busy.headers.at(0).second, "7");
  EXPECT_EQ(Get(hit).status, 503);
  EXPECT_EQ(Get(hit).status, 200);
  EXPECT_EQ(service_->Handle(GetRequest("/_test/hits")).body, "2");
}

TEST_F(ArchiveTest, PlansMayWantAParameterToBeAbsent) {
  Control("plan", R"([{"endpoint":"v4/getSeries","match":{"PatientID":null,"Collection":"LUNG"},
      "times":-1,"action":"status","code":503}])");
  EXPECT_EQ(Get("v4/getSeries?Collection=LUNG").status, 503);
  EXPECT_EQ(Get("v4/getSeries?Collection=LUNG&PatientID=LUNG-0001").status, 200);
  EXPECT_EQ(Get("v4/getSeries").status, 200);
}

TEST_F(ArchiveTest, PlannedBodiesMayHoldAnyBytesAndBeOfAnyLength) {
  const auto answer = [this](const std::string& fault) {
    EXPECT_EQ(Control("plan", R"([{"endpoint":"*",)" + fault + "}]").status, 200) << fault;
    return Get("v4/getCollectionValues");
  };
  const Reply bytes = answer(R"("action":"status","hex":"5b00FF5d","tail":"!")");
  EXPECT_EQ(bytes.status, 200);
  EXPECT_EQ(BodyOf(bytes), std::string("[\0\xff]!", 5));
  EXPECT_FALSE(bytes.raw);
  const std::string path = ::testing::TempDir() + "planned_body" + std::to_string(::getpid());
  std::ofstream(path, std::ios::binary) << std::string("a\0\xff", 3);
  const Reply of_file = answer(R"("action":"status","file":")" + path + R"(","tail":"!")");
  EXPECT_EQ(std::remove(path.c_str()), 0);
  EXPECT_EQ(BodyOf(of_file), std::string("a\0\xff!", 4));
  EXPECT_EQ(BodyOf(answer(R"("action":"status","body":"[","fill":"ab","n":5,"tail":"]")")),
            "[ababa]");
  EXPECT_TRUE(answer(R"("action":"raw","body":"HTTP/1.1 200 OK\r\n")").raw);
  // Nobody holds this one.
  const Reply endless = answer(R"("action":"status","fill":"x","n":1099511627776)");
  class FirstMegabyte final : public BodySink {
   public:
    bool Write(std::string_view piece) override { return (bytes += piece.size()) < 1'000'000; }
    size_t bytes = 0;
  } sink;
  EXPECT_FALSE(endless.writer(sink));
  EXPECT_LT(sink.bytes, 2'000'000U);
}

TEST_F(ArchiveTest, RefusesPlansItDoesNotUnderstand) {
  for (const char* plan :
       {"{}", "[1]", R"([{"endpoint":"*"}])", R"([{"endpoint":"*","action":"dance"}])",
        R"([{"endpoint":"*","action":"drip"}])", R"([{"endpoint":"*","action":"drip","n":-1}])",
        R"([{"endpoint":"*","action":"corrupt","k":"x"}])",
        R"([{"endpoint":"*","action":"status","code":99}])",
        R"([{"endpoint":"*","action":"status","hex":"0"}])",
        R"([{"endpoint":"*","action":"status","hex":"0x"}])",
        R"([{"endpoint":"*","action":"status","file":"/no/such/file"}])",
        R"([{"endpoint":"*","action":"status","n":5}])",
        R"([{"endpoint":"*","action":"empty","often":1}])"})
    EXPECT_EQ(Control("plan", plan).status, 400) << plan;
}

TEST_F(ArchiveTest, ExpireTokensActsBeforeTheRequestIsServed) {
  const std::string bob = "Bearer " + Token("grant_type=password&username=bob&password=secret");
  Control("plan", R"([{"endpoint":"v2/getImage","action":"expire_tokens"}])");
  EXPECT_EQ(Get("v2/getImage?SeriesInstanceUID=1", bob).status, 401);
}

}  // namespace
}  // namespace tciafs::archive
