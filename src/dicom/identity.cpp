// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/dicom/identity.h"

#include <algorithm>
#include <string_view>

#include "dicom/element.h"
#include "tciafs/dicom/head.h"

namespace tciafs::dicom {
namespace {

constexpr uint16_t kCtpGroup = 0x0013;
constexpr uint32_t kCtpCollectionElement = 0x10;  // of the block that its creator reserved
constexpr Tag kPatientId = 0x00100020;
constexpr Tag kStudyInstanceUid = 0x0020000d;
constexpr Tag kSeriesInstanceUid = 0x0020000e;

// Without the padding of the standard, and what else is found around values.
std::string Trimmed(std::string_view value) {
  const auto is_padding = [](char c) { return c == '\0' || c == ' '; };
  while (!value.empty() && is_padding(value.back())) value.remove_suffix(1);
  while (!value.empty() && is_padding(value.front())) value.remove_prefix(1);
  return std::string(value);
}

std::string* FieldOf(Identity& identity, Tag tag) {
  if (tag == kPatientId) return &identity.patient;
  if (tag == kStudyInstanceUid) return &identity.study;
  if (tag == kSeriesInstanceUid) return &identity.series;
  const uint32_t element = tag & 0xffff;
  if (GroupOf(tag) == kCtpGroup && element >= 0x1000 && (element & 0xff) == kCtpCollectionElement)
    return &identity.collection;
  return nullptr;
}

// Goes through the elements until it has seen those wanted, or cannot go on.
void ReadElements(ByteView head, size_t begin, Identity& identity) {
  ElementReader reader(head, begin);
  Encoding encoding;
  bool in_meta = true;
  if (reader.DetectEncoding(encoding) != Outcome::kOk) return;
  for (;;) {
    Element element;
    if (reader.Peek(encoding, element) != Outcome::kOk) return;
    if (in_meta && GroupOf(element.tag) != kMetaGroup) {  // the data set has an encoding of its own
      in_meta = false;
      if (reader.DetectEncoding(encoding) != Outcome::kOk ||
          reader.Peek(encoding, element) != Outcome::kOk)
        return;
    }
    if (element.tag > kSeriesInstanceUid) return;
    std::string* field = FieldOf(identity, element.tag);
    ByteView value;
    if (field != nullptr && element.length_bytes <= kUidValueBytesMax &&
        reader.ValueOf(element, value) == Outcome::kOk)
      *field = Trimmed(AsText(value));
    if (reader.StepOver(encoding, element) != Outcome::kOk) return;
  }
}

}  // namespace

Result<Identity> ReadIdentity(ByteView head) {
  head = head.first(std::min(head.size(), kHeadBytesMax));
  TCIAFS_ASSIGN(const auto sop, FindSopInstanceUid(head, /*complete=*/true));
  Identity identity;
  identity.sop = sop.value_or("");
  const bool has_preamble = head.size() >= kPreambleBytes + kMagic.size() &&
                            AsText(head.subspan(kPreambleBytes, kMagic.size())) == kMagic;
  ReadElements(head, has_preamble ? kPreambleBytes + kMagic.size() : 0, identity);
  if (identity.series.empty() || identity.sop.empty())
    return Fail(Errc::kCorrupt, "it does not tell its series");
  return identity;
}

}  // namespace tciafs::dicom
