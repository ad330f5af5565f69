// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Sizes of instances by the drill-down pair, and what happens where it is missing or fails.
#include <gtest/gtest.h>

#include "nbia/limits.h"
#include "source_fixture.h"

namespace tciafs::nbia {
namespace {

using testing::Body;
using testing::EmptyBody;
using testing::FakeAnswer;
using testing::StatusAnswer;

constexpr const char* kNullBody = "Server was not able to process your request\nnull";

std::string ImageRowJson(const std::string& series, const std::string& sop,
                         const std::string& size) {
  return R"({"imagePkId":1,"contentDate":null,"sopInstanceUid":")" + sop +
         R"(","seriesInstanceUid":")" + series + R"(","size":)" + size + "}";
}

std::string StudyRow(const std::vector<std::pair<std::string, int>>& keys) {
  std::string row = R"({"studyId":"1.1","seriesList":[)";
  for (const auto& [uid, key] : keys)
    row += (row.back() == '[' ? "" : ",") + std::string(R"({"seriesUID":")") + uid +
           R"(","seriesPkId":)" + std::to_string(key) + R"(,"numberImages":1})";
  return row + "]}";
}

class InstanceTest : public SourceTest {
 protected:
  InstanceTest() { UseFamily(ApiFamily::kV4); }

  void List(const std::vector<std::string>& series, const std::vector<std::string>& patients = {}) {
    std::vector<source::SeriesQuery> queries;
    for (size_t i = 0; i < series.size(); ++i)
      queries.push_back(Query(series[i], patients.empty() ? "P1" : patients[i]));
    Answer<std::vector<source::InstanceListing>> answer;
    Source().ListInstances(queries, {}, answer.callback());
    RunAll();
    found_.clear();
    error_ = answer.error();
    ok_ = answer.ok();
    if (!ok_) return;
    for (const auto& listing : answer.value()) {
      auto& sizes = found_[listing.series.text()];
      for (const auto& instance : listing.instances)
        sizes[instance.sop.text()] = instance.size_bytes;
    }
  }
  void GiveKeys() {
    transport_.When("/services/getStudyDrillDownWithSeriesIds",
                    Body("[" + StudyRow({{"1.2", 12}, {"1.3", 13}}) + "," +
                         StudyRow({{"1.4", 14}, {"9.9", 99}}) + "]"));
  }
  void GiveImages() {
    transport_.When("v4/getImageDrillDown", Body("[" + ImageRowJson("1.2", "1.2.1", "100") + "," +
                                                 ImageRowJson("1.3", "1.3.1", "\"200\"") + "," +
                                                 ImageRowJson("1.2", "1.2.2", "null") + "," +
                                                 ImageRowJson("1.2", "1.2.1", "100") + "," +
                                                 ImageRowJson("7.7", "7.7.1", "5") + "]"));
  }
  static FakeAnswer SopUids() {
    return Body(R"([{"SOPInstanceUID":"1.2.1"},{},{"SOPInstanceUID":"1.2.2"}])");
  }

  using Sizes = std::map<std::string, int64_t>;
  std::map<std::string, Sizes> found_;
  bool ok_ = false;
  Errc error_ = Errc::kInternal;
};

TEST_F(InstanceTest, ManySeriesCostTwoRequests) {
  GiveKeys();
  GiveImages();
  List({"1.2", "1.3", "1.4"});
  ASSERT_TRUE(ok_);
  EXPECT_EQ(found_["1.2"], (Sizes{{"1.2.1", 100}, {"1.2.2", -1}}));
  EXPECT_EQ(found_["1.3"], (Sizes{{"1.3.1", 200}}));
  EXPECT_EQ(found_.count("1.4"), 0u);
  EXPECT_EQ(found_.count("7.7"), 0u);
  const auto requests = transport_.Requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].method, "POST");
  EXPECT_EQ(requests[0].body, "list=1.2&list=1.3&list=1.4");
  EXPECT_EQ(HeaderOf(requests[0], "Authorization"), "Bearer undefined");
  EXPECT_EQ(HeaderOf(requests[0], "Content-Type"), "application/x-www-form-urlencoded");
  EXPECT_EQ(requests[1].body, "list=12&list=13&list=14");
  EXPECT_EQ(HeaderOf(requests[1], "Authorization"), "");
  EXPECT_TRUE(Source().capabilities().sizes_known);
}

TEST_F(InstanceTest, V2UsesItsTokenThroughout) {
  UseFamily(ApiFamily::kV2);
  GiveTokens();
  GiveKeys();
  transport_.When("/services/getImageDrillDown",
                  Body("[" + ImageRowJson("1.2", "1.2.1", "100") + "]"));
  List({"1.2"});
  EXPECT_EQ(found_["1.2"], (Sizes{{"1.2.1", 100}}));
  for (const auto& request : transport_.Requests("DrillDown"))
    EXPECT_EQ(HeaderOf(request, "Authorization"), "Bearer tok");
}

