// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// StrongText: a string that says what it names, so that a SeriesUid cannot be passed where a
// StudyUid is meant. Construction is explicit; comparison and hashing are those of the text.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <utility>

namespace tciafs {

template <typename Tag>
class StrongText {
 public:
  StrongText() = default;
  explicit StrongText(std::string text) : text_(std::move(text)) {}
  const std::string& text() const { return text_; }
  bool empty() const { return text_.empty(); }
  friend bool operator==(const StrongText&, const StrongText&) = default;
  friend auto operator<=>(const StrongText&, const StrongText&) = default;

 private:
  std::string text_;
};

}  // namespace tciafs

template <typename Tag>
struct std::hash<tciafs::StrongText<Tag>> {
  size_t operator()(const tciafs::StrongText<Tag>& value) const noexcept {
    return std::hash<std::string>{}(value.text());
  }
};
