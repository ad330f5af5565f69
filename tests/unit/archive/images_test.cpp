// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "images.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>

#include "archive_fixture.h"
#include "dicom_tags.h"

namespace tciafs::archive {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ImagesTest : public ArchiveTest {
 protected:
  std::vector<ZipEntry> Zip(const std::string& endpoint) {
    const Reply reply = Get(endpoint, "Bearer undefined");
    EXPECT_EQ(reply.status, 200) << endpoint;
    const auto entries = ReadZip(BodyOf(reply));
    EXPECT_TRUE(entries.has_value()) << endpoint;
    return entries.value_or(std::vector<ZipEntry>{});
  }
  std::vector<ZipEntry> FaultyZip(const std::string& fault) {
    const Reply plan = Control("plan", R"([{"endpoint":"v4/getImage","action":)" + fault + "}]");
    EXPECT_EQ(plan.status, 200) << plan.body;
    return Zip("v4/getImage?IncludeMD5=Yes&SeriesInstanceUID=" + AnySeries());
  }
  static std::string SopOf(const std::string& file) {
    return ReadDicomTags(file).value()[tags::kSopInstance];
  }
};

TEST_F(ImagesTest, ZipBeginsWithTheLicenseAndNamesNobody) {
  const auto entries = Zip("v4/getImage?SeriesInstanceUID=" + AnySeries());
  ASSERT_EQ(entries.size(), 5U);
  EXPECT_EQ(entries[0].name, "LICENSE");
  EXPECT_EQ(entries[1].name, "00000001.dcm");
  EXPECT_EQ(entries[4].name, "00000004.dcm");
  for (const ZipEntry& entry : entries) EXPECT_TRUE(entry.intact) << entry.name;
}

TEST_F(ImagesTest, ZipHidesSizesInDataDescriptors) {
  const std::string zip = BodyOf(Get("v4/getImage?SeriesInstanceUID=" + AnySeries()));
  EXPECT_EQ(zip.substr(0, 4), "PK\3\4");
  EXPECT_EQ(zip[6] & 8, 8);                              // general purpose bit 3
  EXPECT_EQ(zip.substr(14, 12), std::string(12, '\0'));  // crc and sizes
  EXPECT_THAT(zip, HasSubstr("PK\7\10"));
}

TEST_F(ImagesTest, NewFileNamesAreCountersToo) {
  const auto entries = Zip("v1/getImage?NewFileNames=yes&SeriesInstanceUID=" + AnySeries());
  EXPECT_EQ(entries.at(1).name, "1-1.dcm");
  EXPECT_EQ(entries.at(4).name, "1-4.dcm");
}

TEST_F(ImagesTest, HashTableComesLastAndIsRight) {
  const std::string uid = AnySeries();
  for (const std::string endpoint : {"v4/getImage?IncludeMD5=Yes&SeriesInstanceUID=",
                                     "v2/getImageWithMD5Hash?SeriesInstanceUID="}) {
    const auto entries = Zip(endpoint + uid);
    EXPECT_EQ(entries.front().name, endpoint.starts_with("v4") ? "LICENSE" : "00000001.dcm");
    ASSERT_EQ(entries.back().name, "md5hashes.csv");
    const std::string& table = entries.back().content;
    EXPECT_THAT(table, StartsWith("Filename,MD5Hash\n"));
    for (const ZipEntry& entry : entries) {
      if (!entry.name.ends_with(".dcm")) continue;
      EXPECT_THAT(table, HasSubstr(entry.name + "," + Md5Hex(entry.content) + "\n"));
    }
  }
  EXPECT_EQ(Zip("v2/getImage?IncludeMD5=Yes&SeriesInstanceUID=" + uid).back().name, "00000004.dcm");
}

TEST_F(ImagesTest, ServesExactlyTheBytesTheTruthTells) {
  const std::string truth = BodyOf(service_->Handle(GetRequest("/_test/truth?collection=LUNG")));
  size_t lines = 0;
  for (const std::string_view line : SplitText(truth, '\n')) lines += line.empty() ? 0 : 1;
  EXPECT_EQ(lines, 12U * 2 * 2 * 4);
  const std::string uid = AnySeries();
  int64_t total = 0;
  for (const ZipEntry& entry : Zip("v4/getImage?SeriesInstanceUID=" + uid)) {
    if (entry.name == "LICENSE") continue;
    total += static_cast<int64_t>(entry.content.size());
    const std::string line =
        Md5Hex(entry.content) + " " + std::to_string(entry.content.size()) + " LUNG/LUNG-0001/";
    EXPECT_THAT(truth, HasSubstr(line));
    const std::string sop = SopOf(entry.content);
    EXPECT_THAT(truth, HasSubstr("/" + uid + "/" + sop + ".dcm\n"));
    EXPECT_EQ(service_->Handle(GetRequest("/_test/instance?sop=" + sop)).body, entry.content);
  }
  EXPECT_EQ(Rows("v4/getSeries?SeriesInstanceUID=" + uid).at(0).at("FileSize"), total);
}

TEST_F(ImagesTest, TruthEncodesAwkwardNames) {
  const std::string truth = BodyOf(service_->Handle(GetRequest("/_test/truth")));
  EXPECT_THAT(truth, HasSubstr(" 100%25 Odd%2FNames/a%2Fb/"));
  EXPECT_THAT(truth, HasSubstr(" 100%25 Odd%2FNames/a%252Fb/"));
  EXPECT_THAT(truth, HasSubstr(" %2Ehidden/%2E./"));
  EXPECT_THAT(truth, HasSubstr(" odd-twins/Twin/"));  // of any account
  EXPECT_THAT(truth, HasSubstr("tab%09here"));
}

TEST_F(ImagesTest, SingleImageAndItsHash) {
  const std::string uid = AnySeries();
  const std::string sop =
      Rows("v4/getSOPInstanceUIDs?SeriesInstanceUID=" + uid).at(2).at("SOPInstanceUID");
  const Reply reply = Get("v4/getSingleImage?SeriesInstanceUID=" + uid + "&SOPInstanceUID=" + sop);
  EXPECT_EQ(reply.content_type, "application/dicom");
  const std::string file = BodyOf(reply);
  EXPECT_EQ(SopOf(file), sop);
  EXPECT_EQ(BodyOf(Get("v4/getMD5HashForImage?SOPInstanceUID=" + sop)), Md5Hex(file));
  EXPECT_EQ(BodyOf(Get("v1/getM5HashForImage?SOPInstanceUid=" + sop)), Md5Hex(file));
  EXPECT_EQ(Get("v4/getSingleImage?SeriesInstanceUID=1.2&SOPInstanceUID=" + sop).status, 500);
  EXPECT_EQ(Get("v4/getSingleImage?SeriesInstanceUID=" + uid).status, 400);
}

TEST_F(ImagesTest, TheHashOfASeries) {
  const std::string uid = AnySeries();
  std::vector<std::string> sums;
  for (const auto& row : Rows("v4/getSOPInstanceUIDs?SeriesInstanceUID=" + uid))
    sums.push_back(BodyOf(Get("v4/getMD5HashForImage?SOPInstanceUID=" +
                              row.at("SOPInstanceUID").get<std::string>())));
  ASSERT_GT(sums.size(), 1u);
  std::sort(sums.begin(), sums.end());
  const std::string sum = Md5Hex(std::accumulate(sums.begin(), sums.end(), std::string()));
  const std::string form = "SeriesInstanceUID=" + uid;
  EXPECT_EQ(BodyOf(Post("v4/getMD5Hierarchy", form)), sum);
  EXPECT_EQ(BodyOf(Post("getMD5Hierarchy", form, "Bearer undefined")), sum);
  EXPECT_EQ(BodyOf(Post("v4/getMD5Hierarchy", "SeriesInstanceUID=1.2")), "");
}

TEST_F(ImagesTest, UnknownSeriesIsNotGranted) {
  EXPECT_THAT(Get("v1/getImage?SeriesInstanceUID=1.2").body, EndsWith("is not in public domain."));
  EXPECT_THAT(Get("v4/getImage?SeriesInstanceUID=1.2").body,
              StartsWith("The user has not been granted the access"));
}

TEST_F(ImagesTest, DamagesChecksums) {
  EXPECT_FALSE(FaultyZip(R"("corrupt","k":1)").at(2).intact);
  const auto wrong_crc = FaultyZip(R"("wrong_crc","k":2)");
  EXPECT_TRUE(wrong_crc.at(2).intact);
  EXPECT_FALSE(wrong_crc.at(3).intact);
  const auto wrong_md5 = FaultyZip(R"("wrong_md5","k":0)");
  EXPECT_THAT(wrong_md5.back().content, ::testing::Not(HasSubstr(Md5Hex(wrong_md5[1].content))));
  EXPECT_EQ(FaultyZip(R"("no_md5")").back().name, "00000004.dcm");
}

TEST_F(ImagesTest, LeavesOutAndAddsEntries) {
  EXPECT_EQ(FaultyZip(R"("drop_entries","k":[0,3])").size(), 4U);
  EXPECT_EQ(FaultyZip(R"("license_only")").size(), 2U);
  const auto duplicate = FaultyZip(R"("duplicate_entry","k":1)");
  ASSERT_EQ(duplicate.size(), 7U);
  EXPECT_EQ(duplicate[2].content, duplicate[3].content);
  const auto foreign = FaultyZip(R"("foreign_instance")");
  ASSERT_EQ(foreign.size(), 7U);
  EXPECT_FALSE(SopOf(foreign[5].content).starts_with(AnySeries()));
  Control("plan", R"([{"endpoint":"v4/getImage","action":"empty_zip"}])");
  EXPECT_EQ(BodyOf(Get("v4/getImage?SeriesInstanceUID=" + AnySeries())).size(), 22U);
}

TEST_F(ImagesTest, FillsEntriesWithTheWrongThing) {
  const auto plain = FaultyZip(R"("latency_ms","n":0)");
  const auto text = FaultyZip(R"("not_dicom","k":0)");
  EXPECT_FALSE(ReadDicomTags(text.at(1).content).has_value());
  EXPECT_EQ(text[1].content.size(), plain[1].content.size());
  const auto cut = FaultyZip(R"("short_entry","k":0,"n":500)");
  EXPECT_EQ(cut.at(1).content, plain[1].content.substr(0, 500));
  EXPECT_TRUE(cut[1].intact);
  EXPECT_THAT(cut.back().content, HasSubstr(Md5Hex(plain[1].content)));
  EXPECT_EQ(FaultyZip(R"("short_entry","k":-1,"n":500)").at(4).content.size(), 500U);
  const auto bomb = FaultyZip(R"("bomb","k":0,"n":1000001)");
  EXPECT_EQ(bomb.at(1).content.size(), plain[1].content.size() + 1000001);
  EXPECT_THAT(FaultyZip(R"("evil_names")").at(1).name, HasSubstr("evil.dcm"));
}

TEST_F(ImagesTest, DrillDownTellsTheSizeOfEveryImage) {
  const std::string uid = AnySeries();
  const auto studies = nlohmann::json::parse(BodyOf(
      Post("getStudyDrillDownWithSeriesIds", "list=" + uid + "&list=1.2", "Bearer undefined")));
  ASSERT_EQ(studies.size(), 1U);
  const auto& series = studies[0].at("seriesList").at(0);
  EXPECT_EQ(series.at("seriesUID"), uid);
  const std::string key = series.at("seriesPkId").dump();
  const auto search = nlohmann::json::parse(BodyOf(Post(
      "v4/getSimpleSearch", "criteriaType0=SeriesCriteria&value0=" + uid +
                                "&sortField=subject&sortDirection=ascending&start=0&size=10")));
  EXPECT_EQ(search.at("resultSet")
                .at(0)
                .at("studyIdentifiers")
                .at(0)
                .at("seriesIdentifiers")
                .at(0)
                .dump(),
            key);
  const auto images = nlohmann::json::parse(BodyOf(Post("v4/getImageDrillDown", "list=" + key)));
  ASSERT_EQ(images.size(), 4U);
  const auto entries = Zip("v4/getImage?SeriesInstanceUID=" + uid);
  for (size_t i = 0; i < images.size(); ++i) {
    EXPECT_EQ(images[i].at("size"), entries[i + 1].content.size());
    EXPECT_EQ(images[i].at("sopInstanceUid"), SopOf(entries[i + 1].content));
    EXPECT_EQ(images[i].at("seriesInstanceUid"), uid);
    EXPECT_TRUE(images[i].at("project").is_null());
  }
}

TEST_F(ImagesTest, DrillDownHasItsDefects) {
  const std::string rest = "&sortField=subject&sortDirection=ascending&start=0&size=10";
  EXPECT_EQ(Post("v4/getSimpleSearch", "criteriaType0=CollectionCriteria&value0=LUNG").status, 500);
  EXPECT_EQ(
      Post("v4/getSimpleSearch", "criteriaType0=CollectionCriteria&value0=LUNG" + rest).status,
      200);
  EXPECT_EQ(
      Post("v4/getSimpleSearch", "criteriaType0=CollectionCriteria&value0=Odd-BodyPart" + rest)
          .status,
      500);
  EXPECT_EQ(Post("v4/getImageDrillDown", "list=x").status, 500);
  EXPECT_EQ(Post("v4/getStudyDrillDownWithSeriesIds", "list=1").status, 500);
  EXPECT_EQ(Post("getImageDrillDown", "list=1").status, 500);  // no Authorization header
}

}  // namespace
}  // namespace tciafs::archive