TEST_F(InstanceTest, TheSearchGivesTheKeysWhereTheStudyCallDoesNot) {
  transport_.When("v4/getSimpleSearch",
                  Body(R"({"totalPatients":1,"resultSet":[{"id":1,"subjectId":"P1","project":"C",)"
                       R"("studyIdentifiers":[{"seriesIdentifiers":[12,13]}]},)"
                       R"({"subjectId":"p1","project":"C","studyIdentifiers":[)"
                       R"({"seriesIdentifiers":[66]}]}]})"));
  GiveImages();
  List({"1.2", "1.3"});
  EXPECT_EQ(found_.size(), 2u);
  EXPECT_EQ(transport_.Requests("getSimpleSearch")[0].body,
            "criteriaType0=PatientCriteria&value0=P1&sortField=subject&sortDirection=ascending"
            "&start=0&size=100000");
  EXPECT_EQ(transport_.Requests("v4/getImageDrillDown")[0].body, "list=12&list=13");
  List({"1.2"});
  EXPECT_EQ(transport_.Count("getStudyDrillDown"), 1u);  // known to be missing
  EXPECT_EQ(transport_.Requests("getSimpleSearch")[1].body.find("criteriaType0=SeriesCriteria"),
            0u);
  clock_.Advance(kFormRetryMs);
  List({"1.2"});
  EXPECT_EQ(transport_.Count("getStudyDrillDown"), 2u);
}

TEST_F(InstanceTest, ManyPatientsAreSearchedByCollection) {
  transport_.When("v4/getSimpleSearch", Body(R"({"resultSet":[]})"));
  transport_.When("getSOPInstanceUIDs", SopUids());
  std::vector<std::string> series;
  std::vector<std::string> patients;
  for (int i = 0; i < 9; ++i) {
    series.push_back("1.2." + std::to_string(i));
    patients.push_back("P" + std::to_string(i));
  }
  List(series, patients);
  ASSERT_EQ(transport_.Count("getSimpleSearch"), 1u);
  EXPECT_EQ(transport_.Requests("getSimpleSearch")[0].body.find(
                "criteriaType0=CollectionCriteria&value0=C"),
            0u);
}

TEST_F(InstanceTest, WithoutDrillDownOnlyTheFirstSeriesIsListedAndWithoutSizes) {
  transport_.When("v4/getSOPInstanceUIDs?SeriesInstanceUID=1.2", SopUids());
  List({"1.2", "1.3"});
  ASSERT_TRUE(ok_);
  EXPECT_EQ(found_.size(), 1u);
  EXPECT_EQ(found_["1.2"], (Sizes{{"1.2.1", -1}, {"1.2.2", -1}}));
  EXPECT_FALSE(Source().capabilities().sizes_known);
  const size_t before = transport_.Count();
  List({"1.2", "1.3"});
  EXPECT_EQ(transport_.Count(), before + 1);
}

TEST_F(InstanceTest, OnePoisonedSeriesDoesNotSpoilTheRest) {
  std::vector<std::pair<std::string, int>> keys;
  std::vector<std::string> series;
  for (int i = 10; i < 26; ++i) {
    keys.emplace_back("1.2." + std::to_string(i), i);
    series.push_back(keys.back().first);
  }
  transport_.When("getStudyDrillDownWithSeriesIds", Body("[" + StudyRow(keys) + "]"));
  transport_.When("/services/getImageDrillDown", StatusAnswer(500, kNullBody));
  // Any batch with key 13 fails; of the others each request answers for all that are asked.
  transport_.Add({.url_part = "v4/getImageDrillDown",
                  .answer = StatusAnswer(500, kNullBody),
                  .body_part = "list=13"});
  for (const auto& [uid, key] : keys) {
    if (key == 13) continue;
    // A batch is recognised by its first key: 10-11, 12, 14-15, 16-17..., in halves of halves.
    std::string rows;
    const int last = key == 10 ? 11 : key == 12 ? 12 : key == 14 ? 17 : key == 18 ? 25 : key;
    for (int k = key; k <= last; ++k)
      rows += (rows.empty() ? "" : ",") +
              ImageRowJson("1.2." + std::to_string(k), "9." + std::to_string(k), "7");
    transport_.Add({.url_part = "v4/getImageDrillDown",
                    .answer = Body("[" + rows + "]"),
                    .body_part = "list=" + std::to_string(key)});
  }
  transport_.When("getSOPInstanceUIDs", SopUids());
  List(series);
  ASSERT_TRUE(ok_);
  EXPECT_EQ(found_.size(), 15u);
  EXPECT_EQ(found_.count("1.2.13"), 0u);
  EXPECT_EQ(transport_.Count("getSOPInstanceUIDs"), 0u);

  // When it is the poisoned one that somebody waits for, it is listed without sizes.
  std::swap(series[0], series[3]);
  List(series);
  EXPECT_EQ(found_.size(), 16u);
  EXPECT_EQ(found_["1.2.13"], (Sizes{{"1.2.1", -1}, {"1.2.2", -1}}));
}

