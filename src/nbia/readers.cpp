// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/readers.h"

#include <fmt/core.h>

#include <utility>

#include "nbia/limits.h"

namespace tciafs::nbia {

void RowReader::Begin() {
  wrong_body_.clear();
  cutter_.emplace(spec_.array_key, spec_.limits, spec_.on_row);
  if (spec_.on_begin) spec_.on_begin();
}

Status RowReader::Read(ByteView bytes) {
  const std::string_view text = AsText(bytes);
  if (wrong_body_.empty()) {
    const Status pushed = cutter_->Push(text);
    if (pushed) return {};
    if (!cutter_->blank()) return Fail(Within(spec_.question, pushed.error()));
  }
  // No list at all: enough of it is collected to say what came instead.
  wrong_body_ += text.substr(0, kErrorBodyBytesMax - wrong_body_.size());
  if (wrong_body_.size() < kErrorBodyBytesMax) return {};
  return Fail(ReadWrongBody(spec_.question, "a list", wrong_body_));
}

Status RowReader::End() {
  if (!wrong_body_.empty()) return Fail(ReadWrongBody(spec_.question, "a list", wrong_body_));
  if (const Status finished = cutter_->Finish(); !finished)
    return Fail(Within(spec_.question, finished.error()));
  return {};
}

Status SmallBodyReader::Read(ByteView bytes) {
  if (body_.size() + bytes.size() > bytes_max_)
    return Fail(Within(question_,
                       {Errc::kUnavailable, fmt::format("an answer over {} bytes", bytes_max_)}));
  body_ += AsText(bytes);
  return {};
}

}  // namespace tciafs::nbia
