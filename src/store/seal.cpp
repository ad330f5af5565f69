// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "store/seal.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string_view>
#include <vector>

#include "store/lmdb_errors.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/text.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::store {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;

std::string SealPath(const std::string& directory) { return directory + "/seal"; }

// The line of a seal without its own checksum: "tciafs-seal 1 <bytes> <hash>".
Result<std::string> Describe(const std::string& data_file) {
  const UniqueFd fd(::open(data_file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return Fail(LmdbError(errno, data_file));
  std::vector<std::byte> piece(kPieceBytes);
  Hash128 hash;
  uint64_t bytes = 0;
  for (;;) {
    const ssize_t got = ::read(fd.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(Errc::kCorrupt, data_file + ": " + SystemErrorText(errno));
    if (got == 0) break;
    bytes += static_cast<uint64_t>(got);
    const Hash128 next = Xxh3Wide(ByteView(piece).first(static_cast<size_t>(got)), hash.low);
    hash = {hash.high ^ next.high, next.low};
  }
  return fmt::format("tciafs-seal 1 {} {:016x}{:016x}", bytes, hash.high, hash.low);
}

std::string WithChecksum(const std::string& line) {
  return fmt::format("{} {:016x}\n", line, Xxh3(AsBytes(line)));
}

// Nothing if it is not there, or cannot be read.
Result<std::string> ReadSmallFile(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT) return std::string();
  if (!fd.valid()) return Fail(LmdbError(errno, path));
  char text[256];
  const ssize_t got = ::read(fd.get(), text, sizeof text);
  return got > 0 ? std::string(text, static_cast<size_t>(got)) : std::string();
}

Status SyncDirectory(const std::string& directory) {
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || ::fsync(fd.get()) != 0) return Fail(LmdbError(errno, directory));
  return {};
}

}  // namespace

Result<Seal> CompareSeal(const std::string& directory) {
  TCIAFS_ASSIGN(const std::string sealed, ReadSmallFile(SealPath(directory)));
  const size_t checksum_at = sealed.rfind(' ');
  if (checksum_at == std::string::npos || WithChecksum(sealed.substr(0, checksum_at)) != sealed)
    return Seal::kAbsent;
  const auto now = Describe(directory + "/data.mdb");
  if (now) return WithChecksum(*now) == sealed ? Seal::kFits : Seal::kBroken;
  if (now.error().code == Errc::kCorrupt) return Seal::kBroken;
  if (now.error().code == Errc::kNotFound) return Seal::kAbsent;
  return Fail(now.error());
}

Status RemoveSeal(const std::string& directory) {
  if (::unlink(SealPath(directory).c_str()) != 0) {
    if (errno == ENOENT) return {};
    return Fail(LmdbError(errno, SealPath(directory)));
  }
  CommitStep("store.seal.removed");
  return SyncDirectory(directory);
}

Status WriteSeal(const std::string& directory) {
  if (const int fault = FaultPoint("store.seal.write"); fault != 0)
    return Fail(LmdbError(fault, SealPath(directory)));
  TCIAFS_ASSIGN(const std::string line, Describe(directory + "/data.mdb"));
  const std::string text = WithChecksum(line);
  const std::string temporary = SealPath(directory) + ".new";
  const UniqueFd fd(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  const bool written = fd.valid() && ::write(fd.get(), text.data(), text.size()) ==
                                         static_cast<ssize_t>(text.size());
  CommitStep("store.seal.written");
  if (!written || ::fsync(fd.get()) != 0 ||
      std::rename(temporary.c_str(), SealPath(directory).c_str()) != 0) {
    const Error error = LmdbError(errno, temporary);
    ::unlink(temporary.c_str());
    return Fail(error);
  }
  CommitStep("store.seal.renamed");
  return {};
}

}  // namespace tciafs::store
