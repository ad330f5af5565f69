// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Draws one slice of a head-like phantom as a DICOM file: ellipsoids after Shepp and Logan, cut at
// the slice's height, some noise, and the instance number in digits. The same PhantomSlice gives
// the same bytes, always. Pure functions; sizes in bytes, lengths in millimetres.
// Sources: DICOM PS3.10 (file format), PS3.3 A.3 and A.4 (CT and MR Image IOD); L. Shepp, B. Logan,
// IEEE Trans. Nucl. Sci. 21 (1974), with grey levels of our own in Hounsfield units.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tciafs::archive {

// Everything that ends up in the file. Numbers are written with fixed width, so that the size
// depends on the texts and the matrix alone.
struct PhantomSlice {
  std::string patient_id;  // also used as the patient's name
  std::string patient_sex;
  std::string patient_age;
  std::string study_uid;
  std::string study_id;
  std::string study_description;
  std::string date;  // yyyymmdd
  std::string series_uid;
  std::string series_description;
  std::string protocol;
  std::string modality;  // CT and MR get their own image class, others secondary capture
  std::string body_part;
  std::string manufacturer;
  std::string model;
  std::string software;
  std::string sop_uid;
  int64_t series_number = 1;
  int64_t instance_number = 1;
  int64_t slice_count = 1;
  int columns = 64;
  int rows = 64;
  size_t comment_bytes = 0;  // of Image Comments, to vary the size; even
  uint64_t shape_seed = 0;   // the same for all slices of a head
  uint64_t noise_seed = 0;
};

std::string_view SopClassOf(std::string_view modality);
inline constexpr double kSliceThicknessMm = 3.0;
inline constexpr double kFieldOfViewMm = 256.0;

// The size of the file, without drawing it.
int64_t PhantomFileSize(const PhantomSlice& slice);
std::string RenderPhantom(const PhantomSlice& slice);

}  // namespace tciafs::archive
