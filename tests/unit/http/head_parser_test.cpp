// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/head_parser.h"

#include <gtest/gtest.h>

namespace tciafs::http {
namespace {

using Progress = HeadParser::Progress;

TEST(HeadParser, SkipsInterimAnswersAndTrailers) {
  HeadParser parser;
  EXPECT_EQ(parser.OnLine("HTTP/1.1 103 Early Hints\r\n"), Progress::kMore);
  EXPECT_EQ(parser.OnLine("Link: </x>\r\n"), Progress::kMore);
  EXPECT_EQ(parser.OnLine("\r\n"), Progress::kMore);
  EXPECT_EQ(parser.OnLine("HTTP/2 200\r\n"), Progress::kMore);
  EXPECT_EQ(parser.OnLine("Content-TYPE:  application/json \r\n"), Progress::kMore);
  EXPECT_EQ(parser.OnLine("X-Long: a\r\n"), Progress::kMore);
  EXPECT_EQ(parser.OnLine("\t b\r\n"), Progress::kMore);
  EXPECT_EQ(parser.OnLine("no colon here\r\n"), Progress::kMore);
  EXPECT_EQ(parser.OnLine("\r\n"), Progress::kComplete);
  EXPECT_EQ(parser.OnLine("X-Trailer: late\r\n"), Progress::kMore);
  EXPECT_EQ(parser.OnLine("\r\n"), Progress::kMore);
  EXPECT_EQ(parser.head().status, 200);
  EXPECT_EQ(parser.head().Header("content-type"), "application/json");
  EXPECT_EQ(parser.head().Header("x-long"), "a b");
  EXPECT_EQ(parser.head().Header("link"), "");
  EXPECT_EQ(parser.head().Header("x-trailer"), "");
  EXPECT_EQ(parser.head().headers.size(), 2u);
}

// A field that begins like a status line, one that is folded over a blank line, an empty one.
TEST(HeadParser, OddFieldsAreFields) {
  HeadParser parser;
  for (const char* line : {"HTTP/1.1 200 OK\r\n", "HTTP/9: x\r\n", "Folded:\r\n", " \t\r\n",
                           "\tto here\r\n", "Retry-After: 7\r\n"})
    EXPECT_EQ(parser.OnLine(line), Progress::kMore) << line;
  EXPECT_EQ(parser.OnLine("\r\n"), Progress::kComplete);
  EXPECT_EQ(parser.head().status, 200);
  EXPECT_EQ(parser.head().Header("http/9"), "x");
  EXPECT_EQ(parser.head().Header("folded"), "to here");
  EXPECT_EQ(parser.head().Header("retry-after"), "7");
}

TEST(HeadParser, LimitsAllLinesTogether) {
  HeadParser parser;
  const std::string line(1024, 'h');
  for (size_t i = 0; i < HeadParser::kHeaderBytesMax / line.size(); ++i)
    ASSERT_EQ(parser.OnLine(line), Progress::kMore);
  EXPECT_EQ(parser.OnLine("x"), Progress::kTooLarge);
}

}  // namespace
}  // namespace tciafs::http
