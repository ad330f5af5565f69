// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The catalog's records. Any bytes: decoded to nothing, or to what encodes and decodes to the same
// again. Any values: read back as they were stored, within the limits of a row.
#include <algorithm>
#include <optional>
#include <string>

#include "catalog/directory_key.h"
#include "catalog/listing_state.h"
#include "catalog/row.h"
#include "fuzz/fuzz.h"

namespace tciafs::catalog {
namespace {

constexpr uint64_t kSeed = 7;

ObjectPath SeriesPath() {
  return ObjectPath{}
      .Child("LIDC-IDRI", 0)
      .Child("LIDC-IDRI-0001", 0)
      .Child("1.2", 0)
      .Child("1.3", 0);
}

bool Same(const RowHead& a, const RowHead& b) {
  return a.modified_s == b.modified_s && a.size_bytes == b.size_bytes &&
         a.version.timestamp == b.version.timestamp &&
         a.version.image_count == b.version.image_count &&
         a.version.total_bytes == b.version.total_bytes && a.missing_since_ms == b.missing_since_ms;
}

bool Same(const ListingState& a, const ListingState& b) {
  return a.listed == b.listed && a.provisional == b.provisional &&
         a.fetched_at_ms == b.fetched_at_ms && a.version == b.version && a.entries == b.entries &&
         a.emptied_at_ms == b.emptied_at_ms && a.bulk_at_ms == b.bulk_at_ms;
}

std::optional<source::Attributes> Decode(std::string_view bytes, const SharedTexts& shared) {
  return DecodeAttributes(bytes, SeriesPath(), [&](std::string_view key) {
    const auto text = shared.find(std::string(key));
    return text == shared.end() ? std::nullopt : std::optional(text->second);
  });
}

void CheckAnyBytes(std::string_view bytes) {
  std::string_view encoded;
  if (const auto head = DecodeRow(bytes, &encoded)) {
    FUZZ_REQUIRE(encoded.size() <= bytes.size());
    std::string_view again;
    const std::string row = EncodeRow(*head, encoded);
    const auto decoded = DecodeRow(row, &again);
    FUZZ_REQUIRE(decoded && again == encoded);
    // What says "unknown" is not stored, so a value that is no value comes back as unknown.
    FUZZ_REQUIRE(Same(*decoded, *head) || head->size_bytes < 0 || head->version.image_count < 0 ||
                 head->version.total_bytes < 0);
  }
  const SharedTexts shared = {{"12345678", "a text that many rows share"}};
  if (const auto attributes = Decode(bytes, shared)) {
    FUZZ_REQUIRE(attributes->size() <= kAttributesMax);
    SharedTexts texts;
    const auto again = Decode(EncodeAttributes(*attributes, SeriesPath(), kSeed, texts), texts);
    FUZZ_REQUIRE(again && again == attributes);
  }
  if (const auto state = DecodeState(bytes)) {
    const auto again = DecodeState(EncodeState(*state));
    FUZZ_REQUIRE(again && Same(*again, *state));
    const int64_t fresh_ms = FreshForMs(*state, 1'700'000'000'000, 21'600'000, 60'000);
    FUZZ_REQUIRE(fresh_ms >= 0 && fresh_ms <= 21'600'000);
  }
}

source::Attributes ReadAttributes(fuzz::Reader& in) {
  constexpr const char* kNames[] = {"Site",       "Collection", "Manufacturer",
                                    "LicenseURI", "Zweck",      ""};
  source::Attributes attributes;
  while (!in.empty()) {
    const uint8_t kind = in.Byte();
    const std::string name = kind % 8 < 6 ? kNames[kind % 8] : in.Text();
    std::string value = (kind & 0x40) != 0 ? "LIDC-IDRI" : in.Text(70'000);
    if ((kind & 0x20) != 0) value.insert(0, kind * size_t{300}, 'v');
    attributes.push_back({name, std::move(value), (kind & 0x80) != 0});
  }
  return attributes;
}

void CheckValues(fuzz::Reader& in) {
  RowHead head;
  head.modified_s = static_cast<int64_t>(in.Number());
  head.size_bytes = static_cast<int64_t>(in.Number() >> 1) - 1;
  head.version = {in.Text(), static_cast<int64_t>(in.Number(4)) - 1,
                  static_cast<int64_t>(in.Number() >> 1) - 1};
  head.missing_since_ms = static_cast<int64_t>(in.Number());
  const auto attributes = ReadAttributes(in);
  SharedTexts shared;
  const std::string encoded = EncodeAttributes(attributes, SeriesPath(), kSeed, shared);
  FUZZ_REQUIRE(encoded.size() <= kAttributeBytesMax + kAttributeValueBytesMax + 1024);
  const std::string row = EncodeRow(head, encoded);
  std::string_view stored;
  const auto decoded = DecodeRow(row, &stored);
  FUZZ_REQUIRE(decoded && Same(*decoded, head) && stored == encoded);
  const auto again = Decode(stored, shared);
  FUZZ_REQUIRE(again && again->size() <= std::min(attributes.size(), kAttributesMax));
  for (size_t i = 0; i < again->size(); ++i) {
    const auto& kept = (*again)[i];
    const auto& given = attributes[i];
    FUZZ_REQUIRE(given.name.starts_with(kept.name) && kept.is_number == given.is_number);
    FUZZ_REQUIRE(given.value == kept.value || (kept.value.size() == kAttributeValueBytesMax &&
                                               given.value.starts_with(kept.value)));
  }
  for (size_t cut = 0; cut < row.size(); cut += 1 + row.size() / 64) {
    std::string_view rest;
    if (DecodeRow(std::string_view(row).substr(0, cut), &rest)) (void)Decode(rest, shared);
  }
}

// Children of one directory never share a key, nor does the same id in two directories.
void CheckKeys(const std::string& one, const std::string& other) {
  const DirectoryKey root = RootKey("https://archive.example/nbia-api|guest");
  const DirectoryKey key = ChildKey(root, one);
  FUZZ_REQUIRE((key == ChildKey(root, other)) == (one == other));
  FUZZ_REQUIRE(ChildKey(key, other) != key);
  const ObjectPath path = ObjectPath{}.Child(one, 0).Child(other, 0);
  FUZZ_REQUIRE(KeyOf(root, path) == ChildKey(key, other));
  FUZZ_REQUIRE(KeyOf(root, ParentOf(path)) == key);
}

}  // namespace
}  // namespace tciafs::catalog

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = tciafs::fuzz::TextOf(data, size);
  tciafs::catalog::CheckAnyBytes(input);
  tciafs::fuzz::Reader keys(input);
  const std::string one = keys.Text();
  tciafs::catalog::CheckKeys(one, keys.Text());
  tciafs::fuzz::Reader values(input);
  tciafs::catalog::CheckValues(values);
  return 0;
}
