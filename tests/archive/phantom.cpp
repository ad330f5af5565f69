// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "phantom.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace tciafs::archive {
namespace {

constexpr std::string_view kCtImageStorage = "1.2.840.10008.5.1.4.1.1.2";
constexpr std::string_view kMrImageStorage = "1.2.840.10008.5.1.4.1.1.4";
constexpr std::string_view kSecondaryCapture = "1.2.840.10008.5.1.4.1.1.7";
constexpr std::string_view kExplicitLittleEndian = "1.2.840.10008.1.2.1";
constexpr std::string_view kImplementation = "1.2.826.0.1.3680043.10.1338.1";

constexpr int kAirHounsfield = -1000;
constexpr int kIntercept = -1024;
constexpr int kWindowCenter = 40;
constexpr int kWindowWidth = 400;
constexpr float kDigitHounsfield = 1000;

// Appends elements in Explicit VR Little Endian. The caller keeps the tags ascending.
class ElementWriter {
 public:
  void Text(uint32_t tag, const char* vr, std::string_view value, char padding = ' ') {
    const size_t padded = value.size() + value.size() % 2;
    Head(tag, vr, padded);
    out_ += value;
    if (padded != value.size()) out_ += padding;
  }
  void Uid(uint32_t tag, std::string_view value) { Text(tag, "UI", value, '\0'); }
  void Short(uint32_t tag, uint16_t value) {
    Head(tag, "US", 2);
    Number(value, 2);
  }
  void Long(uint32_t tag, uint32_t value) {
    Head(tag, "UL", 4);
    Number(value, 4);
  }
  // OB and OW: the length takes 32 bits, behind two reserved bytes.
  void Bulk(uint32_t tag, const char* vr, size_t size) {
    Number(tag >> 16, 2);
    Number(tag & 0xffff, 2);
    out_.append(vr, 2);
    Number(0, 2);
    Number(static_cast<uint32_t>(size), 4);
  }
  void Raw(std::string_view bytes) { out_ += bytes; }
  std::string& out() { return out_; }

