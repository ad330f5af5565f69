// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/dicom/identity.h"

#include <gtest/gtest.h>

#include <string>

namespace tciafs::dicom {
namespace {

std::string Element(uint16_t group, uint16_t number, const std::string& vr, std::string value) {
  if (value.size() % 2 != 0) value += vr == "UI" ? '\0' : ' ';
  std::string bytes;
  for (const uint16_t part : {group, number}) {
    bytes += static_cast<char>(part & 0xff);
    bytes += static_cast<char>(part >> 8);
  }
  bytes += vr;
  bytes += static_cast<char>(value.size() & 0xff);
  bytes += static_cast<char>(value.size() >> 8);
  return bytes + value;
}

std::string Head(const std::string& rest) {
  return std::string(128, '\0') + "DICM" + Element(2, 0x10, "UI", "1.2.840.10008.1.2.1") +
         Element(8, 0x18, "UI", "1.2.1.1") + Element(8, 0x60, "CS", "CT") + rest;
}

const std::string kSeries = Element(0x20, 0xe, "UI", "1.2.3.4");

TEST(ReadIdentity, TellsAllThatTheHeadHas) {
  const auto identity = ReadIdentity(
      AsBytes(Head(Element(0x10, 0x20, "LO", "P 1") + Element(0x13, 0x10, "LO", "CTP") +
                   Element(0x13, 0x1010, "LO", "LIDC-IDRI") + Element(0x20, 0xd, "UI", "1.2.3") +
                   kSeries + "\x28")));
  ASSERT_TRUE(identity) << identity.error().message;
  EXPECT_EQ(identity->sop, "1.2.1.1");
  EXPECT_EQ(identity->series, "1.2.3.4");
  EXPECT_EQ(identity->study, "1.2.3");
  EXPECT_EQ(identity->patient, "P 1");
  EXPECT_EQ(identity->collection, "LIDC-IDRI");
}

TEST(ReadIdentity, NeedsTheSeriesAndNothingElse) {
  const auto identity = ReadIdentity(AsBytes(Head(kSeries)));
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->patient + identity->study + identity->collection, "");
  EXPECT_EQ(ReadIdentity(AsBytes(Head(""))).error().code, Errc::kCorrupt);
  const std::string whole = Head(kSeries);
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(ReadIdentity(AsBytes(whole.substr(0, size)))) << size;
  EXPECT_FALSE(ReadIdentity(AsBytes("Series UID,Collection\n1.2.3,C\n")));
}

TEST(ReadIdentity, StopsBehindTheSeries) {
  const std::string behind = Element(0x28, 0x10, "US", "xx") + Element(0x20, 0xd, "UI", "9.9");
  EXPECT_EQ(ReadIdentity(AsBytes(Head(kSeries + behind)))->study, "");
}

}  // namespace
}  // namespace tciafs::dicom
