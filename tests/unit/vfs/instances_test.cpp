// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/instances.h"

#include <limits>

#include "vfs_fixture.h"

namespace tciafs::testing {
namespace {

using Kind = vfs::Invalidation::Kind;

class InstancesTest : public VfsTest {
 protected:
  // Fetched by an earlier mount.
  std::shared_ptr<MemoryFile> SetCached(const std::string& name, const std::string& bytes) {
    auto file = SetBytes(name, bytes);
    cache.Put(key, version, source::SopUid(name), file);
    return file;
  }

  const std::string sop = "1.2.3.4";
};

TEST_F(InstancesTest, OpensWhatIsCachedWithoutFetching) {
  AddInstance(sop, 5);
  cache.Put(key, version, source::SopUid(sop), std::make_shared<MemoryFile>("bytes"));
  const auto node = LookupInstance(sop);
  const auto handle = Open(node).handle;
  EXPECT_EQ(Read(node, handle), "bytes");
  EXPECT_EQ(fetcher.acquires, 0);
  EXPECT_TRUE(told.empty());
}

TEST_F(InstancesTest, FetchesWhatIsNot) {
  AddInstance(sop);
  SetBytes(sop, "0123456789");
  fetcher.hold = true;
  const auto node = LookupInstance(sop);
  const auto waiting = OpenAsync(node);
  EXPECT_FALSE(waiting.answered());
  fetcher.held.Release();
  const auto handle = Value(waiting).handle;
  EXPECT_FALSE(Value(waiting).keep_cache);
  EXPECT_EQ(GetAttributes(node, handle).attributes.size_bytes, 10);
  EXPECT_EQ(GetAttributes(node).attributes.size_bytes, 10) << "exact for everybody after open";
  EXPECT_GT(GetAttributes(node).valid_for_ms, 0);
  EXPECT_EQ(Read(node, handle, 2, 3), "234");
  EXPECT_EQ(Read(node, handle, 8, 100), "89");
  EXPECT_EQ(Read(node, handle, 10, 100), "");
  EXPECT_EQ(Read(node, handle, std::numeric_limits<int64_t>::max(), 100), "");
  EXPECT_EQ(Read(node, handle, 9, std::numeric_limits<int64_t>::max()), "9");
  EXPECT_EQ(ReadAsync(node, handle, -1, 5).code(), Errc::kInvalidArgument);
  EXPECT_EQ(ReadAsync(node, handle, 0, -5).code(), Errc::kInvalidArgument);
  EXPECT_EQ(ReadAsync(node, handle + 1).code(), Errc::kInvalidArgument);
}

TEST_F(InstancesTest, TheGuardIsAskedForWhatWouldBeDownloaded) {
  std::vector<std::pair<int64_t, std::string>> asked;
  options.fetch_guard = [&asked](int64_t pid, const std::string& path) -> Status {
    asked.emplace_back(pid, path);
    if (pid == 7) return Fail(Errc::kNotForProgram, "a crawler");
    return {};
  };
  Mount();
  AddInstance(sop, 5);
  SetBytes(sop, "bytes");
  const vfs::NodeId node = LookupInstance(sop);
  const auto open_by = [&](int64_t pid) {
    Waiting<vfs::OpenReply> waiting;
    fs->Open(node, false, {{}, pid}, waiting.callback());
    return waiting;
  };
  EXPECT_EQ(open_by(7).code(), Errc::kNotForProgram);
  EXPECT_EQ(fetcher.acquires, 0) << "nothing is downloaded";
  const auto opened = open_by(8);
  EXPECT_TRUE(opened.ok());
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_EQ(asked.back(), std::make_pair(int64_t{8}, series.Text()));
  EXPECT_TRUE(open_by(7).ok()) << "what is cached is for everybody";
  EXPECT_EQ(asked.size(), 2u);
  EXPECT_TRUE(fs->Report().recent_errors.empty()) << "and it is no error to tell of";
}

TEST_F(InstancesTest, RefusesWritingDirectoriesAndTheGone) {
  AddInstance(sop, 5);
  const auto node = LookupInstance(sop);
  Waiting<vfs::OpenReply> writing;
  fs->Open(node, true, {}, writing.callback());
  EXPECT_EQ(writing.code(), Errc::kReadOnly);
  EXPECT_EQ(OpenAsync(vfs::kRootNode).code(), Errc::kIsDirectory);
  EXPECT_EQ(OpenAsync(4711).code(), Errc::kStale);
  EXPECT_EQ(OpenAsync(node).code(), Errc::kUnavailable) << "what the fetcher said";
}

TEST_F(InstancesTest, AStopEndsAnOpen) {
  AddInstance(sop, 5);
  SetBytes(sop, "bytes");
  fetcher.hold = true;
  const auto node = LookupInstance(sop);
  std::stop_source stop;
  const auto waiting = OpenAsync(node, stop.get_token());
  stop.request_stop();
  EXPECT_EQ(waiting.code(), Errc::kCancelled);
  fetcher.held.Release();
  EXPECT_EQ(*waiting.calls, 1);
}

TEST_F(InstancesTest, KeepsPagesOnlyOfTheSameContent) {
  AddInstance(sop, 5);
  SetBytes(sop, "bytes");
  const auto node = LookupInstance(sop);
  fs->Release(Open(node).handle);
  const auto again = Open(node);
  EXPECT_TRUE(again.keep_cache);
  fs->Release(again.handle);
  SetVersion("2021-01-01", 10, 1'000'000);
  SetBytes(sop, "BYTES");
  const auto replaced = Open(node);
  EXPECT_FALSE(replaced.keep_cache);
  fs->Release(replaced.handle);
  SetVersion("2022-01-01", 10, 1'000'000);
  EXPECT_TRUE(Open(node).keep_cache) << "re-submitted, but the bytes are the same";
}

TEST_F(InstancesTest, WithoutAnMd5TheVersionDecides) {
  AddInstance(sop, 5);
  SetBytes(sop, "bytes", false);
  const auto node = LookupInstance(sop);
  fs->Release(Open(node).handle);
  const auto again = Open(node);
  EXPECT_TRUE(again.keep_cache);
  fs->Release(again.handle);
  SetVersion("2021-01-01", 10, 1'000'000);
  EXPECT_FALSE(Open(node).keep_cache);
}

TEST_F(InstancesTest, AWrongSizeIsTakenBackBeforeOpenIsAnswered) {
  AddInstance(sop, 500);
  SetBytes(sop, "truth");
  const auto node = LookupInstance(sop);
  std::vector<vfs::Invalidation> kept;
  fs->OnInvalidation([&](const vfs::Invalidation& invalidation) { kept.push_back(invalidation); });
  const auto waiting = OpenAsync(node);
  EXPECT_FALSE(waiting.answered());
  executor.RunAll();
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].kind, Kind::kFile);
  EXPECT_EQ(kept[0].node, node);
  EXPECT_FALSE(waiting.answered()) << "the kernel has not been told yet";
  kept.clear();
  const auto handle = Value(waiting).handle;
  EXPECT_EQ(GetAttributes(node).attributes.size_bytes, 5);
  EXPECT_EQ(GetAttributes(node, handle).attributes.size_bytes, 5);
  EXPECT_EQ(Read(node, handle), "truth");
  fs->Release(handle);
  OpenAsync(node);
  executor.RunAll();
  EXPECT_TRUE(kept.empty()) << "now the kernel believes in the truth";
}

