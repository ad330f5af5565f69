// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Lines of the private channel: whatever somebody writes into the socket is refused or is a message
// that travels unchanged.
#include <string>

#include "fuzz/fuzz.h"
#include "tciafs/control/message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tciafs::control::Message;
  const std::string line(tciafs::fuzz::TextOf(data, size));
  const auto message = Message::Decode(line);
  if (!message) {
    FUZZ_REQUIRE(message.error().code == tciafs::Errc::kInvalidArgument);
    return 0;
  }
  std::string encoded = message->Encoded();
  FUZZ_REQUIRE(encoded.find('\n') == encoded.size() - 1);
  encoded.pop_back();
  const auto again = Message::Decode(encoded);
  FUZZ_REQUIRE(again && again->kind() == message->kind());
  FUZZ_REQUIRE(again->All("path") == message->All("path"));
  FUZZ_REQUIRE(again->Encoded() == encoded + '\n');
  (void)ErrorIn(*message);
  return 0;
}
