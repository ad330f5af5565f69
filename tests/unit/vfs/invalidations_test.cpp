// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/invalidations.h"

#include <algorithm>

#include "vfs_fixture.h"

namespace tciafs::testing {
namespace {

using Kind = vfs::Invalidation::Kind;
using vfs::kRootNode;

class ChangesTest : public VfsTest {
 protected:
  size_t Count(Kind kind, vfs::NodeId node, const std::string& name = "") const {
    return static_cast<size_t>(std::count_if(told.begin(), told.end(), [&](const auto& one) {
      return one.kind == kind && one.node == node && one.name == name;
    }));
  }
};

TEST_F(ChangesTest, RemovedNamesAndTheirDirectoryAreDropped) {
  const auto lung = Lookup(kRootNode, "Lung").node;
  Lookup(lung, "LIDC-1");
  catalog.Announce({collection, {"LIDC-1", "LIDC-2"}, {}, {}});
  EXPECT_TRUE(told.empty()) << "never inline";
  executor.RunAll();
  EXPECT_EQ(Count(Kind::kEntry, lung, "LIDC-1"), 1u);
  EXPECT_EQ(Count(Kind::kEntry, lung, "LIDC-2"), 0u) << "the kernel never knew it";
  EXPECT_EQ(Count(Kind::kDirectory, lung), 1u);
}

TEST_F(ChangesTest, NothingForWhatTheKernelDoesNotKnow) {
  catalog.Announce({collection, {"LIDC-1"}, {"LIDC-9"}, {}});
  catalog.Announce({series, {}, {}, {"1.2.3.4.dcm"}});
  executor.RunAll();
  EXPECT_TRUE(told.empty());
}

TEST_F(ChangesTest, AChangedSeriesDropsItsInstancesButKeepsItsName) {
  AddInstance("1.2.3.4", 5);
  AddInstance("1.2.3.5", 5);
  const auto directory = LookupSeries();
  const auto first = Lookup(directory, "1.2.3.4.dcm").node;
  const auto second = Lookup(directory, "1.2.3.5.dcm").node;
  catalog.Announce({study, {}, {}, {"1.2.3"}});
  executor.RunAll();
  EXPECT_EQ(told.size(), 3u);
  EXPECT_EQ(Count(Kind::kDirectory, directory), 1u);
  EXPECT_EQ(Count(Kind::kFile, first), 1u);
  EXPECT_EQ(Count(Kind::kFile, second), 1u);
}

TEST_F(ChangesTest, AChangedInstanceIsDroppedAlone) {
  AddInstance("1.2.3.4", 5);
  AddInstance("1.2.3.5", 5);
  const auto directory = LookupSeries();
  const auto first = Lookup(directory, "1.2.3.4.dcm").node;
  Lookup(directory, "1.2.3.5.dcm");
  catalog.Announce({series, {}, {}, {"1.2.3.4.dcm"}});
  executor.RunAll();
  EXPECT_EQ(told.size(), 1u);
  EXPECT_EQ(Count(Kind::kFile, first), 1u);
}

TEST_F(ChangesTest, ARememberedAbsenceIsLeftToEndByItself) {
  EXPECT_LE(Lookup(kRootNode, "New").entry_valid_for_ms, 2'000);
  catalog.Announce({Path(), {}, {"New"}, {}});
  executor.RunAll();
  EXPECT_EQ(Count(Kind::kDirectory, kRootNode), 1u);
  EXPECT_EQ(told.size(), 1u) << "telling waits for lookups under way, and others for that";
}

TEST_F(ChangesTest, AfterTheEndNothingIsTold) {
  Lookup(kRootNode, "Lung");
  catalog.Announce({Path(), {"Lung"}, {}, {}});
  fs.reset();
  executor.RunAll();
  EXPECT_TRUE(told.empty());
  catalog.Announce({Path(), {"Lung"}, {}, {}});
  executor.RunAll();
  EXPECT_TRUE(told.empty());
}

TEST(Invalidations, WhatWaitsGoesOnAlsoWhenTheTaskIsDropped) {
  int ran = 0;
  {
    ManualExecutor executor;
    const auto invalidations = std::make_shared<vfs::Invalidations>(executor);
    invalidations->PostThen({}, [&] { ++ran; });
    EXPECT_EQ(ran, 0);
  }
  EXPECT_EQ(ran, 1);
}

}  // namespace
}  // namespace tciafs::testing
