// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/row_mapping.h"

#include <gtest/gtest.h>

#include "nbia/json_values.h"
#include "nbia/limits.h"

namespace tciafs::nbia {
namespace {

const source::CollectionId kCollection("Lung Phantom");
const source::PatientId kPatient("LP-01");

source::SeriesRecord Series(const std::string& row) {
  auto attributes = ParseRow(row);
  EXPECT_TRUE(attributes);
  auto record = ToSeries(std::move(*attributes), kCollection, kPatient);
  EXPECT_TRUE(record);
  return record.value_or(source::SeriesRecord());
}

TEST(RowMapping, FamiliesMeanTheSame) {
  const auto v2 = Series(
      R"({"SeriesInstanceUID":"1.2.3","StudyInstanceUID":"1.2","Modality":"CT",)"
      R"("SeriesDate":"2003-12-12 00:00:00.0","Collection":"Lung Phantom","PatientID":"LP-01",)"
      R"("ImageCount":48,"TimeStamp":"2015-05-27 17:12:21.0",)"
      R"("CollectionURI":"https:\/\/doi.org\/10.1\/X","FileSize":25273786,"StudyDesc":"MRI +C"})");
  const auto v4 =
      Series(R"({"SeriesInstanceUID":"1.2.3","StudyInstanceUID":"1.2","Modality":"CT",)"
             R"("SeriesDate":"12-12-2003","Collection":"Lung Phantom","PatientID":"LP-01",)"
             R"("ImageCount":48,"MaxSubmissionTimestamp":"05-27-2015",)"
             R"("DataDescriptionURI":"https://doi.org/10.1/X","FileSize":"25273786.000000",)"
             R"("StudyDescription":"MRI +C","Authorized":1})");
  for (const auto* name :
       {"SeriesDate", "DataDescriptionURI", "StudyDescription", "FileSize", "PatientID"})
    EXPECT_EQ(ValueOf(v2.attributes, name), ValueOf(v4.attributes, name)) << name;
  EXPECT_EQ(v2.version.timestamp, "2015-05-27T17:12:21");
  EXPECT_EQ(v4.version.timestamp, "2015-05-27");
  EXPECT_TRUE(source::SameVersion(v2.version, v4.version));
  EXPECT_EQ(v4.version.total_bytes, 25273786);
  EXPECT_EQ(v4.version.image_count, 48);
  EXPECT_EQ(v4.modified_s, 1432684800);
  EXPECT_EQ(v2.modified_s, 1432684800 + 17 * 3600 + 12 * 60 + 21);
  EXPECT_EQ(ValueOf(v4.attributes, "Authorized"), "1");
}

TEST(RowMapping, SpacedHeadingsAreKnown) {
  const auto record = Series(
      R"({"Series UID":"1.2.3","Collection":"Lung Phantom","Subject ID":"LP-01","Study UID":"1.2",)"
      R"("Number of Images":"1","File Size":"27844690","Series Number":"1.000000",)"
      R"("Study Description":"x","3rd Party Analysis":"YES"})");
  EXPECT_EQ(record.version.image_count, 1);
  EXPECT_EQ(record.version.total_bytes, 27844690);
  EXPECT_EQ(ValueOf(record.attributes, "SeriesNumber"), "1");
  EXPECT_EQ(ValueOf(record.attributes, "ThirdPartyAnalysis"), "YES");
  EXPECT_TRUE(record.version.timestamp.empty());
  EXPECT_EQ(record.modified_s, 0);
}

TEST(RowMapping, KeepsUnknownKeysInOrderAndLeavesNullsOut) {
  const auto row = ParseRow(
      R"({"z":"last?","Novel":{"a":[1,"x\"y",null,{"b":true}],"c":2.5},"n":null,"t":true,"f":2.50})");
  ASSERT_TRUE(row);
  const source::Attributes expected = {{"z", "last?", false},
                                       {"Novel", R"({"a":[1,"x\"y",null,{"b":true}],"c":2.5})"},
                                       {"t", "true", false},
                                       {"f", "2.50", true}};
  EXPECT_EQ(*row, expected);
}

