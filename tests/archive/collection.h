// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the test archive holds, and the seam behind which it comes from DICOM files or out of thin
// air. A Series is one wide row, as in NBIA's own general_series table: patient and study are
// repeated in each. In text fields "" stands for a database null.
//
// A Collection is addressed by indices: patients 0..n-1, each owning a contiguous range of series
// indices (a study's series are contiguous too), each series its instances 0..m-1. Collections are
// thread-safe and outlive what visits them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dates.h"
#include "tciafs/util/result.h"

namespace tciafs::archive {

struct Series {
  int64_t index = 0;      // within its collection
  int64_t series_pk = 0;  // database keys: numbers from 0 within the collection as it fills them
  int64_t study_pk = 0;   // in, unique in the archive as Holdings gives them out
  int64_t patient_pk = 0;

  std::string collection;
  std::string patient_id;
  std::string patient_name;
  std::string patient_sex;
  std::string patient_age;
  std::string ethnic_group;

  std::string study_uid;
  std::string study_id;
  std::string study_description;
  std::optional<Day> study_day;

  std::string series_uid;
  std::string modality;
  std::string series_description;
  std::string protocol;
  std::string body_part;
  std::string manufacturer;
  std::string model;
  std::string software;
  std::string sop_class;
  std::string pixel_spacing;
  std::string slice_thickness;
  std::optional<int64_t> series_number;
  std::optional<Day> series_day;
  bool annotated = false;
  bool third_party = false;

  int64_t image_count = 0;
  int64_t total_bytes = 0;
  Second submitted{};
  std::string license_name;
  std::string license_uri;
  std::string description_uri;
};

struct Instance {
  std::string sop_uid;
  int64_t size_bytes = 0;
  std::optional<int64_t> number;
};

// Which edition of a series is meant: 0 as first submitted, n after it was replaced n times.
struct Edition {
  int number = 0;
  bool other_size = false;  // its files are longer than those of edition 0
};

struct IndexRange {
  int64_t first = 0;
  int64_t end = 0;
};

struct InstanceAddress {
  int64_t series = 0;
  int64_t instance = 0;
};

class Collection {
 public:
  virtual ~Collection() = default;
  virtual const std::string& name() const = 0;
  virtual int64_t patient_count() const = 0;
  virtual IndexRange PatientSeries(int64_t patient) const = 0;
  virtual void FillSeries(int64_t series, const Edition& edition, Series& row) const = 0;
  virtual Instance InstanceAt(int64_t series, int64_t instance, const Edition& edition) const = 0;
  // The file itself. Errors: kNotFound, kInternal when it cannot be read.
  virtual Result<std::string> Bytes(int64_t series, int64_t instance,
                                    const Edition& edition) const = 0;

  virtual std::optional<int64_t> FindSeries(const std::string& series_uid) const = 0;
  virtual std::optional<InstanceAddress> FindInstance(const std::string& sop_uid) const = 0;
  // Patients that can be the ones meant: a superset, nullopt for "any". Ids compare without case
  // and trailing blanks.
  virtual std::optional<std::vector<int64_t>> PatientsNamed(
      const std::string& patient_id) const = 0;
  virtual std::optional<std::vector<int64_t>> PatientsOfStudy(
      const std::string& study_uid) const = 0;

  // Appends patients submitted at that time. False where the collection cannot grow.
  virtual bool AddPatients(int64_t count, Second submitted) = 0;
};

}  // namespace tciafs::archive
