// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/control/message.h"

#include <gmock/gmock.h>

#include "tciafs/control/limits.h"

namespace tciafs::control {
namespace {

Result<Message> AfterTravel(const Message& message) {
  std::string line = message.Encoded();
  EXPECT_EQ(line.find('\n'), line.size() - 1) << "one line";
  line.pop_back();
  return Message::Decode(line);
}

TEST(Message, AnyValueTravels) {
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  Message message("kind.of_1");
  message.Add("path", every_byte).Add("path", "").Add("number", -7);
  const auto read = AfterTravel(message);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->kind(), "kind.of_1");
  EXPECT_THAT(read->All("path"), ::testing::ElementsAre(every_byte, ""));
  EXPECT_EQ(read->Number("number"), -7);
}

TEST(Message, WhatIsNotThereOrNoNumber) {
  Message message("m");
  message.Add("word", "7 apples");
  EXPECT_EQ(message.Text("nothing"), "");
  EXPECT_FALSE(message.Has("nothing"));
  EXPECT_EQ(message.Number("nothing"), -1);
  EXPECT_EQ(message.Number("word", 3), 3);
}

TEST(Message, RefusesWhatIsNone) {
  for (const char* line : {"", " ", "Kind", "a=b", "m ", "m  a=b", "m a", "m =b", "m A=b", "m a=%",
                           "m a=%4", "m a=%zz", "m a=\x01", "m a=\xc3", "m a=b\t"}) {
    const auto read = Message::Decode(line);
    ASSERT_FALSE(read) << line;
    EXPECT_EQ(read.error().code, Errc::kInvalidArgument);
  }
}

TEST(Message, FieldsEndAtTheirLimit) {
  std::string line = "m";
  for (size_t i = 0; i < kFieldsMax; ++i) line += " a=";
  EXPECT_TRUE(Message::Decode(line));
  EXPECT_FALSE(Message::Decode(line + " a="));
}

TEST(Message, EveryErrorTravels) {
  for (int code = 0; code <= static_cast<int>(Errc::kInternal); ++code) {
    const Error error{static_cast<Errc>(code), "for a reason", 0};
    const auto read = AfterTravel(FailedMessage(error));
    ASSERT_TRUE(read);
    EXPECT_EQ(ErrorIn(*read).code, error.code);
    EXPECT_EQ(ErrorIn(*read).message, error.message);
  }
  EXPECT_EQ(ErrorIn(Message("failed").Add("code", "of another version")).code, Errc::kInternal);
}

}  // namespace
}  // namespace tciafs::control