TEST_F(InstancesTest, WithNobodyToTellOpenIsAnsweredAllTheSame) {
  AddInstance(sop, 500);
  SetBytes(sop, "truth");
  const auto node = LookupInstance(sop);
  fs->OnInvalidation({});
  const auto waiting = OpenAsync(node);
  executor.RunAll();
  EXPECT_TRUE(waiting.ok());
}

// The kernel answers reads of any handle of a node from the pages of all of them.
TEST_F(InstancesTest, NewContentGetsANodeOfItsOwnWhileTheOldIsOpen) {
  AddInstance(sop, 5);
  SetBytes(sop, "bytes");
  const auto node = LookupInstance(sop);
  const auto old = Open(node).handle;
  SetVersion("2021-01-01", 10, 1'000'000);
  catalog.Announce({study, {}, {}, {"1.2.3"}});
  executor.RunAll();
  EXPECT_EQ(GetAttributes(node).attributes.size_bytes, 5);
  SetBytes(sop, "longer bytes");
  EXPECT_EQ(OpenAsync(node).code(), Errc::kStale);
  const auto renewed = LookupInstance(sop);
  EXPECT_NE(renewed, node);
  EXPECT_EQ(GetAttributes(renewed).attributes.inode, GetAttributes(node).attributes.inode);
  const auto fresh = Open(renewed).handle;
  EXPECT_EQ(Read(renewed, fresh), "longer bytes");
  EXPECT_EQ(GetAttributes(renewed, fresh).attributes.size_bytes, 12);
  EXPECT_EQ(Read(node, old), "bytes");
  EXPECT_EQ(GetAttributes(node, old).attributes.size_bytes, 5);
  EXPECT_EQ(OpenAsync(node).code(), Errc::kStale) << "as long as the old content is open";
  fs->Release(old);
  EXPECT_EQ(Read(node, Open(node).handle), "longer bytes");
  EXPECT_EQ(LookupInstance(sop), renewed);
}

