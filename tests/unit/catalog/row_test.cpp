// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/row.h"

#include <gtest/gtest.h>

#include <random>

#include "catalog/encoding.h"

namespace tciafs::catalog {
namespace {

const ObjectPath kSeriesPath =
    ObjectPath{}.Child("C", 0).Child("P", 0).Child("1.2.3", 0).Child("1.2.3.4", 0);

source::Attributes SomeAttributes() {
  return {{"SeriesInstanceUID", "1.2.3.4", false},
          {"StudyInstanceUID", "1.2.3", false},
          {"PatientID", "P", false},
          {"Modality", "", false},
          {"SeriesNumber", "-3", true},
          {"LicenseName", "Creative Commons Attribution 3.0 Unported License", false},
          {"LicenseURI", "http://creativecommons.org/licenses/by/3.0/", false},
          {"Something \"new\"", std::string("\0/x", 3), false},
          {"", "nameless", false}};
}

FindSharedText In(const SharedTexts& texts) {
  return [&texts](std::string_view key) -> std::optional<std::string> {
    const auto found = texts.find(std::string(key));
    if (found == texts.end()) return std::nullopt;
    return found->second;
  };
}

TEST(Row, ComesBackAsItWas) {
  SharedTexts shared;
  const auto attributes = EncodeAttributes(SomeAttributes(), kSeriesPath, 1, shared);
  RowHead head;
  head.modified_s = -5;
  head.size_bytes = int64_t{1} << 60;
  head.version = {"2020-01-02T03:04:05", 133, int64_t{1} << 40};
  head.missing_since_ms = 1'700'000'000'000;
  const std::string row = EncodeRow(head, attributes);
  std::string_view encoded;
  const auto back = DecodeRow(row, &encoded);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->modified_s, head.modified_s);
  EXPECT_EQ(back->size_bytes, head.size_bytes);
  EXPECT_EQ(back->version.timestamp, head.version.timestamp);
  EXPECT_EQ(back->version.image_count, 133);
  EXPECT_EQ(back->version.total_bytes, head.version.total_bytes);
  EXPECT_EQ(back->missing_since_ms, head.missing_since_ms);
  EXPECT_EQ(DecodeAttributes(encoded, kSeriesPath, In(shared)), SomeAttributes());
  EXPECT_EQ(shared.size(), 2u);
  EXPECT_EQ(attributes.find("1.2.3"), std::string::npos) << "ids of the path are not repeated";
  EXPECT_EQ(attributes.find("Creative"), std::string::npos);
}

TEST(Row, UnknownValuesTakeNoRoom) {
  const std::string row = EncodeRow({});
  EXPECT_LE(row.size(), 2u);
  const auto head = DecodeRow(row);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->modified_s, 0);
  EXPECT_EQ(head->size_bytes, -1);
  EXPECT_EQ(head->version.image_count, -1);
}

TEST(Row, EveryTruncationIsNoticed) {
  SharedTexts shared;
  const auto attributes = EncodeAttributes(SomeAttributes(), kSeriesPath, 1, shared);
  for (size_t size = 1; size < attributes.size(); ++size)
    EXPECT_FALSE(DecodeAttributes(attributes.substr(0, size), kSeriesPath, In(shared))) << size;
  EXPECT_FALSE(DecodeAttributes(attributes + "x", kSeriesPath, In(shared)));
  EXPECT_FALSE(DecodeAttributes(attributes, kSeriesPath, In({}))) << "a shared text is missing";
  EXPECT_FALSE(DecodeRow(""));
  const std::string row = EncodeRow({.modified_s = 300, .size_bytes = 300, .version = {"x", 1, 1}});
  for (size_t size = 0; size < row.size(); ++size) EXPECT_FALSE(DecodeRow(row.substr(0, size)));
}

TEST(Row, AnyBytesDecodeOrDoNotButDoNoHarm) {
  std::mt19937 random(7);
  SharedTexts shared;
  const auto attributes = EncodeAttributes(SomeAttributes(), kSeriesPath, 1, shared);
  const std::string row =
      EncodeRow({.modified_s = 1, .size_bytes = 2, .version = {"x", 3, 4}}, attributes);
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = row;
    for (int flips = 0; flips < 1 + round % 3; ++flips)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    std::string_view encoded;
    if (DecodeRow(damaged, &encoded)) DecodeAttributes(encoded, kSeriesPath, In(shared));
  }
}

TEST(Row, LimitsWhatAServerCanMakeUsKeep) {
  source::Attributes many(kAttributesMax + 1, {"a", "b", false});
  source::Attributes one{{std::string(1000, 'n'), std::string(1 << 20, 'v'), false}};
  SharedTexts shared;
  const auto kept =
      DecodeAttributes(EncodeAttributes(many, kSeriesPath, 1, shared), kSeriesPath, In(shared));
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->size(), kAttributesMax);
  const auto cut =
      DecodeAttributes(EncodeAttributes(one, kSeriesPath, 1, shared), kSeriesPath, In(shared));
  ASSERT_TRUE(cut);
  EXPECT_EQ((*cut)[0].name.size(), kAttributeNameBytesMax);
  EXPECT_EQ((*cut)[0].value.size(), kAttributeValueBytesMax);
  // At the limits nothing is lost.
  many.resize(kAttributesMax, {"a", "b", false});
  one = {
      {std::string(kAttributeNameBytesMax, 'n'), std::string(kAttributeValueBytesMax, 'v'), false}};
  for (const source::Attributes& whole : {many, one})
    EXPECT_EQ(
        DecodeAttributes(EncodeAttributes(whole, kSeriesPath, 1, shared), kSeriesPath, In(shared)),
        whole);
}

TEST(Row, LimitsTheBytesOfAllAttributes) {
  SharedTexts shared;
  // Literal texts, since none is like another: 15 of them stay below the limit, the sixteenth ends
  // beyond it.
  const size_t value_bytes = kAttributeBytesMax / 16;
  const auto kept_of = [&](size_t count) {
    source::Attributes attributes;
    for (size_t i = 0; i < count; ++i)
      attributes.push_back({"n" + std::to_string(i), std::string(value_bytes, 'a' + i % 26), true});
    const std::string encoded = EncodeAttributes(attributes, kSeriesPath, 1, shared);
    return DecodeAttributes(encoded, kSeriesPath, In(shared))->size();
  };
  EXPECT_EQ(kept_of(16), 16u);
  EXPECT_EQ(kept_of(17), 16u);
}

TEST(Encoding, NumbersOfAnySizeComeBack) {
  for (const int64_t value : {int64_t{0}, int64_t{-1}, int64_t{127}, int64_t{128}, INT64_MAX,
                              INT64_MIN, int64_t{-64}, int64_t{64}}) {
    Encoder out;
    out.Signed(value);
    out.Unsigned(static_cast<uint64_t>(value));
    const std::string bytes = out.Take();
    Decoder in(bytes);
    EXPECT_EQ(in.Signed(), value);
    EXPECT_EQ(in.Unsigned(), static_cast<uint64_t>(value));
    EXPECT_TRUE(in.AtEnd());
  }
  Decoder endless(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12));
  endless.Unsigned();
  EXPECT_TRUE(endless.failed());
}

}  // namespace
}  // namespace tciafs::catalog
