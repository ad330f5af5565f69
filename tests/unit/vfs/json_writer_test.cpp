// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/json_writer.h"

#include <gtest/gtest.h>

#include <string>

namespace tciafs::vfs {
namespace {

TEST(JsonText, EscapesWhatMustBe) {
  EXPECT_EQ(JsonText("plain / text"), R"("plain / text")");
  EXPECT_EQ(JsonText("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(JsonText("a\nb\tc"), R"("a\nb\tc")");
  EXPECT_EQ(JsonText(std::string("\0\x1f\x7f", 3)), R"("\u0000\u001f\u007f")");
}

TEST(JsonText, KeepsUtf8) {
  for (const char* text : {"é", "日本", "\U0001F600", "\uFFFD"})
    EXPECT_EQ(JsonText(text), '"' + std::string(text) + '"');
}

TEST(JsonText, ReplacesWhatIsNotUtf8) {
  const std::string replaced = "\uFFFD";
  EXPECT_EQ(JsonText("M\xFCller"), "\"M" + replaced + "ller\"");                    // Latin-1
  EXPECT_EQ(JsonText("\xC0\x80"), '"' + replaced + replaced + '"');                 // overlong
  EXPECT_EQ(JsonText("\xED\xA0\x80"), '"' + replaced + replaced + replaced + '"');  // surrogate
  EXPECT_EQ(JsonText("\xF4\x90\x80\x80").size(), 2 + 4 * replaced.size());  // above U+10FFFF
  EXPECT_EQ(JsonText("\xE6\x97"), '"' + replaced + replaced + '"');         // cut short
}

TEST(JsonWriter, NestsAndSeparates) {
  JsonWriter json;
  json.BeginObject();
  json.Member("text", "a");
  json.Member("number", int64_t{-3});
  json.Member("yes", true);
  json.NullMember("nothing");
  json.Key("seconds");
  json.Seconds(1500);
  json.Key("empty");
  json.BeginArray();
  json.EndArray();
  json.Key("rows");
  json.BeginArray();
  json.Number(1);
  json.BeginObject();
  json.EndObject();
  json.EndArray();
  json.EndObject();
  EXPECT_EQ(json.Take(),
            "{\n  \"text\": \"a\",\n  \"number\": -3,\n  \"yes\": true,\n  \"nothing\": null,\n"
            "  \"seconds\": 1.500,\n  \"empty\": [],\n  \"rows\": [\n    1,\n    {}\n  ]\n}\n");
}

}  // namespace
}  // namespace tciafs::vfs
