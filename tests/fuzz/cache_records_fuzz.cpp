// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The records of the cache's index and journal. Any bytes under any key are no record, unless their
// checksum says so; what a checksum vouches for decodes to nothing or to what encodes to the same
// meaning; what was stored is read back; one changed byte makes it no record; a damaged journal
// gives an unbroken beginning of what was written.
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "cache/index_records.h"
#include "cache/journal.h"
#include "fuzz/fuzz.h"
#include "tciafs/cache/disk_cache.h"

namespace tciafs::cache {
namespace {

// A disk with one file, in memory.
class OneFile final : public Disk {
 public:
  explicit OneFile(std::string bytes) : bytes_(std::move(bytes)) {}
  Result<UniqueFd> Create(const std::string&) override { return UniqueFd(); }
  Result<UniqueFd> Open(const std::string&) override { return UniqueFd(); }
  Status Write(int, int64_t offset, ByteView bytes) override {
    FUZZ_REQUIRE(offset == static_cast<int64_t>(bytes_.size()));
    bytes_ += AsText(bytes);
    return {};
  }
  Result<size_t> Read(int, int64_t offset, std::span<std::byte> into) override {
    const ByteView rest = AsBytes(bytes_).subspan(static_cast<size_t>(offset));
    const size_t count = std::min(rest.size(), into.size());
    std::copy_n(rest.begin(), count, into.begin());
    return count;
  }
  Result<int64_t> Size(int) override { return static_cast<int64_t>(bytes_.size()); }
  Status Truncate(int, int64_t) override { return {}; }
  Status Rename(const std::string&, const std::string&) override { return {}; }
  Status Remove(const std::string&) override { return {}; }
  Result<bool> MakeDirectory(const std::string&) override { return true; }
  Status RemoveDirectory(const std::string&) override { return {}; }
  Status SyncDirectory(const std::string&) override { return {}; }
  Result<std::vector<DiskEntry>> List(const std::string&) override {
    return std::vector<DiskEntry>();
  }
  Result<DiskSpace> Space(const std::string&) override { return DiskSpace{}; }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::string Sealed(std::string_view key, std::string_view body) {
  const uint64_t checksum = Xxh3(AsBytes(body), Xxh3(AsBytes(key)));
  std::string record(body);
  for (int shift = 0; shift < 64; shift += 8) record += static_cast<char>(checksum >> shift & 0xff);
  return record;
}

bool Same(const SeriesEntry& a, const SeriesEntry& b) {
  return a.key == b.key && a.version.timestamp == b.version.timestamp &&
         a.version.image_count == b.version.image_count &&
         a.version.total_bytes == b.version.total_bytes && a.pinned == b.pinned &&
         a.verified == b.verified && a.unsettled == b.unsettled && a.known == b.known &&
         a.present == b.present && a.disk_bytes == b.disk_bytes && a.last_use_ms == b.last_use_ms;
}
bool Same(const InstanceEntry& a, const InstanceEntry& b) {
  return a.present == b.present && a.size_bytes == b.size_bytes && a.md5_hex == b.md5_hex &&
         a.checksums == b.checksums;
}

void CheckInstance(std::string_view key, std::string_view value) {
  const auto entry = DecodeInstance(key, value);
  if (!entry) return;
  FUZZ_REQUIRE(entry->size_bytes >= 0 && entry->size_bytes <= kInstanceBytesMax);
  FUZZ_REQUIRE(entry->md5_hex.empty() || IsMd5Hex(entry->md5_hex));
  FUZZ_REQUIRE(entry->checksums.size() * 8 <= value.size());
  const auto again = DecodeInstance(key, EncodeInstance(key, *entry));
  FUZZ_REQUIRE(again && Same(*again, *entry));
}

void CheckSeries(std::string_view key, std::string_view value) {
  const auto entry = DecodeSeries(key, value);
  if (!entry) return;
  FUZZ_REQUIRE(SeriesIdOf(entry->key) == key);
  FUZZ_REQUIRE(entry->known >= 0 && entry->present >= 0 && entry->disk_bytes >= 0);
  const auto again = DecodeSeries(key, EncodeSeries(*entry));
  FUZZ_REQUIRE(again && Same(*again, *entry));
}

void CheckAnyBytes(std::string_view input) {
  fuzz::Reader in(input);
  const std::string key = in.Text();
  const std::string body(in.Rest());
  CheckSeries(key, body);
  CheckInstance(key, body);
  CheckInstance(key, Sealed(key, body));
  // A series stands under the key its own text gives.
  fuzz::Reader series(body);
  series.Number(2);
  const std::string scope = series.Text();
  const SeriesId id = SeriesIdOf({scope, source::SeriesUid(series.Text())});
  CheckSeries(id, Sealed(id, body));
}

InstanceEntry ReadInstance(fuzz::Reader& in) {
  InstanceEntry entry;
  entry.present = in.Bool();
  entry.size_bytes = static_cast<int64_t>(in.Number(3));
  if (in.Bool()) entry.md5_hex = "0123456789abcdef0123456789abcdef";
  if (entry.present)
    for (int64_t i = 0; i < BlockCount(entry.size_bytes); ++i)
      entry.checksums.push_back(in.Number());
  return entry;
}

SeriesEntry ReadSeries(fuzz::Reader& in) {
  SeriesEntry entry;
  entry.key = {in.Text(), source::SeriesUid(in.Text(kUidBytesMax))};
  entry.version = {in.Text(kTimestampBytesMax), static_cast<int64_t>(in.Number()),
                   static_cast<int64_t>(in.Number())};
  entry.pinned = in.Bool();
  entry.verified = in.Bool();
  entry.unsettled = in.Bool();
  for (int64_t* count : {&entry.known, &entry.present, &entry.disk_bytes})
    *count = static_cast<int64_t>(in.Number() >> 1);
  entry.last_use_ms = static_cast<int64_t>(in.Number() >> 2);  // what is larger is refused
  return entry;
}

void CheckValues(std::string_view input) {
  fuzz::Reader in(input);
  const uint64_t choice = in.Number();
  const SeriesEntry series = ReadSeries(in);
  const SeriesId id = SeriesIdOf(series.key);
  FUZZ_REQUIRE(id.size() == kSeriesIdBytes);
  std::string record = EncodeSeries(series);
  const auto decoded = DecodeSeries(id, record);
  FUZZ_REQUIRE(decoded && Same(*decoded, series));
  const source::SopUid sop("1.2.3");
  const std::string key = InstanceKey(id, sop);
  FUZZ_REQUIRE(SopOfKey(key) == sop);
  const InstanceEntry instance = ReadInstance(in);
  std::string instance_record = EncodeInstance(key, instance);
  const auto read = DecodeInstance(key, instance_record);
  FUZZ_REQUIRE(read && Same(*read, instance));
  FUZZ_REQUIRE(!DecodeInstance(key + "4", instance_record));
  for (std::string* damaged : {&record, &instance_record}) {
    char& byte = (*damaged)[choice % damaged->size()];
    byte = static_cast<char>(byte ^ (1 + choice / 1000 % 255));
  }
  FUZZ_REQUIRE(!DecodeSeries(id, record));
  FUZZ_REQUIRE(!DecodeInstance(key, instance_record));
}

InstanceList Replayed(const SeriesId& series, const std::string& bytes) {
  OneFile disk(bytes);
  auto list = Journal::Replay(disk, "journal", series);
  FUZZ_REQUIRE(list);
  return *std::move(list);
}

void CheckJournal(std::string_view input) {
  fuzz::Reader in(input);
  const SeriesId series = SeriesIdOf({"scope", source::SeriesUid("1.2")});
  const uint64_t choice = in.Number();
  OneFile disk("");
  auto journal = Journal::Create(disk, "journal", series);
  FUZZ_REQUIRE(journal);
  InstanceList written;
  std::vector<size_t> ends;
  for (int i = 0; i < 8 && !in.empty(); ++i) {
    const std::string name = in.Text(kUidBytesMax);
    const source::SopUid sop(name.empty() ? "1" : name);
    const InstanceEntry entry = ReadInstance(in);
    FUZZ_REQUIRE(journal->Append(Journal::Record(series, sop, entry)));
    written.emplace_back(sop, entry);
    ends.push_back(disk.bytes().size());
  }
  const auto is_beginning = [&](const InstanceList& list, size_t records) {
    return list.size() == records &&
           std::equal(list.begin(), list.end(), written.begin(), [](const auto& a, const auto& b) {
             return a.first == b.first && Same(a.second, b.second);
           });
  };
  FUZZ_REQUIRE(is_beginning(Replayed(series, disk.bytes()), written.size()));
  if (written.empty()) return;
  // Cut or changed anywhere: what lies before is read, nothing from there on.
  const size_t at = choice % disk.bytes().size();
  const auto whole_before = static_cast<size_t>(
      std::count_if(ends.begin(), ends.end(), [at](size_t end) { return end <= at; }));
  FUZZ_REQUIRE(is_beginning(Replayed(series, disk.bytes().substr(0, at)), whole_before));
  std::string changed = disk.bytes();
  changed[at] = static_cast<char>(changed[at] ^ (1 + choice / 100'000 % 255));
  FUZZ_REQUIRE(is_beginning(Replayed(series, changed), whole_before));
}

}  // namespace
}  // namespace tciafs::cache

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = tciafs::fuzz::TextOf(data, size);
  tciafs::cache::CheckAnyBytes(input);
  tciafs::cache::CheckValues(input);
  tciafs::cache::CheckJournal(input);
  (void)tciafs::cache::Replayed(std::string(16, 's'), std::string(input));
  return 0;
}
