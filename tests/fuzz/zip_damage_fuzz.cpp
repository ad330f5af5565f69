// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A well-formed zip of known entries, hurt in one place: a byte changed, a piece left out, come
// twice, or put in, the end cut off. Whatever ends well is one of the entries, byte for byte; and a
// zip that is whole to its end has them all, each once and in order. Undamaged, all is read.
#include <string>
#include <utility>
#include <vector>

#include "fuzz/fuzz.h"
#include "support/zip_writer.h"
#include "tciafs/zip/zip_stream.h"
#include "zip/inflater.h"

namespace tciafs::zip {
namespace {

class Collector final : public ZipHandler {
 public:
  Status OnEntryBegin(const std::string&) override {
    open_.clear();
    return {};
  }
  Status OnEntryData(ByteView bytes) override {
    open_ += AsText(bytes);
    return {};
  }
  Status OnEntryEnd(const EntryEnd&) override {
    ended.push_back(std::exchange(open_, ""));
    return {};
  }
  std::vector<std::string> ended;

 private:
  std::string open_;
};

testing::ZipEntryOptions OptionsFrom(uint8_t byte, bool is_empty) {
  testing::ZipEntryOptions options;
  options.stored = (byte & 1) != 0;
  options.has_descriptor = (byte & 2) != 0 && !(options.stored && is_empty);
  options.has_descriptor_signature = (byte & 4) == 0;
  options.is_descriptor_wide = (byte & 8) != 0;
  options.has_zip64_field = (byte & 16) != 0;
  // A stored entry without sizes cannot be read from a stream.
  options.are_sizes_in_header = options.stored && options.has_descriptor;
  return options;
}

struct Damage {
  uint8_t kind = 0;
  size_t at = 0;
  size_t size = 0;
  char byte = 0;
};

std::string Damaged(std::string zip, const Damage& damage) {
  const size_t at = damage.at % zip.size();
  switch (damage.kind % 6) {
    case 0:
      return zip;
    case 1:
      zip[at] = static_cast<char>(zip[at] ^ (damage.byte == 0 ? 1 : damage.byte));
      return zip;
    case 2:
      return zip.erase(at, 1 + damage.size);
    case 3:
      return zip.insert(at, zip.substr(at, 1 + damage.size));
    case 4:
      return zip.insert(at, 1, damage.byte);
    default:
      zip.resize(at);
      return zip;
  }
}

void Check(fuzz::Reader& in) {
  const Damage damage = {in.Byte(), in.Number(3), in.Number(1), static_cast<char>(in.Byte())};
  testing::ZipEndOptions end;
  end.zip64 = in.Bool();
  testing::ZipWriter writer;
  std::vector<std::string> contents;
  do {
    const uint8_t form = in.Byte();
    std::string content = in.Text(600);
    if (in.Bool()) content.insert(0, content.size() * 9, content.empty() ? ' ' : content[0]);
    writer.Add("entry-" + std::to_string(contents.size()), content,
               OptionsFrom(form, content.empty()));
    contents.push_back(std::move(content));
  } while (!in.empty() && contents.size() < 8);
  const std::string zip = Damaged(writer.Finish(end), damage);
  const bool is_damaged = zip != writer.Finish(end);

  for (const InflaterKind kind : {InflaterKind::kZlib, InflaterKind::kFastest}) {
    Collector collector;
    ZipStream stream(collector, ZipLimits(), MakeInflater(kind));
    Status status;
    for (const auto piece : fuzz::Pieces(zip, fuzz::SeedOf(zip)))
      if (status = stream.Push(AsBytes(piece)); !status) break;
    const bool whole = stream.Finish().has_value();
    FUZZ_REQUIRE(whole || is_damaged);
    for (const std::string& content : collector.ended)
      FUZZ_REQUIRE(std::find(contents.begin(), contents.end(), content) != contents.end());
    FUZZ_REQUIRE(!whole || collector.ended == contents);
  }
}

}  // namespace
}  // namespace tciafs::zip

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tciafs::fuzz::Reader in(tciafs::fuzz::TextOf(data, size));
  tciafs::zip::Check(in);
  return 0;
}
