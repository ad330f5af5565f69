// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A collection that is nowhere stored: every row and every file is computed from the collection's
// description and the indices of patient, study, series and instance, the same on every machine.
// UIDs spell these indices, so finding one needs no index either. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collection.h"
#include "phantom.h"
#include "tciafs/util/mutex.h"

namespace tciafs::archive {

struct SyntheticSpec {
  std::string name;
  int64_t patients = 10;
  int64_t studies = 1;  // per patient
  int64_t series = 1;   // per study
  int64_t images = 10;  // per series
  int columns = 64;
  int rows = 64;
  uint64_t seed = 1;
  std::string modality = "CT";
  std::string body_part = "HEAD";
  std::vector<std::string> patient_ids;  // in place of NAME-0001 ...; then `patients` is ignored
  bool third_party_series = false;  // the last series of each study is somebody else's analysis
};

// "NAME:patients=500,studies=1,series=2,images=20,size=64x64,seed=1,modality=CT", each optional.
Result<SyntheticSpec> ParseSyntheticSpec(std::string_view text);

// Collections full of names that are legal and awkward.
std::vector<SyntheticSpec> OddCollections();

class SyntheticCollection final : public Collection {
 public:
  explicit SyntheticCollection(SyntheticSpec spec);

  const std::string& name() const override { return spec_.name; }
  int64_t patient_count() const override;
  IndexRange PatientSeries(int64_t patient) const override;
  void FillSeries(int64_t series, const Edition& edition, Series& row) const override;
  Instance InstanceAt(int64_t series, int64_t instance, const Edition& edition) const override;
  Result<std::string> Bytes(int64_t series, int64_t instance,
                            const Edition& edition) const override;
  std::optional<int64_t> FindSeries(const std::string& series_uid) const override;
  std::optional<InstanceAddress> FindInstance(const std::string& sop_uid) const override;
  std::optional<std::vector<int64_t>> PatientsNamed(const std::string& patient_id) const override;
  std::optional<std::vector<int64_t>> PatientsOfStudy(const std::string& study_uid) const override;
  bool AddPatients(int64_t count, Second submitted) override;

 private:
  // Where a series stands.
  struct Place {
    int64_t patient, study, series;
  };
  struct Growth {
    int64_t first_patient;
    Second submitted;
  };

  Place PlaceOf(int64_t series) const;
  bool IsThirdParty(const Place& place) const;
  std::string PatientId(int64_t patient) const;
  std::string StudyUid(const Place& place) const;
  std::string SeriesUid(const Place& place) const;
  // The numbers behind the collection's own UID prefix; nullopt if it is not of this collection or
  // has not exactly that many, or names nobody.
  std::optional<std::vector<int64_t>> ParseUid(std::string_view uid, size_t depth) const;
  Second SubmittedAt(int64_t patient) const;
  size_t CommentBytes(int64_t series, int64_t instance, const Edition& edition) const;
  int64_t SizeWithoutComment(const Place& place, std::string_view patient_id) const;
  PhantomSlice Slice(int64_t series, int64_t instance, const Edition& edition) const;

  const SyntheticSpec spec_;
  const std::string uid_prefix_;
  // Sizes of files with an empty patient id and no comment: of an ordinary and of a third-party
  // series. What a longer text adds is its length.
  int64_t plain_size_ = 0;
  int64_t third_party_size_ = 0;

  mutable Mutex mutex_;
  int64_t patients_ TCIAFS_GUARDED_BY(mutex_);
  std::vector<Growth> growth_ TCIAFS_GUARDED_BY(mutex_);
};

}  // namespace tciafs::archive
