// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "dicom_tags.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <optional>

namespace tciafs::archive {
namespace {

constexpr uint32_t kUndefinedLength = 0xffffffff;
constexpr size_t kValueMax = 4096;        // longer values are not ours
constexpr int kDepthMax = 32;             // of sequences in sequences
constexpr size_t kInflatedMax = 4 << 20;  // of a deflated data set's beginning

constexpr uint32_t kItem = 0xfffee000;
constexpr uint32_t kItemEnd = 0xfffee00d;
constexpr uint32_t kSequenceEnd = 0xfffee0dd;

struct Syntax {
  bool explicit_vr = true;
  bool big_endian = false;
};

bool IsWanted(uint32_t tag) {
  constexpr std::array<uint32_t, 25> kWanted = {
      tags::kTransferSyntax,    tags::kSopClass,   tags::kSopInstance,  tags::kStudyDate,
      tags::kSeriesDate,        tags::kModality,   tags::kManufacturer, tags::kStudyDescription,
      tags::kSeriesDescription, tags::kModel,      tags::kPatientName,  tags::kPatientId,
      tags::kPatientSex,        tags::kPatientAge, tags::kEthnicGroup,  tags::kBodyPart,
      tags::kSliceThickness,    tags::kSoftware,   tags::kProtocol,     tags::kStudyUid,
      tags::kSeriesUid,         tags::kStudyId,    tags::kSeriesNumber, tags::kInstanceNumber,
      tags::kPixelSpacing};
  return std::find(kWanted.begin(), kWanted.end(), tag) != kWanted.end();
}

std::string Unpadded(std::string_view value) {
  const size_t last = value.find_last_not_of(std::string_view(" \0", 2));
  value = value.substr(0, last == std::string_view::npos ? 0 : last + 1);
  const size_t first = value.find_first_not_of(' ');
  return std::string(first == std::string_view::npos ? std::string_view() : value.substr(first));
}

class DataSetReader {
 public:
  DataSetReader(std::string_view bytes, Syntax syntax) : bytes_(bytes), syntax_(syntax) {}

  // Collects wanted tags until one lies beyond `last` or the bytes end.
  void Collect(uint32_t last, TagValues& values) {
    while (const auto element = ReadHead()) {
      if (element->tag > last) {
        position_ = element->start;
        return;
      }
      if (element->length == kUndefinedLength) {
        if (!SkipSequence(0)) return;
        continue;
      }
      if (element->length > bytes_.size() - position_) return;
      if (element->length <= kValueMax && IsWanted(element->tag))
        values[element->tag] = Unpadded(bytes_.substr(position_, element->length));
      position_ += element->length;
    }
  }
  size_t position() const { return position_; }

 private:
  struct Element {
    size_t start;
    uint32_t tag;
    uint32_t length;
  };

  std::optional<uint32_t> ReadNumber(size_t size) {
    if (bytes_.size() - position_ < size) return std::nullopt;
    uint32_t number = 0;
    for (size_t i = 0; i < size; ++i) {
      const size_t at = position_ + (syntax_.big_endian ? i : size - 1 - i);
      number = number << 8 | static_cast<unsigned char>(bytes_[at]);
    }
    position_ += size;
    return number;
  }

  std::optional<Element> ReadHead() {
    const size_t start = position_;
    const auto group = ReadNumber(2);
    const auto number = group ? ReadNumber(2) : std::nullopt;
    if (!number) return std::nullopt;
    const uint32_t tag = *group << 16 | *number;
    const auto length = ReadLength(*group == 0xfffe);
    if (!length) return std::nullopt;
    return Element{start, tag, *length};
  }

  std::optional<uint32_t> ReadLength(bool is_delimiter) {
    if (!syntax_.explicit_vr || is_delimiter) return ReadNumber(4);
    if (bytes_.size() - position_ < 2) return std::nullopt;
    const std::string_view vr = bytes_.substr(position_, 2);
    position_ += 2;
    constexpr std::array<std::string_view, 13> kLong = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ",
                                                        "SV", "UC", "UN", "UR", "UT", "UV"};
    if (std::find(kLong.begin(), kLong.end(), vr) == kLong.end()) return ReadNumber(2);
    if (!ReadNumber(2)) return std::nullopt;
    return ReadNumber(4);
  }

  // Behind the head of a sequence of undefined length: to behind its end.
  bool SkipSequence(int depth) {
    if (depth >= kDepthMax) return false;
    for (;;) {
      const auto item = ReadHead();
      if (!item) return false;
      if (item->tag == kSequenceEnd) return true;
      if (item->tag != kItem) return false;
      if (item->length == kUndefinedLength) {
        if (!SkipItem(depth)) return false;
      } else if (!Skip(item->length)) {
        return false;
      }
    }
  }

  bool SkipItem(int depth) {
    for (;;) {
      const auto element = ReadHead();
      if (!element) return false;
      if (element->tag == kItemEnd) return true;
      if (element->length == kUndefinedLength) {
        if (!SkipSequence(depth + 1)) return false;
      } else if (!Skip(element->length)) {
        return false;
      }
    }
  }

  bool Skip(size_t length) {
    if (length > bytes_.size() - position_) return false;
    position_ += length;
    return true;
  }

  std::string_view bytes_;
  Syntax syntax_;
  size_t position_ = 0;
};

// As much as comes out of it, up to the limit: the head is cut off anywhere.
std::string InflateRaw(std::string_view compressed) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return {};
  std::string inflated(kInflatedMax, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  stream.next_out = reinterpret_cast<Bytef*>(inflated.data());
  stream.avail_out = static_cast<uInt>(inflated.size());
  inflate(&stream, Z_SYNC_FLUSH);
  inflated.resize(inflated.size() - stream.avail_out);
  inflateEnd(&stream);
  return inflated;
}

}  // namespace

Result<TagValues> ReadDicomTags(std::string_view head) {
  if (head.size() < kPreambleBytes + 4 || head.substr(kPreambleBytes, 4) != "DICM")
    return Fail(Errc::kCorrupt, "no DICOM preamble");
  head.remove_prefix(kPreambleBytes + 4);
  TagValues values;
  DataSetReader meta(head, Syntax{});
  meta.Collect(0x0002ffff, values);
  const std::string syntax = values[tags::kTransferSyntax];
  head.remove_prefix(meta.position());
  if (syntax == "1.2.840.10008.1.2.1.99") {
    const std::string inflated = InflateRaw(head);
    DataSetReader(inflated, Syntax{}).Collect(tags::kLast, values);
    return values;
  }
  const Syntax data_set = {.explicit_vr = syntax != "1.2.840.10008.1.2",
                           .big_endian = syntax == "1.2.840.10008.1.2.2"};
  DataSetReader(head, data_set).Collect(tags::kLast, values);
  return values;
}

}  // namespace tciafs::archive
