// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/dicom/head.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>

#include "dicom/element.h"

namespace tciafs::dicom {
namespace {

constexpr uint16_t kIdentifyingGroup = 0x0008;
constexpr Tag kMediaStorageSopInstanceUid = 0x00020003;
constexpr Tag kTransferSyntaxUid = 0x00020010;
constexpr Tag kSopInstanceUid = 0x00080018;
constexpr std::string_view kDeflatedSyntax = "1.2.840.10008.1.2.1.99";

tl::unexpected<Error> NoDicom(const std::string& why) {
  return Fail(Errc::kCorrupt, "no DICOM file: " + why);
}

// Padding is a NUL by the standard, blanks and several of either in fact.
std::string_view WithoutPadding(std::string_view value) {
  while (!value.empty() && (value.back() == '\0' || value.back() == ' ')) value.remove_suffix(1);
  return value;
}

// Archives hold UIDs that no standard allows, with letters say; what cannot name a file is none.
bool IsUsable(std::string_view uid) {
  return !uid.empty() && uid.size() <= kUidCharsMax &&
         std::all_of(uid.begin(), uid.end(),
                     [](char c) { return c >= ' ' && c <= '~' && c != '/'; });
}

class HeadReading {
 public:
  HeadReading(ByteView head, bool more_may_come)
      : head_(head), more_may_come_(more_may_come), reader_(head) {}

  // kOk: either uid() or failure() is there.
  Outcome Read();
  const std::string& uid() const { return uid_; }
  // What the file meta information says, for where the data set says nothing.
  const std::string& meta_uid() const { return meta_uid_; }
  const std::string& failure() const { return failure_; }

 private:
  Outcome FindBegin();
  Outcome ReadMeta();
  Outcome ReadDataSet();
  Outcome ReadUid(const Element& element, std::string& uid) const;
  Outcome Refuse(std::string why) {
    failure_ = std::move(why);
    return Outcome::kOk;
  }

  const ByteView head_;
  const bool more_may_come_;
  ElementReader reader_;
  std::string transfer_syntax_;
  std::string meta_uid_;
  std::string uid_;
  std::string failure_;
};

Outcome HeadReading::Read() {
  for (const auto step :
       {&HeadReading::FindBegin, &HeadReading::ReadMeta, &HeadReading::ReadDataSet}) {
    const Outcome outcome = (this->*step)();
    if (outcome != Outcome::kOk || !uid_.empty() || !failure_.empty()) return outcome;
  }
  return Refuse("it has no SOPInstanceUID");
}

// Behind the preamble; or at the very begin, if that looks like an element of the first groups.
Outcome HeadReading::FindBegin() {
  const bool may_have_preamble = head_.size() >= kPreambleBytes + kMagic.size();
  if (may_have_preamble && AsText(head_.subspan(kPreambleBytes, kMagic.size())) == kMagic) {
    reader_ = ElementReader(head_, kPreambleBytes + kMagic.size());
    return Outcome::kOk;
  }
  if (!may_have_preamble && more_may_come_) return Outcome::kShort;
  Encoding encoding;
  Element element;
  Outcome outcome = reader_.DetectEncoding(encoding);
  if (outcome == Outcome::kOk) outcome = reader_.Peek(encoding, element);
  if (outcome != Outcome::kOk) return outcome;
  const uint16_t group = GroupOf(element.tag);
  if (group != kMetaGroup && group != kIdentifyingGroup)
    return Refuse("it has neither a preamble nor a data element at its begin");
  return Outcome::kOk;
}

// All elements of group 0002, whatever the group length says: it is often wrong.
Outcome HeadReading::ReadMeta() {
  Encoding encoding;
  Outcome outcome = reader_.DetectEncoding(encoding);
  if (outcome != Outcome::kOk) return outcome;
  for (;;) {
    Element element;
    outcome = reader_.Peek(encoding, element);
    if (outcome != Outcome::kOk) return outcome;
    if (GroupOf(element.tag) != kMetaGroup) return Outcome::kOk;
    if (element.tag == kMediaStorageSopInstanceUid) outcome = ReadUid(element, meta_uid_);
    if (element.tag == kTransferSyntaxUid) outcome = ReadUid(element, transfer_syntax_);
    if (outcome != Outcome::kOk) return outcome;
    outcome = reader_.StepOver(encoding, element);
    if (outcome != Outcome::kOk) return outcome;
  }
}

// The first element says more reliably than the transfer syntax how it is written: the two are at
// odds in files that went through careless hands.
Outcome HeadReading::ReadDataSet() {
  if (transfer_syntax_ == kDeflatedSyntax)
    return Refuse("it is deflated and has no UID in its file meta information");
  Encoding encoding;
  Outcome outcome = reader_.DetectEncoding(encoding);
  if (outcome != Outcome::kOk) return outcome;
  for (;;) {
    Element element;
    outcome = reader_.Peek(encoding, element);
    if (outcome != Outcome::kOk) return outcome;
    if (element.tag > kSopInstanceUid) return Refuse("it has no SOPInstanceUID");
    if (element.tag == kSopInstanceUid) {
      outcome = ReadUid(element, uid_);
      if (outcome == Outcome::kOk && uid_.empty()) return Refuse("its SOPInstanceUID is no UID");
      return outcome;
    }
    outcome = reader_.StepOver(encoding, element);
    if (outcome != Outcome::kOk) return outcome;
  }
}

// Leaves `uid` empty if the value is none.
Outcome HeadReading::ReadUid(const Element& element, std::string& uid) const {
  if (element.length_bytes > kUidValueBytesMax) return Outcome::kOk;
  ByteView value;
  const Outcome outcome = reader_.ValueOf(element, value);
  if (outcome != Outcome::kOk) return outcome;
  const std::string_view text = WithoutPadding(AsText(value));
  if (IsUsable(text)) uid = text;
  return Outcome::kOk;
}

}  // namespace

Result<std::optional<std::string>> FindSopInstanceUid(ByteView head, bool complete) {
  const bool more_may_come = !complete && head.size() < kHeadBytesMax;
  head = head.first(std::min(head.size(), kHeadBytesMax));
  HeadReading reading(head, more_may_come);
  const Outcome outcome = reading.Read();
  if (outcome == Outcome::kShort && more_may_come) return std::nullopt;
  if (outcome == Outcome::kOk && !reading.uid().empty()) return reading.uid();
  if (!reading.meta_uid().empty()) return reading.meta_uid();
  if (outcome == Outcome::kDamaged) return NoDicom("its data elements are damaged");
  if (outcome == Outcome::kShort)
    return NoDicom(fmt::format("no SOPInstanceUID in its first {} bytes", head.size()));
  return NoDicom(reading.failure());
}

}  // namespace tciafs::dicom
