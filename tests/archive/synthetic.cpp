// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "synthetic.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "tciafs/util/hash.h"
#include "tciafs/util/text.h"

namespace tciafs::archive {
namespace {

// Each UID component starts at a power of ten and keeps its number of digits, so that all UIDs of
// one level are equally long and a file's size does not depend on where it stands.
constexpr std::string_view kUidRoot = "1.2.826.0.1.3680043.10.1338";
constexpr uint64_t kCollectionBase = 1'000'000;
constexpr int64_t kPatientBase = 10'000'000;
constexpr int64_t kStudyBase = 1'000;
constexpr int64_t kSeriesBase = 10'000;
constexpr int64_t kInstanceBase = 100'000;
constexpr std::array<int64_t, 4> kBases = {kPatientBase, kStudyBase, kSeriesBase, kInstanceBase};

// What still fits into the digits above, and what a picture may be.
constexpr int64_t kPatientsMax = 9 * kPatientBase;
constexpr int64_t kStudiesMax = 9 * kStudyBase;
constexpr int64_t kSeriesMax = 9 * kSeriesBase;
constexpr int64_t kImagesMax = 9 * kInstanceBase;
constexpr int kEdgeMax = 16384;
constexpr int kEdgeMin = 8;

constexpr size_t kCommentSteps = 16;  // sizes of one series' files vary by 0 to 30 bytes
constexpr size_t kEditionGrowthBytes = 32;

constexpr auto kFirstSubmission = std::chrono::sys_days(std::chrono::year(2015) / 1 / 5);
constexpr auto kFirstStudy = std::chrono::sys_days(std::chrono::year(2000) / 1 / 1);

uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t z = a * 0x9e3779b97f4a7c15U + b + 0x632be59bd9b4e019U;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

std::string UidPrefix(const SyntheticSpec& spec) {
  const uint64_t hash = Xxh3(AsBytes(spec.name), spec.seed) % (9 * kCollectionBase);
  return fmt::format("{}.{}", kUidRoot, kCollectionBase + hash);
}

template <typename Integer>
Status ParseNumber(std::string_view key, std::string_view text, Integer least, Integer most,
                   Integer& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < least || number > most)
    return Fail(Errc::kInvalidArgument,
                fmt::format("{}={} is not a number from {} to {}", key, text, least, most));
  return {};
}

Status ParseSize(std::string_view text, SyntheticSpec& spec) {
  const size_t x = text.find('x');
  if (x == std::string_view::npos)
    return Fail(Errc::kInvalidArgument, fmt::format("size={} is not like 64x64", text));
  TCIAFS_TRY(ParseNumber("size", text.substr(0, x), kEdgeMin, kEdgeMax, spec.columns));
  return ParseNumber("size", text.substr(x + 1), kEdgeMin, kEdgeMax, spec.rows);
}

Status ParseField(std::string_view field, SyntheticSpec& spec) {
  const size_t equals = field.find('=');
  if (equals == std::string_view::npos)
    return Fail(Errc::kInvalidArgument, fmt::format("'{}' is not like key=value", field));
  const std::string_view key = field.substr(0, equals);
  const std::string_view value = field.substr(equals + 1);
  const auto count = [&](int64_t most, int64_t& number) {
    return ParseNumber<int64_t>(key, value, 1, most, number);
  };
  if (key == "patients") return count(kPatientsMax, spec.patients);
  if (key == "studies") return count(kStudiesMax, spec.studies);
  if (key == "series") return count(kSeriesMax, spec.series);
  if (key == "images") return count(kImagesMax, spec.images);
  if (key == "seed") return ParseNumber<uint64_t>(key, value, 0, UINT64_MAX, spec.seed);
  if (key == "size") return ParseSize(value, spec);
  if (key == "modality") {
    spec.modality = value;
    return {};
  }
  return Fail(Errc::kInvalidArgument, fmt::format("'{}' is no property of a collection", key));
}

}  // namespace

Result<SyntheticSpec> ParseSyntheticSpec(std::string_view text) {
  const size_t colon = text.find(':');
  SyntheticSpec spec;
  spec.name = text.substr(0, colon);
  if (spec.name.empty()) return Fail(Errc::kInvalidArgument, "a collection needs a name");
  if (colon == std::string_view::npos || colon + 1 == text.size()) return spec;
  for (const std::string_view field : SplitText(text.substr(colon + 1), ','))
    TCIAFS_TRY(ParseField(field, spec));
  return spec;
}

