// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A cache in a directory of the test's own, and instances whose bytes follow from their names, so
// that any range can be checked without keeping it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cache/layout.h"
#include "cache/opening.h"
#include "support/fakes.h"
#include "unit/cache/faulty_disk.h"

namespace tciafs::cache {

constexpr int64_t kMiB = int64_t{1} << 20;

// Commits wait for the disk, which these tests have no need of.
inline const bool kTemporaryFilesInMemory =
    ::access("/dev/shm", W_OK) == 0 && ::setenv("TMPDIR", "/dev/shm", /*overwrite=*/0) == 0;

inline std::vector<std::byte> PatternBytes(const std::string& seed, int64_t size_bytes) {
  uint64_t state = std::hash<std::string>{}(seed) | 1;
  std::vector<std::byte> bytes(static_cast<size_t>(size_bytes));
  for (size_t at = 0; at < bytes.size(); at += sizeof state) {
    state = (state ^ state >> 29) * 6364136223846793005u + 1442695040888963407u;
    std::memcpy(&bytes[at], &state, std::min(sizeof state, bytes.size() - at));
  }
  return bytes;
}

inline SeriesKey Key(const std::string& series, const std::string& scope = "server|guest") {
  return {scope, source::SeriesUid(series)};
}
inline source::SopUid Sop(const std::string& uid) { return source::SopUid(uid); }
inline source::SeriesVersion Version(const std::string& timestamp = "2020-01-01",
                                     int64_t image_count = -1, int64_t total_bytes = -1) {
  return {timestamp, image_count, total_bytes};
}

inline std::string MustRead(InstanceFile& file, int64_t offset, int64_t size_bytes) {
  const auto range = file.Read(offset, size_bytes);
  if (!range) return "error: " + range.error().message;
  std::string bytes(static_cast<size_t>(range->size_bytes), '\0');
  const ssize_t got = ::pread(range->fd, bytes.data(), bytes.size(), range->offset);
  return got == static_cast<ssize_t>(bytes.size()) ? bytes : "short read";
}

// What the directory takes by the rules of the cache: the index by its blocks, all else in units.
inline int64_t MeasuredBytes(const std::string& directory) {
  namespace fs = std::filesystem;
  int64_t total = kDiskUnitBytes;
  std::error_code gone;
  for (fs::recursive_directory_iterator at(directory, gone), end; !gone && at != end;
       at.increment(gone)) {
    struct stat info {};
    if (::lstat(at->path().c_str(), &info) != 0) continue;
    if (S_ISDIR(info.st_mode)) {
      int64_t instances = 0;
      for (fs::directory_iterator in(at->path(), gone), last; !gone && in != last;
           in.increment(gone))
        instances += in->path().extension() == ".dcm" ? 1 : 0;
      total += DirectoryBytes(instances);
    } else if (at->path().extension() == ".mdb" && at->path().parent_path().filename() == "index") {
      total += int64_t{info.st_blocks} * 512;
    } else {
      total += OnDiskBytes(info.st_size);
    }
  }
  return total;
}

class CacheTest : public ::testing::Test {
 protected:
  CacheTest() {
    options_.directory = temp_.File("cache");
    options_.cap_bytes = 64 * kMiB;
  }
  Result<std::unique_ptr<BlockCache>> TryOpen() {
    return OpenDiskCacheOn(std::make_unique<FaultyDisk>(faults_), options_, clock_);
  }
  void Reopen() {
    cache_.reset();
    auto opened = TryOpen();
    ASSERT_TRUE(opened) << opened.error().message;
    cache_ = std::move(*opened);
  }
  void SetUp() override { Reopen(); }

  static std::vector<std::byte> Bytes(const std::string& series, const std::string& sop,
                                      int64_t size_bytes) {
    return PatternBytes(series + "/" + sop, size_bytes);
  }
  Status Write(SeriesWriter& writer, const std::string& series, const std::string& sop,
               int64_t size_bytes, const std::string& md5_hex = "") {
    TCIAFS_ASSIGN(auto instance, writer.BeginInstance(Sop(sop)));
    TCIAFS_TRY(instance->Append(Bytes(series, sop, size_bytes)));
    TCIAFS_TRY(instance->Publish(md5_hex));
    return {};
  }
  // A series of instances "1.1", "1.2", ... of one size.
  Status Fill(const std::string& series, int count, int64_t size_bytes,
              const source::SeriesVersion& version = Version()) {
    TCIAFS_ASSIGN(auto writer, cache_->BeginSeries({Key(series), version}));
    for (int i = 1; i <= count; ++i)
      TCIAFS_TRY(Write(*writer, series, "1." + std::to_string(i), size_bytes));
    return writer->MarkVerified();
  }
  Result<std::shared_ptr<InstanceFile>> Open(const std::string& series, const std::string& sop) {
    return cache_->Open(Key(series), Version(), Sop(sop));
  }
  bool Has(const std::string& series, const std::string& sop = "1.1") {
    return Open(series, sop).has_value();
  }
  void ExpectBytes(InstanceFile& file, const std::string& series, const std::string& sop) {
    const auto expected = Bytes(series, sop, file.size_bytes());
    EXPECT_EQ(MustRead(file, 0, file.size_bytes()), AsText(expected)) << series << "/" << sop;
  }
  std::string DataFile(const std::string& series, const std::string& sop) const {
    return Layout(options_.directory).SeriesDirectory(SeriesIdOf(Key(series))) + "/" +
           InstanceFileName(Sop(sop));
  }
  void ExpectAccountsRight() {
    EXPECT_EQ(cache_->usage().used_bytes, MeasuredBytes(options_.directory));
    EXPECT_EQ(cache_->usage().reserved_bytes, 0);
  }

  testing::TempDirectory temp_;
  testing::FakeClock clock_;
  Faults faults_;
  CacheOptions options_;
  std::unique_ptr<BlockCache> cache_;
};

}  // namespace tciafs::cache
