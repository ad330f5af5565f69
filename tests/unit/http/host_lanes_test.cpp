// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/host_lanes.h"

#include <gtest/gtest.h>

#include <vector>

namespace tciafs::http {
namespace {

constexpr auto kLast = HostLanes::Place::kLast;
constexpr auto kFirst = HostLanes::Place::kFirst;

std::vector<uint64_t> StartAll(HostLanes& lanes) {
  std::vector<uint64_t> started;
  while (const auto id = lanes.StartNext()) started.push_back(*id);
  return started;
}

TEST(HostLanes, MetadataGoesFirstAndDownloadsAreLimitedApart) {
  HostLanes lanes(2, 4);
  for (uint64_t id = 1; id <= 3; ++id) lanes.Enqueue("a", Lane::kDownload, id, kLast);
  lanes.Enqueue("a", Lane::kMetadata, 10, kLast);
  EXPECT_EQ(StartAll(lanes), (std::vector<uint64_t>{10, 1, 2}));
  lanes.Enqueue("a", Lane::kMetadata, 11, kLast);
  lanes.Enqueue("a", Lane::kMetadata, 12, kLast);
  EXPECT_EQ(StartAll(lanes), std::vector<uint64_t>{11});
  lanes.Release("a", Lane::kDownload);
  EXPECT_EQ(StartAll(lanes), std::vector<uint64_t>{12}) << "before the third download";
  lanes.Release("a", Lane::kMetadata);
  EXPECT_EQ(StartAll(lanes), std::vector<uint64_t>{3});
}

TEST(HostLanes, HostsDoNotShareTheirLimits) {
  HostLanes lanes(1, 2);
  lanes.Enqueue("a", Lane::kDownload, 1, kLast);
  lanes.Enqueue("a", Lane::kDownload, 2, kLast);
  lanes.Enqueue("b", Lane::kDownload, 3, kLast);
  EXPECT_EQ(StartAll(lanes), (std::vector<uint64_t>{1, 3}));
}

TEST(HostLanes, ARetryGoesToTheFront) {
  HostLanes lanes(1, 1);
  lanes.Enqueue("a", Lane::kMetadata, 1, kLast);
  lanes.Enqueue("a", Lane::kMetadata, 2, kFirst);
  EXPECT_EQ(lanes.StartNext(), 2u);
}

TEST(HostLanes, DownloadsLeaveOneConnectionToMetadata) {
  HostLanes lanes(8, 3);
  for (uint64_t id = 1; id <= 3; ++id) lanes.Enqueue("a", Lane::kDownload, id, kLast);
  EXPECT_EQ(StartAll(lanes).size(), 2u);
  HostLanes narrow(8, 1);
  narrow.Enqueue("a", Lane::kDownload, 1, kLast);
  EXPECT_EQ(StartAll(narrow).size(), 1u);
}

TEST(HostLanes, ForgetsHostsWithoutTransfers) {
  HostLanes lanes(2, 4);
  lanes.Enqueue("a", Lane::kMetadata, 1, kLast);
  lanes.Enqueue("b", Lane::kMetadata, 2, kLast);
  lanes.Withdraw("b", Lane::kMetadata, 2);
  EXPECT_EQ(StartAll(lanes), std::vector<uint64_t>{1});
  lanes.Release("a", Lane::kMetadata);
  EXPECT_EQ(lanes.origins(), 0u);
}

}  // namespace
}  // namespace tciafs::http