std::vector<SyntheticSpec> OddCollections() {
  SyntheticSpec plain;
  plain.images = 3;
  plain.columns = plain.rows = 16;
  std::vector<SyntheticSpec> specs;
  const auto add = [&](std::string name, std::vector<std::string> patient_ids) -> SyntheticSpec& {
    SyntheticSpec spec = plain;
    spec.name = std::move(name);
    spec.patient_ids = std::move(patient_ids);
    specs.push_back(std::move(spec));
    return specs.back();
  };
  add("CT Lymph Odd", {"RIDER Neuro MRI-3369019796", "1.3.6.1.4.1.9328.50.1.0001", "1215936303"});
  add("100% Odd/Names", {"50%", "50%25", "a/b", "a%2Fb", "#1&2=3+4?", "\"quoted\"", "tab\there"});
  add(".hidden", {".", "..", ".profile", ".tcia"});
  add("Trailing blank ", {"P1 ", " P2", "IRM EXTRU+00C9MITU+00C9S"});
  add("odd-twins", {"twin", "TWIN", "Twin"});
  add("ODD-TWINS", {"twin", "TWIN"});
  add("Odd-BodyPart", {"OBP-0001", "OBP-0002"}).body_part = "CHEST/ABD";
  SyntheticSpec& analysis = add("Odd-ThirdParty", {"OTP-0001", "twin"});
  analysis.series = 3;
  analysis.third_party_series = true;
  return specs;
}

SyntheticCollection::SyntheticCollection(SyntheticSpec spec)
    : spec_(std::move(spec)),
      uid_prefix_(UidPrefix(spec_)),
      patients_(spec_.patient_ids.empty() ? spec_.patients
                                          : static_cast<int64_t>(spec_.patient_ids.size())) {
  const auto size_without_patient = [this](int64_t series) {
    PhantomSlice slice = Slice(series, 0, {});
    slice.patient_id.clear();
    slice.comment_bytes = 0;
    return PhantomFileSize(slice);
  };
  plain_size_ = size_without_patient(0);
  third_party_size_ = size_without_patient(spec_.series - 1);
}

int64_t SyntheticCollection::patient_count() const {
  MutexLock lock(mutex_);
  return patients_;
}

IndexRange SyntheticCollection::PatientSeries(int64_t patient) const {
  const int64_t per_patient = spec_.studies * spec_.series;
  return {patient * per_patient, (patient + 1) * per_patient};
}

SyntheticCollection::Place SyntheticCollection::PlaceOf(int64_t series) const {
  const int64_t study = series / spec_.series;
  return {study / spec_.studies, study % spec_.studies, series % spec_.series};
}

bool SyntheticCollection::IsThirdParty(const Place& place) const {
  return spec_.third_party_series && place.series == spec_.series - 1;
}

std::string SyntheticCollection::PatientId(int64_t patient) const {
  if (static_cast<size_t>(patient) < spec_.patient_ids.size())
    return spec_.patient_ids[static_cast<size_t>(patient)];
  return fmt::format("{}-{:04}", spec_.name, patient + 1);
}

std::string SyntheticCollection::StudyUid(const Place& place) const {
  return fmt::format("{}.{}.{}", uid_prefix_, kPatientBase + place.patient,
                     kStudyBase + place.study);
}

std::string SyntheticCollection::SeriesUid(const Place& place) const {
  return fmt::format("{}.{}", StudyUid(place), kSeriesBase + place.series);
}

Second SyntheticCollection::SubmittedAt(int64_t patient) const {
  {
    MutexLock lock(mutex_);
    for (auto growth = growth_.rbegin(); growth != growth_.rend(); ++growth)
      if (patient >= growth->first_patient) return growth->submitted;
  }
  const auto mixed = static_cast<int64_t>(Mix(spec_.seed, static_cast<uint64_t>(patient)) >> 16);
  return kFirstSubmission + std::chrono::days(mixed % 3000) +
         std::chrono::seconds(mixed / 3000 % 86400);
}

