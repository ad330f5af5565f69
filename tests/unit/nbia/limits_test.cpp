// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Each limit of nbia/limits.h that a server can run into: what is just within it is taken, what is
// one beyond is not. Those of the list cutter itself: json_rows_test.cpp; of batches and
// drill-down: instance_listing_test.cpp.
#include "nbia/limits.h"

#include <string>

#include "nbia/answers.h"
#include "nbia/json_values.h"
#include "nbia/md5_list.h"
#include "nbia/readers.h"
#include "nbia/row_mapping.h"
#include "nbia/series_zip_reader.h"
#include "source_fixture.h"
#include "support/zip_writer.h"

namespace tciafs::nbia {
namespace {

std::string Row(const std::string& name, const std::string& value) {
  return R"({"StudyInstanceUID":"1.1","SeriesInstanceUID":"1.2","PatientID":"P","ImageCount":1,)"
         R"("FileSize":2,")" +
         name + "\":\"" + value + "\"}";
}

std::optional<source::SeriesRecord> SeriesOf(const std::string& row) {
  auto attributes = ParseRow(row);
  EXPECT_TRUE(attributes);
  // Of two members of one name the last is meant here.
  source::Attributes reversed(attributes->rbegin(), attributes->rend());
  return ToSeries(std::move(reversed), source::CollectionId("C"), source::PatientId());
}

TEST(NbiaLimits, AttributesOfARow) {
  const auto row = [](size_t members) {
    std::string text = "{";
    for (size_t i = 0; i < members; ++i)
      text += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":1";
    return text + "}";
  };
  EXPECT_EQ(ParseAttributes(row(kRowAttributesMax))->size(), kRowAttributesMax);
  EXPECT_EQ(ParseAttributes(row(kRowAttributesMax + 1)).error().code, Errc::kUnavailable);
}

TEST(NbiaLimits, ValuesOfANestedRow) {
  const auto row = [](size_t values) {  // the first bracket counts, and each comma
    std::string text = R"({"seriesList":[0)";
    for (size_t i = 2; i < values; ++i) text += ",0";
    return text + "]}";
  };
  EXPECT_TRUE(ParseStudyRow(row(kRowValuesMax)));
  EXPECT_EQ(ParseStudyRow(row(kRowValuesMax + 1)).error().code, Errc::kUnavailable);
  EXPECT_EQ(ParseTokenAnswer(row(kRowValuesMax + 1)).error().code, Errc::kUnavailable);
}

TEST(NbiaLimits, LengthsOfIds) {
  const std::string id(kIdBytesMax, 'p');
  EXPECT_EQ(SeriesOf(Row("PatientID", id))->patient.text(), id);
  EXPECT_FALSE(SeriesOf(Row("PatientID", id + 'p')));
  EXPECT_TRUE(SeriesOf(Row("StudyInstanceUID", id)));
  EXPECT_FALSE(SeriesOf(Row("StudyInstanceUID", id + 'p')));
  const source::Attributes collection = {{"Collection", id}};
  EXPECT_TRUE(ToCollection(collection));
  EXPECT_FALSE(ToCollection({{"Collection", id + 'p'}}));

  // The block cache keeps nothing for a longer one, so it could be listed but never read.
  const std::string uid(kUidBytesMax, '1');
  EXPECT_TRUE(SeriesOf(Row("SeriesInstanceUID", uid)));
  EXPECT_FALSE(SeriesOf(Row("SeriesInstanceUID", uid + '1')));
  EXPECT_TRUE(IsUid(uid));
  EXPECT_FALSE(IsUid(uid + '1'));
}

TEST(NbiaLimits, AVersionsTimestampIsCut) {
  const std::string time(kTimestampBytesMax, 't');
  EXPECT_EQ(SeriesOf(Row("MaxSubmissionTimestamp", time))->version.timestamp, time);
  EXPECT_EQ(SeriesOf(Row("MaxSubmissionTimestamp", time + 't'))->version.timestamp, time);
}

TEST(NbiaLimits, NumbersBeyondSenseAreUnknown) {
  EXPECT_EQ(SeriesOf(Row("ImageCount", "10000000"))->version.image_count, kSeriesImagesMax);
  EXPECT_EQ(SeriesOf(Row("ImageCount", "10000001"))->version.image_count, -1);
  EXPECT_EQ(SeriesOf(Row("FileSize", "1125899906842624"))->version.total_bytes, kSeriesBytesMax);
  EXPECT_EQ(SeriesOf(Row("FileSize", "1125899906842625"))->version.total_bytes, -1);
  EXPECT_EQ(SeriesOf(Row("FileSize", "9223372036854775807"))->version.total_bytes, -1);

  const auto size_of = [](const std::string& size) {
    const auto row =
        ParseImageRow(R"({"seriesInstanceUid":"1.2","sopInstanceUid":"1.3","size":)" + size + "}");
    return (*row)->instance.size_bytes;
  };
  EXPECT_EQ(size_of("68719476736"), kImageBytesMax);
  EXPECT_EQ(size_of("68719476737"), -1);
  const auto images_of = [](const std::string& count) {
    return ParseStudyRow(R"({"seriesList":[{"seriesUID":"1","seriesPkId":1,"numberImages":)" +
                         count + "}]}")
        ->front()
        .image_count;
  };
  EXPECT_EQ(images_of("10000000"), kSeriesImagesMax);
  EXPECT_EQ(images_of("10000001"), -1);
}

TEST(NbiaLimits, SmallBodies) {
  const Question question = {"archive.example", "oauth/token", Question::Kind::kToken};
  const std::string most(kSmallBodyBytesMax, ' ');
  SmallBodyReader reader(question, kSmallBodyBytesMax);
  reader.Begin();
  EXPECT_TRUE(reader.Read(AsBytes(most)));
  EXPECT_EQ(reader.Read(AsBytes("x")).error().code, Errc::kUnavailable);
  EXPECT_EQ(reader.body().size(), kSmallBodyBytesMax);
}

TEST(NbiaLimits, WhatIsQuotedOfABody) {
  const std::string most(kQuotedCharactersMax, 'x');
  EXPECT_EQ(QuoteBody(most), most);
  EXPECT_EQ(QuoteBody(most + 'x'), most);
}

TEST(NbiaLimits, TheListOfSums) {
  Md5List list;
  EXPECT_TRUE(list.Append(std::string(kMd5ListBytesMax, '\n')));
  EXPECT_EQ(list.Append("x").error().code, Errc::kCorrupt);
  Md5List of_three;
  const std::string all((3 + kMd5LinesBesideMax) * kMd5LineBytesMax, '\n');
  EXPECT_TRUE(of_three.Append(all, 3));
  EXPECT_EQ(of_three.Append("x", 3).error().code, Errc::kCorrupt);
}

class NbiaLimitsTest : public SourceTest {};

TEST_F(NbiaLimitsTest, LengthOfAToken) {
  UseFamily(ApiFamily::kV2);
  transport_.When("getCollectionValues", testing::Body(R"([{"Collection":"C"}])"));
  GiveTokens(std::string(kTokenBytesMax, 't'));
  EXPECT_EQ(Collections(), std::vector<std::string>{"C"});
  Restart();
  transport_.Forget();
  GiveTokens(std::string(kTokenBytesMax + 1, 't'));
  EXPECT_EQ(Collections(), std::vector<std::string>{"error"});
  EXPECT_EQ(last_code_, Errc::kUnavailable);
}

TEST_F(NbiaLimitsTest, AListThatIsKeptWhole) {
  UseFamily(ApiFamily::kV4);
  std::string body = R"([{"PatientId":"P1"}])";
  body.resize(kKeptListBytesMax, ' ');
  transport_.When("getPatient", testing::Body(body), 1);
  transport_.When("getPatient", testing::Body(body + ' '), 1);
  EXPECT_TRUE(Patients("C").ok());
  EXPECT_EQ(Patients("C").error(), Errc::kUnavailable);
}

// The beginning of an error's body is enough: the rest is not waited for.
TEST_F(NbiaLimitsTest, TheBodyOfAnError) {
  UseFamily(ApiFamily::kV4);
  testing::FakeAnswer endless = testing::StatusAnswer(400, std::string(kErrorBodyBytesMax, 'x'));
  endless.hang = true;
  transport_.When("getPatient", endless, 1);
  EXPECT_EQ(Patients("C").error(), Errc::kUnavailable);
  // One byte less is waited for to the end.
  transport_.When("getPatient",
                  testing::StatusAnswer(400, std::string(kErrorBodyBytesMax - 1, 'x')), 1);
  EXPECT_EQ(Patients("C").error(), Errc::kUnavailable);
}

Status ReadZip(const std::string& zip, const std::shared_ptr<RecordingSink>& sink,
               const SeriesZipLimits& limits) {
  SeriesZipReader reader({"archive.example", "v4/getImage", Question::Kind::kSeriesImages},
                         source::SeriesUid("1.2"), sink, limits);
  reader.Begin();
  if (const Status status = reader.Read(AsBytes(zip)); !status) return status;
  return reader.End();
}

TEST(NbiaLimits, WhatAZipHoldsBesidesImages) {
  const std::string zip = testing::ZipWriter()
                              .Add("LICENSE", std::string(3'000, 'l'))
                              .Add("notes.txt", std::string(4'000, 'n'))
                              .Add("1.dcm", Dicom("1.2.3"))
                              .Finish();
  // The notes are looked at, then passed over: what was looked at first does not count.
  const auto sink = std::make_shared<RecordingSink>();
  EXPECT_TRUE(ReadZip(zip, sink, {.skipped_bytes_max = 7'000}));
  EXPECT_EQ(sink->ended, std::vector<std::string>{"1.2.3"});
  EXPECT_TRUE(ReadZip(testing::ZipWriter().Add("LICENSE", std::string(3'000, 'l')).Finish(),
                      std::make_shared<RecordingSink>(), {.skipped_bytes_max = 3'000}));
  EXPECT_EQ(
      ReadZip(zip, std::make_shared<RecordingSink>(), {.skipped_bytes_max = 2'999}).error().code,
      Errc::kCorrupt);
}

TEST(NbiaLimits, EntriesThatAreNoImages) {
  testing::ZipWriter writer;
  writer.Add("a", "no").Add("b", "no").Add("1.dcm", Dicom("1.2.3"));
  EXPECT_TRUE(
      ReadZip(writer.Finish(), std::make_shared<RecordingSink>(), {.skipped_entries_max = 2}));
  EXPECT_EQ(ReadZip(writer.Finish(), std::make_shared<RecordingSink>(), {.skipped_entries_max = 1})
                .error()
                .code,
            Errc::kCorrupt);
}

TEST(NbiaLimits, NamesOfEntries) {
  const std::string name(kEntryNameBytesMax, 'n');
  const auto read = [](const std::string& of, const SeriesZipLimits& limits) {
    return ReadZip(testing::ZipWriter().Add(of, Dicom("1.2.3")).Add("1", Dicom("1.2.4")).Finish(),
                   std::make_shared<RecordingSink>(), limits);
  };
  EXPECT_TRUE(read(name, {}));
  EXPECT_EQ(read(name + 'n', {}).error().code, Errc::kCorrupt);
  EXPECT_TRUE(read(name, {.names_bytes_max = kEntryNameBytesMax + 1}));
  EXPECT_EQ(read(name, {.names_bytes_max = kEntryNameBytesMax}).error().code, Errc::kCorrupt);
}

// Each list is compared with all instances: a zip full of them would be hours of work.
TEST(NbiaLimits, OneListOfSums) {
  const std::string sum = "0123456789abcdef0123456789abcdef";
  const auto sink = std::make_shared<RecordingSink>();
  EXPECT_TRUE(ReadZip(testing::ZipWriter()
                          .Add("1.dcm", Dicom("1.2.3"))
                          .Add("md5hashes.csv", "Filename,MD5Hash\n1.dcm," + sum + "\n")
                          .Add("md5hashes.csv", "1.dcm," + std::string(32, 'a') + "\n")
                          .Finish(),
                      sink, {}));
  EXPECT_EQ(sink->md5.at("1.2.3"), sum);
}

}  // namespace
}  // namespace tciafs::nbia
