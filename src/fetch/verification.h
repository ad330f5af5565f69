// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Does what arrived agree with what the archive announced? The books of one download: MD5 sums
// announced, what the latest stream delivered, which instances are in doubt. Pure bookkeeping, no
// I/O; guarded by the turn of its Intake.
//
// Two kinds of suspicion. *Doubtful*: the last instance of a stream that did not add up (a server
// that fails while reading a file closes the zip properly, so the last entry may be cut short under
// a valid CRC); it is believed once a second delivery has the same size. *Disputed*: two deliveries
// of one instance differed in size; a third that agrees with either decides.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tciafs/cache/block_cache.h"
#include "tciafs/source/records.h"
#include "tciafs/util/result.h"

namespace tciafs::fetch {

class Ledger {
 public:
  explicit Ledger(const source::SeriesVersion& announced) : announced_(announced) {}

  // kCorrupt when one stream has delivered more than any drift of the announced figures explains.
  Status CheckRunaway(int64_t instances, int64_t bytes) const;

  // Sums beyond the number of instances a stream may have are ignored.
  void ExpectMd5(const source::SopUid& sop, const std::string& md5_hex);
  enum class Md5Verdict { kUnknown, kMatches, kDiffers };
  Md5Verdict CheckMd5(const source::SopUid& sop, const std::string& md5_hex) const;

  bool AddsUp(int64_t instances, int64_t bytes) const;  // with whatever of the two was announced
  bool bytes_announced() const { return announced_.total_bytes >= 0; }
  bool instances_announced() const { return announced_.image_count >= 0; }

  bool AllCame(int64_t instances) const { return instances == announced_.image_count; }

  // Two deliveries of an instance differ.
  void Dispute(const source::SopUid& sop, int64_t size_bytes, int64_t other_size_bytes);
  // What a stream brought, and nothing shows that it is whole; a single image of the same bytes
  // does.
  void Doubt(const source::SopUid& sop, const std::string& md5_hex) { doubted_[sop] = md5_hex; }
  bool Doubted(const source::SopUid& sop, const std::string& md5_hex) const {
    const auto doubted = doubted_.find(sop);
    return doubted != doubted_.end() && doubted->second == md5_hex;
  }
  // As it is listed; more than a stream may have are ignored.
  void ExpectSize(const source::SopUid& sop, int64_t size_bytes);
  bool HasExpectedSize(const source::SopUid& sop, int64_t size_bytes) const {
    const auto expected = expected_sizes_.find(sop);
    return expected != expected_sizes_.end() && expected->second == size_bytes;
  }
  // Its single image has decided; what streams bring is not weighed against it any more.
  void Settle(const source::SopUid& sop) { settled_.insert(sop); }
  bool Plausible(const source::SopUid& sop, int64_t size_bytes) const;

  // What the latest stream delivered, each instance once; whole: it came to a good end.
  void EndStream(bool whole, int64_t instances, int64_t bytes);
  int whole_streams() const { return whole_streams_; }

  struct Findings {
    std::vector<source::SopUid> damaged;  // cached, but disputed or contradicted by their MD5
    bool complete = false;                // what is cached is what was announced
    bool drifted = false;   // right number, other sum: a figure is wrong, or some instance is
    bool all_sums = false;  // every cached instance has its announced MD5
    int64_t instances = 0;  // cached, without the damaged
    int64_t size_bytes = 0;
  };
  // `known` is what the cache knows of this version. Disputes are settled by this: their instances
  // come back as damaged once.
  Findings Assess(const std::vector<cache::KnownInstance>& known);

 private:
  const source::SeriesVersion announced_;
  std::unordered_map<source::SopUid, std::string> expected_md5_;
  std::unordered_map<source::SopUid, std::pair<int64_t, int64_t>> disputed_;
  std::unordered_map<source::SopUid, int64_t> expected_sizes_;
  std::unordered_map<source::SopUid, std::string> doubted_;
  std::unordered_set<source::SopUid> settled_;
  std::vector<source::SopUid> newly_disputed_;
  int whole_streams_ = 0;
  int64_t stream_instances_ = -1;
  int64_t stream_bytes_ = -1;
};

}  // namespace tciafs::fetch
