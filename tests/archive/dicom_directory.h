// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A collection made of the DICOM files under a directory, grouped by their tags. Only their tags
// are held in memory; the files are read again when asked for, and should stay as they are.
// Thread-safe once built.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "collection.h"

namespace tciafs::archive {

class DicomDirectory final : public Collection {
 public:
  // Reads the tags of every regular file under `directory`. kNotFound if there is no such
  // directory. Files that are no DICOM files, lack one of the ids, repeat a SOP instance or put a
  // series into a second study are left out and counted.
  static Result<std::unique_ptr<DicomDirectory>> Open(const std::string& directory,
                                                      std::string name);

  int64_t files_left_out() const { return files_left_out_; }

  const std::string& name() const override { return name_; }
  int64_t patient_count() const override { return static_cast<int64_t>(patients_.size()); }
  IndexRange PatientSeries(int64_t patient) const override;
  void FillSeries(int64_t series, const Edition& edition, Series& row) const override;
  Instance InstanceAt(int64_t series, int64_t instance, const Edition& edition) const override;
  Result<std::string> Bytes(int64_t series, int64_t instance,
                            const Edition& edition) const override;
  std::optional<int64_t> FindSeries(const std::string& series_uid) const override;
  std::optional<InstanceAddress> FindInstance(const std::string& sop_uid) const override;
  std::optional<std::vector<int64_t>> PatientsNamed(const std::string&) const override {
    return std::nullopt;
  }
  std::optional<std::vector<int64_t>> PatientsOfStudy(const std::string&) const override {
    return std::nullopt;
  }
  bool AddPatients(int64_t, Second) override { return false; }

 private:
  struct StoredInstance {
    Instance instance;
    std::string path;
  };
  struct StoredSeries {
    Series row;
    std::vector<StoredInstance> instances;
  };

  explicit DicomDirectory(std::string name) : name_(std::move(name)) {}
  bool AddFile(const std::string& path, std::unordered_map<std::string, StoredSeries>& by_uid);
  void Arrange(std::unordered_map<std::string, StoredSeries> by_uid);

  const std::string name_;
  int64_t files_left_out_ = 0;
  std::vector<StoredSeries> series_;  // by patient, study, series
  std::vector<IndexRange> patients_;
  std::unordered_map<std::string, int64_t> series_by_uid_;
  std::unordered_map<std::string, InstanceAddress> instance_by_uid_;
};

}  // namespace tciafs::archive
