// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/status_view.h"

#include <gmock/gmock.h>

#include "cli/terminal.h"

namespace tciafs::cli {
namespace {

using control::Message;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Terminal, BarsFillFromLeftToRight) {
  EXPECT_EQ(Bar(0, 7), "[     ]");
  EXPECT_EQ(Bar(0.5, 8), "[===>  ]");
  EXPECT_EQ(Bar(1, 7), "[=====]");
  EXPECT_EQ(Bar(-3, 7), "[     ]");
  EXPECT_EQ(Bar(3, 7), "[=====]");
  EXPECT_EQ(Bar(0.99, 12).find('='), 1u);
  EXPECT_EQ(Bar(0.999, 12).size(), 12u) << "not full before it is";
  EXPECT_NE(Bar(0.999, 12), Bar(1, 12));
}

TEST(Terminal, TimesAndCountsInWords) {
  EXPECT_EQ(DurationText(-5), "0 s");
  EXPECT_EQ(DurationText(45'900), "45 s");
  EXPECT_EQ(DurationText(185'000), "3 min 05 s");
  EXPECT_EQ(DurationText(7'800'000), "2 h 10 min");
  EXPECT_EQ(DurationText(356'400'000), "4 d 3 h");
  EXPECT_EQ(CountText(7), "7");
  EXPECT_EQ(CountText(1000), "1,000");
  EXPECT_EQ(CountText(-123456), "-123,456");
}

TEST(Terminal, WhatIsTooLongLosesItsMiddle) {
  EXPECT_EQ(Shortened("abcdefghij", 10), "abcdefghij");
  EXPECT_EQ(Shortened("abcdefghij", 9), "abc...hij");
  EXPECT_EQ(Shortened("abcdefghij", 2), "ab");
  EXPECT_EQ(Shortened("abcdefghij", -1), "");
  EXPECT_EQ(Shortened("äöüäöüäöüä", 9), "äöü...öüä");
}

TEST(Terminal, ControlCharactersDoNotReachIt) {
  EXPECT_EQ(Printable("a\x1b[2Jb\x7f\n"), "a?[2Jb??");
}

TEST(WorkLine, FitsTheTerminal) {
  const std::string path = "/a/very/long/path/of/a/series";
  EXPECT_EQ(WorkLine(1, 2, path, 200), Bar(0.5, 30) + "  1 B of 2 B  " + path);
  EXPECT_LT(WorkLine(1, 2, path, 60).size(), 60u);
  EXPECT_THAT(WorkLine(0, 0, path, 200), HasSubstr(Bar(0, 30)));
}

TEST(StatusLines, AServerThatIsWellAndRefuses) {
  Message refused("server");
  refused.Add("name", "a").Add("state", "ok").Add("api", "v4").Add("trouble", "a: HTTP 401");
  EXPECT_THAT(StatusLines({refused}, 200), ElementsAre("servers", "  a  ok (v4), but HTTP 401"));
  Message unheard("server");
  unheard.Add("name", "a").Add("state", "ok").Add("answered", 0);
  EXPECT_THAT(StatusLines({unheard}, 200),
              ElementsAre("servers", "  a  ok, but nothing has come from it yet"));
}

TEST(StatusLines, EverySectionOnce) {
  const std::vector<Message> answers = {
      Message("mount").Add("version", "1.0").Add("mountpoint", "/m").Add("uptime_ms", 5000),
      Message("server").Add("name", "a").Add("state", "ok").Add("api", "v4"),
      Message("server")
          .Add("name", "b")
          .Add("state", "offline")
          .Add("reason", "no route")
          .Add("retry_in_ms", 1'500),
      Message("download").Add("state", "queued").Add("expected_bytes", 2048).Add("path", "/C/q"),
      Message("download")
          .Add("state", "started")
          .Add("received_bytes", 1 << 20)
          .Add("expected_bytes", 4 << 20)
          .Add("streaming_ms", 1000)
          .Add("path", "/C/p"),
      Message("cache").Add("used_bytes", 1).Add("cap_bytes", 2).Add("hits", 3).Add("misses", 1),
      Message("error").Add("path", "/C").Add("reason", "gone\nfar").Add("count", 3),
  };
  EXPECT_THAT(StatusLines(answers, 200),
              ElementsAre("/m  tciafs 1.0, mounted for 5 s", "servers", "  a  ok (v4)",
                          "  b  offline: no route; asked again in 2 s", "downloads",
                          "  queued                  2.0 KiB  /C/q",
                          "  [=====>              ]  1.0 MiB of 4.0 MiB  1.0 MiB/s  3 s left  /C/p",
                          "cache", HasSubstr("1 B of 2 B"),
                          "  0 series (0 pinned), 0 images; 75.0 % of 4 openings served from here",
                          "recent errors", HasSubstr("/C: gone?far (3 times)")));
}

TEST(StatusLines, WhatIsUnknownIsLeftOut) {
  const auto lines =
      StatusLines({Message("download").Add("state", "started").Add("received_bytes", 5)}, 80);
  EXPECT_THAT(lines, ElementsAre("downloads", "  [                    ]  5 B  "));
}

}  // namespace
}  // namespace tciafs::cli
