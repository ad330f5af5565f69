// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/walk_detector.h"

#include <gtest/gtest.h>

namespace tciafs::catalog {
namespace {

const DirectoryKey kA = RootKey("a");
const DirectoryKey kB = RootKey("b");

TEST(WalkDetector, TheSuccessorSoonAfterIsAWalk) {
  WalkDetector walks(100);
  EXPECT_FALSE(walks.Note(kA, "p1", "p2", 0));
  EXPECT_FALSE(walks.Note(kA, "p1", "p2", 10)) << "the same patient again";
  EXPECT_TRUE(walks.Note(kA, "p2", "p3", 110));
  EXPECT_FALSE(walks.Note(kA, "p3", "p4", 211)) << "too late";
}

TEST(WalkDetector, AThirdPatientIsAWalkInItsOwnCollectionOnly) {
  WalkDetector walks(100);
  EXPECT_FALSE(walks.Note(kA, "p1", "", 0));
  EXPECT_FALSE(walks.Note(kA, "p5", "", 0));
  EXPECT_FALSE(walks.Note(kB, "p9", "", 0));
  EXPECT_TRUE(walks.Note(kA, "p9", "", 0));
}

TEST(WalkDetector, ForgetsCollectionsLongPast) {
  WalkDetector walks(100);
  for (int i = 0; i < 1000; ++i) walks.Note(RootKey(std::to_string(i)), "p", "q", i * 1000);
  EXPECT_FALSE(walks.Note(RootKey("0"), "q", "r", 1'000'000));
}

}  // namespace
}  // namespace tciafs::catalog
