// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The two hashes in use: XXH3 (fast, for block checksums and key derivation; not against malice)
// and MD5 (because the archive publishes MD5 sums). Free functions are thread-safe; an Md5 belongs
// to one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tciafs/util/bytes.h"

namespace tciafs {

uint64_t Xxh3(ByteView bytes, uint64_t seed = 0);

struct Hash128 {
  uint64_t high = 0;
  uint64_t low = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
};
Hash128 Xxh3Wide(ByteView bytes, uint64_t seed = 0);

class Md5 {
 public:
  Md5();
  ~Md5();
  Md5(Md5&&) noexcept;
  Md5& operator=(Md5&&) noexcept;
  void Update(ByteView bytes);
  // 32 lower-case hex digits. The object may not be updated afterwards.
  std::string FinishHex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The MD5 sums, 32 lower-case hex digits each, of messages given in pieces. Several are computed
// side by side: eight of one size take hardly longer than two.
std::vector<std::string> Md5HexOfEach(const std::vector<std::vector<ByteView>>& messages);

}  // namespace tciafs