 private:
  void Head(uint32_t tag, const char* vr, size_t size) {
    Number(tag >> 16, 2);
    Number(tag & 0xffff, 2);
    out_.append(vr, 2);
    Number(static_cast<uint32_t>(size), 2);
  }
  void Number(uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out_ += static_cast<char>(value >> (8 * i) & 0xff);
  }
  std::string out_;
};

std::string Fixed(double value) { return fmt::format("{:+010.2f}", value); }
std::string Fixed(int64_t value) { return fmt::format("{:<10}", value); }

double SliceHeightMm(const PhantomSlice& slice) {
  return (static_cast<double>(slice.instance_number) - 0.5 -
          static_cast<double>(slice.slice_count) / 2) *
         kSliceThicknessMm;
}

void AppendFileMeta(const PhantomSlice& slice, std::string& file) {
  ElementWriter meta;
  meta.Bulk(0x00020001, "OB", 2);
  meta.Raw(std::string_view("\0\1", 2));
  meta.Uid(0x00020002, SopClassOf(slice.modality));
  meta.Uid(0x00020003, slice.sop_uid);
  meta.Uid(0x00020010, kExplicitLittleEndian);
  meta.Uid(0x00020012, kImplementation);
  meta.Text(0x00020013, "SH", "TCIAFS_ARCHIVE");
  ElementWriter head;
  head.Long(0x00020000, static_cast<uint32_t>(meta.out().size()));
  file.append(128, '\0');
  file += "DICM";
  file += head.out();
  file += meta.out();
}

void AppendIdentification(const PhantomSlice& slice, ElementWriter& out) {
  const bool capture = SopClassOf(slice.modality) == kSecondaryCapture;
  out.Text(0x00080005, "CS", "ISO_IR 100");
  out.Text(0x00080008, "CS", capture ? "DERIVED\\SECONDARY" : "ORIGINAL\\PRIMARY\\AXIAL");
  out.Uid(0x00080016, SopClassOf(slice.modality));
  out.Uid(0x00080018, slice.sop_uid);
  for (const uint32_t tag : {0x00080020U, 0x00080021U, 0x00080022U, 0x00080023U})
    out.Text(tag, "DA", slice.date);
  for (const uint32_t tag : {0x00080030U, 0x00080031U, 0x00080032U, 0x00080033U})
    out.Text(tag, "TM", "120000");
  out.Text(0x00080050, "SH", "");
  out.Text(0x00080060, "CS", slice.modality);
  if (capture) out.Text(0x00080064, "CS", "WSD");
  out.Text(0x00080070, "LO", slice.manufacturer);
  out.Text(0x00080090, "PN", "");
  out.Text(0x00081030, "LO", slice.study_description);
  out.Text(0x0008103e, "LO", slice.series_description);
  out.Text(0x00081090, "LO", slice.model);
  out.Text(0x00100010, "PN", slice.patient_id);
  out.Text(0x00100020, "LO", slice.patient_id);
  out.Text(0x00100030, "DA", "");
  out.Text(0x00100040, "CS", slice.patient_sex);
  out.Text(0x00101010, "AS", slice.patient_age);
}

void AppendAcquisition(const PhantomSlice& slice, ElementWriter& out) {
  const bool ct = slice.modality == "CT";
  const bool mr = slice.modality == "MR";
  out.Text(0x00180015, "CS", slice.body_part);
  if (mr) {
    out.Text(0x00180020, "CS", "SE");
    out.Text(0x00180021, "CS", "NONE");
    out.Text(0x00180022, "CS", "");
    out.Text(0x00180023, "CS", "2D");
  }
  out.Text(0x00180050, "DS", Fixed(kSliceThicknessMm));
  if (ct) out.Text(0x00180060, "DS", "120");
  if (mr) {
    out.Text(0x00180080, "DS", "500");
    out.Text(0x00180081, "DS", "15");
    out.Text(0x00180091, "IS", "1");
  }
  out.Text(0x00181020, "LO", slice.software);
  out.Text(0x00181030, "LO", slice.protocol);
  out.Text(0x00185100, "CS", "HFS");
}

void AppendGeometry(const PhantomSlice& slice, ElementWriter& out) {
  const double spacing_x = kFieldOfViewMm / slice.columns;
  const double spacing_y = kFieldOfViewMm / slice.rows;
  const double height = SliceHeightMm(slice);
  out.Uid(0x0020000d, slice.study_uid);
  out.Uid(0x0020000e, slice.series_uid);
  out.Text(0x00200010, "SH", slice.study_id);
  out.Text(0x00200011, "IS", Fixed(slice.series_number));
  out.Text(0x00200012, "IS", "1");
  out.Text(0x00200013, "IS", Fixed(slice.instance_number));
  out.Text(0x00200032, "DS",
           fmt::format("{}\\{}\\{}", Fixed((spacing_x - kFieldOfViewMm) / 2),
                       Fixed((spacing_y - kFieldOfViewMm) / 2), Fixed(height)));
  out.Text(0x00200037, "DS", "1\\0\\0\\0\\1\\0");
  out.Uid(0x00200052, slice.study_uid + ".9");
  out.Text(0x00201040, "LO", "");
  out.Text(0x00201041, "DS", Fixed(height));
  out.Text(0x00204000, "LT", std::string(slice.comment_bytes, '.'));
}

void AppendImageModule(const PhantomSlice& slice, ElementWriter& out) {
  out.Short(0x00280002, 1);
  out.Text(0x00280004, "CS", "MONOCHROME2");
  out.Short(0x00280010, static_cast<uint16_t>(slice.rows));
  out.Short(0x00280011, static_cast<uint16_t>(slice.columns));
  out.Text(0x00280030, "DS",
           fmt::format("{:012.6f}\\{:012.6f}", kFieldOfViewMm / slice.rows,
                       kFieldOfViewMm / slice.columns));
  out.Short(0x00280100, 16);
  out.Short(0x00280101, 16);
  out.Short(0x00280102, 15);
  out.Short(0x00280103, 0);
  const bool ct = slice.modality == "CT";
  // Without a rescale the window is one of stored values.
  out.Text(0x00281050, "DS", Fixed(int64_t{kWindowCenter - (ct ? 0 : kIntercept)}));
  out.Text(0x00281051, "DS", fmt::format("{}", kWindowWidth));
  if (!ct) return;
  out.Text(0x00281052, "DS", fmt::format("{}", kIntercept));
  out.Text(0x00281053, "DS", "1");
  out.Text(0x00281054, "LO", "HU");
}

size_t PixelBytes(const PhantomSlice& slice) {
  return static_cast<size_t>(slice.rows) * static_cast<size_t>(slice.columns) * 2;
}

std::string FileHead(const PhantomSlice& slice) {
  std::string file;
  AppendFileMeta(slice, file);
  ElementWriter out;
  AppendIdentification(slice, out);
  AppendAcquisition(slice, out);
  AppendGeometry(slice, out);
  AppendImageModule(slice, out);
  out.Bulk(0x7fe00010, "OW", PixelBytes(slice));
  return file + out.out();
}

struct Ellipsoid {
  double hounsfield, half_x, half_y, half_z, x, y, z, angle_deg;
};

constexpr std::array<Ellipsoid, 10> kHead = {{
    {1900, 0.69, 0.92, 0.90, 0, 0, 0, 0},
    {-860, 0.6624, 0.874, 0.88, 0, -0.0184, 0, 0},
    {-80, 0.11, 0.31, 0.42, 0.22, 0, 0, -18},
    {-80, 0.16, 0.41, 0.56, -0.22, 0, 0, 18},
    {60, 0.21, 0.25, 0.40, 0, 0.35, 0.1, 0},
    {60, 0.046, 0.046, 0.10, 0, 0.1, 0.2, 0},
    {60, 0.046, 0.046, 0.10, 0, -0.1, -0.2, 0},
    {60, 0.046, 0.023, 0.10, -0.08, -0.605, 0, 0},
    {60, 0.023, 0.023, 0.10, 0, -0.606, 0.1, 0},
    {60, 0.023, 0.046, 0.10, 0.06, -0.605, -0.1, 0},
}};

// Numbers that look random and are the same everywhere (SplitMix64).
class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

class Picture {
 public:
  Picture(int columns, int rows)
      : columns_(columns),
        rows_(rows),
        values_(static_cast<size_t>(columns) * static_cast<size_t>(rows)) {}

