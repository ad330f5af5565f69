// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "archive_fixture.h"

namespace tciafs::archive {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(ArchiveTest, ListsCollectionsSortedButNotThoseOfOthers) {
  std::vector<std::string> names;
  for (const auto& row : Rows("v4/getCollectionValues")) names.push_back(row.at("Collection"));
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_THAT(names, ::testing::IsSupersetOf({".hidden", "100% Odd/Names", "LUNG", "Brain MR",
                                              "Trailing blank ", "ODD-TWINS"}));
  EXPECT_THAT(names, Not(::testing::Contains("odd-twins")));
}

TEST_F(ArchiveTest, SeriesColumnsDifferByFamily) {
  const auto v1 = Rows("v1/getSeries?Collection=LUNG&PatientID=LUNG-0001");
  const auto v4 = Rows("v4/getSeries?Collection=LUNG&PatientID=LUNG-0001");
  ASSERT_EQ(v1.size(), 4U);
  ASSERT_EQ(v4.size(), 4U);
  EXPECT_THAT(
      Keys(v1[0]),
      ElementsAre("SeriesInstanceUID", "StudyInstanceUID", "Modality", "ProtocolName", "SeriesDate",
                  "SeriesDescription", "BodyPartExamined", "SeriesNumber", "Collection",
                  "PatientID", "Manufacturer", "ManufacturerModelName", "SoftwareVersions",
                  "ImageCount", "TimeStamp", "LicenseName", "LicenseURI", "CollectionURI",
                  "FileSize", "DateReleased", "StudyDesc", "StudyDate"));
  EXPECT_THAT(Keys(v4[0]),
              ElementsAre("SeriesInstanceUID", "StudyInstanceUID", "Modality", "ProtocolName",
                          "SeriesDate", "SeriesDescription", "BodyPartExamined", "SeriesNumber",
                          "Collection", "PatientID", "Site", "PatientSex", "PatientAge",
                          "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ImageCount",
                          "MaxSubmissionTimestamp", "LicenseName", "LicenseURI",
                          "DataDescriptionURI", "FileSize", "ReleasedStatus", "DateReleased",
                          "StudyDesc", "StudyDate", "Authorized"));
  EXPECT_THAT(v1[0].at("SeriesDate").get<std::string>(),
              ::testing::MatchesRegex("....-..-.. 00:00:00.0"));
  EXPECT_THAT(v4[0].at("SeriesDate").get<std::string>(), ::testing::MatchesRegex("..-..-...."));
  EXPECT_TRUE(v4[0].at("FileSize").is_number_integer());
  EXPECT_EQ(v4[0].at("Authorized"), 1);
}

TEST_F(ArchiveTest, AnnotationsFlagIsABooleanOnlyInTheOldFamilies) {
  const std::string filter = "/getSeries?Collection=LUNG&PatientID=LUNG-0005";
  EXPECT_EQ(Rows("v2" + filter, "Bearer undefined").at(0).at("AnnotationsFlag"), true);
  EXPECT_EQ(Rows("v4" + filter).at(0).at("AnnotationsFlag"), "true");
}

TEST_F(ArchiveTest, OldSchemaEndsAtTheTimeStamp) {
  ServiceOptions options;
  options.old_schema = true;
  Build(options);
  EXPECT_EQ(Keys(Rows("v1/getSeries?Collection=LUNG").at(0)).back(), "TimeStamp");
  EXPECT_FALSE(Rows("v4/getSeries?Collection=LUNG").at(0).contains("FileSize"));
  const Reply none = Get("v1/getUpdatedSeries?fromDate=01/01/2999");
  EXPECT_EQ(none.status, 500);
  EXPECT_EQ(none.body, "No data found.");
}

TEST_F(ArchiveTest, PatientIdIsSpelledInTwoWays) {
  EXPECT_TRUE(Rows("v1/getPatient?Collection=LUNG").at(0).contains("PatientId"));
  EXPECT_TRUE(Rows("v1/getPatientStudy?Collection=LUNG").at(0).contains("PatientID"));
  EXPECT_FALSE(Rows("v1/getPatient?Collection=LUNG").at(0).contains("PatientBirthDate"));
}

TEST_F(ArchiveTest, OldPatientFilterFindsNothingWithSmallLetters) {
  EXPECT_EQ(Rows("v4/getPatient?Collection=Brain+MR&PatientId=Brain+MR-0001").size(), 1U);
  EXPECT_EQ(Rows("v1/getPatient?Collection=Brain+MR&PatientId=Brain+MR-0001").size(), 0U);
  EXPECT_EQ(Rows("v1/getPatient?Collection=LUNG&PatientId=lung-0001").size(), 1U);
}

TEST_F(ArchiveTest, StudiesCountTheirSeries) {
  const auto rows = Rows("v4/getPatientStudy?Collection=LUNG&PatientID=LUNG-0003");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_NE(rows[0].at("StudyInstanceUID"), rows[1].at("StudyInstanceUID"));
  for (const auto& row : rows) EXPECT_EQ(row.at("SeriesCount"), 2);
  EXPECT_EQ(Rows("v4/getPatientStudy?Collection=LUNG").size(), 24U);
}

TEST_F(ArchiveTest, ComparesNamesWithoutCaseAndTrailingBlanks) {
  EXPECT_EQ(Rows("v1/getSeries?Collection=lung&PatientID=lung-0001").size(), 4U);
  EXPECT_EQ(Rows("v1/getSeries?Collection=Trailing+blank&PatientID=P1").size(), 1U);
  // Twins in everything but case come together, and so do their collections.
  const std::string bob = "Bearer " + Token("grant_type=password&username=bob&password=secret");
  EXPECT_EQ(Rows("v4/getSeries?Collection=Odd-Twins&PatientID=TWIN", bob).size(), 5U);
  EXPECT_EQ(Rows("v4/getSeries?Collection=Odd-Twins&PatientID=TWIN").size(), 2U);
}

TEST_F(ArchiveTest, ModalityMindsCaseOnlyInTheOldFamilies) {
  EXPECT_EQ(Rows("v1/getSeries?Modality=mr").size(), 0U);
  EXPECT_EQ(Rows("v4/getSeries?Modality=mr").size(), 3U);
}

TEST_F(ArchiveTest, ValuesWithNullsBeginWithAnEmptyRow) {
  const auto rows = Rows("v4/getBodyPartValues");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_TRUE(rows[0].empty());
  EXPECT_EQ(rows[1].at("BodyPartExamined"), "CHEST/ABD");
  EXPECT_FALSE(Rows("v4/getModalityValues").at(0).empty());
}

TEST_F(ArchiveTest, NothingIsAnEmptyBody) {
  for (const char* target : {"v1/getSeries?Collection=NONE", "v4/getPatient?Collection=NONE",
                             "v1/getSeries?Collection=NONE&format=nonsense"}) {
    const Reply reply = Get(target);
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.content_type, "");
    EXPECT_EQ(BodyOf(reply), "");
  }
}