void SyntheticCollection::FillSeries(int64_t series, const Edition& edition, Series& row) const {
  const Place place = PlaceOf(series);
  const bool third_party = IsThirdParty(place);
  row.index = series;
  row.series_pk = series;
  row.study_pk = series / spec_.series;
  row.patient_pk = place.patient;
  row.collection = spec_.name;
  row.patient_id = PatientId(place.patient);
  row.patient_name = row.patient_id;
  row.patient_sex = place.patient % 2 == 0 ? "F" : "M";
  row.patient_age = fmt::format("{:03}Y", 20 + place.patient % 70);
  row.ethnic_group.clear();
  row.study_uid = StudyUid(place);
  row.study_id = fmt::format("S{:04}", place.study + 1);
  row.study_description = "Phantom study";
  row.study_day = kFirstStudy + std::chrono::days(place.patient % 365 + 30 * place.study);
  row.series_uid = SeriesUid(place);
  row.modality = third_party ? "SEG" : spec_.modality;
  row.series_description = third_party ? "Segmentation" : "Head phantom";
  row.protocol = third_party ? "" : "Phantom";
  row.body_part = spec_.body_part;
  row.manufacturer = third_party ? "Somebody else" : "tciafs";
  row.model = third_party ? "" : "Ellipsoids";
  row.software = "1";
  row.sop_class = SopClassOf(row.modality);
  row.pixel_spacing = fmt::format("{:.6f}", kFieldOfViewMm / spec_.rows);
  row.slice_thickness = fmt::format("{:.6f}", kSliceThicknessMm);
  // One row in ten has no number, and an analysis has the number of what it analyses.
  row.series_number = third_party ? 1 : place.series + 1;
  if (place.patient % 10 == 9) row.series_number.reset();
  row.series_day = row.study_day;
  row.annotated = place.patient % 10 == 4;
  row.third_party = third_party;
  row.image_count = spec_.images;
  row.total_bytes = spec_.images * SizeWithoutComment(place, row.patient_id);
  for (int64_t i = 0; i < spec_.images; ++i)
    row.total_bytes += static_cast<int64_t>(CommentBytes(series, i, edition));
  row.submitted = SubmittedAt(place.patient);
  row.license_name = third_party ? "Creative Commons Attribution 4.0 International License"
                                 : "Creative Commons Attribution 3.0 Unported License";
  row.license_uri = third_party ? "https://creativecommons.org/licenses/by/4.0/"
                                : "http://creativecommons.org/licenses/by/3.0/";
  row.description_uri = third_party ? "https://doi.org/10.7937/analysis.phantom"
                                    : "https://doi.org/10.7937/K9/TCIA.2015.PHANTOM";
}

// Half the files of a series differ in size, as they do in life.
size_t SyntheticCollection::CommentBytes(int64_t series, int64_t instance,
                                         const Edition& edition) const {
  const uint64_t mixed =
      Mix(spec_.seed + static_cast<uint64_t>(series), static_cast<uint64_t>(instance));
  const size_t grown =
      edition.other_size ? kEditionGrowthBytes * static_cast<size_t>(edition.number) : 0;
  return mixed % kCommentSteps * 2 + grown;
}

int64_t SyntheticCollection::SizeWithoutComment(const Place& place,
                                                std::string_view patient_id) const {
  const size_t texts = 2 * (patient_id.size() + patient_id.size() % 2);  // it is the name, too
  return (IsThirdParty(place) ? third_party_size_ : plain_size_) + static_cast<int64_t>(texts);
}

Instance SyntheticCollection::InstanceAt(int64_t series, int64_t instance,
                                         const Edition& edition) const {
  const Place place = PlaceOf(series);
  const auto comment_bytes = static_cast<int64_t>(CommentBytes(series, instance, edition));
  return {fmt::format("{}.{}", SeriesUid(place), kInstanceBase + instance),
          SizeWithoutComment(place, PatientId(place.patient)) + comment_bytes, instance + 1};
}

