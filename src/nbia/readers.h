// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The two readers of text answers: RowReader for lists of any length, SmallBodyReader for what fits
// in memory. Both notice when a 200 carries something else (a web page, an English sentence).
//
// Confined to the strand of their exchange. Errors: kUnavailable, or what the row callback
// returned.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "nbia/answers.h"
#include "nbia/exchange.h"
#include "nbia/json_rows.h"

namespace tciafs::nbia {

class RowReader final : public BodyReader {
 public:
  struct Spec {
    Question question;
    std::string array_key;  // "": the body is the array
    RowLimits limits;
    std::function<void()> on_begin;  // forget what came before
    RowCutter::OnRow on_row;
    bool restartable = true;
  };
  explicit RowReader(Spec spec) : spec_(std::move(spec)) {}

  void Begin() override;
  Status Read(ByteView bytes) override;
  Status End() override;
  bool restartable() const override { return spec_.restartable; }
  bool empty() const override { return rows() == 0; }
  size_t rows() const { return cutter_ ? cutter_->rows() : 0; }

 private:
  const Spec spec_;
  std::optional<RowCutter> cutter_;
  std::string wrong_body_;  // once the body proved to be no list
};

class SmallBodyReader final : public BodyReader {
 public:
  SmallBodyReader(Question question, size_t bytes_max)
      : question_(std::move(question)), bytes_max_(bytes_max) {}

  void Begin() override { body_.clear(); }
  Status Read(ByteView bytes) override;
  Status End() override { return {}; }
  bool restartable() const override { return true; }
  const std::string& body() const { return body_; }

 private:
  const Question question_;
  const size_t bytes_max_;
  std::string body_;
};

}  // namespace tciafs::nbia
