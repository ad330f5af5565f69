// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/node_table.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <string>
#include <vector>

namespace tciafs::vfs {
namespace {

NodeFacts Name(std::string_view name) { return {name, 0, 0, -1, std::nullopt}; }

NodeFacts Instance(std::string_view name, int64_t advertised_bytes) {
  return {name, 0, 0, advertised_bytes, InstanceSize{advertised_bytes, SizeOrigin::kAdvertised}};
}

class NodeTableTest : public ::testing::Test {
 protected:
  NodeId Enter(NodeId parent, std::string_view name) { return table.Enter(parent, Name(name))->id; }
  NodeId EnterSeries() { return Enter(Enter(Enter(Enter(kRootNode, "C"), "P"), "1.2"), "1.2.3"); }
  NodeTable table;
};

TEST(InodeOf, DependsOnThePathAlone) {
  EXPECT_EQ(InodeOf(1, "Lung"), InodeOf(1, "Lung"));
  EXPECT_NE(InodeOf(1, "Lung"), InodeOf(2, "Lung"));
  EXPECT_NE(InodeOf(1, "Lung"), InodeOf(1, "lung"));
  EXPECT_EQ(InodeOf(1, "Lung"), 3343649295816785640u) << "inode numbers must not change";
}

TEST_F(NodeTableTest, PathsAreFoundByWalkingUp) {
  const NodeId node = table.Enter(EnterSeries(), Instance("9.dcm", 4))->id;
  const auto copy = table.Find(node);
  ASSERT_TRUE(copy.has_value());
  EXPECT_TRUE(copy->is_file());
  EXPECT_EQ(copy->path.Text(), "/C/P/1.2/1.2.3/9.dcm");
  EXPECT_EQ(copy->path.sop.text(), "9");
  EXPECT_EQ(copy->advertised_bytes, 4);
  EXPECT_EQ(copy->inode, InodeOf(copy->parent_inode, "9.dcm"));
  EXPECT_EQ(table.Find(kRootNode)->parent, kRootNode);
}

TEST_F(NodeTableTest, EncodedNamesStandForTheirIds) {
  const auto copy = table.Find(Enter(kRootNode, "a%2Fb"));
  EXPECT_EQ(copy->path.collection.text(), "a/b");
}

TEST_F(NodeTableTest, ParentsStayWhileTheyHaveChildren) {
  const NodeId parent = Enter(kRootNode, "C");
  const NodeId first = Enter(parent, "P1");
  const NodeId second = Enter(parent, "P2");
  const NodeId third = Enter(parent, "P3");
  table.Forget(parent, 1);
  EXPECT_EQ(table.size(), 5u);
  table.Forget(second, 1);
  EXPECT_EQ(table.Find(third)->path.Text(), "/C/P3");
  table.Forget(third, 99);  // more than there were
  table.Forget(first, 1);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_FALSE(table.Find(parent).has_value());
  EXPECT_FALSE(table.Enter(parent, Name("P1")).has_value());
  table.Forget(kRootNode, 5);
  EXPECT_EQ(table.size(), 1u);
}

TEST_F(NodeTableTest, HandlesKeepNodes) {
  const NodeId node = Enter(kRootNode, "C");
  EXPECT_TRUE(table.AddHandle(node));
  table.Forget(node, 1);
  EXPECT_EQ(table.size(), 2u);
  table.RemoveHandle(node);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_FALSE(table.AddHandle(node));
}

TEST_F(NodeTableTest, ForgottenNodesGiveTheirMemoryBack) {
  constexpr size_t kNodes = 100'000;
  const NodeId series = EnterSeries();
  const std::string root = "1.3.6.1.4.1.14519.5.2.1.6279.6001.123456789012345678901234";
  std::vector<NodeId> ids(kNodes);
  const auto in_use = [] { return static_cast<int64_t>(mallinfo2().uordblks); };
  const int64_t before = in_use();
  for (size_t i = 0; i < kNodes; ++i)
    ids[i] = table.Enter(series, Instance(root + std::to_string(100'000 + i) + ".dcm", 4))->id;
  const int64_t full = in_use();
  EXPECT_EQ(table.size(), kNodes + 5);
  EXPECT_LT((full - before) / static_cast<int64_t>(kNodes), 400);
  for (const NodeId id : ids) table.Forget(id, 1);
  EXPECT_EQ(table.size(), 5u);
  EXPECT_LT(in_use() - before, 256 << 10);
}

TEST(Content, IsTheSameOnlyIfProved) {
  const source::SeriesVersion one{"2020", 5, 50};
  const source::SeriesVersion two{"2021", 5, 50};
  EXPECT_TRUE(SameContent(ContentOf(5, "aa", one), ContentOf(5, "aa", two)));
  EXPECT_FALSE(SameContent(ContentOf(5, "aa", one), ContentOf(5, "bb", one)));
  EXPECT_FALSE(SameContent(ContentOf(5, "aa", one), ContentOf(6, "aa", one)));
  EXPECT_TRUE(SameContent(ContentOf(5, "", one), ContentOf(5, "aa", one)));
  EXPECT_FALSE(SameContent(ContentOf(5, "", one), ContentOf(5, "", two)));
  EXPECT_FALSE(SameContent(ContentOf(5, "", {}), ContentOf(5, "", {})));
}

TEST_F(NodeTableTest, WhatWasLearntWinsOverWhatIsTold) {
  const NodeId series = EnterSeries();
  const NodeId node = table.Enter(series, Instance("9.dcm", 500))->id;
  const auto installed = table.Install(node, ContentOf(5, "aa", {}), table.changes());
  EXPECT_TRUE(installed->size_corrected);
  EXPECT_FALSE(installed->replaced);
  EXPECT_EQ(table.Enter(series, Instance("9.dcm", 500))->size,
            (InstanceSize{5, SizeOrigin::kExact}));
  EXPECT_EQ(table.Tell(node, {500, SizeOrigin::kAdvertised}).bytes, 5);
  EXPECT_FALSE(table.Install(node, ContentOf(5, "aa", {}), table.changes())->size_corrected);
}

TEST_F(NodeTableTest, AnEstimateIsNothingToTakeBack) {
  const NodeId node = table.Enter(EnterSeries(), Instance("9.dcm", 500))->id;
  table.Tell(node, {4096, SizeOrigin::kEstimated});
  EXPECT_FALSE(table.Install(node, ContentOf(5, "aa", {}), table.changes())->size_corrected);
}

TEST_F(NodeTableTest, ReplacedContentTakesTheNodeOnlyWhenTheOldIsClosed) {
  const NodeId series = EnterSeries();
  const NodeId node = table.Enter(series, Instance("9.dcm", 5))->id;
  table.Install(node, ContentOf(5, "aa", {}), table.changes());
  EXPECT_TRUE(table.Install(node, ContentOf(5, "aa", {}), table.changes())->keep_pages);
  table.RemoveHandle(node);
  EXPECT_TRUE(table.Install(node, ContentOf(6, "bb", {}), table.changes())->parted);
  EXPECT_EQ(table.Find(node)->exact_bytes, 5);
  table.RemoveHandle(node);
  const auto other = table.Install(node, ContentOf(6, "bb", {}), table.changes());
  EXPECT_FALSE(other->parted);
  EXPECT_TRUE(other->replaced);
  EXPECT_FALSE(other->keep_pages);
  EXPECT_EQ(table.Find(node)->exact_bytes, 6);
}

TEST_F(NodeTableTest, ANodeThatLostItsNameGoesWithItsLastUse) {
  const NodeId series = EnterSeries();
  const NodeId old = table.Enter(series, Instance("9.dcm", 5))->id;
  table.Install(old, ContentOf(5, "aa", {}), table.changes());
  ASSERT_TRUE(table.Install(old, ContentOf(5, "bb", {}), table.changes())->parted);
  const NodeId renewed = table.Enter(series, Instance("9.dcm", 5))->id;
  EXPECT_NE(renewed, old);
  EXPECT_EQ(table.Find(renewed)->inode, table.Find(old)->inode);
  table.Forget(old, 1);
  EXPECT_EQ(table.size(), 7u) << "it is open";
  table.RemoveHandle(old);
  EXPECT_FALSE(table.Find(old).has_value());
  EXPECT_EQ(table.Enter(series, Instance("9.dcm", 5))->id, renewed);
}

TEST_F(NodeTableTest, ContentOvertakenByAChangeCountsOnlyWhileItIsOpen) {
  const NodeId node = table.Enter(EnterSeries(), Instance("9.dcm", 5))->id;
  const uint64_t before = table.changes();
  catalog::Change change;
  change.directory = table.Find(node)->path;
  change.directory.level = catalog::Level::kStudy;
  change.changed = {"1.2.3"};
  EXPECT_FALSE(table.ApplyChange(change).empty());
  table.Install(node, ContentOf(5, "aa", {}), before);
  EXPECT_EQ(table.Find(node)->exact_bytes, 5);
  table.RemoveHandle(node);
  EXPECT_EQ(table.Find(node)->exact_bytes, -1);
}

// Without opening there may be readers of any content that was read.
TEST(NodesOfUnopenedFiles, ReplacedContentNeverTakesTheNode) {
  NodeTable table(/*files_are_opened=*/false);
  NodeId parent = vfs::kRootNode;
  for (const char* name : {"Lung", "LIDC-1", "1.2", "1.2.3"})
    parent = table.Enter(parent, Name(name))->id;
  const NodeId node = table.Enter(parent, Instance("9.dcm", 5))->id;
  const NodeId unread = table.Enter(parent, Instance("8.dcm", 5))->id;
  table.Install(node, ContentOf(5, "aa", {}), table.changes());
  table.RemoveHandle(node);
  EXPECT_TRUE(table.Install(node, ContentOf(5, "bb", {}), table.changes())->parted);
  EXPECT_FALSE(table.Install(node, ContentOf(5, "aa", {}), table.changes())->parted);
  table.RemoveHandle(node);
  const NodeId renewed = table.Enter(parent, Instance("9.dcm", 5))->id;
  EXPECT_NE(renewed, node);

  table.Install(renewed, ContentOf(5, "bb", {}), table.changes());
  catalog::Change change;
  change.directory = table.Find(parent)->path;
  change.directory.level = catalog::Level::kStudy;
  change.changed = {"1.2.3"};
  std::vector<std::string> names;
  for (const auto& told : table.ApplyChange(change))
    if (told.kind == vfs::Invalidation::Kind::kEntry) names.push_back(told.name);
  EXPECT_EQ(names, std::vector<std::string>{"9.dcm"}) << "of which somebody read";
  EXPECT_NE(table.Enter(parent, Instance("9.dcm", 5))->id, renewed);
  EXPECT_EQ(table.Enter(parent, Instance("8.dcm", 5))->id, unread);
}

}  // namespace
}  // namespace tciafs::vfs
