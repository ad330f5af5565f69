// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// When an instance is handed on as a file, to somebody who will not ask again.
#include "unit/cache/cache_fixture.h"

namespace tciafs::cache {
namespace {

constexpr int64_t kNoLimit = int64_t{1} << 40;

class WholeFile : public CacheTest {
 protected:
  Result<int> Whole(const std::string& series, const std::string& sop,
                    int64_t unverified_bytes_max = kNoLimit) {
    TCIAFS_ASSIGN(const auto file, Open(series, sop));
    held_.push_back(file);
    return file->WholeFile(unverified_bytes_max);
  }
  static Errc CodeOf(const Result<int>& result) {
    return result ? Errc::kInternal : result.error().code;
  }
  void ExpectWhole(const Result<int>& fd, const std::string& series, const std::string& sop,
                   int64_t size_bytes) {
    ASSERT_TRUE(fd) << fd.error().message;
    std::string bytes(static_cast<size_t>(size_bytes) + 1, '\0');
    ASSERT_EQ(::pread(*fd, bytes.data(), bytes.size(), 0), size_bytes) << "and not a byte more";
    bytes.resize(static_cast<size_t>(size_bytes));
    EXPECT_EQ(bytes, AsText(Bytes(series, sop, size_bytes)));
  }
  void Damage(const std::string& series, const std::string& sop, int64_t offset) {
    const int fd = ::open(DataFile(series, sop).c_str(), O_RDWR);
    char byte = 0;
    ASSERT_EQ(::pread(fd, &byte, 1, offset), 1);
    byte = static_cast<char>(byte ^ 1);
    ASSERT_EQ(::pwrite(fd, &byte, 1, offset), 1);
    ::close(fd);
  }
  void TearDown() override { held_.clear(); }
  void LetGoAndReopen() {
    held_.clear();
    Reopen();
  }

  std::vector<std::shared_ptr<InstanceFile>> held_;
};

TEST_F(WholeFile, OnceTheSeriesIsVerified) {
  auto writer = cache_->BeginSeries({Key("1"), Version()});
  ASSERT_TRUE(writer);
  ASSERT_TRUE(Write(**writer, "1", "1.1", 5000));
  EXPECT_EQ(CodeOf(Whole("1", "1.1")), Errc::kUnsupported) << "it may yet be withdrawn";
  ASSERT_TRUE((*writer)->MarkVerified());
  ExpectWhole(Whole("1", "1.1", 0), "1", "1.1", 5000);
}

TEST_F(WholeFile, OfAnEarlierRunOnceAllOfItIsVerified) {
  constexpr int64_t kSize = 3 * kMiB + 7;
  ASSERT_TRUE(Fill("1", 1, kSize));
  LetGoAndReopen();
  EXPECT_EQ(CodeOf(Whole("1", "1.1", 0)), Errc::kUnsupported);
  EXPECT_EQ(CodeOf(Whole("1", "1.1", 3 * kMiB)), Errc::kUnsupported) << "four blocks";
  MustRead(*held_.back(), 0, 1);
  ExpectWhole(Whole("1", "1.1", 3 * kMiB), "1", "1.1", kSize);
  held_.clear();
  ExpectWhole(Whole("1", "1.1", 0), "1", "1.1", kSize);
}

TEST_F(WholeFile, NeverOfABadBlockAnywhere) {
  constexpr int64_t kSize = 2 * kMiB + 7;
  for (const int64_t offset : {int64_t{0}, kMiB + 5, kSize - 1}) {
    SCOPED_TRACE(offset);
    const std::string series = "1." + std::to_string(offset);
    ASSERT_TRUE(Fill(series, 2, kSize));
    LetGoAndReopen();
    Damage(series, "1.1", offset);
    EXPECT_EQ(CodeOf(Whole(series, "1.1")), Errc::kCorrupt);
    EXPECT_EQ(CodeOf(held_.back()->WholeFile(kNoLimit)), Errc::kUnsupported) << "withdrawn";
    EXPECT_FALSE(Has(series, "1.1"));
    EXPECT_EQ(CodeOf(Whole(series, "1.2")), Errc::kUnsupported) << "of a series that lacks one";
    ASSERT_TRUE(Fill(series, 2, kSize));
    ExpectWhole(Whole(series, "1.1"), series, "1.1", kSize);
  }
}

TEST_F(WholeFile, NeverOfAnotherLength) {
  ASSERT_TRUE(Fill("1", 1, 5000));
  ExpectWhole(Whole("1", "1.1"), "1", "1.1", 5000);
  ASSERT_EQ(::truncate(DataFile("1", "1.1").c_str(), 4999), 0);
  EXPECT_EQ(CodeOf(Whole("1", "1.1")), Errc::kCorrupt);
  EXPECT_FALSE(Has("1"));
}

TEST_F(WholeFile, NotOfWhatWasEvictedUnderItsReaders) {
  ASSERT_TRUE(Fill("1", 1, 5000));
  const auto before = Whole("1", "1.1");
  ASSERT_TRUE(cache_->Evict(Key("1")));
  EXPECT_EQ(CodeOf(held_.back()->WholeFile(kNoLimit)), Errc::kUnsupported);
  ExpectWhole(before, "1", "1.1", 5000);  // who has it keeps it
}

TEST_F(WholeFile, NotOfWhatIsHeldInMemory) {
  faults_.creates_fail = true;
  ASSERT_TRUE(Fill("1", 1, 5000));
  EXPECT_TRUE(cache_->usage().degraded);
  EXPECT_EQ(CodeOf(Whole("1", "1.1")), Errc::kUnsupported);
}

}  // namespace
}  // namespace tciafs::cache
