// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "images.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "permutation.h"
#include "replies.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/text.h"
#include "zip_output.h"

namespace tciafs::archive {
namespace {

constexpr size_t kZeroPieceBytes = 64 * 1024;

std::string LicenseText(const Series& row) {
  return fmt::format(
      "These images are made up for tests and demonstrations.\n"
      "Collection: {}\nLicense: {}\n{}\n",
      row.collection, row.license_name, row.license_uri);
}

struct ZipForm {
  bool license = true;
  bool new_file_names = false;
  bool md5_hashes = false;
};

// Writes one series as a zip. Everything it needs is its own, for it outlives the call.
class SeriesZip {
 public:
  SeriesZip(SeriesHandle series, std::optional<InstanceHandle> foreign, ZipForm form,
            ZipFaults faults, int level, uint64_t order)
      : series_(std::move(series)),
        foreign_(std::move(foreign)),
        form_(form),
        faults_(std::move(faults)),
        level_(level),
        order_(order) {}

  bool WriteTo(BodySink& sink) const {
    ZipOutput zip(sink, level_);
    if (faults_.empty) return zip.Finish();
    if (form_.license && !zip.AddEntry("LICENSE", LicenseText(series_.row))) return false;
    std::vector<std::string> hash_lines;
    if (!faults_.license_only && !WriteImages(zip, hash_lines)) return false;
    if (form_.md5_hashes && !faults_.no_md5 &&
        !zip.AddEntry("md5hashes.csv", HashTable(hash_lines)))
      return false;
    return zip.Finish();
  }

 private:
  bool WriteImages(ZipOutput& zip, std::vector<std::string>& hash_lines) const {
    const std::vector<int64_t> instances = InstancesInOrder();
    int64_t entry_number = 0;
    for (size_t k = 0; k < instances.size(); ++k) {
      const auto position = static_cast<int64_t>(k);
      if (faults_.drop.count(position) != 0) continue;
      const auto bytes = series_.Bytes(instances[k]);
      if (!bytes)
        return true;  // the server swallows the exception and closes the zip in good order
      const int copies = faults_.duplicate.count(position) != 0 ? 2 : 1;
      for (int copy = 0; copy < copies; ++copy)
        if (!WriteImage(zip, position, ++entry_number, *bytes, hash_lines)) return false;
    }
    if (!faults_.foreign_instance || !foreign_) return true;
    const auto bytes = foreign_->series.Bytes(foreign_->instance);
    return !bytes || WriteImage(zip, -1, ++entry_number, *bytes, hash_lines);
  }

  bool WriteImage(ZipOutput& zip, int64_t position, int64_t entry_number, const std::string& bytes,
                  std::vector<std::string>& hash_lines) const {
    std::string content = bytes;
    if (faults_.not_dicom.count(position) != 0) {
      content.assign(bytes.size(), '.');
      content.replace(0, 10, "not DICOM\n");
    }
    const std::string name = EntryName(entry_number);
    if (form_.md5_hashes) {
      const bool lie = faults_.wrong_md5.count(position) != 0;
      hash_lines.push_back(fmt::format("{},{}\n", name, Md5Hex(lie ? content + "!" : content)));
    }
    // The sums are the database's: what happens to the file on its way does not change them.
    if (const auto bytes_left = ShortenedTo(position))
      content.resize(std::min(content.size(), static_cast<size_t>(*bytes_left)));
    EntryDamage damage;
    damage.flip_compressed = faults_.corrupt.count(position) != 0;
    damage.wrong_crc = faults_.wrong_crc.count(position) != 0;
    if (!zip.BeginEntry(name, damage) || !zip.Write(content)) return false;
    if (const auto bomb = faults_.bombs.find(position); bomb != faults_.bombs.end()) {
      const std::string zeros(kZeroPieceBytes, '\0');
      for (auto left = static_cast<size_t>(bomb->second); left > 0;) {
        const size_t piece = std::min(left, zeros.size());
        if (!zip.Write(std::string_view(zeros).substr(0, piece))) return false;
        left -= piece;
      }
    }
    return zip.EndEntry();
  }

