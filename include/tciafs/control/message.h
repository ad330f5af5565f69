// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What a mount and the commands that talk to it say to each other: a kind and named values, one
// line of text each:
//
//   kind name=value name=value\n
//
// with everything but printable ASCII, and '%' and ' ', percent-encoded in values. A name may occur
// more than once. Values are bytes; numbers are decimal. Not thread-safe; plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tciafs/util/result.h"

namespace tciafs::control {

class Message {
 public:
  explicit Message(std::string kind) : kind_(std::move(kind)) {}

  // Kinds and names are lower-case words with '_' and '.'; ours, so not checked.
  Message& Add(std::string_view name, std::string_view value);
  Message& Add(std::string_view name, int64_t number);

  const std::string& kind() const { return kind_; }
  // The first of that name; "" (or `otherwise`) if there is none or it is no number.
  const std::string& Text(std::string_view name) const;
  int64_t Number(std::string_view name, int64_t otherwise = -1) const;
  std::vector<std::string> All(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name) != nullptr; }

  std::string Encoded() const;  // with the newline
  // Of a line without its newline. kInvalidArgument: it is not such a line, or has too many fields.
  static Result<Message> Decode(std::string_view line);

 private:
  const std::string* Find(std::string_view name) const;
  std::string kind_;
  std::vector<std::pair<std::string, std::string>> fields_;
};

// The last answer to each request: "done", or "failed" with the error.
Message DoneMessage();
Message FailedMessage(const Error& error);
// The error in a "failed"; kInternal where its code is not known here.
Error ErrorIn(const Message& failed);

}  // namespace tciafs::control
