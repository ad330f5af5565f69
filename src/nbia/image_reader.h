// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// One image as it streams in (getSingleImage): checks that it is the instance asked for before the
// sink sees a byte, and takes its MD5 sum on the way. It never ends the instance: a bare image has
// no checksum in transit, so the caller compares sums first where the server has one.
//
// Confined to the strand of its exchange. Errors: kUnavailable (something else came), kCorrupt
// (another instance, or no UID), or what the sink returned.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "nbia/answers.h"
#include "nbia/exchange.h"
#include "tciafs/source/source.h"
#include "tciafs/util/hash.h"

namespace tciafs::nbia {

class ImageReader final : public BodyReader {
 public:
  ImageReader(Question question, source::SopUid sop, std::shared_ptr<source::SeriesSink> sink);

  void OnRequest(uint64_t request_id) override { sink_->KnowRequest(request_id); }
  void Begin() override {}
  Status Read(ByteView bytes) override;
  Status End() override;
  // Of the whole image; once, after End.
  std::string FinishMd5() { return md5_.FinishHex(); }

 private:
  Status Search(bool complete);

  const Question question_;
  const source::SopUid sop_;
  const std::shared_ptr<source::SeriesSink> sink_;

  std::string head_;
  size_t next_search_bytes_ = 0;
  bool begun_ = false;
  int64_t size_bytes_ = 0;
  Md5 md5_;
};

}  // namespace tciafs::nbia
