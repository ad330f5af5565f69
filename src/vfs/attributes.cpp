// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/attributes.h"

#include <algorithm>

#include "vfs/limits.h"

namespace tciafs::vfs {
namespace {

// A CT slice of 512 x 512 pixels of 16 bits, the most common instance there is.
constexpr int64_t kTypicalInstanceBytes = 512 << 10;
constexpr int64_t kEstimateStepBytes = 4096;

int64_t Estimate(const SizeFacts& facts) {
  if (facts.series_bytes <= 0 || facts.series_instances <= 0) return kTypicalInstanceBytes;
  const int64_t average = facts.series_bytes / facts.series_instances +
                          (facts.series_bytes % facts.series_instances != 0 ? 1 : 0);
  if (average >= kEstimateBytesMax) return kEstimateBytesMax;
  return (average + kEstimateStepBytes - 1) / kEstimateStepBytes * kEstimateStepBytes;
}

Attributes Common(const FilesystemOptions& options, uint64_t inode, int64_t modified_s) {
  Attributes attributes;
  attributes.inode = inode;
  attributes.modified_s = modified_s != 0 ? modified_s : kUnknownModifiedS;
  attributes.uid = options.uid;
  attributes.gid = options.gid;
  return attributes;
}

}  // namespace

std::string_view SizeOriginName(SizeOrigin origin) {
  switch (origin) {
    case SizeOrigin::kExact:
      return "exact";
    case SizeOrigin::kAdvertised:
      return "advertised";
    case SizeOrigin::kEstimated:
      return "estimated";
  }
  return "estimated";
}

InstanceSize ChooseSize(const SizeFacts& facts, UnknownSize policy) {
  if (facts.exact_bytes >= 0) return {facts.exact_bytes, SizeOrigin::kExact};
  if (facts.advertised_bytes > 0) return {facts.advertised_bytes, SizeOrigin::kAdvertised};
  const bool sensible = facts.series_bytes > 0 && facts.series_bytes <= kEstimateBytesMax;
  if (facts.series_instances == 1 && sensible)
    return {facts.series_bytes, SizeOrigin::kAdvertised};
  if (policy == UnknownSize::kZero) return {0, SizeOrigin::kEstimated};
  return {Estimate(facts), SizeOrigin::kEstimated};
}

Attributes DirectoryAttributes(const FilesystemOptions& options, uint64_t inode,
                               int64_t modified_s) {
  Attributes attributes = Common(options, inode, modified_s);
  attributes.type = NodeType::kDirectory;
  attributes.mode = 0555 & ~options.umask;
  return attributes;
}

Attributes FileAttributes(const FilesystemOptions& options, uint64_t inode, int64_t modified_s,
                          int64_t size_bytes) {
  Attributes attributes = Common(options, inode, modified_s);
  attributes.type = NodeType::kFile;
  attributes.mode = 0444 & ~options.umask;
  attributes.size_bytes = size_bytes;
  return attributes;
}

int64_t KernelValidity(const FilesystemOptions& options, int64_t fresh_for_ms) {
  return std::clamp<int64_t>(fresh_for_ms, 0, std::max<int64_t>(options.kernel_validity_max_ms, 0));
}

}  // namespace tciafs::vfs
