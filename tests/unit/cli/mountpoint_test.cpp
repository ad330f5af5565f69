// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/mountpoint.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "support/fakes.h"
#include "tciafs/util/unique_fd.h"

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

TEST(HandedOverDevice, IsADescriptorByItsNumber) {
  EXPECT_EQ(HandedOverDevice("/dev/fd/3"), 3);
  EXPECT_EQ(HandedOverDevice("/dev/fd/217"), 217);
  for (const char* other : {"/dev/fd/", "/dev/fd/x", "/dev/fd/3x", "/dev/fd/3/", "/dev/fd/-1",
                            "/dev/fd/99999999999", "dev/fd/3", "/mnt/dev/fd/3"})
    EXPECT_EQ(HandedOverDevice(other), std::nullopt) << other;
}

TEST(HandedOverDevice, MustBeTheDevice) {
  const UniqueFd null(::open("/dev/null", O_RDWR));
  const auto refusal = [](int fd) {
    const auto checked = CheckMountpoint("/dev/fd/" + std::to_string(fd), false);
    return checked ? "" : checked.error().message;
  };
  EXPECT_NE(refusal(null.get()).find("is not /dev/fuse"), std::string::npos);
  EXPECT_NE(refusal(STDIN_FILENO).find("is a standard stream"), std::string::npos);
  EXPECT_NE(refusal(9999).find("Bad file descriptor"), std::string::npos);
}

}  // namespace
}  // namespace tciafs::cli
