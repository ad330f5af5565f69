// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/directories.h"

#include "vfs_fixture.h"

namespace tciafs::testing {
namespace {

using vfs::kRootNode;
using vfs::NodeType;

struct Item {
  std::string name;
  uint64_t next_offset = 0;
  vfs::EntryReply entry;
};

class DirectoriesTest : public VfsTest {
 protected:
  // Takes at most `room` entries.
  std::vector<Item> List(vfs::HandleId handle, uint64_t offset, bool with_attributes,
                         size_t room = 1000) {
    std::vector<Item> items;
    const Status status =
        fs->ReadDirectory(handle, offset, with_attributes, [&](const vfs::DirectoryEntry& item) {
          if (items.size() == room) return false;
          items.push_back({std::string(item.name), item.next_offset, item.entry});
          return true;
        });
    EXPECT_TRUE(status.has_value());
    return items;
  }
};

TEST_F(DirectoriesTest, ListsDotsThenNamesInOrder) {
  catalog.Add(Path(), Directory("Breast"));
  const auto handle = OpenDirectory(kRootNode).handle;
  const auto items = List(handle, 0, false);
  ASSERT_EQ(items.size(), 4u);
  EXPECT_EQ(items[0].name, ".");
  EXPECT_EQ(items[1].name, "..");
  EXPECT_EQ(items[2].name, "Breast");
  EXPECT_EQ(items[3].name, "Lung");
  for (size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(items[i].next_offset, i + 1);
    EXPECT_EQ(items[i].entry.node, 0u);
    EXPECT_EQ(items[i].entry.attributes.type, NodeType::kDirectory);
  }
  EXPECT_EQ(items[0].entry.attributes.inode, 1u);
  EXPECT_EQ(items[1].entry.attributes.inode, 1u);
  EXPECT_EQ(items[3].entry.attributes.inode, Lookup(kRootNode, "Lung").attributes.inode);
  fs->ReleaseDirectory(handle);
}

TEST_F(DirectoriesTest, GoesOnWhereItStopped) {
  for (int i = 0; i < 20; ++i) catalog.Add(Path(), Directory("C" + std::to_string(i)));
  const auto handle = OpenDirectory(kRootNode).handle;
  const auto all = List(handle, 0, false);
  catalog.Add(Path(), Directory("Aaa"));  // not in this handle's listing
  std::vector<std::string> names;
  for (uint64_t offset = 0;;) {
    const auto part = List(handle, offset, false, 3);
    if (part.empty()) break;
    for (const auto& item : part) names.push_back(item.name);
    offset = part.back().next_offset;
  }
  ASSERT_EQ(names.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(names[i], all[i].name);
  EXPECT_TRUE(List(handle, 1'000'000, false).empty());
  EXPECT_EQ(List(handle, 5, false, 1)[0].name, all[5].name) << "seeking back";
}

TEST_F(DirectoriesTest, WithAttributesEveryEntryIsALookupAndTheRefusedIsTakenBack) {
  AddInstance("1.2.3.4", 100);
  AddInstance("1.2.3.5", 200);
  AddInstance("1.2.3.6", 300);
  const auto node = LookupSeries();
  const size_t before = fs->nodes();
  const auto handle = OpenDirectory(node).handle;
  const auto items = List(handle, 0, true, 4);  // the fifth is refused
  ASSERT_EQ(items.size(), 4u);
  EXPECT_EQ(items[0].entry.node, 0u);
  EXPECT_EQ(items[1].entry.node, 0u);
  EXPECT_EQ(items[3].entry.attributes.size_bytes, 200);
  EXPECT_EQ(items[3].entry.attributes.type, NodeType::kFile);
  EXPECT_EQ(items[3].entry.attributes_valid_for_ms, 60'000);
  EXPECT_EQ(fs->nodes(), before + 2);
  EXPECT_EQ(Lookup(node, "1.2.3.5.dcm").node, items[3].entry.node);
  fs->Forget(items[2].entry.node, 1);
  fs->Forget(items[3].entry.node, 2);
  EXPECT_EQ(fs->nodes(), before);
}

TEST_F(DirectoriesTest, AsksTheCacheOnceForAWholeSeries) {
  for (int i = 100; i < 200; ++i) AddInstance("1.2.3." + std::to_string(i), 1000);
  cache.Put(key, version, source::SopUid("1.2.3.150"), std::make_shared<MemoryFile>("exact"));
  const auto handle = OpenDirectory(LookupSeries()).handle;
  int64_t size_bytes = 0;
  for (uint64_t offset = 0; offset < 102;) {
    const auto part = List(handle, offset, true, 10);
    for (const auto& item : part)
      if (item.name == "1.2.3.150.dcm") size_bytes = item.entry.attributes.size_bytes;
    offset = part.back().next_offset;
  }
  EXPECT_EQ(size_bytes, 5);
  EXPECT_EQ(cache.series_known, 1);
  EXPECT_EQ(cache.instance_known, 0);
  List(handle, 0, true, 5);
  EXPECT_EQ(cache.series_known, 2) << "starting again looks again";
}

TEST_F(DirectoriesTest, UnknownSizesToBeFetchedAreLeftToLookup) {
  options.unknown_size = vfs::UnknownSize::kFetch;
  Mount();
  AddInstance("1.2.3.4");
  AddInstance("1.2.3.5", 7);
  const auto node = LookupSeries();
  const auto items = List(OpenDirectory(node).handle, 0, true);
  ASSERT_EQ(items.size(), 4u);
  EXPECT_EQ(items[2].entry.node, 0u);
  EXPECT_EQ(items[2].entry.attributes.type, NodeType::kFile);
  EXPECT_NE(items[2].entry.attributes.inode, 0u);
  EXPECT_NE(items[3].entry.node, 0u);
  EXPECT_EQ(fetcher.acquires, 0);
}

TEST_F(DirectoriesTest, KeepsTheKernelsCopyWhileTheListingIsTheSame) {
  const auto first = OpenDirectory(kRootNode);
  EXPECT_TRUE(first.cache_directory);
  EXPECT_FALSE(first.keep_cache);
  EXPECT_TRUE(OpenDirectory(kRootNode).keep_cache);
  catalog.Add(Path(), Directory("New"));
  EXPECT_FALSE(OpenDirectory(kRootNode).keep_cache);
  EXPECT_TRUE(OpenDirectory(kRootNode).keep_cache);
  catalog.fresh_for_ms = 0;
  EXPECT_FALSE(OpenDirectory(kRootNode).keep_cache);
  EXPECT_FALSE(OpenDirectory(kRootNode).cache_directory);
}

TEST_F(DirectoriesTest, AnOldHandleThatReadsOnSpoilsTheKernelsCopy) {
  const auto old = OpenDirectory(kRootNode);
  catalog.Add(Path(), Directory("New"));
  OpenDirectory(kRootNode);
  List(old.handle, 0, false);
  EXPECT_FALSE(OpenDirectory(kRootNode).keep_cache);
  EXPECT_TRUE(OpenDirectory(kRootNode).keep_cache);
}

TEST_F(DirectoriesTest, AHandleKeepsItsNode) {
  const auto lung = Lookup(kRootNode, "Lung").node;
  const auto handle = OpenDirectory(lung).handle;
  fs->Forget(lung, 1);
  EXPECT_EQ(fs->nodes(), 2u);
  EXPECT_EQ(List(handle, 0, true).size(), 3u);
  fs->Forget(Lookup(lung, "LIDC-1").node, 2);
  fs->ReleaseDirectory(handle);
  EXPECT_EQ(fs->nodes(), 1u);
  fs->ReleaseDirectory(handle);  // once is enough
  EXPECT_EQ(fs->ReadDirectory(handle, 0, false, [](const auto&) { return true; }).error().code,
            Errc::kInvalidArgument);
}

TEST_F(DirectoriesTest, RefusesFilesAndPassesFailuresOn) {
  AddInstance("1.2.3.4", 100);
  const auto file = LookupInstance("1.2.3.4");
  Waiting<vfs::OpenReply> on_file;
  fs->OpenDirectory(file, {}, on_file.callback());
  EXPECT_EQ(on_file.code(), Errc::kNotDirectory);
  catalog.SetFailure(Path(), {Errc::kOffline, "offline"});
  Waiting<vfs::OpenReply> on_root;
  fs->OpenDirectory(kRootNode, {}, on_root.callback());
  EXPECT_EQ(on_root.code(), Errc::kOffline);
}

}  // namespace
}  // namespace tciafs::testing
