// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/lookups.h"

#include "vfs/attributes.h"
#include "vfs_fixture.h"

namespace tciafs::testing {
namespace {

using vfs::kRootNode;
using vfs::NodeType;

TEST_F(VfsTest, LookupWalksDownToAnInstance) {
  AddInstance("1.2.3.4", 500);
  const auto found = Lookup(LookupSeries(), "1.2.3.4.dcm");
  EXPECT_EQ(found.attributes.type, NodeType::kFile);
  EXPECT_EQ(found.attributes.size_bytes, 500);
  EXPECT_EQ(found.attributes.mode, 0444u & ~022u);
  EXPECT_EQ(found.attributes.uid, 1000u);
  EXPECT_EQ(found.attributes.modified_s, 1'577'836'800) << "the series' time stands in";
  EXPECT_EQ(found.entry_valid_for_ms, 60'000);
  EXPECT_EQ(found.attributes_valid_for_ms, 60'000);
  EXPECT_EQ(fs->nodes(), 6u);
  EXPECT_EQ(fetcher.acquires, 0) << "looking never downloads";
}

TEST_F(VfsTest, TheSameNameIsTheSameNode) {
  const auto first = Lookup(kRootNode, "Lung");
  const auto second = Lookup(kRootNode, "Lung");
  EXPECT_EQ(first.node, second.node);
  fs->Forget(first.node, 1);
  EXPECT_EQ(fs->nodes(), 2u) << "two lookups, one forgotten";
  fs->Forget(first.node, 1);
  EXPECT_EQ(fs->nodes(), 1u);
  EXPECT_NE(Lookup(kRootNode, "Lung").node, first.node) << "ids are never reused";
}

TEST_F(VfsTest, InodeNumbersStayAcrossMounts) {
  AddInstance("1.2.3.4", 500);
  const auto before = Lookup(LookupSeries(), "1.2.3.4.dcm");
  Mount();
  Lookup(kRootNode, "Lung");
  const auto after = Lookup(LookupSeries(), "1.2.3.4.dcm");
  EXPECT_EQ(before.attributes.inode, after.attributes.inode);
  EXPECT_GT(before.attributes.inode, 1u);
}

TEST_F(VfsTest, AbsenceIsAnEntryWithoutNode) {
  const auto absent = Lookup(kRootNode, "Nobody");
  EXPECT_EQ(absent.node, 0u);
  EXPECT_GT(absent.entry_valid_for_ms, 0);
  EXPECT_LE(absent.entry_valid_for_ms, 5'000);
  EXPECT_EQ(Lookup(kRootNode, ".Trash-1000").node, 0u);
  EXPECT_EQ(fs->nodes(), 1u);
}

TEST_F(VfsTest, RefusalsKeepTheirReason) {
  catalog.SetFailure(collection, {Errc::kTimedOut, "no answer in 60 s"});
  const auto node = Lookup(kRootNode, "Lung").node;
  const auto failed = LookupAsync(node, "LIDC-1");
  EXPECT_EQ(failed.code(), Errc::kTimedOut);
  EXPECT_EQ((*failed.result)->error().message, "no answer in 60 s");
}

TEST_F(VfsTest, NamesAreChecked) {
  AddInstance("1.2.3.4", 500);
  const auto file = LookupInstance("1.2.3.4");
  EXPECT_EQ(LookupAsync(file, "x").code(), Errc::kNotDirectory);
  const int before = catalog.lookups;
  EXPECT_EQ(LookupAsync(kRootNode, std::string(256, 'x')).code(), Errc::kNameTooLong);
  EXPECT_EQ(LookupAsync(4711, "x").code(), Errc::kStale);
  EXPECT_EQ(catalog.lookups, before);
  EXPECT_EQ(Lookup(kRootNode, std::string(255, 'x')).node, 0u);
}

TEST_F(VfsTest, DotAndDotDot) {
  const auto lung = Lookup(kRootNode, "Lung").node;
  const auto patient_node = Lookup(lung, "LIDC-1").node;
  EXPECT_EQ(Lookup(lung, ".").node, lung);
  EXPECT_EQ(Lookup(patient_node, "..").node, lung);
  EXPECT_EQ(Lookup(lung, "..").node, kRootNode);
  EXPECT_EQ(Lookup(kRootNode, "..").node, kRootNode);
  EXPECT_EQ(Lookup(kRootNode, ".").attributes.inode, 1u);
  fs->Forget(patient_node, 1);
  fs->Forget(lung, 2);
  EXPECT_EQ(fs->nodes(), 2u) << "each counted as a lookup";
  fs->Forget(lung, 1);
  EXPECT_EQ(fs->nodes(), 1u);
}

TEST_F(VfsTest, AStopEndsALookup) {
  catalog.hold = true;
  std::stop_source stop;
  const auto waiting = LookupAsync(kRootNode, "Lung", stop.get_token());
  EXPECT_FALSE(waiting.answered());
  stop.request_stop();
  EXPECT_EQ(waiting.code(), Errc::kCancelled);
  catalog.held.Release();
  EXPECT_EQ(*waiting.calls, 1);
  EXPECT_EQ(fs->nodes(), 1u);
}

TEST_F(VfsTest, AnAnswerAfterTheEndIsCancelled) {
  catalog.hold = true;
  const auto waiting = LookupAsync(kRootNode, "Lung");
  fs.reset();
  catalog.held.Release();
  EXPECT_EQ(waiting.code(), Errc::kCancelled);
  EXPECT_EQ(*waiting.calls, 1);
}

TEST_F(VfsTest, TheKernelMayBelieveNoLongerThanTheCatalog) {
  options.kernel_validity_max_ms = 1000;
  Mount();
  EXPECT_EQ(Lookup(kRootNode, "Lung").entry_valid_for_ms, 1000);
  catalog.fresh_for_ms = 0;
  EXPECT_EQ(Lookup(kRootNode, "Lung").entry_valid_for_ms, 0);
  EXPECT_EQ(GetAttributes(kRootNode).valid_for_ms, 1000);
}

TEST_F(VfsTest, EstimatesAreNotForKeeping) {
  AddInstance("1.2.3.4");
  const auto found = Lookup(LookupSeries(), "1.2.3.4.dcm");
  EXPECT_EQ(found.attributes.size_bytes, 102'400);  // 1,000,000 / 10, up to 4 KiB
  EXPECT_EQ(found.attributes_valid_for_ms, 0);
  EXPECT_EQ(found.entry_valid_for_ms, 60'000);
  EXPECT_EQ(GetAttributes(found.node).valid_for_ms, 0);
}

TEST_F(VfsTest, ASizeOnceHadIsExactAlsoAfterEviction) {
  AddInstance("1.2.3.4", 500);
  cache.Put(key, version, source::SopUid("1.2.3.4"), std::make_shared<MemoryFile>("bytes"));
  cache.Drop(key, source::SopUid("1.2.3.4"));
  const auto found = Lookup(LookupSeries(), "1.2.3.4.dcm");
  EXPECT_EQ(found.attributes.size_bytes, 5);
  EXPECT_EQ(found.attributes_valid_for_ms, 60'000);
  SetVersion("2021-01-01", 10, 1'000'000);
  EXPECT_EQ(GetAttributes(found.node).attributes.size_bytes, 500) << "of another version";
}

TEST_F(VfsTest, ZeroWhereGuessesAreNotWanted) {
  options.unknown_size = vfs::UnknownSize::kZero;
  Mount();
  AddInstance("1.2.3.4");
  const auto found = Lookup(LookupSeries(), "1.2.3.4.dcm");
  EXPECT_EQ(found.attributes.size_bytes, 0);
  EXPECT_EQ(found.attributes_valid_for_ms, 0);
}

TEST_F(VfsTest, FetchesUnknownSizesWhenAskedTo) {
  options.unknown_size = vfs::UnknownSize::kFetch;
  Mount();
  AddInstance("1.2.3.4");
  AddInstance("1.2.3.5", 500);
  SetBytes("1.2.3.4", "eight by");
  fetcher.hold = true;
  const auto directory = LookupSeries();
  EXPECT_EQ(Lookup(directory, "1.2.3.5.dcm").attributes.size_bytes, 500);
  EXPECT_EQ(fetcher.acquires, 0);
  const auto waiting = LookupAsync(directory, "1.2.3.4.dcm");
  EXPECT_FALSE(waiting.answered());
  fetcher.held.Release();
  EXPECT_EQ(Value(waiting).attributes.size_bytes, 8);
  EXPECT_EQ(Value(waiting).attributes_valid_for_ms, 60'000);
}

TEST_F(VfsTest, AFailedFetchOfASizeLeavesNoNode) {
  options.unknown_size = vfs::UnknownSize::kFetch;
  Mount();
  AddInstance("1.2.3.4");
  const auto directory = LookupSeries();
  EXPECT_EQ(LookupAsync(directory, "1.2.3.4.dcm").code(), Errc::kUnavailable);
  EXPECT_EQ(fs->nodes(), 5u);
}

TEST_F(VfsTest, AttributesOfANodeThatIsGone) {
  const auto node = Lookup(kRootNode, "Lung").node;
  EXPECT_EQ(GetAttributes(node).attributes.type, NodeType::kDirectory);
  EXPECT_EQ(GetAttributes(node).attributes.modified_s, vfs::kUnknownModifiedS);
  catalog.Remove(Path(), "Lung");
  EXPECT_EQ(GetAttributesAsync(node).code(), Errc::kNotFound);
  fs->Forget(node, 1);
  EXPECT_EQ(GetAttributesAsync(node).code(), Errc::kStale);
}

TEST_F(VfsTest, CollectionsKeepTheirServer) {
  options.scopes = {"archive|guest", "other|guest"};
  Mount();
  catalog.Add(Path(), {"Breast", 1, 0, -1});
  auto path = Path();
  vfs::NodeId node = kRootNode;
  for (const char* name : {"Breast", "p", "s", "9.9"}) {
    catalog.Add(path, {name, 1, 0, -1});
    path = path.Child(name, 1);
    node = Lookup(node, name).node;
  }
  catalog.Add(path, {"9.9.1.dcm", 1, 0, 5});
  catalog.SetSeries(path, source::SeriesRecord());
  size_t asked = 99;
  fetcher.serve = [&](const fetch::SeriesTarget& target,
                      const source::SopUid&) -> Result<std::shared_ptr<cache::InstanceFile>> {
    asked = target.server;
    return std::make_shared<MemoryFile>("12345");
  };
  Open(Lookup(node, "9.9.1.dcm").node);
  EXPECT_EQ(asked, 1u);
}

}  // namespace
}  // namespace tciafs::testing
