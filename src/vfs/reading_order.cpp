// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/reading_order.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "vfs/limits.h"

namespace tciafs::vfs {
namespace {

// What may be left of a series that is read through: the next one is to be on its way when the
// reader comes to it.
constexpr int64_t kLeftShare = 8;

}  // namespace

std::optional<source::SeriesUid> ReadingOrder::NoteReadToEnd(const catalog::ObjectPath& instance,
                                                             int64_t images) {
  MutexLock lock(mutex_);
  Study& study = StudyOf(instance);
  if (study.series != instance.series) {
    if (study.before == instance.series && !study.before.empty())
      return std::nullopt;  // a late one
    study.before = study.read_through ? study.series : source::SeriesUid();
    study.series = instance.series;
    study.read.clear();
    study.read_through = study.settled = false;
  }
  if (!study.read_through && images > 0) {
    study.read.insert(std::hash<source::SopUid>()(instance.sop));
    const auto left = images - static_cast<int64_t>(study.read.size());
    study.read_through = left <= images / kLeftShare;
    if (study.read_through) study.read = {};
  }
  if (!study.read_through || study.settled) return std::nullopt;
  if (!study.before.empty()) return study.before;
  Leave(study, study.series);
  return std::nullopt;
}

void ReadingOrder::Settle(const catalog::ObjectPath& series) {
  MutexLock lock(mutex_);
  Study& study = StudyOf(series);
  if (study.series != series.series) return;
  study.settled = true;
  Leave(study, study.series);
}

void ReadingOrder::Follow(const catalog::ObjectPath& series) {
  MutexLock lock(mutex_);
  Study& study = StudyOf(series);
  Leave(study, series.series);
  if (study.followed.size() >= kSeriesFollowedMax) study.followed.erase(study.followed.begin());
  study.followed.push_back(series.series);
}

bool ReadingOrder::Follows(const catalog::ObjectPath& series) const {
  MutexLock lock(mutex_);
  const auto study = std::find_if(studies_.begin(), studies_.end(), [&](const Study& one) {
    return one.path.study == series.study && one.path == series.At(catalog::Level::kStudy);
  });
  return study != studies_.end() && std::find(study->followed.begin(), study->followed.end(),
                                              series.series) != study->followed.end();
}

void ReadingOrder::Leave(Study& study, const source::SeriesUid& series) {
  std::erase(study.followed, series);
}

ReadingOrder::Study& ReadingOrder::StudyOf(const catalog::ObjectPath& instance) {
  const auto path = instance.At(catalog::Level::kStudy);
  const auto found = std::find_if(studies_.begin(), studies_.end(),
                                  [&](const Study& study) { return study.path == path; });
  if (found != studies_.end()) {
    studies_.splice(studies_.begin(), studies_, found);
  } else {
    studies_.emplace_front();
    studies_.front().path = path;
    if (studies_.size() > kStudiesFollowedMax) studies_.pop_back();
  }
  return studies_.front();
}

}  // namespace tciafs::vfs