TEST_F(ArchiveTest, EscapesSlashesAsJettisonDoes) {
  EXPECT_THAT(BodyOf(Get("v4/getCollectionValues")), HasSubstr(R"(100% Odd\/Names)"));
}

TEST_F(ArchiveTest, WritesOtherFormats) {
  EXPECT_THAT(BodyOf(Get("v1/getPatient?Collection=LUNG&format=CSV")),
              ::testing::StartsWith("PatientId,PatientName,"));
  EXPECT_THAT(BodyOf(Get("v4/getSeries?Collection=LUNG&format=csv")), HasSubstr(".000000\""));
  EXPECT_THAT(BodyOf(Get("v1/getCollectionValues?format=xml")),
              HasSubstr("<Row><Collection type='java.lang.String'>LUNG</Collection></Row>"));
  EXPECT_EQ(Get("v1/getCollectionValues?format=nonsense").status, 500);
}

TEST_F(ArchiveTest, SeriesSizeAddsUp) {
  const std::string uid = AnySeries();
  const auto size = Rows("v1/getSeriesSize?SeriesInstanceUID=" + uid);
  const auto row = Rows("v1/getSeries?SeriesInstanceUID=" + uid);
  EXPECT_EQ(size.at(0).at("TotalSizeInBytes"), row.at(0).at("FileSize"));
  EXPECT_EQ(size.at(0).at("ObjectCount"), 4);
  EXPECT_EQ(BodyOf(Get("v1/getSeriesSize?SeriesInstanceUID=1.2")), "[{}]");
  EXPECT_EQ(BodyOf(Get("v4/getSeriesSize?SeriesInstanceUID=1.2")), "");
}