TEST_F(InstancesTest, AnUnchangedInstanceOfAChangedSeriesStaysOpen) {
  AddInstance(sop, 5);
  SetBytes(sop, "bytes");
  const auto node = LookupInstance(sop);
  const auto old = Open(node).handle;
  SetVersion("2021-01-01", 11, 1'100'000);
  catalog.Announce({study, {}, {}, {"1.2.3"}});
  EXPECT_TRUE(Open(node).keep_cache);
  EXPECT_EQ(Read(node, old), "bytes");
}

TEST_F(InstancesTest, AfterAChangeAndTheLastCloseTheAdvertisedSizeCounts) {
  AddInstance(sop, 5);
  SetBytes(sop, "bytes");
  const auto node = LookupInstance(sop);
  const auto handle = Open(node).handle;
  SetVersion("2021-01-01", 10, 1'000'000);
  AddInstance(sop, 77);
  catalog.Announce({study, {}, {}, {"1.2.3"}});
  EXPECT_EQ(GetAttributes(node).attributes.size_bytes, 5);
  fs->Release(handle);
  EXPECT_EQ(GetAttributes(node).attributes.size_bytes, 77);
}

TEST_F(InstancesTest, ABadBlockIsFetchedAgain) {
  AddInstance(sop, 5);
  const auto bad = SetBytes(sop, "bytes");
  const auto node = LookupInstance(sop);
  const auto handle = Open(node).handle;
  bad->corrupt = true;
  SetBytes(sop, "bytes");
  fetcher.hold = true;
  const auto waiting = ReadAsync(node, handle);
  EXPECT_FALSE(waiting.answered());
  fetcher.held.Release();
  EXPECT_EQ(BytesOf(Value(waiting)), "bytes");
  EXPECT_EQ(fetcher.acquires, 2);
  EXPECT_EQ(Read(node, handle), "bytes");
  EXPECT_EQ(fetcher.acquires, 2) << "the handle holds the new file";
}

TEST_F(InstancesTest, HandsOutTheFileOfAVerifiedInstance) {
  AddInstance(sop, 5);
  const auto file = SetCached(sop, "bytes");
  const auto node = LookupInstance(sop);
  const auto handle = Open(node).handle;
  const auto backing = fs->Backing(handle);
  ASSERT_TRUE(backing) << backing.error().message;
  EXPECT_EQ(backing->fd, *file->WholeFile(0));
  EXPECT_EQ(backing->file, file);
  EXPECT_EQ(fs->Backing(handle + 1).error().code, Errc::kInvalidArgument);
  fs->Release(handle);
  EXPECT_EQ(fs->Backing(handle).error().code, Errc::kInvalidArgument);
}

// Nobody would tell how far it is read.
TEST_F(InstancesTest, HandsOutNoFileOfASeriesToBeReadThrough) {
  SetVersion("2020-01-01", 1, 5);
  AddInstance(sop, 5);
  SetBytes(sop, "bytes");
  const auto node = LookupInstance(sop);
  const auto handle = Open(node).handle;
  EXPECT_EQ(fs->Backing(handle).error().code, Errc::kUnsupported);
  EXPECT_EQ(Read(node, handle), "bytes");
  EXPECT_TRUE(fs->Backing(handle));
}