  // Adds the cut of an ellipsoid at height z, in coordinates from -1 to 1. Each picture row meets
  // the ellipse in one interval, found from a quadratic equation.
  void AddEllipse(const Ellipsoid& e, double z) {
    const double height = (z - e.z) / e.half_z;
    if (std::abs(height) >= 1) return;
    const double shrink = std::sqrt(1 - height * height);
    const double a = e.half_x * shrink;
    const double b = e.half_y * shrink;
    const double c = std::cos(e.angle_deg * kRadiansPerDegree);
    const double s = std::sin(e.angle_deg * kRadiansPerDegree);
    const double p = c * c / (a * a) + s * s / (b * b);
    for (int row = 0; row < rows_; ++row) {
      const double dy = 1 - (2 * row + 1.0) / rows_ - e.y;
      const double half_q = dy * c * s * (1 / (a * a) - 1 / (b * b));
      const double r = dy * dy * (s * s / (a * a) + c * c / (b * b)) - 1;
      const double root = half_q * half_q - p * r;
      if (root <= 0) continue;
      const double middle = e.x - half_q / p;
      const double half_width = std::sqrt(root) / p;
      AddToRow(row, Column(middle - half_width), Column(middle + half_width), e.hounsfield);
    }
  }

  // Digits of 3x5 cells in the upper left corner, as bright as bone.
  void DrawNumber(int64_t number) {
    constexpr std::array<uint16_t, 10> kDigits = {075557, 026227, 071747, 071717, 055711,
                                                  074717, 074757, 071111, 075757, 075717};
    const int cell = std::max(1, columns_ / 64);
    int left = cell;
    for (const char digit : fmt::format("{}", number)) {
      const uint16_t bits = kDigits[static_cast<size_t>(digit - '0')];
      for (int i = 0; i < 15; ++i)
        if ((bits >> (14 - i) & 1) != 0) FillCell(left + i % 3 * cell, cell + i / 3 * cell, cell);
      left += 4 * cell;
    }
  }

