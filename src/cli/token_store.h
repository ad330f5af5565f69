// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Logins kept between runs: one file for each server and account in a directory of the user's own,
// readable by nobody else, replaced as a whole. Several processes may use it at once. Thread-safe
// (every call looks at the disk anew). Messages name files and servers, never a token.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/mount_settings.h"
#include "tciafs/nbia/nbia_source.h"

namespace tciafs::cli {

struct StoredLogin {
  std::string server;  // root URL
  std::string username;
  nbia::Login::State state;
  int64_t since_unix_ms = 0;  // when the user logged in
};

class TokenStore {
 public:
  explicit TokenStore(const Caller& caller);

  const std::string& directory() const { return directory_; }  // "": there is no place for it

  // Of that server, the newest login first. kCredentials: one that others can read, or damaged.
  Outcome<std::vector<StoredLogin>> Find(const std::string& server) const;
  // That one as it is now; nullopt: it was forgotten.
  Outcome<std::optional<StoredLogin>> Find(const StoredLogin& login) const;
  Outcome<void> Put(const StoredLogin& login) const;
  Outcome<void> Forget(const StoredLogin& login) const;

 private:
  std::string PathOf(const StoredLogin& login) const;
  std::string directory_;
};

// For a source to use and renew. A renewal that cannot be stored is held in memory.
std::shared_ptr<nbia::Login> KeepLogin(const TokenStore& store, const StoredLogin& login);

}  // namespace tciafs::cli
