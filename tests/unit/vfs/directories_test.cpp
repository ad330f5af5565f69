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

// An offset without the version above it.
uint64_t Place(uint64_t offset) { return offset & ((uint64_t{1} << 40) - 1); }

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
    EXPECT_EQ(Place(items[i].next_offset), i + 1);
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
  for (uint64_t offset = 0; Place(offset) < 102;) {
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

class UnopenedTest : public DirectoriesTest {
 protected:
  UnopenedTest() {
    options.clock = &clock;
    Mount();
  }
  Result<vfs::OpenReply> Resume(vfs::NodeId node, uint64_t offset) {
    Waiting<vfs::OpenReply> waiting;
    fs->ResumeDirectory(node, offset, {}, waiting.callback());
    return waiting.answered() ? **waiting.result : Fail(Errc::kInternal, "no answer");
  }
  // One read of a kernel that opens nothing.
  std::vector<Item> Read(vfs::NodeId node, uint64_t offset, size_t room = 1000) {
    const auto reply = Resume(node, offset);
    EXPECT_TRUE(reply);
    if (!reply) return {};
    auto items = List(reply->handle, offset, true, room);
    fs->ReleaseDirectory(reply->handle);
    return items;
  }
  vfs::AttributesReply Attributes(vfs::NodeId node) {
    Waiting<vfs::AttributesReply> waiting;
    fs->GetAttributes(node, 0, {}, waiting.callback());
    return Value(waiting);
  }
  size_t Told(vfs::Invalidation::Kind kind, vfs::NodeId node) {
    executor.RunAll();
    return static_cast<size_t>(std::count_if(told.begin(), told.end(), [&](const auto& one) {
      return one.kind == kind && one.node == node;
    }));
  }

  FakeClock clock;
};

TEST_F(UnopenedTest, GoesOnInTheListingItsOffsetComesFrom) {
  for (int i = 0; i < 20; ++i) catalog.Add(Path(), Directory("C" + std::to_string(i)));
  const auto all = Read(kRootNode, 0);
  ASSERT_EQ(all.size(), 23u);
  catalog.Add(Path(), Directory("Aaa"));
  EXPECT_EQ(Read(kRootNode, 0).size(), 24u);  // another reader, who begins now
  std::vector<std::string> names;
  for (uint64_t offset = all[9].next_offset;;) {
    const auto part = Read(kRootNode, offset, 3);
    if (part.empty()) break;
    for (const auto& item : part) names.push_back(item.name);
    offset = part.back().next_offset;
  }
  ASSERT_EQ(names.size(), 13u);
  for (size_t i = 0; i < names.size(); ++i) EXPECT_EQ(names[i], all[10 + i].name);
}

TEST_F(UnopenedTest, AListingThatIsKeptNoMoreIsFoundAgainUnlessItChanged) {
  const auto lung = Lookup(kRootNode, "Lung").node;
  const auto root = Read(kRootNode, 0);
  const auto patients = Read(lung, 0);
  for (int i = 0; i < 100; ++i) {
    catalog.Add(Path(), Directory("C" + std::to_string(i)));
    Read(kRootNode, 0);
  }
  EXPECT_EQ(Resume(kRootNode, root[1].next_offset).error().code, Errc::kStale);
  EXPECT_EQ(Read(lung, patients[1].next_offset).size(), patients.size() - 2);
}

TEST_F(UnopenedTest, ModifiedWhenTheListingChanges) {
  const auto lung = Lookup(kRootNode, "Lung").node;
  Read(lung, 0);
  const auto before = Attributes(lung).attributes;
  catalog.Add(collection, Directory("LIDC-9"));
  catalog::Change change;
  change.directory = collection;
  change.added = {"LIDC-9"};
  catalog.Announce(change);
  const auto after = Attributes(lung).attributes;
  EXPECT_EQ(after.modified_s, before.modified_s);
  EXPECT_EQ(after.modified_ns, before.modified_ns + 1);
  EXPECT_EQ(Lookup(kRootNode, "Lung").attributes.modified_ns, after.modified_ns);
}

TEST_F(UnopenedTest, AttributesAreGoodForAsLongAsTheListing) {
  catalog.fresh_for_ms = 60'000;
  const auto lung = Lookup(kRootNode, "Lung").node;
  EXPECT_EQ(Attributes(lung).valid_for_ms, 60'000);
  catalog.fresh_for_ms = 20'000;
  Read(lung, 0);
  EXPECT_EQ(Told(vfs::Invalidation::Kind::kAttributes, lung), 1u) << "the kernel knew 60 s";
  catalog.fresh_for_ms = 60'000;
  clock.Advance(5'000);
  EXPECT_EQ(Attributes(lung).valid_for_ms, 15'000);
  const int lists = catalog.lists;
  EXPECT_EQ(Attributes(lung).valid_for_ms, 15'000);
  EXPECT_EQ(catalog.lists, lists);
  clock.Advance(15'000);
  EXPECT_EQ(Attributes(lung).valid_for_ms, 0) << "while it is renewed";
  EXPECT_EQ(catalog.lists, lists + 1);
  EXPECT_EQ(Attributes(lung).valid_for_ms, 60'000);
  EXPECT_EQ(Told(vfs::Invalidation::Kind::kAttributes, lung), 1u);
}

TEST_F(UnopenedTest, FilesAreNoDirectories) {
  AddInstance("1.2.3.4", 100);
  EXPECT_EQ(Resume(LookupInstance("1.2.3.4"), 0).error().code, Errc::kNotDirectory);
  EXPECT_EQ(Resume(999, 0).error().code, Errc::kStale);
}

}  // namespace
}  // namespace tciafs::testing
