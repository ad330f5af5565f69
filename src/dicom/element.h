// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Walks the data elements of a DICOM data set in its encoded form, one after the other: tag, value
// length, value; sequences and encapsulated data are stepped over item by item. Source: DICOM PS3.5
// sections 7.1 to 7.5, 6.2.2 (UN of undefined length), A.4.
//
// Not thread-safe; borrows the bytes. There is one kind of failure besides damage: the bytes end
// too early, and only the caller knows whether more can come.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tciafs/util/bytes.h"

namespace tciafs::dicom {

// group << 16 | element
using Tag = uint32_t;

constexpr uint16_t GroupOf(Tag tag) { return static_cast<uint16_t>(tag >> 16); }

// What a file begins with (PS3.10 section 7.1), and the group of its meta information.
inline constexpr size_t kPreambleBytes = 128;
inline constexpr std::string_view kMagic = "DICM";
inline constexpr uint16_t kMetaGroup = 0x0002;

enum class ByteOrder { kLittleEndian, kBigEndian };

struct Encoding {
  ByteOrder order = ByteOrder::kLittleEndian;
  bool has_explicit_vr = true;
};

// kShort: the bytes end before the answer. kDamaged: no data element can look like this.
enum class Outcome { kOk, kShort, kDamaged };

struct Element {
  static constexpr uint32_t kUndefinedLength = 0xffffffff;

  Tag tag = 0;
  uint32_t length_bytes = 0;
  bool is_unknown_vr = false;  // VR "UN"
  size_t value_offset = 0;
};

class ElementReader {
 public:
  explicit ElementReader(ByteView bytes, size_t offset = 0) : bytes_(bytes), offset_(offset) {}

  size_t offset() const { return offset_; }

  // What the element here is encoded in, judged by itself: a small group number tells the byte
  // order, two capital letters where the VR would be tell that it is one.
  Outcome DetectEncoding(Encoding& encoding) const;

  // The header of the element here, without moving.
  Outcome Peek(const Encoding& encoding, Element& element) const;
  // The value of a peeked element; of defined length.
  Outcome ValueOf(const Element& element, ByteView& value) const;
  // To the element after a peeked one.
  Outcome StepOver(const Encoding& encoding, const Element& element);

 private:
  Outcome StepOverItems(const Encoding& encoding, int depth);
  Outcome StepOverItem(const Encoding& encoding, uint32_t length_bytes, int depth);
  Outcome StepOverNested(const Encoding& encoding, const Element& element, int depth);
  Outcome Advance(uint64_t offset);

  bool Has(size_t offset, size_t size_bytes) const {
    return offset <= bytes_.size() && size_bytes <= bytes_.size() - offset;
  }
  uint16_t Load16(ByteOrder order, size_t offset) const;
  uint32_t Load32(ByteOrder order, size_t offset) const;
  Tag LoadTag(ByteOrder order, size_t offset) const;
  bool HasVrAt(size_t offset) const;

  ByteView bytes_;
  size_t offset_;
};

}  // namespace tciafs::dicom
