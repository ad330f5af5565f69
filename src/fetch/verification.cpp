// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fetch/verification.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "tciafs/fetch/limits.h"
#include "tciafs/util/text.h"

namespace tciafs::fetch {
namespace {

// Figures beyond this are not figures but nonsense (and would overflow below).
constexpr int64_t kAnnouncedMax = std::numeric_limits<int64_t>::max() / 4;

int64_t BytesMax(int64_t announced) {
  if (announced < 0 || announced > kAnnouncedMax) return kUnannouncedBytesMax;
  return announced + announced / 2 + kExcessBytesMax;
}

int64_t InstancesMax(int64_t announced) {
  if (announced < 0 || announced > kAnnouncedMax) return kUnannouncedInstancesMax;
  return announced * 2 + kExcessInstancesMax;
}

}  // namespace

Status Ledger::CheckRunaway(int64_t instances, int64_t bytes) const {
  if (bytes > BytesMax(announced_.total_bytes))
    return Fail(Errc::kCorrupt, fmt::format("the archive sent more than {} where {} was announced",
                                            FormatSize(BytesMax(announced_.total_bytes)),
                                            bytes_announced() ? FormatSize(announced_.total_bytes)
                                                              : std::string("nothing")));
  if (instances > InstancesMax(announced_.image_count))
    return Fail(Errc::kCorrupt,
                fmt::format("the archive sent more than {} instances where {} were announced",
                            InstancesMax(announced_.image_count),
                            instances_announced() ? std::to_string(announced_.image_count)
                                                  : std::string("none")));
  return {};
}

void Ledger::ExpectMd5(const source::SopUid& sop, const std::string& md5_hex) {
  if (static_cast<int64_t>(expected_md5_.size()) > InstancesMax(announced_.image_count)) return;
  expected_md5_[sop] = md5_hex;
}

void Ledger::ExpectSize(const source::SopUid& sop, int64_t size_bytes) {
  if (static_cast<int64_t>(expected_sizes_.size()) > InstancesMax(announced_.image_count)) return;
  expected_sizes_[sop] = size_bytes;
}

Ledger::Md5Verdict Ledger::CheckMd5(const source::SopUid& sop, const std::string& md5_hex) const {
  const auto expected = expected_md5_.find(sop);
  if (expected == expected_md5_.end() || md5_hex.empty()) return Md5Verdict::kUnknown;
  return EqualsIgnoringCase(expected->second, md5_hex) ? Md5Verdict::kMatches
                                                       : Md5Verdict::kDiffers;
}

bool Ledger::AddsUp(int64_t instances, int64_t bytes) const {
  return (!instances_announced() || instances == announced_.image_count) &&
         (!bytes_announced() || bytes == announced_.total_bytes);
}

void Ledger::Dispute(const source::SopUid& sop, int64_t size_bytes, int64_t other_size_bytes) {
  if (settled_.contains(sop)) return;
  disputed_.emplace(sop, std::pair(size_bytes, other_size_bytes));
  newly_disputed_.push_back(sop);
}

bool Ledger::Plausible(const source::SopUid& sop, int64_t size_bytes) const {
  const auto dispute = disputed_.find(sop);
  if (dispute == disputed_.end()) return true;
  return size_bytes == dispute->second.first || size_bytes == dispute->second.second;
}

void Ledger::EndStream(bool whole, int64_t instances, int64_t bytes) {
  if (whole) ++whole_streams_;
  stream_instances_ = instances;
  stream_bytes_ = bytes;
}

Ledger::Findings Ledger::Assess(const std::vector<cache::KnownInstance>& known) {
  Findings findings;
  std::vector<source::SopUid> disputed = std::move(newly_disputed_);
  newly_disputed_.clear();
  std::sort(disputed.begin(), disputed.end());
  int64_t instances = 0;
  int64_t bytes = 0;
  int64_t confirmed = 0;
  for (const auto& instance : known) {
    if (!instance.cached) continue;
    const auto verdict = CheckMd5(instance.sop, instance.md5_hex);
    if (verdict == Md5Verdict::kDiffers ||
        (verdict == Md5Verdict::kUnknown &&
         std::binary_search(disputed.begin(), disputed.end(), instance.sop))) {
      findings.damaged.push_back(instance.sop);
      continue;
    }
    ++instances;
    bytes += instance.size_bytes;
    if (verdict == Md5Verdict::kMatches) ++confirmed;
  }
  findings.instances = instances;
  findings.size_bytes = bytes;
  findings.complete = findings.damaged.empty() && AddsUp(instances, bytes);
  findings.all_sums = findings.damaged.empty() && confirmed == instances;
  findings.drifted = instances_announced() && bytes_announced() &&
                     stream_instances_ == announced_.image_count &&
                     stream_bytes_ != announced_.total_bytes;
  return findings;
}

}  // namespace tciafs::fetch