TEST_F(InstanceTest, RowsWithoutSizeThatTripV4AreAskedOfTheOtherForm) {
  GiveKeys();
  transport_.When("v4/getImageDrillDown", StatusAnswer(500, kNullBody));
  transport_.When("/services/getImageDrillDown",
                  Body("[" + ImageRowJson("1.2", "1.2.1", "null") + "]"));
  List({"1.2"});
  EXPECT_EQ(found_["1.2"], (Sizes{{"1.2.1", -1}}));
  EXPECT_EQ(transport_.Count(), 3u);
}

TEST_F(InstanceTest, ADrillDownThatNeverWorksIsLeftAloneAfterAWhile) {
  GiveKeys();
  transport_.When("ImageDrillDown", StatusAnswer(500, kNullBody));
  transport_.When("getSOPInstanceUIDs", SopUids());
  for (int i = 0; i < kFormFailuresMax; ++i) List({"1.2", "1.3", "1.4"});
  EXPECT_FALSE(Source().capabilities().sizes_known);
  EXPECT_LT(transport_.Count("ImageDrillDown"), 25u);
  const size_t before = transport_.Count();
  List({"1.2", "1.3"});
  EXPECT_EQ(transport_.Count(), before + 1);
  EXPECT_EQ(found_.size(), 1u);
}

TEST_F(InstanceTest, AnAnswerThatBreaksLeavesNoHalfListedSeries) {
  GiveKeys();
  transport_.When("v4/getImageDrillDown",
                  FakeAnswer{.pieces = {"[" + ImageRowJson("1.2", "1.2.1", "100") + ","},
                             .after_body = Error{Errc::kUnavailable, "reset"}});
  List({"1.2"});
  EXPECT_FALSE(ok_);
  EXPECT_EQ(error_, Errc::kUnavailable);
}

TEST_F(InstanceTest, AnUnreachableServerIsAnErrorNotAnEmptyAnswer) {
  for (const auto code : {Errc::kTimedOut, Errc::kOffline, Errc::kUnavailable}) {
    transport_.Forget();
    transport_.When("", FakeAnswer{.before_head = Error{code, "no"}});
    List({"1.2"});
    EXPECT_FALSE(ok_);
    EXPECT_EQ(error_, code);
  }
  EXPECT_EQ(transport_.Count(), 3u);
  List({});
  EXPECT_TRUE(ok_);
}

TEST_F(InstanceTest, WithoutTheWantedSeriesARefusalStaysOne) {
  GiveKeys();
  // 1.2 has no rows, and then the server is gone.
  transport_.When("v4/getImageDrillDown", Body("[" + ImageRowJson("1.3", "1.3.1", "200") + "]"));
  transport_.When("getSOPInstanceUIDs", FakeAnswer{.before_head = Error{Errc::kOffline, "no"}});
  List({"1.2", "1.3"});
  EXPECT_FALSE(ok_);
  EXPECT_EQ(error_, Errc::kOffline);
  List({"1.3", "1.2"});
  EXPECT_TRUE(ok_);
  EXPECT_EQ(found_.size(), 1u);
}

const FakeAnswer kTimeOut{.before_head = Error{Errc::kTimedOut, "no byte for 60 s"}};

