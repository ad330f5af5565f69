// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/attributes.h"

#include <gtest/gtest.h>

#include <limits>

#include "vfs/limits.h"

namespace tciafs::vfs {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(ChooseSize, TrustsInOrder) {
  const auto choose = [](SizeFacts facts) { return ChooseSize(facts, UnknownSize::kEstimate); };
  EXPECT_EQ(choose({10, 20, 30, 1}), (InstanceSize{10, SizeOrigin::kExact}));
  EXPECT_EQ(choose({-1, 20, 30, 1}), (InstanceSize{20, SizeOrigin::kAdvertised}));
  EXPECT_EQ(choose({-1, -1, 30, 1}), (InstanceSize{30, SizeOrigin::kAdvertised}));
  EXPECT_EQ(choose({-1, -1, 30, 2}), (InstanceSize{4096, SizeOrigin::kEstimated}));
}

TEST(ChooseSize, RoundsEstimatesUp) {
  const auto estimate = [](int64_t total, int64_t count) {
    return ChooseSize({-1, -1, total, count}, UnknownSize::kEstimate).bytes;
  };
  EXPECT_EQ(estimate(8192, 2), 4096);
  EXPECT_EQ(estimate(8193, 2), 8192);
  EXPECT_EQ(estimate(1, 1000), 4096);
}

TEST(ChooseSize, SurvivesNonsense) {
  const auto choose = [](SizeFacts facts) { return ChooseSize(facts, UnknownSize::kEstimate); };
  EXPECT_GT(choose({-1, 0, 0, 0}).bytes, 0);
  EXPECT_EQ(choose({-1, 0, 0, 1}).origin, SizeOrigin::kEstimated);
  EXPECT_GT(choose({-1, -5, -5, -5}).bytes, 0);
  EXPECT_GT(choose({-1, -1, kMax, 2}).bytes, 0);
  EXPECT_LT(choose({-1, -1, kMax, 2}).bytes, kMax / 2);
  EXPECT_GT(choose({-1, -1, 1, kMax}).bytes, 0);
  EXPECT_EQ(choose({-1, -1, kEstimateBytesMax - 4096, 1}).bytes, kEstimateBytesMax - 4096);
  EXPECT_EQ(choose({-1, -1, kEstimateBytesMax, 1}).bytes, kEstimateBytesMax);
  EXPECT_EQ(choose({-1, -1, kEstimateBytesMax + 1, 1}).bytes, kEstimateBytesMax);
}

TEST(ChooseSize, ZeroOnlyForGuesses) {
  EXPECT_EQ(ChooseSize({-1, -1, 100, 2}, UnknownSize::kZero),
            (InstanceSize{0, SizeOrigin::kEstimated}));
  EXPECT_EQ(ChooseSize({-1, 7, 100, 2}, UnknownSize::kZero),
            (InstanceSize{7, SizeOrigin::kAdvertised}));
}

TEST(Attributes, MaskTheModeAndCarryTheOwner) {
  FilesystemOptions options;
  options.uid = 7;
  options.gid = 8;
  options.umask = 027;
  const Attributes directory = DirectoryAttributes(options, 5, 99);
  EXPECT_EQ(directory.mode, 0550u);
  EXPECT_EQ(directory.uid, 7u);
  EXPECT_EQ(directory.gid, 8u);
  EXPECT_EQ(directory.inode, 5u);
  EXPECT_EQ(directory.modified_s, 99);
  EXPECT_EQ(FileAttributes(options, 5, 99, 3).mode, 0440u);
  EXPECT_EQ(FileAttributes(options, 5, 99, 3).size_bytes, 3);
}

TEST(Attributes, UnknownTimesAreFixedAndNotTheEpoch) {
  EXPECT_EQ(DirectoryAttributes({}, 5, 0).modified_s, kUnknownModifiedS);
  EXPECT_EQ(FileAttributes({}, 5, 0, 1).modified_s, kUnknownModifiedS);
}

TEST(KernelValidity, IsBounded) {
  FilesystemOptions options;
  options.kernel_validity_max_ms = 1000;
  EXPECT_EQ(KernelValidity(options, 10), 10);
  EXPECT_EQ(KernelValidity(options, 5000), 1000);
  EXPECT_EQ(KernelValidity(options, -5), 0);
}

}  // namespace
}  // namespace tciafs::vfs
