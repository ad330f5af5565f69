// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/plain_row.h"

#include <gtest/gtest.h>

#include "nbia/json_values.h"

namespace tciafs::nbia {
namespace {

using source::Attributes;

// The same row by way of the parser, which an escape in a further member demands.
std::optional<Attributes> ByTheParser(const std::string& row) {
  const std::string longer = row.substr(0, row.rfind('}')) + R"(,"la\u0073t":1})";
  EXPECT_FALSE(ParsePlainRow(longer));
  auto attributes = ParseAttributes(longer);
  if (!attributes) return std::nullopt;
  attributes->pop_back();
  return *attributes;
}

TEST(PlainRowTest, ReadsPlainRowsAsTheParserDoes) {
  for (const std::string row : {
           R"({"a":"x"})",
           R"( { "Collection" : "C 1" , "n":12,"empty":"" } )",
           R"({"none":null,"a":"","yes":true,"no":false})",
           R"({"SeriesNumber":2.000000,"z":0,"f":2.50,"zero":0.0,"big":123456789012345})",
           R"({"twice":"1","twice":"2"})",
           R"({"LicenseURI":"http:\/\/creativecommons.org\/","\/":"\/\/"})",
           "{\"a\"\t:\r\n\"b\"}\n",
       }) {
    const auto plain = ParsePlainRow(row);
    ASSERT_TRUE(plain) << row;
    EXPECT_EQ(plain, ByTheParser(row)) << row;
  }
}

TEST(PlainRowTest, LeavesTheRestToTheParser) {
  for (const std::string row : {
           "", "{", "{}", "[]", R"({"a")", R"({"a":})", R"({"a":"x",})", R"({"a":"x"} x)",
           R"({"a":"x" "b":"y"})", R"({"a":01})", R"({"a":-1})", R"({"a":1e3})", R"({"a":1.5E1})",
           R"({"a":1.})", R"({"a":1234567890123456})", R"({"a":[1]})", R"({"a":{"b":1}})",
           R"({"a":"\n"})", R"({"a":"\"})", R"({"a":"\\"})", R"({"a":"\)", R"({"a\u0062":"x"})", R"({"a":nul})", R"({"a":nulls})",
           R"({a:"x"})", R"({"a":"x)", R"({"a":"x"}})", "{\"a\":\"\x01\"}",
           "{\"a\":\"T\xC3\xAAte\"}", "{\"a\":\"T\xEAte\"}", "{\"a\":\"\x7f\"}"})
    EXPECT_FALSE(ParsePlainRow(row)) << row;
}

}  // namespace
}  // namespace tciafs::nbia
