// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "support/fakes.h"

namespace tciafs {
namespace {

std::string ContentOf(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class LogFile : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(Configure(LogLevel::kInfo)); }
  void TearDown() override { ASSERT_TRUE(ConfigureLog({})); }
  bool Configure(LogLevel level) {
    return ConfigureLog({LogOptions::Target::kFile, path_, level}).has_value();
  }
  const testing::TempDirectory directory_;
  const std::string path_ = directory_.path() + "/log";
};

TEST_F(LogFile, IsOpenedAnewUnderItsName) {
  LogInfo("before");
  std::filesystem::rename(path_, path_ + ".1");
  LogInfo("still in the old one");
  ASSERT_TRUE(ReopenLog());
  LogInfo("after");
  EXPECT_NE(ContentOf(path_ + ".1").find("still in the old one\n"), std::string::npos);
  EXPECT_EQ(ContentOf(path_ + ".1").find("after"), std::string::npos);
  EXPECT_NE(ContentOf(path_).find("info after\n"), std::string::npos);
}

TEST_F(LogFile, ThatCannotBeOpenedAnewLeavesTheOldOneInUse) {
  std::filesystem::rename(path_, path_ + ".1");
  std::filesystem::create_directory(path_);
  EXPECT_FALSE(ReopenLog());
  LogInfo("after");
  EXPECT_NE(ContentOf(path_ + ".1").find("after"), std::string::npos);
}

TEST_F(LogFile, KeepsItsLevelWhenOpenedAnew) {
  CycleLogLevel();
  ASSERT_TRUE(ReopenLog());
  LogDebug("in detail");
  EXPECT_NE(ContentOf(path_).find("debug in detail"), std::string::npos);
}

TEST_F(LogFile, LevelGoesToDebugAndBack) {
  for (const auto& [configured, back] :
       {std::pair(LogLevel::kInfo, LogLevel::kInfo), std::pair(LogLevel::kError, LogLevel::kError),
        std::pair(LogLevel::kWarning, LogLevel::kWarning)}) {
    ASSERT_TRUE(Configure(configured));
    EXPECT_FALSE(LogEnabled(LogLevel::kDebug));
    CycleLogLevel();
    EXPECT_TRUE(LogEnabled(LogLevel::kDebug));
    CycleLogLevel();
    EXPECT_TRUE(LogEnabled(back));
    EXPECT_EQ(LogEnabled(LogLevel::kInfo), back == LogLevel::kInfo);
    const std::string content = ContentOf(path_);
    EXPECT_NE(content.find("the log's level is now debug\n"), std::string::npos);
    EXPECT_NE(content.find(fmt::format("level is now {}\n", ToString(back))), std::string::npos);
  }
}

TEST_F(LogFile, LevelGoesFromDebugToInfoFirst) {
  ASSERT_TRUE(Configure(LogLevel::kDebug));
  CycleLogLevel();
  EXPECT_FALSE(LogEnabled(LogLevel::kDebug));
  EXPECT_TRUE(LogEnabled(LogLevel::kInfo));
}

TEST(Log, ForTheJournalBeginsWithItsPriority) {
  ASSERT_TRUE(ConfigureLog({LogOptions::Target::kJournal, "", LogLevel::kDebug}));
  ::testing::internal::CaptureStderr();
  LogError("e");
  LogWarning("w");
  LogInfo("i");
  LogDebug("d");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "<3>e\n<4>w\n<6>i\n<7>d\n");
  ASSERT_TRUE(ConfigureLog({}));
}

TEST(LogLevels, ReadAsTheyAreWritten) {
  for (const auto level : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError})
    EXPECT_EQ(*ParseLogLevel(ToString(level)), level);
  EXPECT_FALSE(ParseLogLevel("loud"));
}

}  // namespace
}  // namespace tciafs
