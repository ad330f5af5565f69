// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/program_guard.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "support/fakes.h"

namespace tciafs::cli {
namespace {

// A /proc of a few processes.
class ProgramGuardTest : public ::testing::Test {
 protected:
  void AddProcess(int pid, const std::string& executable, const std::string& comm,
                  int process = 0) {
    const std::filesystem::path directory = proc_.path() + "/" + std::to_string(pid);
    std::filesystem::create_directory(directory);
    if (!executable.empty()) std::filesystem::create_symlink(executable, directory / "exe");
    std::ofstream(directory / "comm") << comm << '\n';
    std::ofstream(directory / "status")
        << "Name:\t" << comm << "\nTgid:\t" << (process == 0 ? pid : process) << "\n";
  }
  bool MayFetch(int64_t pid) const {
    const Status allowed = guard_.Check(pid, "/C/P");
    if (!allowed) {
      EXPECT_EQ(allowed.error().code, Errc::kNotForProgram);
    }
    return allowed.has_value();
  }

  testing::TempDirectory proc_;
  ProgramGuard guard_{{"updatedb", "tracker-extract-3"}, proc_.path()};
};

TEST_F(ProgramGuardTest, ByTheFileItRuns) {
  AddProcess(10, "/usr/bin/updatedb", "renamed itself");
  AddProcess(11, "/usr/bin/updatedb (deleted)", "x");
  AddProcess(12, "/usr/bin/cat", "cat");
  AddProcess(13, "/usr/bin/updatedb/cat", "cat");
  EXPECT_FALSE(MayFetch(10));
  EXPECT_FALSE(MayFetch(11)) << "upgraded while it runs";
  EXPECT_TRUE(MayFetch(12));
  EXPECT_TRUE(MayFetch(13));
}

TEST_F(ProgramGuardTest, ByWhatItCallsItself) {
  AddProcess(20, "", "updatedb");         // another user's: its file is not told
  AddProcess(21, "", "tracker-extract");  // the kernel keeps 15 bytes
  AddProcess(22, "", "pool-1", 21);       // a thread of it
  AddProcess(23, "", "tracker-extra");
  AddProcess(24, "", "");
  for (const int pid : {20, 21, 22}) EXPECT_FALSE(MayFetch(pid)) << pid;
  for (const int pid : {23, 24}) EXPECT_TRUE(MayFetch(pid)) << pid;
}

TEST_F(ProgramGuardTest, WhoeverCannotBeLookedAtMay) {
  EXPECT_TRUE(MayFetch(0));
  EXPECT_TRUE(MayFetch(-1));
  EXPECT_TRUE(MayFetch(4711));
}

TEST(ParsePrograms, Lists) {
  using ::testing::ElementsAre;
  EXPECT_THAT(*ParsePrograms("none"), ElementsAre());
  EXPECT_THAT(*ParsePrograms("a:b,c"), ElementsAre("a", "b", "c"));
  EXPECT_EQ(*ParsePrograms("default"), ProgramsKeptOut());
  const auto more = ParsePrograms("default:restic");
  ASSERT_TRUE(more);
  EXPECT_EQ(more->size(), ProgramsKeptOut().size() + 1);
  EXPECT_EQ(more->back(), "restic");
  for (const char* wrong : {"", "a::b", "/usr/bin/a", "a:none", ":"})
    EXPECT_FALSE(ParsePrograms(wrong)) << wrong;
}

TEST(ParsePrograms, TheUsualOnesAreDifferent) {
  auto names = ProgramsKeptOut();
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

}  // namespace
}  // namespace tciafs::cli
