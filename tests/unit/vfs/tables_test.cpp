// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/tables.h"

#include <gtest/gtest.h>

#include "vfs/limits.h"

namespace tciafs::testing {
namespace {

using vfs::TableFormat;

std::string Table(TableFormat format, const std::vector<source::Attributes>& rows) {
  FileTextWriter text("", nullptr);
  vfs::TableWriter table(format, text);
  for (const auto& row : rows) EXPECT_TRUE(table.NoteColumns(row));
  EXPECT_TRUE(table.Begin());
  for (const auto& row : rows) EXPECT_TRUE(table.Append(row));
  EXPECT_TRUE(table.End());
  return (*text.Finish())->text();
}
std::string Csv(const std::vector<source::Attributes>& rows) {
  return Table(TableFormat::kCsv, rows);
}
std::string Json(const std::vector<source::Attributes>& rows) {
  return Table(TableFormat::kJson, rows);
}

TEST(Tables, ColumnsAreTheUnionTheKnownOnesFirst) {
  EXPECT_EQ(Csv({{{"b", "1"}, {"Modality", "CT"}}, {{"a", "2"}, {"PatientID", "P"}}}),
            "PatientID,Modality,a,b\n,CT,,1\nP,,2,\n");
}

TEST(Tables, OfTwoOfOneNameTheFirstCounts) {
  EXPECT_EQ(Csv({{{"a", "1"}, {"a", "2"}}}), "a\n1\n");
  EXPECT_EQ(Json({{{"a", "1"}, {"a", "2"}}}), "[\n{\"a\": \"1\"}\n]\n");
}

TEST(Tables, CellsAreQuotedWhereTheyMustBe) {
  const auto cell = [](const std::string& value) { return Csv({{{"a", value}}}).substr(2); };
  EXPECT_EQ(cell("plain text "), "plain text \n");
  EXPECT_EQ(cell("a,b"), "\"a,b\"\n");
  EXPECT_EQ(cell("\"a\""), "\"\"\"a\"\"\"\n");
  EXPECT_EQ(cell("a\nb\r"), "\"a\nb\r\"\n");
  EXPECT_EQ(cell("\""), "\"\"\"\"\n");
  for (const char* formula : {"=1+1", "+1", "-1", "@x"})
    EXPECT_EQ(cell(formula), std::string(formula) + "\n") << "as the archive has it";
}

TEST(Tables, TextIsUtf8WhateverItWas) {
  EXPECT_EQ(Csv({{{"a", "\xc3\xa9\xff" + std::string(1, '\0') + "\xe2\x82"}}}),
            "a\n\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\n");
  EXPECT_EQ(Csv({{{"a", "\xff,\""}}}), "a\n\"\xef\xbf\xbd,\"\"\"\n");
  EXPECT_EQ(Json({{{"\xff", std::string(1, '\0') + "\n\x7f"}}}),
            "[\n{\"\xef\xbf\xbd\": \"\\u0000\\n\\u007f\"}\n]\n");
}

TEST(Tables, NumbersAreNumbersIfJsonHasSuch) {
  const auto number = [](const std::string& value) {
    const std::string json = Json({{{"n", value, true}}});
    return json.substr(8, json.size() - 12);
  };
  for (const char* good : {"0", "-0", "12", "-3", "1.50", "0.1", "1e5", "1E+5", "2.5e-3"})
    EXPECT_EQ(number(good), good);
  for (const char* bad : {"", "-", "01", "1.", ".5", "1e", "1e+", "+1", "0x1", "1 ", "NaN", "1,5"})
    EXPECT_EQ(number(bad), "\"" + std::string(bad) + "\"");
}

TEST(Tables, AreNoWiderThanTheyMayBe) {
  FileTextWriter text("", nullptr);
  vfs::TableWriter table(TableFormat::kCsv, text);
  source::Attributes row;
  for (size_t i = 0; i < vfs::kTableColumnsMax; ++i) row.push_back({std::to_string(i), "", false});
  EXPECT_TRUE(table.NoteColumns(row));
  EXPECT_EQ(table.NoteColumns({{"one more", "", false}}).error().code, Errc::kUnavailable);
}

TEST(Tables, ARowLeadsToItsDirectory) {
  const auto path = catalog::ObjectPath().Child("a/b", 0).Child(".p", 0);
  const auto row = vfs::TableRow(path, {{"Path", "theirs", false}});
  EXPECT_EQ(row.at(0), (source::Attribute{"Path", "a%2Fb/%2Ep", false}));
  EXPECT_EQ(row.at(1), (source::Attribute{"Collection", "a/b", false}));
  EXPECT_EQ(row.at(2), (source::Attribute{"PatientID", ".p", false}));
}

}  // namespace
}  // namespace tciafs::testing