TEST_F(InstancesTest, HandsOutNoFileThatMayStillProveWrong) {
  AddInstance(sop, 5);
  const auto file = SetCached(sop, "bytes");
  const auto handle = Open(LookupInstance(sop)).handle;
  file->series_verified = false;
  EXPECT_EQ(fs->Backing(handle).error().code, Errc::kUnsupported);
  file->series_verified = true;
  file->unverified_bytes = 1 << 20;
  EXPECT_TRUE(fs->Backing(handle)) << "so much is verified first";
  file->unverified_bytes = int64_t{1} << 30;
  EXPECT_EQ(fs->Backing(handle).error().code, Errc::kUnsupported) << "an open takes no second";
}

TEST_F(InstancesTest, ADamagedFileIsNotHandedOutButFetchedAgain) {
  AddInstance(sop, 5);
  const auto bad = SetCached(sop, "bytes");
  const auto node = LookupInstance(sop);
  const auto handle = Open(node).handle;
  bad->corrupt = true;
  const auto good = SetBytes(sop, "bytes");
  EXPECT_EQ(fs->Backing(handle).error().code, Errc::kCorrupt);
  EXPECT_EQ(Read(node, handle), "bytes");
  const auto backing = fs->Backing(handle);
  ASSERT_TRUE(backing);
  EXPECT_EQ(backing->file, good);
}

TEST_F(InstancesTest, AHandleOfReplacedContentHandsOutTheOldFile) {
  AddInstance(sop, 5);
  const auto old = SetCached(sop, "bytes");
  const auto node = LookupInstance(sop);
  const auto handle = Open(node).handle;
  SetVersion("2021-01-01", 10, 1'000'000);
  catalog.Announce({study, {}, {}, {"1.2.3"}});
  const auto replacement = SetCached(sop, "BYTES");
  EXPECT_EQ(OpenAsync(node).code(), Errc::kStale) << "the node has open handles";
  const auto new_node = LookupInstance(sop);
  ASSERT_NE(new_node, node) << "so that each node has one file";
  EXPECT_EQ(fs->Backing(Open(new_node).handle)->file, replacement);
  EXPECT_EQ(fs->Backing(handle)->file, old);
}

TEST_F(InstancesTest, ABadBlockOfReplacedContentIsStale) {
  AddInstance(sop, 5);
  const auto bad = SetBytes(sop, "bytes");
  const auto node = LookupInstance(sop);
  const auto handle = Open(node).handle;
  bad->corrupt = true;
  SetBytes(sop, "BYTES");
  EXPECT_EQ(ReadAsync(node, handle).code(), Errc::kStale);
  SetBytes(sop, "bytes", false);
  EXPECT_EQ(ReadAsync(node, handle).code(), Errc::kStale) << "what cannot be proved the same";
}

TEST_F(InstancesTest, ADiskThatKeepsSpoilingBlocksIsAnError) {
  AddInstance(sop, 5);
  const auto bad = SetBytes(sop, "bytes");
  const auto node = LookupInstance(sop);
  const auto handle = Open(node).handle;
  bad->corrupt = true;
  EXPECT_EQ(ReadAsync(node, handle).code(), Errc::kCorrupt);
  EXPECT_EQ(fetcher.acquires, 2);
  archive.clear();
  EXPECT_EQ(ReadAsync(node, handle).code(), Errc::kUnavailable);
}

TEST_F(InstancesTest, AHandleKeepsItsNodeAndItsFile) {
  AddInstance(sop, 5);
  std::weak_ptr<MemoryFile> file = SetBytes(sop, "bytes");
  const auto directory = LookupSeries();
  const auto node = Lookup(directory, sop + ".dcm").node;
  const auto handle = Open(node).handle;
  archive.clear();
  cache.Drop(key, source::SopUid(sop));
  fs->Forget(node, 1);
  EXPECT_EQ(Read(node, handle), "bytes");
  const auto reply = Value(ReadAsync(node, handle));
  fs->Release(handle);
  EXPECT_EQ(BytesOf(reply), "bytes") << "an answer keeps its file";
  EXPECT_EQ(fs->nodes(), 5u);
  fs->Release(handle);
}

