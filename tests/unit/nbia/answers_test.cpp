// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/answers.h"

#include <gtest/gtest.h>

#include "nbia/limits.h"

namespace tciafs::nbia {
namespace {

constexpr auto kList = Question::Kind::kList;
constexpr auto kSeries = Question::Kind::kSeriesImages;
constexpr auto kSingle = Question::Kind::kSingleImage;
constexpr auto kToken = Question::Kind::kToken;

Refusal Read(Question::Kind kind, int status, std::string_view body) {
  return ReadRefusal({"archive.example", "v4/x", kind}, status, body);
}

TEST(Answers, ImagesNotPermitted) {
  EXPECT_EQ(Read(kSeries, 400, "Image with given SeriesInstanceUID,1.2, is not in public domain.")
                .error.code,
            Errc::kPermission);
  EXPECT_EQ(Read(kSeries, 400, "The user has not been granted the access to image").error.code,
            Errc::kPermission);
  EXPECT_EQ(Read(kSeries, 404, "gone").error.code, Errc::kNotFound);
}

TEST(Answers, WrongPathInEveryDisguise) {
  for (const auto& refusal :
       {Read(kList, 500, "Server was not able to process your request\nHTTP 404 Not Found"),
        Read(kList, 500, "Server was not able to process your request\nHTTP 405 Method"),
        Read(kList, 404, "<html><body>Not Found"), Read(kList, 405, ""),
        Read(kSeries, 404, "<!DOCTYPE html>")})
    EXPECT_TRUE(refusal.no_such_path) << refusal.error.message;
  EXPECT_FALSE(Read(kList, 500, "Server was not able to process your request\nnull").no_such_path);
}

TEST(Answers, TokensRefused) {
  EXPECT_TRUE(Read(kList, 401, "").token_refused);
  EXPECT_TRUE(Read(kList, 403, "").token_refused);
  EXPECT_EQ(Read(kList, 403, "").error.code, Errc::kPermission);
  EXPECT_EQ(Read(kToken, 401, "").error.code, Errc::kUnauthenticated);
  EXPECT_EQ(Read(kToken, 400, "").error.code, Errc::kUnauthenticated);
}

TEST(Answers, FiveHundredMeansManyThings) {
  const char* null_body = "Server was not able to process your request\nnull";
  EXPECT_EQ(Read(kSingle, 500, null_body).error.code, Errc::kNotFound);
  EXPECT_EQ(Read(kSeries, 500, null_body).error.code, Errc::kUnavailable);
  EXPECT_TRUE(Read(kList, 500, "No data found.").means_empty);
  EXPECT_EQ(Read(kList, 429, "").error.code, Errc::kThrottled);
  EXPECT_EQ(Read(kList, 503, "").error.code, Errc::kUnavailable);
  EXPECT_EQ(Read(kList, 400, "Invalid query parameter: 'X'. Allowed").error.code,
            Errc::kUnsupported);
}

TEST(Answers, MessagesAreOneShortLineWithoutSecrets) {
  const std::string stack =
      "java.lang.NullPointerException\n\tat x.y\x1b[31m" + std::string(500, 'z');
  const std::string message = Read(kList, 500, stack).error.message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
  EXPECT_LT(message.size(), 150u);
  EXPECT_NE(message.find("archive.example: v4/x: HTTP 500 \"java.lang.Null"), std::string::npos);
  EXPECT_EQ(Read(kList, 401, "Invalid access token: s3cret").error.message.find("s3cret"),
            std::string::npos);
  EXPECT_EQ(Read(kToken, 500, "password=s3cret").error.message.find("s3cret"), std::string::npos);
  for (const char* body : {"<html><p>password=s3cret", "{\"password\": \"s3cret\"}"})
    EXPECT_EQ(ReadWrongBody({"archive.example", "oauth/token", kToken}, "a token", body).message.find("s3cret"), std::string::npos);
  EXPECT_LE(QuoteBody(std::string(1000, 'a')).size(), kQuotedCharactersMax);
}

}  // namespace
}  // namespace tciafs::nbia
