// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/cache_access.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/daemon_link.h"
#include "cli/terminal.h"
#include "tciafs/cache/disk_cache.h"
#include "tciafs/control/operations.h"
#include "tciafs/util/log.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

tl::unexpected<Failure> AccessFailure(const std::string& directory, const std::string& reason) {
  return FailWith(ExitCode::kCache, "cache " + directory + ": " + reason);
}

// Of a process of this user's: what it logs would be in the way of what the command prints.
void LogErrorsOnly() {
  LogOptions log;
  log.level = LogLevel::kError;
  log.target = LogOptions::Target::kStderr;
  (void)ConfigureLog(log);
}

// Where nobody said which: the one that is in use, nothing where none is.
Outcome<std::optional<MountRecord>> TheOneInUse(const Caller& caller) {
  std::vector<MountRecord> records;  // one for each cache
  for (MountRecord& record : FindRecords(caller)) {
    const bool known = std::any_of(records.begin(), records.end(), [&record](const auto& other) {
      return IsSameDirectory(other.cache_dir, record.cache_dir);
    });
    if (!known) records.push_back(std::move(record));
  }
  if (records.empty()) return std::nullopt;
  if (records.size() == 1) return std::move(records.front());
  std::sort(records.begin(), records.end(),
            [](const auto& a, const auto& b) { return a.cache_dir < b.cache_dir; });
  std::string all;
  for (const MountRecord& record : records)
    all += (all.empty() ? "" : ", ") + Printable(record.cache_dir) + " (mounted on " +
           Printable(record.mountpoint) + ")";
  return FailWith(ExitCode::kUsage, "which cache? name it with --cache-dir; in use are " + all);
}

}  // namespace

Outcome<int> CacheFormat(const std::string& cache_dir) {
  errno = 0;
  std::ifstream file(cache_dir + "/images/FORMAT");
  if (!file && errno == EACCES) return AccessFailure(cache_dir, SystemErrorText(errno));
  std::string word;
  int format = 0;
  if (!(file >> word >> format) || word != "tciafs-cache" || format <= 0)
    return AccessFailure(cache_dir, "there is no cache of tciafs");
  return format;
}

CacheAccess CacheAccess::Through(MountRecord record) {
  CacheAccess access;
  access.directory_ = record.cache_dir;
  access.socket_path_ = record.socket_path;
  access.mount_ = std::move(record);
  return access;
}

Outcome<CacheAccess> CacheAccess::Open(const std::string& cache_dir, const Caller& caller,
                                       Purpose purpose) {
  Settings given;
  if (!cache_dir.empty()) given.Add("cache-dir", {cache_dir, "--cache-dir"});
  auto gathered = GatherSettings(std::move(given), {}, false, caller);
  if (!gathered) return tl::unexpected(gathered.error());
  MountSettings settings = *std::move(gathered);
  if (!settings.cache_dir_given) {
    auto used = TheOneInUse(caller);
    if (!used) return tl::unexpected(used.error());
    if (*used) {
      if (!IsSameDirectory((*used)->cache_dir, settings.cache_dir))
        std::fprintf(stderr, "tciafs: cache %s, that of the mount on %s\n",
                     Printable((*used)->cache_dir).c_str(), Printable((*used)->mountpoint).c_str());
      return Through(**std::move(used));
    }
  }
  if (auto record = FindRecordOfCache(settings.cache_dir, caller))
    return Through(*std::move(record));
  if (purpose == Purpose::kUpkeep) {
    if (auto format = CacheFormat(settings.cache_dir); !format)
      return tl::unexpected(format.error());
    settings.cache_as_it_is = true;
    settings.offline = true;
  } else if (auto format = CacheFormat(settings.cache_dir);
             format && *format < cache::kFormatVersion) {
    std::fprintf(
        stderr,
        "tciafs: cache %s: written by an older tciafs (format %d): its images are removed, "
        "to be fetched again\n",
        Printable(settings.cache_dir).c_str(), *format);
  }
  CacheAccess access;
  access.directory_ = settings.cache_dir;
  if (auto opened = access.OpenHere(settings, caller); !opened)
    return tl::unexpected(opened.error());
  return access;
}

Outcome<void> CacheAccess::OpenHere(const MountSettings& settings, const Caller& caller) {
  LogErrorsOnly();
  auto stack = ArchiveStack::Build(settings, caller);
  if (!stack) return tl::unexpected(stack.error());
  const char* temporary = caller.environment("TMPDIR");
  socket_directory_ = std::string(temporary != nullptr && *temporary == '/' ? temporary : "/tmp");
  socket_directory_ += "/tciafs-cache-XXXXXX";
  if (::mkdtemp(socket_directory_.data()) == nullptr) {
    const std::string failed = std::exchange(socket_directory_, "");
    return FailWith(ExitCode::kFailed, failed + ": " + SystemErrorText(errno));
  }
  socket_path_ = socket_directory_ + "/socket";
  stack_ = *std::move(stack);
  auto server =
      control::Server::Start(socket_path_, caller.uid, control::Operations(stack_->Mounted("")));
  if (!server) return FailWith(ExitCode::kFailed, server.error().message);
  server_ = *std::move(server);
  return {};
}

CacheAccess::~CacheAccess() {
  server_.reset();
  if (!socket_directory_.empty()) ::rmdir(socket_directory_.c_str());
}

Outcome<control::Connection> CacheAccess::Connect() const {
  auto connection = control::Connection::Open(socket_path_);
  const std::string who =
      mount_ ? mount_->mountpoint + ": process " + std::to_string(mount_->pid) : directory_;
  if (connection) {
    connection->Name(who);
    return *std::move(connection);
  }
  return FailWith(ExitCode::kFailed, who + " cannot be reached: " + connection.error().message);
}

Outcome<void> CacheAccess::Ask(
    const control::Message& request,
    const std::function<void(const control::Message&)>& on_answer) const {
  auto connection = Connect();
  if (!connection) return tl::unexpected(connection.error());
  const Interruptible interruptible(connection->fd());
  auto asked = AskMount(*connection, request, on_answer);
  if (Interruptible::Interrupted()) return FailWith(ExitCode::kInterrupted, "interrupted");
  return asked;
}

}  // namespace tciafs::cli
