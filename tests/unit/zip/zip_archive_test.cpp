// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/zip/zip_archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zip.h>

#include <fstream>
#include <iterator>

#include "support/fakes.h"
#include "support/zip_writer.h"
#include "unit/zip/recording_handler.h"

namespace tciafs::zip {
namespace {

using testing::Crc32Of;
using ::testing::HasSubstr;
using testing::RecordedEntry;
using testing::RecordingHandler;
using testing::TempDirectory;
using testing::ZipWriter;

class ZipArchiveTest : public ::testing::Test {
 protected:
  Status Read(const std::string& zip, const ZipLimits& limits = {}) {
    std::ofstream(path_, std::ios::binary) << zip;
    handler_ = RecordingHandler();
    return ReadZipFile(path_, limits, handler_);
  }
  static RecordedEntry Entry(const std::string& name, const std::string& content) {
    return {name, content, Crc32Of(content)};
  }

  TempDirectory directory_;
  const std::string path_ = directory_.File("a.zip");
  RecordingHandler handler_;
};

TEST_F(ZipArchiveTest, ReadsWhatTheServerWrites) {
  const std::string image(500'000, 'i');
  const Status status = Read(ZipWriter().Add("LICENSE", "text").Add("1-1.dcm", image).Finish());
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(handler_.entries, (std::vector{Entry("LICENSE", "text"), Entry("1-1.dcm", image)}));
  EXPECT_TRUE(Read(ZipWriter().Finish()));
  EXPECT_TRUE(handler_.entries.empty());
}

TEST_F(ZipArchiveTest, RefusesWhatIsNotIntact) {
  const std::string zip = ZipWriter().Add("good", "content").Finish();
  const auto code_of = [&](const std::string& bytes) {
    const Status status = Read(bytes);
    return status ? Errc::kInternal : status.error().code;
  };
  EXPECT_EQ(code_of("no zip at all"), Errc::kCorrupt);
  EXPECT_EQ(code_of(zip.substr(0, zip.size() - 5)), Errc::kCorrupt);
  EXPECT_EQ(code_of(ZipWriter().Add("a", "content", {.crc_xor = 1}).Finish()), Errc::kCorrupt);
  EXPECT_EQ(code_of(ZipWriter().Add("a", "content", {.size_delta = 1}).Finish()), Errc::kCorrupt);
  EXPECT_EQ(code_of(ZipWriter().Add("a", "content", {.size_delta = -1}).Finish()), Errc::kCorrupt);
  EXPECT_EQ(code_of(ZipWriter().Add("a", "content", {.more_flags = 1}).Finish()), Errc::kCorrupt);
  EXPECT_EQ(code_of(ZipWriter().Add("a", "b", {.method = uint16_t{77}}).Finish()), Errc::kCorrupt);
  EXPECT_TRUE(handler_.entries.empty());
}

TEST_F(ZipArchiveTest, TellsAMissingFileFromADamagedOne) {
  EXPECT_EQ(ReadZipFile(directory_.File("none.zip"), {}, handler_).error().code, Errc::kNotFound);
}

TEST_F(ZipArchiveTest, KeepsItsLimits) {
  const std::string zip = ZipWriter().Add("ab", "12345").Add("cd", "67890").Finish();
  EXPECT_TRUE(Read(zip, {2, 5, 10, 2}));
  for (const ZipLimits& limits : {ZipLimits{1, 5, 10, 2}, ZipLimits{2, 4, 10, 2},
                                  ZipLimits{2, 5, 9, 2}, ZipLimits{2, 5, 10, 1}})
    EXPECT_EQ(Read(zip, limits).error().code, Errc::kCorrupt);
}

TEST_F(ZipArchiveTest, PassesOnWhatTheHandlerSays) {
  std::ofstream(path_, std::ios::binary) << ZipWriter().Add("a", "x").Finish();
  for (const std::string step : {"begin", "data", "end"}) {
    RecordingHandler failing;
    failing.fails_at = step;
    EXPECT_EQ(ReadZipFile(path_, {}, failing).error().code, Errc::kNoSpace);
  }
}

// What libzip writes is read alike by both readers.
TEST_F(ZipArchiveTest, AgreesWithTheStreamOnWhatLibzipWrites) {
  const std::string image(300'000, 'x');
  zip_t* archive = zip_open(path_.c_str(), ZIP_CREATE | ZIP_TRUNCATE, nullptr);
  ASSERT_NE(archive, nullptr);
  ASSERT_EQ(zip_dir_add(archive, "images", 0), 0);
  for (const auto& [name, method] : {std::pair{"images/deflated.dcm", ZIP_CM_DEFLATE},
                                     std::pair{"images/stored.dcm", ZIP_CM_STORE}}) {
    zip_source_t* source = zip_source_buffer(archive, image.data(), image.size(), 0);
    const auto index = zip_file_add(archive, name, source, 0);
    ASSERT_GE(index, 0);
    ASSERT_EQ(zip_set_file_compression(archive, index, method, 0), 0);
  }
  ASSERT_EQ(zip_set_archive_comment(archive, "comment", 7), 0);
  ASSERT_EQ(zip_close(archive), 0);

  const Status status = ReadZipFile(path_, {}, handler_);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(handler_.entries,
            (std::vector{Entry("images/", ""), Entry("images/deflated.dcm", image),
                         Entry("images/stored.dcm", image)}));

  std::ifstream file(path_, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  RecordingHandler streamed;
  ZipStream stream(streamed, {});
  const Status pushed = stream.Push(AsBytes(bytes));
  ASSERT_TRUE(pushed) << pushed.error().message;
  EXPECT_TRUE(stream.Finish());
  EXPECT_EQ(streamed.entries, handler_.entries);
}

}  // namespace
}  // namespace tciafs::zip