PhantomSlice SyntheticCollection::Slice(int64_t series, int64_t instance,
                                        const Edition& edition) const {
  const Place place = PlaceOf(series);
  const bool third_party = IsThirdParty(place);
  PhantomSlice slice;
  slice.patient_id = PatientId(place.patient);
  slice.patient_sex = place.patient % 2 == 0 ? "F" : "M";
  slice.patient_age = fmt::format("{:03}Y", 20 + place.patient % 70);
  slice.study_uid = StudyUid(place);
  slice.study_id = fmt::format("S{:04}", place.study + 1);
  slice.study_description = "Phantom study";
  slice.date = DicomDay(kFirstStudy + std::chrono::days(place.patient % 365 + 30 * place.study));
  slice.series_uid = SeriesUid(place);
  slice.series_description = third_party ? "Segmentation" : "Head phantom";
  slice.protocol = third_party ? "" : "Phantom";
  slice.modality = third_party ? "SEG" : spec_.modality;
  slice.body_part = spec_.body_part;
  slice.manufacturer = third_party ? "Somebody else" : "tciafs";
  slice.model = third_party ? "" : "Ellipsoids";
  slice.software = "1";
  slice.sop_uid = fmt::format("{}.{}", slice.series_uid, kInstanceBase + instance);
  slice.series_number = third_party ? 1 : place.series + 1;
  slice.instance_number = instance + 1;
  slice.slice_count = spec_.images;
  slice.columns = spec_.columns;
  slice.rows = spec_.rows;
  slice.comment_bytes = CommentBytes(series, instance, edition);
  slice.shape_seed = Mix(spec_.seed, static_cast<uint64_t>(place.patient));
  slice.noise_seed =
      Mix(Mix(spec_.seed, Xxh3(AsBytes(slice.sop_uid))), static_cast<uint64_t>(edition.number));
  return slice;
}

Result<std::string> SyntheticCollection::Bytes(int64_t series, int64_t instance,
                                               const Edition& edition) const {
  return RenderPhantom(Slice(series, instance, edition));
}

std::optional<std::vector<int64_t>> SyntheticCollection::ParseUid(std::string_view uid,
                                                                  size_t depth) const {
  if (!uid.starts_with(uid_prefix_) || uid.size() <= uid_prefix_.size()) return std::nullopt;
  const auto parts = SplitText(uid.substr(uid_prefix_.size()), '.');
  if (parts.size() != depth + 1 || !parts[0].empty()) return std::nullopt;
  const std::array<int64_t, 4> limits = {patient_count(), spec_.studies, spec_.series,
                                         spec_.images};
  std::vector<int64_t> numbers;
  for (size_t i = 0; i < depth; ++i) {
    const std::string_view part = parts[i + 1];
    int64_t number = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    if (error != std::errc() || end != part.data() + part.size()) return std::nullopt;
    number -= kBases[i];
    if (number < 0 || number >= limits[i] || part.front() == '0') return std::nullopt;
    numbers.push_back(number);
  }
  return numbers;
}

std::optional<int64_t> SyntheticCollection::FindSeries(const std::string& series_uid) const {
  const auto numbers = ParseUid(series_uid, 3);
  if (!numbers) return std::nullopt;
  return ((*numbers)[0] * spec_.studies + (*numbers)[1]) * spec_.series + (*numbers)[2];
}

std::optional<InstanceAddress> SyntheticCollection::FindInstance(const std::string& sop_uid) const {
  const auto numbers = ParseUid(sop_uid, 4);
  if (!numbers) return std::nullopt;
  return InstanceAddress{
      ((*numbers)[0] * spec_.studies + (*numbers)[1]) * spec_.series + (*numbers)[2],
      (*numbers)[3]};
}

std::optional<std::vector<int64_t>> SyntheticCollection::PatientsNamed(
    const std::string& patient_id) const {
  if (!spec_.patient_ids.empty()) return std::nullopt;  // few: look at all of them
  const std::string_view id = patient_id;
  const size_t prefix = spec_.name.size() + 1;
  int64_t number = 0;
  if (id.size() <= prefix) return std::vector<int64_t>{};
  const std::string_view digits = id.substr(prefix);
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (parsed.ec != std::errc() || number < 1 || number > patient_count())
    return std::vector<int64_t>{};
  return std::vector<int64_t>{number - 1};
}

std::optional<std::vector<int64_t>> SyntheticCollection::PatientsOfStudy(
    const std::string& study_uid) const {
  const auto numbers = ParseUid(study_uid, 2);
  if (!numbers) return std::vector<int64_t>{};
  return std::vector<int64_t>{(*numbers)[0]};
}

bool SyntheticCollection::AddPatients(int64_t count, Second submitted) {
  MutexLock lock(mutex_);
  if (count < 1 || count > kPatientsMax - patients_) return false;
  growth_.push_back({patients_, submitted});
  patients_ += count;
  return true;
}

}  // namespace tciafs::archive