  std::optional<int64_t> ShortenedTo(int64_t position) const {
    for (const int64_t k : {position, position - series_.row.image_count})
      if (const auto cut = faults_.short_entries.find(k); cut != faults_.short_entries.end())
        return cut->second;
    return std::nullopt;
  }

  // Counters, never ids.
  std::string EntryName(int64_t entry_number) const {
    if (faults_.evil_names) {
      static const std::array<std::string, 6> kEvil = {"../../../../tmp/evil.dcm",
                                                       "/tmp/evil.dcm",
                                                       "C:\\evil.dcm",
                                                       "..\\..\\evil.dcm",
                                                       std::string("a\0b.dcm", 7),
                                                       std::string(5000, 'a') + ".dcm"};
      return kEvil[static_cast<size_t>(entry_number) % kEvil.size()];
    }
    if (!form_.new_file_names) return fmt::format("{:08}.dcm", entry_number);
    const size_t width = std::to_string(series_.row.image_count).size();
    return fmt::format("1-{:0{}}.dcm", entry_number, width);
  }

  std::vector<int64_t> InstancesInOrder() const {
    const Permutation permutation(series_.row.image_count, order_);
    std::vector<int64_t> instances;
    for (int64_t i = 0; i < series_.row.image_count; ++i) instances.push_back(permutation.At(i));
    if (!form_.new_file_names) return instances;
    const auto number = [this](int64_t instance) {
      return series_.InstanceAt(instance).number.value_or(std::numeric_limits<int64_t>::max());
    };
    std::stable_sort(instances.begin(), instances.end(),
                     [&](int64_t a, int64_t b) { return number(a) < number(b); });
    return instances;
  }

  // The rows come out of a hash map: in any order but that of the entries.
  static std::string HashTable(std::vector<std::string> lines) {
    std::sort(lines.begin(), lines.end(), [](const std::string& a, const std::string& b) {
      return Xxh3(AsBytes(a)) < Xxh3(AsBytes(b));
    });
    std::string table = "Filename,MD5Hash\n";
    for (const std::string& line : lines) table += line;
    return table;
  }