TEST_F(InstancesTest, AnOpenThatEndsAfterTheEndIsCancelled) {
  AddInstance(sop, 5);
  SetBytes(sop, "bytes");
  const auto node = LookupInstance(sop);
  fetcher.hold = true;
  const auto waiting = OpenAsync(node);
  fs.reset();
  fetcher.held.Release();
  EXPECT_EQ(waiting.code(), Errc::kCancelled);
}

// A kernel that asks to open no files.
class UnopenedInstancesTest : public InstancesTest {
 protected:
  UnopenedInstancesTest() {
    options.files_are_opened = false;
    options.clock = &clock;
    Mount();
  }
  FakeClock clock;
};

TEST_F(UnopenedInstancesTest, TheFirstReadBringsItHere) {
  AddInstance(sop, 5);
  SetBytes(sop, "bytes");
  const auto node = LookupInstance(sop);
  EXPECT_EQ(Read(node, 0, 1, 2), "yt");
  EXPECT_EQ(fetcher.acquires, 1);
  cache.Drop(key, source::SopUid(sop));
  EXPECT_EQ(Read(node, 0), "bytes") << "it is still open";
  EXPECT_EQ(fetcher.acquires, 1);
  EXPECT_EQ(ReadAsync(vfs::kRootNode, 0).code(), Errc::kIsDirectory);
}