  // Little-endian stored values.
  std::string StoredValues(Noise& noise) const {
    std::string bytes(values_.size() * 2, '\0');
    uint64_t random = 0;
    for (size_t i = 0; i < values_.size(); ++i) {
      if (i % 16 == 0) random = noise.Next();
      const int hounsfield = kAirHounsfield + static_cast<int>(std::lround(values_[i]));
      const int stored =
          std::clamp(hounsfield - kIntercept + static_cast<int>(random & 15), 0, 4095);
      random >>= 4;
      bytes[2 * i] = static_cast<char>(stored & 0xff);
      bytes[2 * i + 1] = static_cast<char>(stored >> 8);
    }
    return bytes;
  }

 private:
  static constexpr double kRadiansPerDegree = 3.14159265358979323846 / 180;

  int Column(double x) const {
    return static_cast<int>(
        std::clamp(std::ceil((x + 1) / 2 * columns_ - 0.5), 0.0, static_cast<double>(columns_)));
  }
  void AddToRow(int row, int first, int end, double hounsfield) {
    float* line = &values_[static_cast<size_t>(row) * static_cast<size_t>(columns_)];
    for (int column = first; column < end; ++column) line[column] += static_cast<float>(hounsfield);
  }
  void FillCell(int left, int top, int size) {
    for (int row = top; row < std::min(top + size, rows_); ++row)
      for (int column = left; column < std::min(left + size, columns_); ++column)
        values_[static_cast<size_t>(row) * static_cast<size_t>(columns_) +
                static_cast<size_t>(column)] = kDigitHounsfield - kAirHounsfield;
  }

  int columns_;
  int rows_;
  std::vector<float> values_;
};

}  // namespace

std::string_view SopClassOf(std::string_view modality) {
  if (modality == "CT") return kCtImageStorage;
  if (modality == "MR") return kMrImageStorage;
  return kSecondaryCapture;
}

int64_t PhantomFileSize(const PhantomSlice& slice) {
  return static_cast<int64_t>(FileHead(slice).size() + PixelBytes(slice));
}

std::string RenderPhantom(const PhantomSlice& slice) {
  Noise shape(slice.shape_seed);
  const double z =
      2 * SliceHeightMm(slice) /
      (kSliceThicknessMm * static_cast<double>(std::max<int64_t>(slice.slice_count, 1)));
  // No two heads alike: each ellipsoid is a little larger or smaller, by the seed.
  Picture picture(slice.columns, slice.rows);
  for (Ellipsoid ellipsoid : kHead) {
    const double scale = 0.95 + 0.05 * static_cast<double>(shape.Next() % 1000) / 1000;
    ellipsoid.half_x *= scale;
    ellipsoid.half_y *= scale;
    picture.AddEllipse(ellipsoid, z);
  }
  picture.DrawNumber(slice.instance_number);
  Noise noise(slice.noise_seed);
  return FileHead(slice) + picture.StoredValues(noise);
}

}  // namespace tciafs::archive