  const SeriesHandle series_;
  const std::optional<InstanceHandle> foreign_;
  const ZipForm form_;
  const ZipFaults faults_;
  const int level_;
  const uint64_t order_;
};

// Any image that is not of this series.
std::optional<InstanceHandle> ForeignInstance(const Call& call, const Series& row) {
  std::string other_uid;
  Scope everything;
  everything.viewer = call.viewer;
  call.holdings.VisitSeries(everything, [&](const Series& other) {
    if (other.series_uid == row.series_uid) return true;
    other_uid = other.series_uid;
    return false;
  });
  auto other = call.holdings.FindSeries(call.viewer, other_uid);
  if (!other) return std::nullopt;
  return InstanceHandle{std::move(*other), 0};
}

Reply NotGrantedReply(const Call& call, const std::string& uid) {
  return TextReply(
      400, "application/json",
      call.family == Family::kV1
          ? fmt::format("Image with given SeriesInstanceUID,{}, is not in public domain.", uid)
          : fmt::format("The user has not been granted the access to image with given "
                        "SeriesInstanceUID,{}. Please contact System Admin to resolve this issue.",
                        uid));
}

Reply ZipReply(const Call& call, ZipForm form) {
  const auto uid = call.request.Parameter("SeriesInstanceUID");
  if (!uid) return MissingParameterReply("SeriesInstanceUID", false);
  auto series = call.holdings.FindSeries(call.viewer, *uid);
  if (!series || !series->visible) return NotGrantedReply(call, *uid);
  std::optional<InstanceHandle> foreign;
  if (call.zip_faults.foreign_instance) foreign = ForeignInstance(call, series->row);
  Reply reply;
  reply.content_type = "application/octet-stream";
  reply.headers.emplace_back("Content-Disposition",
                             fmt::format("attachment; filename=\"{}.zip\"", *uid));
  const auto zip =
      std::make_shared<const SeriesZip>(std::move(*series), std::move(foreign), form,
                                        call.zip_faults, call.options.zip_level, call.order);
  reply.writer = [zip](BodySink& sink) { return zip->WriteTo(sink); };
  return reply;
}

bool SaysYes(const Call& call, const char* name) {
  return EqualsIgnoringCase(call.request.Parameter(name).value_or(""), "Yes");
}

}  // namespace

std::string Md5Hex(std::string_view bytes) {
  Md5 md5;
  md5.Update(AsBytes(bytes));
  return md5.FinishHex();
}

Reply GetImage(const Call& call) {
  ZipForm form;
  form.new_file_names = SaysYes(call, "NewFileNames");
  form.md5_hashes = call.v4() && SaysYes(call, "IncludeMD5");
  return ZipReply(call, form);
}

Reply GetImageWithMd5Hash(const Call& call) {
  ZipForm form;
  form.license = false;
  form.md5_hashes = true;
  return ZipReply(call, form);
}

// Whether the series is visible does not matter; whatever is not found is a null pointer.
Reply GetSingleImage(const Call& call) {
  const auto series_uid = call.request.Parameter("SeriesInstanceUID");
  if (!series_uid) return MissingParameterReply("SeriesInstanceUID", false);
  const auto sop_uid = call.request.Parameter("SOPInstanceUID");
  if (!sop_uid) return MissingParameterReply("SOPInstanceUID", false);
  const auto found = call.holdings.FindInstance(call.viewer, *sop_uid);
  if (!found || found->series.row.series_uid != *series_uid) return NullPointerReply();
  InstanceHandle sent = *found;
  if (call.zip_faults.foreign_instance) {
    if (auto foreign = ForeignInstance(call, found->series.row)) sent = std::move(*foreign);
  }
  auto bytes = sent.series.Bytes(sent.instance);
  if (!bytes) return NullPointerReply();
  if (!call.zip_faults.corrupt.empty()) bytes->back() = static_cast<char>(bytes->back() ^ 0x10);
  if (!call.zip_faults.not_dicom.empty()) bytes->assign(bytes->size(), '.');
  Reply reply;
  reply.content_type = "application/dicom";
  reply.headers.emplace_back("Content-Disposition",
                             fmt::format("attachment; filename={}.dcm", *sop_uid));
  if (bytes->size() <= kReplyBufferBytes) {
    reply.body = std::move(*bytes);
    return reply;
  }
  reply.writer = [whole = std::make_shared<const std::string>(std::move(*bytes))](BodySink& sink) {
    return sink.Write(*whole);
  };
  return reply;
}

Reply GetMd5HashForImage(const Call& call) {
  const char* name = call.v4() ? "SOPInstanceUID" : "SOPInstanceUid";
  const auto sop_uid = call.request.Parameter(name);
  if (!sop_uid) return MissingParameterReply(name, true);
  const auto found = call.holdings.FindInstance(call.viewer, *sop_uid);
  const auto bytes = found ? found->series.Bytes(found->instance)
                           : Result<std::string>(Fail(Errc::kNotFound, *sop_uid));
  if (!bytes) {
    Reply reply;
    reply.status = 204;
    return reply;
  }
  const bool lie = !call.zip_faults.wrong_md5.empty();
  return TextReply(200, "text/plain", Md5Hex(lie ? *bytes + "!" : *bytes));
}

// Of a series; of what is above it nobody asks. Hidden or not it is told, and of what is not there
// an empty text.
Reply GetMd5Hierarchy(const Call& call) {
  const auto series_uid = call.request.Parameter("SeriesInstanceUID");
  const auto series = call.holdings.FindSeries(call.viewer, series_uid.value_or(""));
  if (!series) return TextReply(200, "text/plain", "");
  std::vector<std::string> sums;
  const bool lie = !call.zip_faults.wrong_md5.empty();
  for (int64_t instance = 0; instance < series->row.image_count; ++instance) {
    const auto bytes = series->Bytes(instance);
    if (bytes) sums.push_back(Md5Hex(lie ? *bytes + "!" : *bytes));
  }
  std::sort(sums.begin(), sums.end());
  std::string joined;
  for (const std::string& sum : sums) joined += sum;
  return TextReply(200, "text/plain", Md5Hex(joined));
}

}  // namespace tciafs::archive