TEST_F(UnopenedInstancesTest, IsKeptOpenForAShortWhileAndNotForMany) {
  for (int i = 100; i < 200; ++i) {
    AddInstance("1.2.3." + std::to_string(i), 5);
    SetBytes("1.2.3." + std::to_string(i), "bytes");
  }
  const auto read = [&](int i) {
    EXPECT_EQ(Read(LookupInstance("1.2.3." + std::to_string(i)), 0), "bytes");
  };
  const std::weak_ptr<MemoryFile> first = archive[source::SopUid("1.2.3.100")];
  const auto let_go = [&](const std::weak_ptr<MemoryFile>& file, int i) {
    archive.erase(source::SopUid("1.2.3." + std::to_string(i)));
    cache.Drop(key, source::SopUid("1.2.3." + std::to_string(i)));
    return file.expired();
  };
  read(100);
  EXPECT_FALSE(let_go(first, 100));
  for (int i = 101; i < 190; ++i) read(i);
  EXPECT_TRUE(first.expired()) << "many others were read";
  const std::weak_ptr<MemoryFile> last = archive[source::SopUid("1.2.3.189")];
  EXPECT_FALSE(let_go(last, 189));
  clock.Advance(2'000);
  read(190);
  EXPECT_TRUE(last.expired()) << "it was read too long ago";
}

TEST_F(UnopenedInstancesTest, WhoWasToldAnotherSizeReadsNothing) {
  AddInstance(sop, 500);
  SetBytes(sop, "bytes");
  const auto node = LookupInstance(sop);
  EXPECT_EQ(ReadAsync(node, 0).code(), Errc::kStale);
  Waiting<vfs::AttributesReply> attributes;
  fs->GetAttributes(node, 0, {}, attributes.callback());
  EXPECT_EQ(ReadAsync(node, 0).code(), Errc::kStale) << "others may still believe in the old one";
  executor.RunAll();
  EXPECT_EQ(told.at(0).kind, Kind::kEntry);
  const auto entry = Lookup(LookupSeries(), sop + ".dcm");
  EXPECT_NE(entry.node, node);
  EXPECT_EQ(entry.attributes.size_bytes, 5);
  EXPECT_EQ(Read(entry.node, 0), "bytes");
}

TEST_F(UnopenedInstancesTest, AGuessedSizeIsNotTold) {
  AddInstance(sop);
  SetBytes(sop, "bytes");
  EXPECT_EQ(Lookup(LookupSeries(), sop + ".dcm").attributes.size_bytes, 5);
  EXPECT_EQ(fetcher.acquires, 1);
}

TEST_F(UnopenedInstancesTest, WhatWasReadBeforeAChangeIsNeverMixedWithTheNew) {
  AddInstance(sop, 5);
  SetBytes(sop, "bytes");
  const auto old = LookupInstance(sop);
  EXPECT_EQ(Read(old, 0), "bytes");
  SetVersion("2021-01-01", 10, 1'000'000);
  SetBytes(sop, "BYTES");
  catalog::Change change;
  change.directory = study;
  change.changed = {"1.2.3"};
  catalog.Announce(change);
  executor.RunAll();
  EXPECT_EQ(Read(old, 0), "bytes") << "while it is open";
  clock.Advance(2'000);
  EXPECT_EQ(ReadAsync(old, 0).code(), Errc::kStale);
  const auto renewed = LookupInstance(sop);
  EXPECT_NE(renewed, old);
  EXPECT_EQ(Read(renewed, 0), "BYTES");
  EXPECT_EQ(ReadAsync(old, 0).code(), Errc::kStale);
}

TEST_F(UnopenedInstancesTest, ReplacedWithoutAnnouncementTheNameIsLookedUpAgain) {
  AddInstance(sop, 5);
  SetBytes(sop, "bytes");
  const auto directory = LookupSeries();
  const auto node = Lookup(directory, sop + ".dcm").node;
  EXPECT_EQ(Read(node, 0), "bytes");
  clock.Advance(2'000);
  cache.Drop(key, source::SopUid(sop));
  SetBytes(sop, "BYTES");
  EXPECT_EQ(ReadAsync(node, 0).code(), Errc::kStale);
  executor.RunAll();
  EXPECT_EQ(told.back().kind, Kind::kEntry);
  EXPECT_EQ(told.back().node, directory);
  EXPECT_EQ(told.back().name, sop + ".dcm");
  EXPECT_EQ(Read(LookupInstance(sop), 0), "BYTES");
}

TEST_F(UnopenedInstancesTest, RefetchesABadBlock) {
  AddInstance(sop, 5);
  const auto bad = SetBytes(sop, "bytes");
  const auto node = LookupInstance(sop);
  EXPECT_EQ(Read(node, 0), "bytes");
  bad->corrupt = true;
  cache.Drop(key, source::SopUid(sop));
  SetBytes(sop, "bytes");
  EXPECT_EQ(Read(node, 0), "bytes");
  EXPECT_EQ(fetcher.acquires, 2);
}

TEST_F(InstancesTest, TheRecordOfASeriesIsReadOnceWhileItIsTheSame) {
  for (const char* one : {"1.2.3.4", "1.2.3.5"}) {
    AddInstance(one, 5);
    SetBytes(one, "bytes");
  }
  const int before = catalog.records_read;
  for (const char* one : {"1.2.3.4", "1.2.3.5"}) Open(LookupInstance(one));
  EXPECT_EQ(catalog.records_read, before + 1);
  SetVersion("2021-01-01", 10, 1'000'000);
  Open(LookupInstance("1.2.3.4"));
  EXPECT_EQ(catalog.records_read, before + 2);
}

TEST_F(InstancesTest, TheHeadGoesAheadAtTheFirstOpeningOnly) {
  const std::string bytes(cache::kInstanceHeadBytes + 5, 'h');
  AddInstance("1.2.3.4", static_cast<int64_t>(bytes.size()));
  const auto file = SetBytes("1.2.3.4", bytes);
  const auto node = LookupInstance("1.2.3.4");
  const auto opened = Open(node);
  EXPECT_TRUE(opened.first);
  const auto head = fs->Head(opened.handle);
  ASSERT_TRUE(head);
  EXPECT_EQ(BytesOf(*head), bytes.substr(0, cache::kInstanceHeadBytes));
  EXPECT_FALSE(Open(node).first) << "others may wait for its pages";
  fs->Release(opened.handle);
  EXPECT_FALSE(fs->Head(opened.handle)) << "no such handle";
}

TEST_F(InstancesTest, NoHeadGoesAheadOfASizeThatTheKernelDoesNotKnow) {
  AddInstance("1.2.3.4");     // a guess
  AddInstance("1.2.3.5", 4);  // wrong
  for (const char* one : {"1.2.3.4", "1.2.3.5"}) {
    SetBytes(one, "bytes");
    EXPECT_FALSE(Open(LookupInstance(one)).first) << one;
  }
}

}  // namespace
}  // namespace tciafs::testing
