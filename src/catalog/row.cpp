// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/row.h"

#include <algorithm>
#include <iterator>
#include <unordered_map>

#include "catalog/encoding.h"
#include "tciafs/util/hash.h"

namespace tciafs::catalog {
namespace {

constexpr uint8_t kRowFormat = 1;

enum HeadFlag : uint8_t {
  kHasModified = 1,
  kHasSize = 2,
  kHasVersion = 4,
  kIsMissing = 8,
  kFlagsKnown = kHasModified | kHasSize | kHasVersion | kIsMissing,
};

enum ValueKind : uint64_t { kLiteral = 0, kShared = 1, kPathId = 2 };
constexpr uint64_t kNumberBit = 4;
constexpr int kKindBits = 3;

constexpr size_t kSharedKeyBytes = 8;
constexpr size_t kSharedBytesMin = 16;  // below, a reference saves nothing worth a second look-up

struct KnownName {
  std::string_view name;
  bool shared = false;       // long values recur over many rows
  bool study_level = false;  // says nothing of the single series
};

// The code of a name is its place here plus one, and is on disk: append only, or raise kRowFormat.
constexpr KnownName kKnownNames[] = {
    {"SeriesInstanceUID"},
    {"StudyInstanceUID", false, true},
    {"Collection", false, true},
    {"PatientID", false, true},
    {"Modality"},
    {"ProtocolName"},
    {"SeriesDate"},
    {"SeriesDescription"},
    {"BodyPartExamined"},
    {"SeriesNumber"},
    {"AnnotationsFlag"},
    {"Site", true, true},
    {"PatientSex", false, true},
    {"PatientAge", false, true},
    {"AdmittingDiagnosisDescription", false, true},
    {"Manufacturer", true},
    {"ManufacturerModelName", true},
    {"SoftwareVersions", true},
    {"ImageCount"},
    {"TimeStamp"},
    {"MaxSubmissionTimestamp"},
    {"LicenseName", true},
    {"LicenseURI", true},
    {"CollectionURI", true},
    {"DataDescriptionURI", true},
    {"FileSize"},
    {"ReleasedStatus"},
    {"DateReleased"},
    {"StudyDesc", false, true},
    {"StudyDescription", false, true},
    {"StudyDate", false, true},
    {"ThirdPartyAnalysis"},
    {"Authorized"},
    {"PatientName", false, true},
    {"PatientBirthDate", false, true},
    {"EthnicGroup", false, true},
    {"SpeciesCode", true, true},
    {"SpeciesDescription", true, true},
    {"Phantom", false, true},
    {"StudyID", false, true},
    {"LongitudinalTemporalEventType", false, true},
    {"LongitudinalTemporalOffsetFromEvent", false, true},
    {"SeriesCount", false, true},
    {"AdmittingDiagnosesDescription", false, true},
};
static_assert(std::size(kKnownNames) < 255);

// 0 if it is not known.
uint8_t CodeOf(std::string_view name) {
  static const auto codes = [] {
    std::unordered_map<std::string_view, uint8_t> by_name;
    for (const auto& known : kKnownNames)
      by_name.emplace(known.name, static_cast<uint8_t>(by_name.size() + 1));
    return by_name;
  }();
  const auto found = codes.find(name);
  return found == codes.end() ? uint8_t{0} : found->second;
}

std::array<std::string_view, 4> PathIds(const ObjectPath& path) {
  return {path.collection.text(), path.patient.text(), path.study.text(), path.series.text()};
}

std::string SharedKey(std::string_view text, uint64_t seed) {
  const uint64_t hash = Xxh3(AsBytes(text), seed);
  std::string key;
  for (int shift = 56; shift >= 0; shift -= 8) key += static_cast<char>(hash >> shift & 0xff);
  return key;
}

void EncodeValue(Encoder& out, const source::Attribute& attribute, uint8_t code,
                 const std::array<std::string_view, 4>& ids, uint64_t seed, SharedTexts& shared) {
  const std::string_view value =
      std::string_view(attribute.value).substr(0, kAttributeValueBytesMax);
  const auto head = [&](uint64_t n, ValueKind kind) {
    out.Unsigned(n << kKindBits | (attribute.is_number ? kNumberBit : 0) | kind);
  };
  const auto* id = std::find(ids.begin(), ids.end(), value);
  if (!value.empty() && id != ids.end()) {
    head(static_cast<uint64_t>(id - ids.begin()), kPathId);
    return;
  }
  if (code != 0 && kKnownNames[code - 1].shared && value.size() >= kSharedBytesMin) {
    std::string key = SharedKey(value, seed);
    const auto known = shared.try_emplace(std::move(key), value).first;
    if (known->second == value) {
      head(0, kShared);
      out.Raw(known->first);
      return;
    }
  }
  head(value.size(), kLiteral);
  out.Raw(value);
}

bool DecodeValue(Decoder& in, const std::array<std::string_view, 4>& ids,
                 const FindSharedText& find_shared, source::Attribute& attribute) {
  const uint64_t head = in.Unsigned();
  const uint64_t n = head >> kKindBits;
  attribute.is_number = (head & kNumberBit) != 0;
  switch (head & 3) {
    case kLiteral:
      attribute.value = in.Raw(n);
      return !in.failed();
    case kShared: {
      const std::string_view key = in.Raw(kSharedKeyBytes);
      if (in.failed()) return false;
      auto text = find_shared(key);
      if (!text) return false;
      attribute.value = std::move(*text);
      return true;
    }
    case kPathId:
      if (n >= ids.size()) return false;
      attribute.value = ids[n];
      return !in.failed();
    default:
      return false;
  }
}

}  // namespace

std::string EncodeRow(const RowHead& head, std::string_view attributes) {
  const auto& version = head.version;
  const bool has_version =
      !version.timestamp.empty() || version.image_count >= 0 || version.total_bytes >= 0;
  Encoder out;
  out.Byte(kRowFormat);
  out.Byte(static_cast<uint8_t>(
      (head.modified_s != 0 ? kHasModified : 0) | (head.size_bytes >= 0 ? kHasSize : 0) |
      (has_version ? kHasVersion : 0) | (head.missing_since_ms != 0 ? kIsMissing : 0)));
  if (head.modified_s != 0) out.Signed(head.modified_s);
  if (head.size_bytes >= 0) out.Signed(head.size_bytes);
  if (has_version) {
    out.Text(version.timestamp);
    out.Signed(version.image_count);
    out.Signed(version.total_bytes);
  }
  if (head.missing_since_ms != 0) out.Signed(head.missing_since_ms);
  out.Raw(attributes);
  return out.Take();
}

std::optional<RowHead> DecodeRow(std::string_view row, std::string_view* attributes) {
  Decoder in(row);
  if (in.Byte() != kRowFormat) return std::nullopt;
  const uint8_t flags = in.Byte();
  if ((flags & ~kFlagsKnown) != 0) return std::nullopt;
  RowHead head;
  if ((flags & kHasModified) != 0) head.modified_s = in.Signed();
  if ((flags & kHasSize) != 0) head.size_bytes = in.Signed();
  if ((flags & kHasVersion) != 0) {
    head.version.timestamp = in.Text();
    head.version.image_count = in.Signed();
    head.version.total_bytes = in.Signed();
  }
  if ((flags & kIsMissing) != 0) head.missing_since_ms = in.Signed();
  if (in.failed()) return std::nullopt;
  if (attributes != nullptr) *attributes = in.rest();
  return head;
}

std::string EncodeAttributes(const source::Attributes& attributes, const ObjectPath& path,
                             uint64_t seed, SharedTexts& shared) {
  const auto ids = PathIds(path);
  Encoder out;
  size_t count = 0;
  for (const auto& attribute : attributes) {
    if (count == kAttributesMax || out.size() > kAttributeBytesMax) break;
    const uint8_t code = CodeOf(attribute.name);
    out.Byte(code);
    if (code == 0) out.Text(std::string_view(attribute.name).substr(0, kAttributeNameBytesMax));
    EncodeValue(out, attribute, code, ids, seed, shared);
    ++count;
  }
  if (count == 0) return {};
  Encoder counted;
  counted.Unsigned(count);
  counted.Raw(out.Take());
  return counted.Take();
}

std::optional<source::Attributes> DecodeAttributes(std::string_view bytes, const ObjectPath& path,
                                                   const FindSharedText& find_shared) {
  source::Attributes attributes;
  if (bytes.empty()) return attributes;
  const auto ids = PathIds(path);
  Decoder in(bytes);
  const uint64_t count = in.Unsigned();
  if (in.failed() || count > kAttributesMax) return std::nullopt;
  attributes.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    source::Attribute& attribute = attributes.emplace_back();
    const uint8_t code = in.Byte();
    if (code > std::size(kKnownNames)) return std::nullopt;
    attribute.name = code == 0 ? in.Text() : kKnownNames[code - 1].name;
    if (!DecodeValue(in, ids, find_shared, attribute)) return std::nullopt;
  }
  if (!in.AtEnd()) return std::nullopt;
  return attributes;
}

bool IsStudyLevel(std::string_view attribute_name) {
  const uint8_t code = CodeOf(attribute_name);
  return code != 0 && kKnownNames[code - 1].study_level;
}

}  // namespace tciafs::catalog
