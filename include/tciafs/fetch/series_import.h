// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Brings a series into the cache that somebody has already, and believes it by the rules that hold
// for downloads: the number of instances and the sum of their sizes must be what the archive
// announces, each size what it lists, each MD5 what it tells, as far as it does. All that can be
// compared beforehand is; an instance whose sum differs is not published, and a series that does
// not come to its end leaves nothing behind. Used by one thread at a time; what it is made of is
// borrowed. Errors: kCorrupt (it is not what the archive has, with the reason), those of
// cache::BlockCache.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tciafs/cache/block_cache.h"
#include "tciafs/source/records.h"
#include "tciafs/util/bytes.h"
#include "tciafs/util/result.h"

namespace tciafs::fetch {

struct OfferedInstance {
  source::SopUid sop;
  int64_t size_bytes = 0;
  std::string md5_hex;  // that of a list that came with it, or ""
};
using Md5Sums = std::unordered_map<source::SopUid, std::string>;

// `listed`: the instances as the archive lists them; empty if it does not. Each offered once.
Status CompareOffer(const source::SeriesVersion& announced,
                    const std::vector<source::InstanceRecord>& listed,
                    const std::vector<OfferedInstance>& offered);

class SeriesImport {
 public:
  // `sums` are those the archive tells. Reserves the space.
  static Result<std::unique_ptr<SeriesImport>> Begin(cache::BlockCache& cache,
                                                     const cache::SeriesPlan& plan,
                                                     const std::vector<OfferedInstance>& offered,
                                                     const Md5Sums& sums);
  virtual ~SeriesImport() = default;  // unless it was finished, what it brought is withdrawn
  // Of those offered, each once, one after the other.
  virtual Status BeginInstance(const source::SopUid& sop) = 0;
  virtual Status Data(ByteView bytes) = 0;
  virtual Status EndInstance() = 0;
  virtual Status Finish() = 0;  // verified
};

}  // namespace tciafs::fetch
