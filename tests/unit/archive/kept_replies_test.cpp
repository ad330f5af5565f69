// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "kept_replies.h"

#include <gtest/gtest.h>

#include "archive_fixture.h"

namespace tciafs::archive {
namespace {

Request AskFor(const std::string& path, const std::string& series) {
  Request request;
  request.method = "GET";
  request.path = path;
  request.query.emplace("SeriesInstanceUID", series);
  return request;
}

TEST(KeptRepliesTest, MakesEachBodyOnce) {
  KeptReplies kept;
  int made = 0;
  const std::string long_text(1'000'000, 'x');
  const auto make = [&] {
    Reply reply;
    reply.status = 203;
    reply.writer = [&](BodySink& sink) { return ++made > 0 && sink.Write(long_text); };
    return reply;
  };
  for (int i = 0; i < 3; ++i) {
    const Reply reply = kept.Answer(AskFor("/getImage", "1.2"), "guest", make);
    EXPECT_EQ(reply.status, 203);
    EXPECT_EQ(BodyOf(reply), long_text);
  }
  EXPECT_EQ(made, 1);
}

TEST(KeptRepliesTest, TellsRequestsAndViewersApart) {
  KeptReplies kept;
  int made = 0;
  const auto make = [&] { return TextReply(200, "text/plain", std::to_string(++made)); };
  EXPECT_EQ(BodyOf(kept.Answer(AskFor("/getImage", "1.2"), "guest", make)), "1");
  EXPECT_EQ(BodyOf(kept.Answer(AskFor("/getImage", "1.3"), "guest", make)), "2");
  EXPECT_EQ(BodyOf(kept.Answer(AskFor("/getSeries", "1.2"), "guest", make)), "3");
  EXPECT_EQ(BodyOf(kept.Answer(AskFor("/getImage", "1.2"), "other", make)), "4");
  Request posted = AskFor("/getImage", "1.2");
  posted.form.emplace("list", "7");
  EXPECT_EQ(BodyOf(kept.Answer(posted, "guest", make)), "5");
  EXPECT_EQ(BodyOf(kept.Answer(AskFor("/getImage", "1.2"), "guest", make)), "1");
}

}  // namespace
}  // namespace tciafs::archive
