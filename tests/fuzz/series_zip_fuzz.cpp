// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A series as it is downloaded, over any bytes: the sink is told of instances one after the other
// and each once; one that ends is intact, which the archive's own CRC says, and is the file whose
// head names it; however the body is cut, the same comes of it; a sink that has enough is asked for
// no more.
#include <zlib.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/fuzz.h"
#include "nbia/md5_list.h"
#include "nbia/row_mapping.h"
#include "nbia/series_zip_reader.h"
#include "tciafs/dicom/head.h"

namespace tciafs::nbia {
namespace {

class Sink final : public source::SeriesSink {
 public:
  Sink(std::string_view zip, int calls_until_full)
      : zip_(zip), calls_until_full_(calls_until_full) {}

  Status BeginInstance(const source::SopUid& sop) override {
    FUZZ_REQUIRE(!open_ && IsUid(sop.text()));
    open_ = sop.text();
    data_.clear();
    return Count();
  }
  Status Data(ByteView bytes) override {
    FUZZ_REQUIRE(open_ && !bytes.empty());
    data_ += AsText(bytes);
    return Count();
  }
  Status EndInstance() override {
    FUZZ_REQUIRE(open_);
    const auto found = dicom::FindSopInstanceUid(AsBytes(data_), true);
    FUZZ_REQUIRE(found && *found == open_);
    const auto crc = static_cast<uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(data_.data()), data_.size()));
    std::string told;
    for (int shift = 0; shift < 32; shift += 8) told += static_cast<char>(crc >> shift & 0xff);
    FUZZ_REQUIRE(zip_.find(told) != zip_.npos);
    ended.insert_or_assign(*std::exchange(open_, std::nullopt), std::move(data_));
    return Count();
  }
  void ExpectMd5(const source::SopUid& sop, const std::string& md5_hex) override {
    FUZZ_REQUIRE(ended.contains(sop.text()) || open_ == sop.text());
    FUZZ_REQUIRE(CanonicalMd5(md5_hex) == md5_hex);
    md5[sop.text()] = md5_hex;
  }
  void Done(Status) override { FUZZ_REQUIRE(false); }  // not the reader's to say

  bool is_open() const { return open_.has_value(); }
  bool is_full() const { return calls_until_full_ == 0; }

  std::map<std::string, std::string> ended;
  std::map<std::string, std::string> md5;

 private:
  Status Count() {
    FUZZ_REQUIRE(!is_full());
    if (calls_until_full_ < 0 || --calls_until_full_ > 0) return {};
    return Fail(Errc::kNoSpace, "full");
  }

  const std::string_view zip_;
  int calls_until_full_;  // negative: never
  std::optional<std::string> open_;
  std::string data_;
};

struct Outcome {
  std::map<std::string, std::string> ended;
  std::map<std::string, std::string> md5;
  Errc error = Errc::kNotFound;  // of a success
  size_t instances = 0;
  bool md5_list_complete = false;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome Read(std::string_view zip, const std::vector<std::string_view>& pieces,
             int calls_until_full) {
  auto sink = std::make_shared<Sink>(zip, calls_until_full);
  SeriesZipReader reader({"archive.example", "v4/getImage", Question::Kind::kSeriesImages},
                         source::SeriesUid("1.2"), sink);
  reader.Begin();
  Status status;
  for (const std::string_view piece : pieces) {
    status = reader.Read(AsBytes(piece));
    if (!status) break;
  }
  if (status) status = reader.End();
  Outcome outcome;
  if (!status) {
    outcome.error = status.error().code;
    FUZZ_REQUIRE(outcome.error == Errc::kCorrupt || outcome.error == Errc::kUnavailable ||
                 (sink->is_full() && outcome.error == Errc::kNoSpace));
    FUZZ_REQUIRE(status.error().message.find('\n') == std::string::npos);
  }
  FUZZ_REQUIRE(!status || !sink->is_open());
  FUZZ_REQUIRE(!sink->is_full() || outcome.error == Errc::kNoSpace);
  FUZZ_REQUIRE(reader.instances() >= sink->ended.size());
  outcome.ended = sink->ended;
  outcome.md5 = sink->md5;
  outcome.instances = reader.instances();
  outcome.md5_list_complete = reader.md5_list_complete();
  return outcome;
}

}  // namespace
}  // namespace tciafs::nbia

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tciafs::nbia::Read;
  const auto zip = tciafs::fuzz::TextOf(data, size);
  const uint64_t seed = tciafs::fuzz::SeedOf(zip);
  const auto whole = Read(zip, {zip}, -1);
  auto pieces = tciafs::fuzz::Pieces(zip, seed);
  auto in_pieces = Read(zip, pieces, -1);
  // Whether damage shows in the middle or only at the end depends on the pieces.
  using tciafs::Errc;
  if (whole.error == Errc::kCorrupt || whole.error == Errc::kUnavailable) {
    FUZZ_REQUIRE(in_pieces.error == Errc::kCorrupt || in_pieces.error == Errc::kUnavailable);
    in_pieces.error = whole.error;
    in_pieces.instances = whole.instances;  // of the one that was cut
  }
  FUZZ_REQUIRE(in_pieces == whole);
  (void)Read(zip, pieces, 1 + static_cast<int>(seed % 7));
  return 0;
}
