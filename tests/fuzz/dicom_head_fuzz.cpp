// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The SOPInstanceUID of a head. Any bytes: a UID that can name a file, or none; a verdict reached
// early stays, however much more arrives. A well-formed file: its UID is found, whatever stands
// before and behind.
#include <algorithm>
#include <optional>
#include <string>

#include "fuzz/fuzz.h"
#include "tciafs/dicom/head.h"

namespace tciafs::dicom {
namespace {

struct Verdict {
  bool decided = false;
  std::optional<std::string> uid;
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

Verdict Look(std::string_view head, bool complete) {
  const auto found = FindSopInstanceUid(AsBytes(head), complete);
  if (!found) {
    FUZZ_REQUIRE(found.error().code == Errc::kCorrupt);
    return {true, std::nullopt};
  }
  FUZZ_REQUIRE(*found || !complete);
  if (!*found) return {};
  const std::string& uid = **found;
  FUZZ_REQUIRE(!uid.empty() && uid.size() <= 64);
  FUZZ_REQUIRE(
      std::all_of(uid.begin(), uid.end(), [](char c) { return c >= ' ' && c <= '~' && c != '/'; }));
  return {true, uid};
}

void CheckAnyBytes(std::string_view head) {
  const Verdict whole = Look(head, true);
  const Verdict so_far = Look(head, false);
  FUZZ_REQUIRE(!so_far.decided || so_far == whole);
  fuzz::Dice dice(fuzz::SeedOf(head));
  for (int i = 0; i < 4; ++i) {
    const Verdict early = Look(head.substr(0, dice.Below(head.size() + 1)), false);
    FUZZ_REQUIRE(!early.decided || early == so_far);
  }
}

struct Form {
  bool has_preamble = true;
  bool is_implicit = false;
  bool is_big_endian = false;
};

void Put(std::string& out, const Form& form, uint64_t value, int width_bytes) {
  for (int i = 0; i < width_bytes; ++i) {
    const int byte = form.is_big_endian ? width_bytes - 1 - i : i;
    out += static_cast<char>(value >> (8 * byte) & 0xff);
  }
}

void PutElement(std::string& out, const Form& form, uint16_t group, uint16_t element,
                const char* vr, const std::string& value) {
  Put(out, form, group, 2);
  Put(out, form, element, 2);
  if (form.is_implicit) {
    Put(out, form, value.size(), 4);
  } else if (std::string_view(vr) == "OB" || std::string_view(vr) == "UN") {
    out += vr;
    out += std::string(2, '\0');
    Put(out, form, value.size(), 4);
  } else {
    out += vr;
    Put(out, form, value.size(), 2);
  }
  out += value;
}

void CheckWellFormed(std::string_view input) {
  fuzz::Reader in(input);
  const uint8_t flags = in.Byte();
  const Form form = {(flags & 1) != 0, (flags & 2) != 0, (flags & 6) == 4};
  const Form meta = {true, false, false};
  const std::string uid = "1." + std::to_string(in.Number(4));
  std::string file;
  if (form.has_preamble) {
    file = std::string(128, static_cast<char>(in.Byte())) + "DICM";
    PutElement(file, meta, 2, 1, "OB", in.Text(20));
    if ((flags & 8) != 0) PutElement(file, meta, 2, 3, "UI", "9.9.9");
    PutElement(file, meta, 2, 0x10, "UI", "1.2.840.10008.1.2.1");
  }
  constexpr const char* kVrs[] = {"CS", "OB", "UI", "UN", "DA"};
  uint16_t element = 1;  // in ascending order, all before (0008,0018)
  for (; element < 0x10 && in.Bool(); element = static_cast<uint16_t>(element + 3))
    PutElement(file, form, 8, element, kVrs[in.Byte() % 5], in.Text());
  const size_t uid_at = file.size();
  PutElement(file, form, 8, 0x18, "UI", uid + ((flags & 16) != 0 ? std::string("\0", 1) : ""));
  const size_t uid_end = file.size();
  file += in.Rest();
  if (!form.has_preamble && std::string_view(file).substr(0, 132).ends_with("DICM")) return;
  FUZZ_REQUIRE(Look(file, true).uid == uid);
  FUZZ_REQUIRE(!Look(std::string_view(file).substr(0, uid_at + 7), false).decided);
  if (!form.has_preamble) return;  // which may be yet to come for as long as it is short
  FUZZ_REQUIRE(Look(std::string_view(file).substr(0, uid_end), false).uid == uid);
}

}  // namespace
}  // namespace tciafs::dicom

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = tciafs::fuzz::TextOf(data, size);
  tciafs::dicom::CheckAnyBytes(input);
  tciafs::dicom::CheckWellFormed(input);
  return 0;
}
