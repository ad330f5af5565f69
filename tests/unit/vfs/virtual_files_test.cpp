// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/virtual_files.h"

#include <gmock/gmock.h>

#include "vfs/limits.h"
#include "vfs/node_table.h"
#include "vfs/recent_errors.h"
#include "vfs_fixture.h"

namespace tciafs::testing {
namespace {

using ::testing::HasSubstr;

class VirtualFiles : public VfsTest {
 protected:
  VirtualFiles() {
    options.clock = &clock;
    options.version = "1.2.3";
    Mount();
  }
  vfs::EntryReply LookupStatus() {
    return Lookup(Lookup(vfs::kRootNode, ".tcia").node, "status.json");
  }
  std::string ReadWhole(const vfs::EntryReply& file) {
    Waiting<vfs::OpenReply> opened;
    fs->Open(file.node, false, {}, opened.callback());
    Waiting<vfs::ReadReply> read;
    fs->Read(file.node, Value(opened).handle, 0, 1 << 20, {}, read.callback());
    const std::string text(Value(read).bytes);
    fs->Release(Value(opened).handle);
    return text;
  }

  FakeClock clock;
};

TEST_F(VirtualFiles, StatIsExactAndStable) {
  const auto file = LookupStatus();
  EXPECT_TRUE(vfs::IsVirtual(file.node));
  EXPECT_EQ(file.attributes.type, vfs::NodeType::kFile);
  EXPECT_EQ(file.attributes.mode, 0444u & ~options.umask);
  EXPECT_EQ(file.attributes.size_bytes, static_cast<int64_t>(ReadWhole(file).size()));
  EXPECT_EQ(file.entry_valid_for_ms, 0);
  const auto again = LookupStatus();
  EXPECT_EQ(again.attributes.inode, file.attributes.inode);
  EXPECT_NE(again.node, file.node);
}

TEST_F(VirtualFiles, AreNoFilesOfTheCache) {
  Waiting<vfs::OpenReply> opened;
  fs->Open(LookupStatus().node, false, {}, opened.callback());
  EXPECT_EQ(fs->Backing(Value(opened).handle).error().code, Errc::kUnsupported);
}

TEST_F(VirtualFiles, EveryLookupTellsTheStateOfItsMoment) {
  const auto before = LookupStatus();
  const std::string text = ReadWhole(before);
  EXPECT_THAT(text, HasSubstr("\"version\": \"1.2.3\""));
  EXPECT_THAT(text, HasSubstr("\"uptime_s\": 0.000"));
  clock.Advance(2'500);
  EXPECT_EQ(ReadWhole(before), text);
  EXPECT_THAT(ReadWhole(LookupStatus()), HasSubstr("\"uptime_s\": 2.500"));
}

TEST_F(VirtualFiles, TellFailuresNewestFirst) {
  catalog.SetFailure(collection, {Errc::kUnavailable, "it \"burns\""});
  const auto lung = Lookup(vfs::kRootNode, "Lung").node;
  for (int i = 0; i < 2; ++i) {
    Waiting<vfs::OpenReply> opened;
    fs->OpenDirectory(lung, {}, opened.callback());
    EXPECT_EQ(opened.code(), Errc::kUnavailable);
  }
  const std::string text = ReadWhole(LookupStatus());
  EXPECT_THAT(text, HasSubstr("\"path\": \"/Lung\""));
  EXPECT_THAT(text, HasSubstr("\"reason\": \"it \\\"burns\\\"\""));
  EXPECT_THAT(text, HasSubstr("\"count\": 2"));
}

TEST_F(VirtualFiles, AreFoundInEveryDirectoryAndAskNobody) {
  LookupSeries();
  const int asked = catalog.lookups;
  vfs::NodeId node = vfs::kRootNode;
  for (const char* name : {"Lung", "LIDC-1", "1.2", "1.2.3"}) {
    EXPECT_NE(Lookup(node, ".tcia").node, 0u);
    node = Lookup(node, name).node;
  }
  EXPECT_NE(Lookup(node, ".tcia").node, 0u);
  EXPECT_EQ(catalog.lookups, asked + 4) << "for the directories only";
  const auto directory = Lookup(vfs::kRootNode, ".tcia");
  EXPECT_EQ(Lookup(directory.node, "other").node, 0u);
  EXPECT_EQ(Lookup(directory.node, ".tcia").node, 0u);
  EXPECT_EQ(Lookup(vfs::kRootNode, ".tcia").node, directory.node);
}

TEST_F(VirtualFiles, CannotBeWrittenNorMistaken) {
  const auto directory = Lookup(vfs::kRootNode, ".tcia").node;
  const auto file = Lookup(directory, "status.json").node;
  Waiting<vfs::OpenReply> writing, as_file, as_directory;
  fs->Open(file, true, {}, writing.callback());
  EXPECT_EQ(writing.code(), Errc::kReadOnly);
  fs->Open(directory, false, {}, as_file.callback());
  EXPECT_EQ(as_file.code(), Errc::kIsDirectory);
  fs->OpenDirectory(file, {}, as_directory.callback());
  EXPECT_EQ(as_directory.code(), Errc::kNotDirectory);
  EXPECT_EQ(LookupAsync(file, "x").code(), Errc::kNotDirectory);
  EXPECT_TRUE(fs->ListXattr(file)->empty());
}

TEST_F(VirtualFiles, TheDirectoryListsThem) {
  Waiting<vfs::OpenReply> opened;
  fs->OpenDirectory(Lookup(vfs::kRootNode, ".tcia").node, {}, opened.callback());
  std::vector<std::string> names;
  ASSERT_TRUE(fs->ReadDirectory(Value(opened).handle, 0, true, [&](const auto& entry) {
                  names.emplace_back(entry.name);
                  return true;
                }).has_value());
  EXPECT_THAT(names, ::testing::ElementsAre(".", "..", "collections.csv", "collections.json",
                                            "metrics", "status.json"));
  names.clear();
  ASSERT_TRUE(fs->ReadDirectory(Value(opened).handle, 5, true, [&](const auto& entry) {
                  names.emplace_back(entry.name);
                  return true;
                }).has_value());
  EXPECT_THAT(names, ::testing::ElementsAre("status.json"));
  fs->ReleaseDirectory(Value(opened).handle);
}

TEST_F(VirtualFiles, AreGoneWhenForgotten) {
  const size_t before = fs->nodes();
  const auto directory = Lookup(vfs::kRootNode, ".tcia").node;
  const auto file = Lookup(directory, "status.json").node;
  EXPECT_EQ(fs->nodes(), before + 2);
  fs->Forget(file, 1);
  Lookup(vfs::kRootNode, ".tcia");
  fs->Forget(directory, 1);
  EXPECT_EQ(Lookup(directory, "other").node, 0u) << "one lookup is left";
  fs->Forget(directory, 1);
  EXPECT_EQ(fs->nodes(), before);
  Waiting<vfs::AttributesReply> gone;
  fs->GetAttributes(file, 0, {}, gone.callback());
  EXPECT_EQ(gone.code(), Errc::kStale);
}

TEST(RecentErrors, AreBounded) {
  vfs::RecentErrors errors;
  for (size_t i = 0; i <= vfs::kRecentErrorsMax; ++i)
    errors.Note(static_cast<int64_t>(i), "/" + std::to_string(i), {Errc::kTimedOut, "late"});
  EXPECT_EQ(errors.Get().size(), vfs::kRecentErrorsMax);
  EXPECT_EQ(errors.Get().back().path, "/1");
  const std::string longest(vfs::kErrorTextBytesMax, 'x');
  errors.Note(98, longest, {Errc::kTimedOut, longest});
  EXPECT_EQ(errors.Get().front().path, longest);
  EXPECT_EQ(errors.Get().front().error.message, longest);
  errors.Note(99, longest + 'y', {Errc::kTimedOut, longest + 'y'});
  EXPECT_EQ(errors.Get().front().path.size(), vfs::kErrorTextBytesMax);
  EXPECT_EQ(errors.Get().front().error.message.size(), vfs::kErrorTextBytesMax);
  EXPECT_FALSE(vfs::RecentErrors::IsWorthTelling(Errc::kNotFound));
  EXPECT_FALSE(vfs::RecentErrors::IsWorthTelling(Errc::kCancelled));
}

}  // namespace
}  // namespace tciafs::testing
