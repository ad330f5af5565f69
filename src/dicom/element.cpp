// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "dicom/element.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "tciafs/dicom/limits.h"

namespace tciafs::dicom {
namespace {

constexpr Tag kItem = 0xfffee000;
constexpr Tag kItemEnd = 0xfffee00d;
constexpr Tag kSequenceEnd = 0xfffee0dd;
constexpr size_t kTagAndLengthBytes = 8;  // of items, and of elements with the short header
constexpr size_t kLongHeaderBytes = 12;

// The VRs whose length has 16 bits (PS3.5 table 7.1-2). All others have 32 after two reserved
// bytes; so have those yet to come.
constexpr std::array<std::string_view, 21> kShortVrs = {"AE", "AS", "AT", "CS", "DA", "DS", "DT",
                                                        "FD", "FL", "IS", "LO", "LT", "PN", "SH",
                                                        "SL", "SS", "ST", "TM", "UI", "UL", "US"};

bool IsShortVr(std::string_view vr) {
  return std::find(kShortVrs.begin(), kShortVrs.end(), vr) != kShortVrs.end();
}

}  // namespace

Outcome ElementReader::DetectEncoding(Encoding& encoding) const {
  if (!Has(offset_, kTagAndLengthBytes)) return Outcome::kShort;
  const uint16_t little = Load16(ByteOrder::kLittleEndian, offset_);
  const uint16_t big = Load16(ByteOrder::kBigEndian, offset_);
  encoding.order = little <= big ? ByteOrder::kLittleEndian : ByteOrder::kBigEndian;
  encoding.has_explicit_vr = HasVrAt(offset_ + 4);
  return Outcome::kOk;
}

Outcome ElementReader::Peek(const Encoding& encoding, Element& element) const {
  if (!Has(offset_, kTagAndLengthBytes)) return Outcome::kShort;
  element = {};
  element.tag = LoadTag(encoding.order, offset_);
  const bool is_delimiter = GroupOf(element.tag) == GroupOf(kItem);
  // Some writers slip elements without a VR among those that have one.
  if (!encoding.has_explicit_vr || is_delimiter || !HasVrAt(offset_ + 4)) {
    element.length_bytes = Load32(encoding.order, offset_ + 4);
    element.value_offset = offset_ + kTagAndLengthBytes;
    return Outcome::kOk;
  }
  const std::string_view vr = AsText(bytes_.subspan(offset_ + 4, 2));
  element.is_unknown_vr = vr == "UN";
  if (IsShortVr(vr)) {
    element.length_bytes = Load16(encoding.order, offset_ + 6);
    element.value_offset = offset_ + kTagAndLengthBytes;
    return Outcome::kOk;
  }
  if (!Has(offset_, kLongHeaderBytes)) return Outcome::kShort;
  element.length_bytes = Load32(encoding.order, offset_ + 8);
  element.value_offset = offset_ + kLongHeaderBytes;
  return Outcome::kOk;
}

Outcome ElementReader::ValueOf(const Element& element, ByteView& value) const {
  if (!Has(element.value_offset, element.length_bytes)) return Outcome::kShort;
  value = bytes_.subspan(element.value_offset, element.length_bytes);
  return Outcome::kOk;
}

Outcome ElementReader::StepOver(const Encoding& encoding, const Element& element) {
  return StepOverNested(encoding, element, 0);
}

Outcome ElementReader::StepOverNested(const Encoding& encoding, const Element& element, int depth) {
  if (element.length_bytes != Element::kUndefinedLength)
    return Advance(uint64_t{element.value_offset} + element.length_bytes);
  offset_ = element.value_offset;
  // What hides behind an unknown VR of undefined length is a sequence in implicit VR.
  const Encoding implicit = {ByteOrder::kLittleEndian, false};
  return StepOverItems(element.is_unknown_vr ? implicit : encoding, depth + 1);
}

Outcome ElementReader::StepOverItems(const Encoding& encoding, int depth) {
  if (depth > kDepthMax) return Outcome::kDamaged;
  for (;;) {
    if (!Has(offset_, kTagAndLengthBytes)) return Outcome::kShort;
    const Tag tag = LoadTag(encoding.order, offset_);
    const uint32_t length_bytes = Load32(encoding.order, offset_ + 4);
    offset_ += kTagAndLengthBytes;
    if (tag == kSequenceEnd) return Outcome::kOk;
    if (tag != kItem) return Outcome::kDamaged;
    const Outcome outcome = StepOverItem(encoding, length_bytes, depth);
    if (outcome != Outcome::kOk) return outcome;
  }
}

Outcome ElementReader::StepOverItem(const Encoding& encoding, uint32_t length_bytes, int depth) {
  if (length_bytes != Element::kUndefinedLength) return Advance(uint64_t{offset_} + length_bytes);
  for (;;) {
    Element element;
    Outcome outcome = Peek(encoding, element);
    if (outcome != Outcome::kOk) return outcome;
    if (element.tag == kItemEnd) {
      offset_ = element.value_offset;
      return Outcome::kOk;
    }
    if (GroupOf(element.tag) == GroupOf(kItem)) return Outcome::kDamaged;
    outcome = StepOverNested(encoding, element, depth);
    if (outcome != Outcome::kOk) return outcome;
  }
}

Outcome ElementReader::Advance(uint64_t offset) {
  if (offset > bytes_.size()) return Outcome::kShort;
  offset_ = static_cast<size_t>(offset);
  return Outcome::kOk;
}

uint16_t ElementReader::Load16(ByteOrder order, size_t offset) const {
  const auto first = static_cast<unsigned>(bytes_[offset]);
  const auto second = static_cast<unsigned>(bytes_[offset + 1]);
  return static_cast<uint16_t>(order == ByteOrder::kLittleEndian ? first | second << 8
                                                                 : first << 8 | second);
}

uint32_t ElementReader::Load32(ByteOrder order, size_t offset) const {
  const uint32_t first = Load16(order, offset);
  const uint32_t second = Load16(order, offset + 2);
  return order == ByteOrder::kLittleEndian ? first | second << 16 : first << 16 | second;
}

Tag ElementReader::LoadTag(ByteOrder order, size_t offset) const {
  return Tag{Load16(order, offset)} << 16 | Load16(order, offset + 2);
}

bool ElementReader::HasVrAt(size_t offset) const {
  const std::string_view vr = AsText(bytes_.subspan(offset, 2));
  return std::all_of(vr.begin(), vr.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

}  // namespace tciafs::dicom
