// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Downloads: from zip entries to instances, and everything that may come in their place.
#include <gtest/gtest.h>

#include <random>

#include "nbia/limits.h"
#include "source_fixture.h"
#include "tciafs/dicom/head.h"
#include "tciafs/util/hash.h"

namespace tciafs::nbia {
namespace {

using testing::Body;
using testing::EmptyBody;
using testing::FakeAnswer;
using testing::StatusAnswer;
using testing::ZipWriter;

std::string Md5Of(const std::string& bytes) {
  Md5 md5;
  md5.Update(AsBytes(bytes));
  return md5.FinishHex();
}

FakeAnswer InPieces(const std::string& body, size_t piece_bytes) {
  FakeAnswer answer;
  for (size_t at = 0; at < body.size(); at += piece_bytes)
    answer.pieces.push_back(body.substr(at, piece_bytes));
  return answer;
}

// Does not deflate, so that a cut of the zip is a cut of the image.
std::string Noise(size_t bytes) {
  std::mt19937 random(3);
  std::string noise;
  while (noise.size() < bytes) noise += static_cast<char>(random() & 0xFF);
  return noise;
}

// Three images as the archive sends them.
struct Archive {
  std::string a = Dicom("1.2.1", "first");
  std::string b = Dicom("1.2.2", Noise(50'000));
  std::string c = Dicom("1.2.3", "third");
  std::string List() const {
    return "Filename,MD5Hash\n00000003.dcm," + Md5Of(c) + "\n00000001.dcm," + Md5Of(a) +
           "\n00000002.dcm," + Md5Of(b) + "\n";
  }
  ZipWriter Images(bool license = true) const {
    ZipWriter zip;
    if (license) zip.Add("LICENSE", "free as in freedom");
    zip.Add("00000001.dcm", a).Add("00000002.dcm", b).Add("00000003.dcm", c);
    return zip;
  }
  std::string WithHashes() const { return Images().Add("md5hashes.csv", List()).Finish(); }
};

class ImageTest : public SourceTest {
 protected:
  ImageTest() { UseFamily(ApiFamily::kV4); }
  // The sum, or the name of the error.
  std::string AskSeriesMd5(const std::string& series) {
    Answer<std::string> answer;
    Source().AskSeriesMd5(source::SeriesUid(series), {}, answer.callback());
    RunAll();
    return answer.ok() ? answer.value() : std::string(ErrcName(answer.error()));
  }
  const Archive archive_;
};

TEST_F(ImageTest, ASeriesArrivesWholeWhateverThePieces) {
  const std::string zip = archive_.WithHashes();
  for (const size_t piece_bytes : {size_t{1}, size_t{7}, size_t{1000}, zip.size()}) {
    transport_.Forget();
    transport_.When("v4/getImage?SeriesInstanceUID=1.2&IncludeMD5=Yes", InPieces(zip, piece_bytes));
    const auto sink = Stream();
    ASSERT_TRUE(sink->succeeded());
    EXPECT_EQ(sink->ended, (std::vector<std::string>{"1.2.1", "1.2.2", "1.2.3"}));
    EXPECT_EQ(sink->bytes["1.2.1"], archive_.a);
    EXPECT_EQ(sink->bytes["1.2.2"], archive_.b);
    EXPECT_EQ(sink->bytes["1.2.3"], archive_.c);
    EXPECT_EQ(sink->md5["1.2.2"], Md5Of(archive_.b));
    EXPECT_EQ(sink->md5.size(), 3u);
  }
  EXPECT_EQ(transport_.Requests()[0].lane, http::Lane::kDownload);
}

TEST_F(ImageTest, SumsThatComeFirstCountToo) {
  const std::string zip =
      ZipWriter().Add("md5hashes.csv", archive_.List()).Add("00000001.dcm", archive_.a).Finish();
  transport_.When("getImage", Body(zip));
  EXPECT_EQ(Stream()->md5["1.2.1"], Md5Of(archive_.a));
}

TEST_F(ImageTest, EachFamilyHasItsCall) {
  UseFamily(ApiFamily::kV2);
  GiveTokens();
  transport_.When("/getImageWithMD5Hash?SeriesInstanceUID=1.2", Body(archive_.WithHashes()));
  EXPECT_TRUE(Stream()->succeeded());
  EXPECT_EQ(HeaderOf(transport_.Requests("v2/getImageWith")[0], "Authorization"), "Bearer tok");
  Restart();
  UseFamily(ApiFamily::kV1);
  EXPECT_TRUE(Stream()->succeeded());
  EXPECT_EQ(transport_.Count("v1/getImageWithMD5Hash"), 1u);
}

TEST_F(ImageTest, TheFirstInstanceIsThereBeforeTheLastHasArrived) {
  FakeAnswer half = InPieces(archive_.WithHashes(), 100);
  half.pieces.resize(50);
  half.hang = true;
  transport_.When("getImage", half);
  std::stop_source stop;
  auto sink = std::make_shared<RecordingSink>();
  Source().StreamSeries(Query("1.2"), stop.get_token(), sink);
  RunAll();
  EXPECT_EQ(sink->ended, std::vector<std::string>{"1.2.1"});
  EXPECT_FALSE(sink->done);
  stop.request_stop();
  RunAll();
  EXPECT_EQ(sink->error(), Errc::kCancelled);
}

TEST_F(ImageTest, ABrokenConnectionLeavesTheOpenInstanceUnended) {
  FakeAnswer broken = InPieces(archive_.WithHashes(), 200);
  broken.pieces.resize(50);
  broken.after_body = Error{Errc::kUnavailable, "reset"};
  broken.restart = true;
  transport_.When("getImage", broken);
  const auto sink = Stream();
  EXPECT_EQ(sink->error(), Errc::kUnavailable);
  EXPECT_EQ(sink->ended, std::vector<std::string>{"1.2.1"});
  EXPECT_EQ(transport_.Count(), 1u);
}

TEST_F(ImageTest, ACleanEndInTheMiddleIsABrokenConnection) {
  const std::string zip = archive_.WithHashes();
  for (const size_t cut :
       {zip.size() - 1, zip.size() - 30, zip.size() / 2, size_t{10}, size_t{1}}) {
    transport_.Forget();
    transport_.When("getImage", Body(zip.substr(0, cut)));
    EXPECT_EQ(Stream()->error(), Errc::kUnavailable) << cut;
  }
}

TEST_F(ImageTest, AWrongCrcIsCorruptAndTheInstanceNotEnded) {
  testing::ZipEntryOptions damaged;
  damaged.crc_xor = 1;
  const std::string zip =
      ZipWriter().Add("00000001.dcm", archive_.a).Add("00000002.dcm", archive_.c, damaged).Finish();
  transport_.When("getImage", Body(zip));
  const auto sink = Stream();
  EXPECT_EQ(sink->error(), Errc::kCorrupt);
  EXPECT_EQ(sink->ended, std::vector<std::string>{"1.2.1"});
}

TEST_F(ImageTest, StrangersInTheZipArePassedOver) {
  const std::string zip = ZipWriter()
                              .Add("../../etc/passwd", archive_.a)
                              .Add("/abs", "no dicom at all")
                              .Add("00000001.dcm", archive_.a)
                              .Add("deep.bin", std::string(dicom::kHeadBytesMax + 10, 'x'))
                              .Add("empty.dcm", "")
                              .Add("00000003.dcm", archive_.c)
                              .Finish();
  transport_.When("getImage", InPieces(zip, 4096));
  const auto sink = Stream();
  ASSERT_TRUE(sink->succeeded());
  EXPECT_EQ(sink->ended, (std::vector<std::string>{"1.2.1", "1.2.1", "1.2.3"}));
}

TEST_F(ImageTest, AnEmptyHashZipIsAskedForAgainInAnotherFormAtOnce) {
  UseFamily(ApiFamily::kV2);
  GiveTokens();
  transport_.When("v2/getImageWithMD5Hash", Body(ZipWriter().Finish()));
  transport_.When("v2/getImage?", Body(archive_.Images().Finish()));
  EXPECT_EQ(Stream()->ended.size(), 3u);
  EXPECT_EQ(Stream()->ended.size(), 3u);
  EXPECT_EQ(transport_.Count("WithMD5Hash"), 1u);  // remembered
  EXPECT_EQ(transport_.Count("v2/getImage?"), 2u);
}

TEST_F(ImageTest, AShortHashZipIsAskedForInAnotherFormNextTime) {
  transport_.When("IncludeMD5=Yes",
                  Body(ZipWriter().Add("LICENSE", "x").Add("1.dcm", archive_.a).Finish()));
  transport_.When("NewFileNames=Yes", Body(archive_.Images().Finish()));
  EXPECT_EQ(Stream()->ended.size(), 1u);
  EXPECT_EQ(Stream()->ended.size(), 3u);
  EXPECT_EQ(transport_.Count("IncludeMD5"), 1u);
}

TEST_F(ImageTest, AServerOlderThanTheHashFormIsAskedWithoutIt) {
  transport_.When("IncludeMD5",
                  StatusAnswer(400, "Invalid query parameter: 'IncludeMD5'. Allowed"));
  transport_.When("getImage", Body(archive_.Images().Finish()));
  EXPECT_EQ(Stream("1.2")->ended.size(), 3u);
  EXPECT_EQ(Stream("1.3")->ended.size(), 3u);
  EXPECT_EQ(transport_.Count("IncludeMD5"), 1u);
  clock_.Advance(kFormRetryMs);
  Stream("1.4");
  EXPECT_EQ(transport_.Count("IncludeMD5"), 2u);
}

TEST_F(ImageTest, AFamilyThatIsGoneSaysNothingAboutTheNextOnesForms) {
  UseFamily(ApiFamily::kAuto);
  memory_.Save(std::string("api|") + kRoot, "v1");
  transport_.When("v4/getCollectionValues", Body(R"([{"Collection":"C"}])"));
  transport_.When("IncludeMD5=Yes", Body(archive_.WithHashes()));
  EXPECT_EQ(Stream()->md5.size(), 3u);
  EXPECT_EQ(Stream()->md5.size(), 3u);
}

TEST_F(ImageTest, NothingButALicenseIsAWellFormedNothing) {
  transport_.When("getImage", Body(ZipWriter().Add("LICENSE", "x").Finish()));
  const auto sink = Stream();
  EXPECT_TRUE(sink->succeeded());
  EXPECT_TRUE(sink->ended.empty());
}

TEST_F(ImageTest, RefusalsAreTranslated) {
  const std::vector<std::pair<FakeAnswer, Errc>> cases = {
      {StatusAnswer(400, "Image with given SeriesInstanceUID,1.2, is not in public domain."),
       Errc::kPermission},
      {StatusAnswer(400, "The user has not been granted the access to image"), Errc::kPermission},
      {StatusAnswer(404, "gone"), Errc::kNotFound},
      {StatusAnswer(401, ""), Errc::kUnauthenticated},
      {StatusAnswer(500, "Server was not able to process your request\nnull"), Errc::kUnavailable},
      {StatusAnswer(429, ""), Errc::kThrottled},
      {Body("<html>busy"), Errc::kUnavailable},
      {Body("{\"a\":1}"), Errc::kUnavailable},
      {EmptyBody(), Errc::kUnavailable},
      {FakeAnswer{.before_head = Error{Errc::kOffline, "offline"}}, Errc::kOffline},
      {FakeAnswer{.before_head = Error{Errc::kTimedOut, "slow"}}, Errc::kTimedOut},
  };
  for (const auto& [answer, code] : cases) {
    transport_.Forget();
    transport_.When("getImage", answer);
    EXPECT_EQ(Stream()->error(), code) << answer.status;
  }
}

TEST_F(ImageTest, ASinkErrorEndsTheStreamWithThatError) {
  FakeAnswer endless = InPieces(archive_.WithHashes(), 500);
  endless.hang = true;
  transport_.When("getImage", endless);
  auto sink = std::make_shared<RecordingSink>();
  sink->fail_at_data = Fail(Errc::kNoSpace, "disk full");
  Source().StreamSeries(Query("1.2"), {}, sink);
  RunAll();
  EXPECT_EQ(sink->error(), Errc::kNoSpace);
  EXPECT_EQ(sink->done->error().message, "disk full");
  EXPECT_TRUE(sink->ended.empty());
}

TEST_F(ImageTest, AnExpiredTokenIsRenewedBeforeTheStream) {
  UseFamily(ApiFamily::kV2);
  GiveTokens("old", 1);
  GiveTokens("new");
  transport_.Add(
      {.url_part = "getImage", .answer = StatusAnswer(401, ""), .header_part = "Bearer old"});
  transport_.When("getImage", Body(archive_.WithHashes()));
  EXPECT_EQ(Stream()->ended.size(), 3u);
}

// --- single images ---

TEST_F(ImageTest, ASingleImageIsComparedWithItsSumBeforeItCounts) {
  transport_.When("v4/getSingleImage?SeriesInstanceUID=1.2&SOPInstanceUID=1.2.2",
                  InPieces(archive_.b, 100));
  transport_.When("v4/getMD5HashForImage?SOPInstanceUID=1.2.2", Body(Md5Of(archive_.b) + "\n"));
  const auto sink = Single("1.2.2");
  ASSERT_TRUE(sink->succeeded());
  EXPECT_EQ(sink->bytes["1.2.2"], archive_.b);
  EXPECT_EQ(sink->ended.size(), 1u);
  EXPECT_EQ(sink->md5["1.2.2"], Md5Of(archive_.b));
  EXPECT_FALSE(transport_.Requests()[0].retry.retry_status_500);
}

TEST_F(ImageTest, ASingleImageCutShortIsCorrupt) {
  transport_.When("getSingleImage", Body(archive_.b.substr(0, 5000)));
  transport_.When("getMD5HashForImage", Body(Md5Of(archive_.b)));
  const auto sink = Single("1.2.2");
  EXPECT_EQ(sink->error(), Errc::kCorrupt);
  EXPECT_TRUE(sink->ended.empty());
}

TEST_F(ImageTest, ASingleImageWithoutASumIsTakenAsItCame) {
  UseFamily(ApiFamily::kV1);
  for (const auto& no_sum :
       {EmptyBody(), StatusAnswer(204, ""), StatusAnswer(404, ""), Body("null")}) {
    transport_.Forget();
    transport_.When("v1/getSingleImage", Body(archive_.a));
    transport_.When("v1/getM5HashForImage?SOPInstanceUid=1.2.1", no_sum);
    const auto sink = Single("1.2.1");
    EXPECT_TRUE(sink->succeeded());
    EXPECT_EQ(sink->ended.size(), 1u);
    EXPECT_TRUE(sink->md5.empty());
  }
}

TEST_F(ImageTest, ASumThatCannotBeHadJustNowIsWaitedFor) {
  transport_.When("getSingleImage", Body(archive_.a));
  transport_.When("getMD5HashForImage", StatusAnswer(503, ""));
  const auto sink = Single("1.2.1");
  EXPECT_EQ(sink->error(), Errc::kUnavailable);
  EXPECT_TRUE(sink->ended.empty());
}

TEST_F(ImageTest, AnotherImageThanTheOneAskedForIsCorrupt) {
  transport_.When("getSingleImage", Body(archive_.a));
  const auto sink = Single("1.2.2");
  EXPECT_EQ(sink->error(), Errc::kCorrupt);
  EXPECT_TRUE(sink->bytes.empty());
}

TEST_F(ImageTest, AMissingSingleImageIsAFiveHundred) {
  transport_.When("getSingleImage",
                  StatusAnswer(500, "Server was not able to process your request\nnull"));
  EXPECT_EQ(Single("1.2.2")->error(), Errc::kNotFound);
  transport_.Forget();
  transport_.When("getSingleImage", Body("<html>oops"));
  EXPECT_EQ(Single("1.2.2")->error(), Errc::kUnavailable);
  transport_.Forget();
  transport_.When("getSingleImage", EmptyBody());
  EXPECT_EQ(Single("1.2.2")->error(), Errc::kUnavailable);
}

// --- the sum of a series ---

TEST_F(ImageTest, ASumIsToldOfAWholeSeries) {
  const std::string sum = source::SeriesMd5({Md5Of(archive_.a), Md5Of(archive_.b)});
  transport_.When("v4/getMD5Hierarchy", Body(sum + "\n"));
  EXPECT_EQ(AskSeriesMd5("1.2"), sum);
  EXPECT_EQ(transport_.Requests()[0].method, "POST");
  EXPECT_EQ(transport_.Requests()[0].body, "SeriesInstanceUID=1.2");
}

TEST_F(ImageTest, OlderServersTellItOutsideOfTheirVersions) {
  UseFamily(ApiFamily::kV1);
  transport_.When("services/getMD5Hierarchy", Body(std::string(32, 'A')));
  EXPECT_EQ(AskSeriesMd5("1.2"), std::string(32, 'a'));
}

TEST_F(ImageTest, ASumThatIsNotToldIsNoFailure) {
  for (const auto& untold : {EmptyBody(), StatusAnswer(204, ""), StatusAnswer(404, ""),
                             StatusAnswer(401, "no"), Body("null")}) {
    transport_.Forget();
    transport_.When("getMD5Hierarchy", untold);
    EXPECT_EQ(AskSeriesMd5("1.2"), "");
  }
  transport_.Forget();
  transport_.When("getMD5Hierarchy", StatusAnswer(503, ""));
  EXPECT_EQ(AskSeriesMd5("1.2"), "unavailable");
}

}  // namespace
}  // namespace tciafs::nbia
