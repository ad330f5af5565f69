// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "dicom_directory.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <tuple>
#include <utility>

#include "dicom_tags.h"
#include "tciafs/util/hash.h"

namespace tciafs::archive {
namespace {

constexpr size_t kHeadBytes = 1 << 20;  // the tags we want come before this, even behind icons
constexpr size_t kEditionGrowthBytes = 32;

constexpr auto kFirstSubmission = std::chrono::sys_days(std::chrono::year(2014) / 3 / 3);

std::optional<int64_t> IntegerOf(const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string ReadHead(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string head(kHeadBytes, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(file.gcount()));
  return head;
}

// The database's column widths.
std::string Column(std::string text, size_t width = 64) {
  if (text.size() > width) text.resize(width);
  return text;
}

Second SubmissionOf(const std::string& series_uid) {
  const uint64_t hash = Xxh3(AsBytes(series_uid));
  return kFirstSubmission + std::chrono::days(hash % 2000) +
         std::chrono::seconds(hash / 2000 % 86400);
}

Series RowOf(TagValues& values, const std::string& collection) {
  Series row;
  row.collection = collection;
  row.patient_id = values[tags::kPatientId];
  row.patient_name = values[tags::kPatientName];
  row.patient_sex = values[tags::kPatientSex];
  row.patient_age = values[tags::kPatientAge];
  row.ethnic_group = values[tags::kEthnicGroup];
  row.study_uid = values[tags::kStudyUid];
  row.study_id = values[tags::kStudyId];
  row.study_description = Column(values[tags::kStudyDescription]);
  row.study_day = ParseDay(values[tags::kStudyDate], DayForm::kDicom);
  row.series_uid = values[tags::kSeriesUid];
  row.modality = values[tags::kModality];
  row.series_description = Column(values[tags::kSeriesDescription]);
  row.protocol = Column(values[tags::kProtocol]);
  row.body_part = values[tags::kBodyPart];
  row.manufacturer = Column(values[tags::kManufacturer]);
  row.model = Column(values[tags::kModel]);
  row.software = Column(values[tags::kSoftware]);
  row.sop_class = values[tags::kSopClass];
  row.pixel_spacing = values[tags::kPixelSpacing].substr(0, values[tags::kPixelSpacing].find('\\'));
  row.slice_thickness = values[tags::kSliceThickness];
  row.series_number = IntegerOf(values[tags::kSeriesNumber]);
  row.series_day = ParseDay(values[tags::kSeriesDate], DayForm::kDicom);
  row.submitted = SubmissionOf(row.series_uid);
  row.license_name = "Creative Commons Attribution 4.0 International License";
  row.license_uri = "https://creativecommons.org/licenses/by/4.0/";
  row.description_uri = "https://doi.org/10.7937/" + collection;
  return row;
}

}  // namespace

Result<std::unique_ptr<DicomDirectory>> DicomDirectory::Open(const std::string& directory,
                                                             std::string name) {
  std::error_code error;
  std::filesystem::recursive_directory_iterator files(
      directory, std::filesystem::directory_options::skip_permission_denied, error);
  if (error) return Fail(Errc::kNotFound, fmt::format("{}: {}", directory, error.message()));
  std::vector<std::string> paths;
  for (; files != std::filesystem::recursive_directory_iterator(); files.increment(error)) {
    if (error) break;
    if (files->is_regular_file(error)) paths.push_back(files->path().string());
  }
  std::sort(paths.begin(), paths.end());  // so that of two equal ids always the same one wins

  std::unique_ptr<DicomDirectory> made(new DicomDirectory(std::move(name)));
  std::unordered_map<std::string, StoredSeries> by_uid;
  for (const std::string& path : paths)
    if (!made->AddFile(path, by_uid)) ++made->files_left_out_;
  made->Arrange(std::move(by_uid));
  return made;
}

bool DicomDirectory::AddFile(const std::string& path,
                             std::unordered_map<std::string, StoredSeries>& by_uid) {
  auto values = ReadDicomTags(ReadHead(path));
  if (!values) return false;
  const std::string sop_uid = (*values)[tags::kSopInstance];
  Series row = RowOf(*values, name_);
  if (sop_uid.empty() || row.series_uid.empty() || row.study_uid.empty() ||
      row.patient_id.empty() || instance_by_uid_.count(sop_uid) != 0)
    return false;
  const std::string series_uid = row.series_uid;
  const auto [found, is_new] = by_uid.try_emplace(series_uid);
  StoredSeries& series = found->second;
  if (is_new)
    series.row = std::move(row);
  else if (series.row.study_uid != row.study_uid || series.row.patient_id != row.patient_id)
    return false;
  std::error_code error;
  const auto size = static_cast<int64_t>(std::filesystem::file_size(path, error));
  if (error) return false;
  series.instances.push_back({{sop_uid, size, IntegerOf((*values)[tags::kInstanceNumber])}, path});
  instance_by_uid_.emplace(sop_uid, InstanceAddress{});  // the address comes with the arranging
  return true;
}

void DicomDirectory::Arrange(std::unordered_map<std::string, StoredSeries> by_uid) {
  for (auto& [uid, series] : by_uid)
    if (!series.instances.empty()) series_.push_back(std::move(series));
  const auto place = [](const StoredSeries& series) {
    return std::tie(series.row.patient_id, series.row.study_uid, series.row.series_uid);
  };
  std::sort(series_.begin(), series_.end(),
            [&](const auto& a, const auto& b) { return place(a) < place(b); });
  for (size_t i = 0; i < series_.size(); ++i) {
    StoredSeries& series = series_[i];
    const auto index = static_cast<int64_t>(i);
    series.row.index = index;
    series.row.series_pk = index;
    const bool same_study = i > 0 && series_[i - 1].row.study_uid == series.row.study_uid;
    series.row.study_pk = same_study ? series_[i - 1].row.study_pk : index;
    series.row.image_count = static_cast<int64_t>(series.instances.size());
    series_by_uid_[series.row.series_uid] = index;
    for (size_t k = 0; k < series.instances.size(); ++k) {
      series.row.total_bytes += series.instances[k].instance.size_bytes;
      instance_by_uid_[series.instances[k].instance.sop_uid] = {index, static_cast<int64_t>(k)};
    }
    if (i == 0 || series_[i - 1].row.patient_id != series.row.patient_id)
      patients_.push_back({index, index});
    patients_.back().end = index + 1;
    series.row.patient_pk = static_cast<int64_t>(patients_.size()) - 1;
  }
}

IndexRange DicomDirectory::PatientSeries(int64_t patient) const {
  return patients_[static_cast<size_t>(patient)];
}

void DicomDirectory::FillSeries(int64_t series, const Edition& edition, Series& row) const {
  row = series_[static_cast<size_t>(series)].row;
  if (edition.other_size)
    row.total_bytes += row.image_count * static_cast<int64_t>(kEditionGrowthBytes) * edition.number;
}

Instance DicomDirectory::InstanceAt(int64_t series, int64_t instance,
                                    const Edition& edition) const {
  Instance found =
      series_[static_cast<size_t>(series)].instances[static_cast<size_t>(instance)].instance;
  if (edition.other_size)
    found.size_bytes += static_cast<int64_t>(kEditionGrowthBytes) * edition.number;
  return found;
}

// A later edition differs in the preamble, which DICOM leaves to everybody's own use, and may be
// padded with zeros behind the data set.
Result<std::string> DicomDirectory::Bytes(int64_t series, int64_t instance,
                                          const Edition& edition) const {
  const StoredInstance& stored =
      series_[static_cast<size_t>(series)].instances[static_cast<size_t>(instance)];
  std::ifstream file(stored.path, std::ios::binary);
  std::string bytes(static_cast<size_t>(stored.instance.size_bytes), '\0');
  if (!file.read(bytes.data(), static_cast<std::streamsize>(bytes.size())))
    return Fail(Errc::kInternal, stored.path + ": cannot be read");
  if (edition.number > 0) {
    const std::string mark = fmt::format("edition {}", edition.number);
    bytes.replace(0, std::min(mark.size(), kPreambleBytes), mark);
  }
  if (edition.other_size)
    bytes.append(kEditionGrowthBytes * static_cast<size_t>(edition.number), '\0');
  return bytes;
}

std::optional<int64_t> DicomDirectory::FindSeries(const std::string& series_uid) const {
  const auto found = series_by_uid_.find(series_uid);
  if (found == series_by_uid_.end()) return std::nullopt;
  return found->second;
}

std::optional<InstanceAddress> DicomDirectory::FindInstance(const std::string& sop_uid) const {
  const auto found = instance_by_uid_.find(sop_uid);
  if (found == instance_by_uid_.end()) return std::nullopt;
  return found->second;
}

}  // namespace tciafs::archive