TEST_F(ArchiveTest, MetaDataOfOldFamiliesIsAllText) {
  const std::string uid = AnySeries();
  const auto row = Rows("v1/getSeriesMetaData?SeriesInstanceUID=" + uid).at(0);
  for (const auto& [key, value] : row.items()) EXPECT_TRUE(value.is_string()) << key;
  EXPECT_EQ(row.at("Series Number"), "1.000000");
  EXPECT_EQ(row.at("3rd Party Analysis"), "NO");
  EXPECT_EQ(Get("v1/getSeriesMetaData?SeriesInstanceUID=1.2").status, 204);
}

TEST_F(ArchiveTest, MetadataOfV4IsPostedAndComesAsCsv) {
  const std::string uid = AnySeries();
  const Reply csv = Post("v4/getSeriesMetadata", "list=" + uid + ",1.2");
  EXPECT_EQ(csv.content_type, "text/csv");
  EXPECT_THAT(BodyOf(csv), HasSubstr(uid));
  const auto rows =
      nlohmann::json::parse(BodyOf(Post("v4/getSeriesMetadata", "format=json&list=" + uid)));
  EXPECT_EQ(rows.at(0).at("Authorized"), "1");
  EXPECT_TRUE(rows.at(0).at("ImageCount").is_number());
}

TEST_F(ArchiveTest, ChangeFeedsReadDatesEachInTheirOwnWay) {
  const size_t all = Rows("v1/getUpdatedSeries").size();
  EXPECT_GT(all, 50U);
  EXPECT_EQ(Rows("v1/getUpdatedSeries?fromDate=01/01/2001").size(), all);
  EXPECT_EQ(Rows("v1/getUpdatedSeries?fromDate=2001/01/01").size(), 0U);
  EXPECT_EQ(Rows("v4/getUpdatedSeries?fromDate=01-01-2001").size(), all);
  EXPECT_EQ(Rows("v1/NewPatientsInCollection?Collection=LUNG&Date=2001/01/01").size(), 12U);
  EXPECT_EQ(Rows("v4/NewPatientsInCollection?Collection=LUNG&fromDate=01-01-2001").size(), 12U);
  EXPECT_EQ(Rows("v4/NewPatientsInCollection?Collection=LUNG&fromDate=01-01-2999").size(), 0U);
  EXPECT_EQ(Get("v1/NewPatientsInCollection?Collection=LUNG").status, 400);
}

TEST_F(ArchiveTest, ShuffledRowsAreTheSameRowsInAnotherOrder) {
  const auto plain = Rows("v4/getSeries?Collection=LUNG");
  ServiceOptions options;
  options.shuffle = true;
  Build(options);
  std::set<std::string> orders;
  for (int i = 0; i < 4; ++i) {
    const auto rows = Rows("v4/getSeries?Collection=LUNG");
    EXPECT_TRUE(std::is_permutation(rows.begin(), rows.end(), plain.begin(), plain.end()));
    orders.insert(rows.dump());
    EXPECT_EQ(Rows("v4/getPatientStudy?Collection=LUNG").size(), 24U);
  }
  EXPECT_GT(orders.size(), 1U);
}

// A bulk listing is written while it is made.
TEST(BulkListing, OfAMillionSeriesStreams) {
  class CountingSink final : public BodySink {
   public:
    bool Write(std::string_view bytes) override {
      total += bytes.size();
      largest = std::max(largest, bytes.size());
      return total < enough;
    }
    const size_t enough = 16 << 20;
    size_t total = 0;
    size_t largest = 0;
  };
  testing::FakeClock clock;
  auto holdings = std::make_unique<Holdings>(clock);
  ASSERT_TRUE(holdings->Add(std::make_unique<SyntheticCollection>(
      ParseSyntheticSpec("BIG:patients=500000,series=2").value())));
  Service service(std::move(holdings), {}, {}, clock);
  const Reply reply = service.Handle(GetRequest("/nbia-api/services/v4/getSeries?Collection=BIG"));
  ASSERT_TRUE(reply.writer);
  CountingSink sink;
  EXPECT_FALSE(reply.writer(sink));  // it stops when told
  EXPECT_LT(sink.largest, 64U << 10);
  const Reply last = service.Handle(
      GetRequest("/nbia-api/services/v4/getSeries?Collection=BIG&PatientID=BIG-500000"));
  EXPECT_EQ(nlohmann::json::parse(BodyOf(last)).size(), 2U);
}

}  // namespace
}  // namespace tciafs::archive