TEST_F(InstanceTest, ABatchThatTimesOutIsHalvedOnceWithTheWantedSeriesFirst) {
  GiveKeys();
  transport_.Add({.url_part = "v4/getImageDrillDown", .answer = kTimeOut, .body_part = "list=12&"});
  transport_.Add({.url_part = "v4/getImageDrillDown",
                  .answer = Body("[" + ImageRowJson("1.4", "1.4.1", "7") + "]"),
                  .body_part = "list=14"});
  transport_.Add({.url_part = "v4/getImageDrillDown", .answer = kTimeOut});
  List({"1.4", "1.2", "1.3"});
  ASSERT_TRUE(ok_);
  EXPECT_EQ(found_.size(), 1u);
  EXPECT_EQ(found_["1.4"], (Sizes{{"1.4.1", 7}}));
  const auto asked = transport_.Requests("v4/getImageDrillDown");
  ASSERT_EQ(asked.size(), 3u);
  EXPECT_EQ(asked[0].body, "list=12&list=13&list=14");
  EXPECT_EQ(asked[1].body, "list=14");
  EXPECT_EQ(asked[2].body, "list=12&list=13");

  // Later calls ask for less from the start; what is not waited for costs one time-out at most.
  List({"1.4", "1.2", "1.3"});
  ASSERT_TRUE(ok_);
  ASSERT_EQ(transport_.Count("v4/getImageDrillDown"), 5u);
  EXPECT_EQ(transport_.Requests("v4/getImageDrillDown")[3].body, "list=14");
  clock_.Advance(kFormRetryMs);
  List({"1.4", "1.2", "1.3"});
  EXPECT_EQ(transport_.Requests("v4/getImageDrillDown")[5].body, "list=12&list=13&list=14");
}

TEST_F(InstanceTest, AWantedSeriesThatTimesOutAloneStaysTimedOut) {
  GiveKeys();
  transport_.When("v4/getImageDrillDown", kTimeOut);
  List({"1.4", "1.2", "1.3"});
  EXPECT_EQ(error_, Errc::kTimedOut);
  EXPECT_EQ(transport_.Count("ImageDrillDown"), 2u);
  List({"1.4", "1.2", "1.3"});
  EXPECT_EQ(error_, Errc::kTimedOut);
  EXPECT_EQ(transport_.Count("ImageDrillDown"), 3u);
  EXPECT_EQ(transport_.Count("getSOPInstanceUIDs"), 0u);
}

TEST_F(InstanceTest, WhereKeysDoNotTellTheWantedSeriesItIsSearchedForAlone) {
  transport_.Add({.url_part = "v4/getSimpleSearch",
                  .answer = Body(R"({"resultSet":[{"subjectId":"P1","project":"C",)"
                                 R"("studyIdentifiers":[{"seriesIdentifiers":[12,13]}]}]})"),
                  .body_part = "PatientCriteria"});
  transport_.Add({.url_part = "v4/getSimpleSearch",
                  .answer = Body(R"({"resultSet":[{"subjectId":"P1","project":"C",)"
                                 R"("studyIdentifiers":[{"seriesIdentifiers":[13]}]}]})"),
                  .body_part = "SeriesCriteria&value0=1.3"});
  transport_.Add({.url_part = "v4/getImageDrillDown", .answer = kTimeOut, .body_part = "list=12"});
  transport_.When("v4/getImageDrillDown", Body("[" + ImageRowJson("1.3", "1.3.1", "7") + "]"));
  for (int i = 0; i < 2; ++i) {
    List({"1.3", "1.2"});
    ASSERT_TRUE(ok_);
    EXPECT_EQ(found_["1.3"], (Sizes{{"1.3.1", 7}}));
  }
  EXPECT_EQ(transport_.Count("v4/getImageDrillDown"), 4u);
}

TEST_F(InstanceTest, StudiesThatTimeOutAreAskedForInSmallerPieces) {
  transport_.Add({.url_part = "getStudyDrillDown", .answer = kTimeOut, .body_part = "list=1.3"});
  GiveKeys();
  GiveImages();
  List({"1.2", "1.3"});
  ASSERT_TRUE(ok_);
  EXPECT_EQ(transport_.Count("getStudyDrillDown"), 3u);
  EXPECT_EQ(transport_.Requests("getStudyDrillDown")[1].body, "list=1.2");
  EXPECT_EQ(found_["1.2"], (Sizes{{"1.2.1", 100}, {"1.2.2", -1}}));
  List({"1.2", "1.3"});
  EXPECT_EQ(transport_.Requests("getStudyDrillDown")[3].body, "list=1.2");
}

TEST_F(InstanceTest, LargeQuestionsAreCutIntoPieces) {
  std::vector<std::pair<std::string, int>> keys;
  std::vector<std::string> series;
  for (int i = 0; i < 5001; ++i) {
    keys.emplace_back("1.2." + std::to_string(i), i);
    series.push_back(keys.back().first);
  }
  transport_.When("getStudyDrillDownWithSeriesIds", Body("[" + StudyRow(keys) + "]"));
  transport_.When("v4/getImageDrillDown", Body("[" + ImageRowJson("1.2.0", "1.9", "1") + "]"));
  List(series);
  EXPECT_TRUE(ok_);
  EXPECT_EQ(transport_.Count("getImageDrillDown"), 2u);
  EXPECT_EQ(transport_.Requests("getImageDrillDown")[1].body, "list=5000");
}

}  // namespace
}  // namespace tciafs::nbia
