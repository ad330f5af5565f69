// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/url.h"

#include <gtest/gtest.h>

namespace tciafs::http {
namespace {

TEST(ParseOrigin, NamesTheServer) {
  const auto origin = ParseOrigin("HTTPS://User:pw@NBIA.Example.org/a?b=c");
  ASSERT_TRUE(origin);
  EXPECT_EQ(origin->Key(), "https://nbia.example.org:443");
  EXPECT_EQ(ParseOrigin("http://h:8080/")->Key(), "http://h:8080");
  EXPECT_EQ(ParseOrigin("http://[::1]:1/")->host, "[::1]");
}

TEST(ParseOrigin, RefusesWhatIsNoHttpUrl) {
  for (const char* url : {"", "nbia.example.org/x", "ftp://h/", "file:///etc/passwd", "http://",
                          "http://h:99999/", "http://a b/"}) {
    const auto origin = ParseOrigin(url);
    ASSERT_FALSE(origin) << url;
    EXPECT_EQ(origin.error().code, Errc::kInvalidArgument);
  }
  EXPECT_FALSE(ParseOrigin(std::string("http://h/\0.evil", 15)));
  const auto leaky = ParseOrigin("ftp://h/?token=secret");
  EXPECT_EQ(leaky.error().message.find("secret"), std::string::npos);
}

TEST(ResolveUrl, FollowsRfc3986) {
  EXPECT_EQ(*ResolveUrl("http://h:1/a/b?q", "c?d"), "http://h:1/a/c?d");
  EXPECT_EQ(*ResolveUrl("http://h:1/a/b", "/c"), "http://h:1/c");
  EXPECT_EQ(*ResolveUrl("http://h:1/a/b", "//other/c"), "http://other/c");
  EXPECT_EQ(*ResolveUrl("http://h:1/a/b", "https://other/"), "https://other/");
}

}  // namespace
}  // namespace tciafs::http
