// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/image_reader.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "nbia/limits.h"
#include "tciafs/dicom/head.h"

namespace tciafs::nbia {
namespace {

constexpr size_t kFirstLookBytes = 1024;

}  // namespace

ImageReader::ImageReader(Question question, source::SopUid sop,
                         std::shared_ptr<source::SeriesSink> sink)
    : question_(std::move(question)),
      sop_(std::move(sop)),
      sink_(std::move(sink)),
      next_search_bytes_(kFirstLookBytes) {}

Status ImageReader::Read(ByteView bytes) {
  size_bytes_ += static_cast<int64_t>(bytes.size());
  if (size_bytes_ > kImageBytesMax)
    return Fail(Within(question_, {Errc::kCorrupt, "an image without end"}));
  if (begun_) {
    md5_.Update(bytes);
    return sink_->Data(bytes);
  }
  head_ += AsText(bytes);
  return head_.size() >= next_search_bytes_ ? Search(false) : Status();
}

Status ImageReader::End() { return begun_ ? Status() : Search(true); }

Status ImageReader::Search(bool complete) {
  const auto found = dicom::FindSopInstanceUid(AsBytes(head_), complete);
  if (!found) return Fail(ReadWrongBody(question_, "an image", head_));
  if (!*found) {
    if (complete || head_.size() >= dicom::kHeadBytesMax)
      return Fail(Within(question_, {Errc::kCorrupt, "an image without SOPInstanceUID"}));
    next_search_bytes_ = std::min(head_.size() * 2, dicom::kHeadBytesMax);
    return {};
  }
  if (**found != sop_.text())
    return Fail(Within(question_, {Errc::kCorrupt, fmt::format("asked for image {}, got {}",
                                                               sop_.text(), QuoteBody(**found))}));
  begun_ = true;
  TCIAFS_TRY(sink_->BeginInstance(sop_));
  const std::string head = std::exchange(head_, {});
  md5_.Update(AsBytes(head));
  return sink_->Data(AsBytes(head));
}

}  // namespace tciafs::nbia