TEST(RowMapping, RowsThatNameNothingOrAnotherAreLeftOut) {
  const auto to_series = [](const std::string& text) {
    return ToSeries(*ParseRow(text), kCollection, kPatient).has_value();
  };
  EXPECT_FALSE(to_series("{}"));
  EXPECT_FALSE(to_series(R"({"SeriesInstanceUID":"1.2.3"})"));
  EXPECT_TRUE(to_series(R"({"SeriesInstanceUID":"1.2.3","StudyInstanceUID":"1.2"})"));
  EXPECT_FALSE(
      to_series(R"({"SeriesInstanceUID":"1","StudyInstanceUID":"2","PatientID":"lp-01"})"));
  EXPECT_FALSE(
      to_series(R"({"SeriesInstanceUID":"1","StudyInstanceUID":"2","Collection":"LUNG PHANTOM"})"));
  EXPECT_FALSE(ToCollection(*ParseRow("{}")));
  EXPECT_FALSE(ToPatient(*ParseRow(R"({"PatientId":""})"), kCollection));
  EXPECT_TRUE(
      ToPatient(*ParseRow(R"({"PatientID":"a/b ","Collection":"Lung Phantom"})"), kCollection));
}

TEST(RowMapping, DatesOfEitherFormBecomeIso) {
  EXPECT_EQ(IsoDate("2003-12-12 00:00:00.0"), "2003-12-12");
  EXPECT_EQ(IsoDate("2015-05-27 17:12:21.0"), "2015-05-27T17:12:21");
  EXPECT_EQ(IsoDate("2015-05-27T17:12:21Z"), "2015-05-27T17:12:21");
  EXPECT_EQ(IsoDate("08-29-2017"), "2017-08-29");
  for (const auto* odd :
       {"", "29-08-2017", "yesterday", "2003-13-12", "2015-05-27 noon", "08-29-2017x"})
    EXPECT_EQ(IsoDate(odd), odd);
  EXPECT_EQ(UnixSeconds("1970-01-02"), 86400);
  EXPECT_EQ(UnixSeconds("2015-02-30"), 0);
  EXPECT_EQ(UnixSeconds("rubbish"), 0);
}

TEST(RowMapping, WholeNumbersOfEveryForm) {
  EXPECT_EQ(WholeNumber("27844690.000000"), 27844690);
  EXPECT_EQ(WholeNumber("0"), 0);
  for (const auto* odd : {"", "-1", "1.5", "1e9", "99999999999999999999", "x", ".0"})
    EXPECT_EQ(WholeNumber(odd), std::nullopt) << odd;
}

TEST(JsonValues, HostileRowsAreRefused) {
  std::string wide = "{";
  for (size_t i = 0; i <= kRowAttributesMax; ++i)
    wide += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":1";
  EXPECT_FALSE(ParseAttributes(wide + "}"));
  for (const auto* text : {"", "null", "[]", "{\"a\":}", "{\"a\":1e999}", "{\"a\":1}{", "{'a':1}"})
    EXPECT_FALSE(ParseAttributes(text)) << text;
}

TEST(JsonValues, Latin1IsReadNotRefused) {
  const auto row = ParseAttributes("{\"BodyPart\":\"T\xEAte\"}");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->front().value, "T\xC3\xAAte");
}

TEST(JsonValues, DrillDownRowsAcceptNumbersAndText) {
  const auto keys = ParseStudyRow(
      R"({"studyId":"1.1","seriesList":[{"seriesUID":"1.2","seriesPkId":77,"numberImages":3},)"
      R"({"seriesId":"1.3","seriesPkId":"78"},{"seriesUID":"1.4","seriesPkId":null},7]})");
  ASSERT_TRUE(keys);
  ASSERT_EQ(keys->size(), 2u);
  EXPECT_EQ((*keys)[0].key, "77");
  EXPECT_EQ((*keys)[0].image_count, 3);
  EXPECT_EQ((*keys)[1].series_uid, "1.3");

  const auto image =
      ParseImageRow(R"({"sopInstanceUid":"1.9","seriesInstanceUid":"1.2","size":null})");
  ASSERT_TRUE(image && *image);
  EXPECT_EQ((*image)->instance.size_bytes, -1);
  EXPECT_FALSE(*ParseImageRow(R"({"sopInstanceUid":null,"seriesInstanceUid":"1.2"})"));

  const auto found = ParsePatientSearchRow(
      R"({"subjectId":"P","project":"C","studyIdentifiers":[{"seriesIdentifiers":[1,"2",null]}]})");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->series_keys, (std::vector<std::string>{"1", "2"}));
}

}  // namespace
}  // namespace tciafs::nbia
