// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// ZipStream over any bytes: however they are cut and whichever inflater reads them, the same
// entries come out; an entry ends only with data whose CRC-32, computed by another library here, is
// the one told, and which the archive told too; the limits hold.
#include <zlib.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/fuzz.h"
#include "tciafs/zip/zip_stream.h"
#include "zip/inflater.h"

namespace tciafs::zip {
namespace {

constexpr ZipLimits kLimits = {.entries_max = 64,
                               .entry_bytes_max = 64 << 10,
                               .total_bytes_max = 150'000,
                               .name_bytes_max = 300};

uint32_t CrcOf(std::string_view data) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size()));
}

std::string LittleEndian(uint32_t number) {
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(number >> shift & 0xff);
  return bytes;
}

struct Entry {
  std::string name;
  std::string data;
  friend bool operator==(const Entry&, const Entry&) = default;
};

// Holds the parser to the order of its events and to its limits.
class Listener final : public ZipHandler {
 public:
  explicit Listener(std::string_view zip) : zip_(zip) {}

  Status OnEntryBegin(const std::string& name) override {
    FUZZ_REQUIRE(!open_);
    FUZZ_REQUIRE(name.size() <= kLimits.name_bytes_max);
    FUZZ_REQUIRE(++begun_ <= kLimits.entries_max);
    open_ = Entry{name, ""};
    return {};
  }
  Status OnEntryData(ByteView bytes) override {
    FUZZ_REQUIRE(open_);
    FUZZ_REQUIRE(!bytes.empty());
    total_bytes_ += bytes.size();
    FUZZ_REQUIRE(total_bytes_ <= kLimits.total_bytes_max);
    open_->data += AsText(bytes);
    FUZZ_REQUIRE(open_->data.size() <= kLimits.entry_bytes_max);
    return {};
  }
  Status OnEntryEnd(const EntryEnd& end) override {
    FUZZ_REQUIRE(open_);
    FUZZ_REQUIRE(end.size_bytes == open_->data.size());
    FUZZ_REQUIRE(end.crc32 == CrcOf(open_->data));
    FUZZ_REQUIRE(open_->data.empty() || zip_.find(LittleEndian(end.crc32)) != zip_.npos);
    ended.push_back(std::move(*open_));
    open_.reset();
    return {};
  }
  bool is_open() const { return open_.has_value(); }

  std::vector<Entry> ended;

 private:
  const std::string_view zip_;
  std::optional<Entry> open_;
  uint64_t begun_ = 0;
  uint64_t total_bytes_ = 0;
};

struct Reading {
  std::vector<Entry> ended;
  bool whole = false;
};

Reading Read(std::string_view zip, const std::vector<std::string_view>& pieces, InflaterKind kind) {
  Listener listener(zip);
  ZipStream stream(listener, kLimits, MakeInflater(kind));
  Status status;
  for (const std::string_view piece : pieces) {
    status = stream.Push(AsBytes(piece));
    if (!status) break;
  }
  const Status finished = stream.Finish();
  FUZZ_REQUIRE(status || !finished);
  if (!finished) {
    FUZZ_REQUIRE(finished.error().code == Errc::kCorrupt);
    FUZZ_REQUIRE(finished.error().message.size() < 400);
    FUZZ_REQUIRE(!stream.Push(AsBytes("PK")));  // after an error it stays failed
  }
  FUZZ_REQUIRE(stream.entries() == listener.ended.size());
  FUZZ_REQUIRE(!finished || !listener.is_open());
  return {std::move(listener.ended), finished.has_value()};
}

bool BeginTheSame(const std::vector<Entry>& a, const std::vector<Entry>& b) {
  return std::equal(a.begin(), a.begin() + static_cast<ptrdiff_t>(std::min(a.size(), b.size())),
                    b.begin());
}

}  // namespace
}  // namespace tciafs::zip

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tciafs::zip::InflaterKind;
  using tciafs::zip::Read;
  const auto zip = tciafs::fuzz::TextOf(data, size);
  const uint64_t seed = tciafs::fuzz::SeedOf(zip);
  const auto zlib = Read(zip, {zip}, InflaterKind::kZlib);
  const auto fastest = Read(zip, {zip}, InflaterKind::kFastest);
  for (const auto& pieces :
       {tciafs::fuzz::Pieces(zip, seed), tciafs::fuzz::Pieces(zip, seed + 1)}) {
    const auto zlib_in_pieces = Read(zip, pieces, InflaterKind::kZlib);
    FUZZ_REQUIRE(zlib_in_pieces.ended == zlib.ended && zlib_in_pieces.whole == zlib.whole);
    const auto fastest_in_pieces = Read(zip, pieces, InflaterKind::kFastest);
    FUZZ_REQUIRE(fastest_in_pieces.ended == fastest.ended);
    FUZZ_REQUIRE(fastest_in_pieces.whole == fastest.whole);
  }
  // Of a damaged stream one may read on a little further than the other, never differently.
  FUZZ_REQUIRE(tciafs::zip::BeginTheSame(zlib.ended, fastest.ended));
  FUZZ_REQUIRE(!zlib.whole || !fastest.whole || zlib.ended == fastest.ended);
  return 0;
}
