// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/mountpoint.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/fakes.h"

namespace tciafs::cli {
namespace {

TEST(MountTable, ReadsEscapesAndOptionalFields) {
  const auto entries = ParseMountTable(
      "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
      "40 22 0:35 / /home/u/my\\040images ro,nosuid - fuse.tciafs tcia:host "
      "ro,user_id=1000,group_id=0\n"
      "cut short\n");
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].type, "ext4");
  EXPECT_EQ(entries[1].mountpoint, "/home/u/my images");
  EXPECT_EQ(entries[1].type, "fuse.tciafs");
  EXPECT_EQ(entries[1].source, "tcia:host");
  EXPECT_EQ(entries[1].owner_uid, 1000u);
}

TEST(CheckMountpoint, TakesAnEmptyDirectoryOnly) {
  const testing::TempDirectory directory;
  const auto good = CheckMountpoint(directory.path() + "/", false);
  ASSERT_TRUE(good.has_value());
  EXPECT_EQ(*good, std::filesystem::canonical(directory.path()).string());
  EXPECT_EQ(CheckMountpoint(directory.File("absent"), false).error().code, ExitCode::kCannotMount);
  std::filesystem::create_directory(directory.File("full"));
  EXPECT_FALSE(CheckMountpoint(directory.path(), false).has_value());
  EXPECT_TRUE(CheckMountpoint(directory.path(), true).has_value());
}

TEST(ResolveMountpoint, FollowsLinks) {
  const testing::TempDirectory directory;
  std::filesystem::create_directory(directory.File("real"));
  std::filesystem::create_directory_symlink(directory.File("real"), directory.File("link"));
  EXPECT_EQ(ResolveMountpoint(directory.File("link")),
            std::filesystem::canonical(directory.File("real")).string());
}

}  // namespace
}  // namespace tciafs::cli
