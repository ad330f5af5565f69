// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "zip_output.h"

#include "archive_fixture.h"

namespace tciafs::archive {
namespace {

TEST(ZipOutput, IsReadByLibzip) {
  CollectingSink sink;
  ZipOutput zip(sink, 6);
  const std::string large(300'000, 'x');
  ASSERT_TRUE(zip.AddEntry("empty", ""));
  ASSERT_TRUE(zip.AddEntry("large", large));
  ASSERT_TRUE(zip.Finish());
  const auto entries = ReadZip(sink.body);
  ASSERT_TRUE(entries.has_value());
  ASSERT_EQ(entries->size(), 2U);
  EXPECT_EQ((*entries)[0].content, "");
  EXPECT_EQ((*entries)[1].content, large);
}

TEST(ZipOutput, GoesToZip64OnlyWhenCountsDoNotFit) {
  constexpr int kCount = 65'536;
  CollectingSink sink;
  ZipOutput zip(sink, 1);
  for (int i = 0; i < kCount; ++i) ASSERT_TRUE(zip.AddEntry(std::to_string(i), "x"));
  ASSERT_TRUE(zip.Finish());
  EXPECT_NE(sink.body.find("PK\6\6"), std::string::npos);
  const auto entries = ReadZip(sink.body);
  ASSERT_TRUE(entries.has_value());
  EXPECT_EQ(entries->size(), static_cast<size_t>(kCount));

  CollectingSink small_sink;
  ZipOutput small_zip(small_sink, 1);
  ASSERT_TRUE(small_zip.AddEntry("a", "x"));
  ASSERT_TRUE(small_zip.Finish());
  EXPECT_EQ(small_sink.body.find("PK\6\6"), std::string::npos);
}

TEST(ZipOutput, StopsWhenTheSinkRefuses) {
  class ClosedSink final : public BodySink {
   public:
    bool Write(std::string_view) override { return false; }
  };
  ClosedSink sink;
  ZipOutput zip(sink, 0);
  ASSERT_TRUE(zip.BeginEntry("a"));
  EXPECT_FALSE(zip.Write(std::string(1 << 20, 'x')));
  EXPECT_FALSE(zip.Finish());
}

}  // namespace
}  // namespace tciafs::archive
