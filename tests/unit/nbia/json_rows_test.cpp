// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/json_rows.h"

#include <gtest/gtest.h>

#include <vector>

namespace tciafs::nbia {
namespace {

struct Cut {
  std::vector<std::string> rows;
  Status status;
};

Cut CutText(std::string_view text, size_t piece = 1, const std::string& key = "",
            const RowLimits& limits = {}) {
  Cut cut;
  RowCutter cutter(key, limits, [&](std::string_view row) {
    cut.rows.emplace_back(row);
    return Status();
  });
  for (size_t at = 0; at < text.size() && cut.status; at += piece)
    cut.status = cutter.Push(text.substr(at, piece));
  if (cut.status) cut.status = cutter.Finish();
  return cut;
}

TEST(RowCutter, CutsRowsWhateverThePieces) {
  const std::string text =
      " [ {\"a\":\"x]},{\\\"\\\\\",\"b\":[1,{\"c\":\"}\"}]} ,{}, {\"d\":\"\\u005b\"}\n] ";
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    const Cut cut = CutText(text, piece);
    ASSERT_TRUE(cut.status) << piece;
    EXPECT_EQ(cut.rows,
              (std::vector<std::string>{"{\"a\":\"x]},{\\\"\\\\\",\"b\":[1,{\"c\":\"}\"}]}", "{}",
                                        "{\"d\":\"\\u005b\"}"}));
  }
}

TEST(RowCutter, EmptyArrayAndEmptyBodyHaveNoRows) {
  EXPECT_TRUE(CutText("[]").status);
  EXPECT_TRUE(CutText("").status);
  EXPECT_TRUE(CutText(" \r\n").status);
  EXPECT_TRUE(CutText("\xEF\xBB\xBF[{}]").status);
}

TEST(RowCutter, RefusesWhatIsNoArrayOfObjects) {
  for (const auto* text : {"{}", "<html>", "[1]", "[null]", "[{},]", "[,{}]", "[{} {}]", "[{}]x",
                           "[[{}]]", "\"x\"", "A parameter"})
    EXPECT_FALSE(CutText(text).status) << text;
}

TEST(RowCutter, TellsAnArrayThatWasCutShort) {
  for (const auto* text : {"[", "[{}", "[{},", "[{\"a\":\"", "[{\"a\":1},{\"b\""}) {
    const Cut cut = CutText(text);
    ASSERT_FALSE(cut.status) << text;
    EXPECT_EQ(cut.status.error().code, Errc::kUnavailable);
  }
}

TEST(RowCutter, FindsTheArrayInsideAnObject) {
  const std::string text =
      R"({"n":{"resultSet":[{"no":1}]},"s":"resultSet","resultSet":[{"yes":1}],"t":[{"no":2}]})";
  for (size_t piece = 1; piece < 20; ++piece) {
    const Cut cut = CutText(text, piece, "resultSet");
    ASSERT_TRUE(cut.status);
    EXPECT_EQ(cut.rows, std::vector<std::string>{"{\"yes\":1}"});
  }
  EXPECT_TRUE(CutText(R"({"other":1})", 1, "resultSet").rows.empty());
}

TEST(RowCutter, HoldsItsLimits) {
  const RowLimits limits{.row_bytes_max = 10, .depth_max = 3, .rows_max = 2};
  EXPECT_TRUE(CutText("[{\"a\":123}]", 3, "", limits).status);   // 9 bytes
  EXPECT_TRUE(CutText("[{\"a\":1234}]", 3, "", limits).status);  // 10 bytes
  for (const size_t piece : {1, 3, 100})
    EXPECT_FALSE(CutText("[{\"a\":12345}]", piece, "", limits).status);
  EXPECT_TRUE(CutText("[{\"a\":[[]]}]", 100, "", {.depth_max = 3}).status);
  EXPECT_FALSE(CutText("[{\"a\":[[[]]]}]", 100, "", {.depth_max = 3}).status);
  EXPECT_TRUE(CutText("[{},{}]", 1, "", limits).status);
  EXPECT_FALSE(CutText("[{},{},{}]", 1, "", limits).status);
  EXPECT_TRUE(CutText("[{},{}]", 1, "", {.body_bytes_max = 7}).status);
  EXPECT_FALSE(CutText("[{},{}] ", 1, "", {.body_bytes_max = 7}).status);
}

TEST(RowCutter, StopsAtTheCallbacksError) {
  int rows = 0;
  RowCutter cutter("", {}, [&](std::string_view) -> Status {
    ++rows;
    return Fail(Errc::kNoSpace, "full");
  });
  EXPECT_EQ(cutter.Push("[{},{}]").error().code, Errc::kNoSpace);
  EXPECT_EQ(cutter.Push("{}").error().code, Errc::kNoSpace);
  EXPECT_EQ(rows, 1);
}

TEST(RepairUtf8, TakesStrayBytesForLatin1) {
  EXPECT_EQ(RepairUtf8("caf\xE9"), "caf\xC3\xA9");
  EXPECT_EQ(RepairUtf8("caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"),
            "caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80");
  EXPECT_EQ(RepairUtf8("\xC0\x80"), "\xC3\x80\xC2\x80");  // overlong
}

}  // namespace
}  // namespace tciafs::nbia
