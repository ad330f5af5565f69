// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/archive_stack.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <semaphore>
#include <thread>

#include "cli/credentials.h"
#include "cli/daemon_link.h"
#include "cli/limits.h"
#include "cli/program_guard.h"
#include "tciafs/cache/disk_cache.h"
#include "tciafs/catalog/limits.h"
#include "tciafs/catalog/lmdb_catalog.h"
#include "tciafs/fetch/series_fetcher.h"
#include "tciafs/http/curl_transport.h"
#include "tciafs/nbia/nbia_source.h"
#include "tciafs/source/guarded_source.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/executor.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

constexpr int64_t kDefaultCapBytes = int64_t{50} << 30;
constexpr size_t kWorkersMin = 4;  // two downloads being inflated leave two for everything else

// What sources remember of their servers lives in the catalog's store.
// What goes before, between and behind the two in a key: "api|", '|', a digest of the API key.
constexpr size_t kKeyOverheadBytes = 48;
static_assert(kServerUrlBytesMax + 3 * kUserNameBytesMax + kKeyOverheadBytes <=
              std::min(catalog::kMemoryKeyBytesMax, cache::kScopeBytesMax));

class StoredServerMemory final : public nbia::ServerMemory {
 public:
  explicit StoredServerMemory(std::shared_ptr<catalog::CatalogStore> store)
      : store_(std::move(store)) {}
  std::string Load(const std::string& key) override { return store_->Load(key); }
  void Save(const std::string& key, const std::string& value) override {
    if (auto saved = store_->Save(key, value); !saved)
      LogWarning("what was found out about a server could not be kept: {}", saved.error().message);
  }

 private:
  const std::shared_ptr<catalog::CatalogStore> store_;
};

tl::unexpected<Failure> CacheFailure(const std::string& directory, const std::string& reason) {
  return FailWith(ExitCode::kCache, "cache " + directory + ": " + reason);
}

// The directory, private to its user. Fails where it cannot be made or not written.
Outcome<void> PrepareCacheDirectory(const std::string& directory) {
  std::error_code failed;
  const std::filesystem::path parent = std::filesystem::path(directory).parent_path();
  std::filesystem::create_directories(parent, failed);
  if (failed) return CacheFailure(directory, failed.message());
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    return CacheFailure(directory, SystemErrorText(errno));
  return {};
}

// 50 GiB, or half of what is free if that is less.
int64_t CapBytes(const MountSettings& settings) {
  if (settings.cache_bytes_max > 0) return settings.cache_bytes_max;
  struct statvfs space {};
  if (::statvfs(settings.cache_dir.c_str(), &space) != 0) return kDefaultCapBytes;
  const auto free_bytes =
      static_cast<int64_t>(space.f_bavail) * static_cast<int64_t>(space.f_frsize);
  return std::clamp(free_bytes / 2, cache::kCapBytesMin, kDefaultCapBytes);
}

cache::CacheOptions ToCacheOptions(const MountSettings& settings) {
  cache::CacheOptions options;
  options.directory = settings.cache_dir + "/images";
  options.cap_bytes = CapBytes(settings);
  options.free_floor_bytes = settings.min_free_bytes;
  options.free_floor_percent = settings.min_free_percent;
  options.as_it_is = settings.cache_as_it_is;
  return options;
}

}  // namespace

Outcome<void> CheckCacheOwner(const std::string& directory, const Caller& caller) {
  // What root owns and others may write is there for them, such as a disk for temporary data.
  const auto is_others = [&caller](const struct stat& info, bool of_roots_too) {
    return info.st_uid != caller.uid && (of_roots_too || info.st_uid != 0);
  };
  struct stat info {};
  if (::stat(directory.c_str(), &info) != 0) return {};  // whoever opens it says what is wrong
  if (!is_others(info, false) &&
      (::stat((directory + "/images").c_str(), &info) != 0 || !is_others(info, true)))
    return {};
  return CacheFailure(directory, "belongs to " + UserName(info.st_uid) + "; only they can open it");
}

bool IsThisMachine(const std::string& host) {
  return host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]");
}

http::CurlOptions CurlOptionsFor(const MountSettings& settings, const Clock& clock) {
  http::CurlOptions options;
  options.user_agent = "tciafs/" TCIAFS_VERSION;
  options.proxy = settings.proxy;
  options.ca_file = settings.ca_file;
  options.downloads_max = settings.downloads;
  options.connections_max = std::max(settings.connections, settings.downloads + 1);
  options.offline = settings.offline;
  options.clock = &clock;
  return options;
}

Outcome<nbia::NbiaOptions> NbiaOptionsFor(const MountSettings& settings, const std::string& server,
                                          const Caller& caller) {
  auto api_key = FindApiKey(settings, caller);
  if (!api_key) return tl::unexpected(api_key.error());
  auto credentials = FindCredentials(settings, server, caller);
  if (!credentials) return tl::unexpected(credentials.error());
  nbia::NbiaOptions options;
  options.root_url = server;
  options.api = settings.api;
  options.credentials = *std::move(credentials);
  options.api_key = *std::move(api_key);
  options.io_timeout_ms = settings.io_timeout_ms;
  return options;
}

// In the order they depend on each other: destroyed from the last to the first.
struct ArchiveStack::Parts {
  SystemClock clock;
  TimerThread timers;
  WorkerPool workers{"tciafs-work",
                     std::max<size_t>(kWorkersMin, std::thread::hardware_concurrency())};
  std::unique_ptr<http::Transport> transport;
  std::unique_ptr<cache::BlockCache> cache;  // before the catalog: its lock guards both
  std::shared_ptr<catalog::CatalogStore> store;
  std::unique_ptr<StoredServerMemory> memory;
  std::vector<std::unique_ptr<source::Source>> sources;
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<fetch::Fetcher> fetcher;
  std::unique_ptr<vfs::Filesystem> filesystem;
  int downloads_max = 1;

  std::vector<source::Source*> SourcePointers() const {
    std::vector<source::Source*> pointers;
    for (const auto& source : sources) pointers.push_back(source.get());
    return pointers;
  }
  Outcome<void> OpenStorage(const MountSettings& settings, const Caller& caller);
  Outcome<void> AddSources(const MountSettings& settings, const Caller& caller);
  Outcome<void> Assemble(const MountSettings& settings);
};

Outcome<void> ArchiveStack::Parts::OpenStorage(const MountSettings& settings,
                                               const Caller& caller) {
  if (auto owned = CheckCacheOwner(settings.cache_dir, caller); !owned) return owned;
  if (auto prepared = PrepareCacheDirectory(settings.cache_dir); !prepared) return prepared;
  auto opened = cache::OpenDiskCache(ToCacheOptions(settings), clock);
  if (!opened) return CacheFailure(settings.cache_dir, opened.error().message);
  cache = *std::move(opened);
  CommitStep("daemon.cache_opened");
  auto opened_store = catalog::CatalogStore::Open(settings.cache_dir + "/catalog");
  if (!opened_store) return CacheFailure(settings.cache_dir, opened_store.error().message);
  store = *std::move(opened_store);
  memory = std::make_unique<StoredServerMemory>(store);
  return {};
}

Outcome<void> ArchiveStack::Parts::AddSources(const MountSettings& settings, const Caller& caller) {
  for (const std::string& server : settings.servers) {
    auto options = NbiaOptionsFor(settings, server, caller);
    if (!options && settings.cache_as_it_is) continue;  // a cache is cleared without credentials
    if (!options) return tl::unexpected(options.error());
    if (server.starts_with("http://") && !IsThisMachine(HostOf(server)) &&
        (!options->api_key.empty() || !options->credentials.password.empty() ||
         options->credentials.login))
      LogWarning("{}: credentials travel there without encryption; use https", HostOf(server));
    source::GuardOptions guard;
    guard.offline = settings.offline;
    sources.push_back(source::CreateGuardedSource(
        nbia::CreateNbiaSource(*options, *transport, *memory, clock, workers, timers), guard, clock,
        workers, timers));
  }
  return {};
}

Outcome<void> ArchiveStack::Parts::Assemble(const MountSettings& settings) {
  catalog::CatalogOptions catalog_options;
  catalog_options.ttl_ms = settings.metadata_ttl_ms;
  catalog_options.whole_patience_ms = settings.io_timeout_ms;
  auto opened =
      catalog::OpenCatalog(catalog_options, store, SourcePointers(), clock, workers, timers);
  if (!opened) return CacheFailure(settings.cache_dir, opened.error().message);
  catalog = *std::move(opened);

  fetch::FetchOptions fetch_options;
  fetch_options.downloads_max = downloads_max = settings.downloads;
  fetch_options.stall_ms = settings.io_timeout_ms;
  fetcher =
      fetch::CreateSeriesFetcher(fetch_options, SourcePointers(), *cache, clock, workers, timers);

  vfs::FilesystemOptions options;
  options.uid = settings.uid;
  options.gid = settings.gid;
  options.umask = settings.umask;
  options.unknown_size = settings.unknown_size;
  options.files_are_opened = settings.ask_open != fuse::AskOpen::kNone;
  options.version = TCIAFS_VERSION;
  options.mountpoint = settings.mountpoint;
  options.offline = settings.offline;
  options.scratch_directory = settings.cache_dir;
  options.clock = &clock;
  if (!settings.programs_kept_out.empty())
    options.fetch_guard = [guard = ProgramGuard(settings.programs_kept_out)](
                              int64_t pid, const std::string& path) {
      return guard.Check(pid, path);
    };
  for (const auto& source : sources) options.scopes.push_back(source->scope());
  filesystem = vfs::CreateFilesystem(options, *catalog, *fetcher, *cache, workers);
  return {};
}

ArchiveStack::ArchiveStack(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

ArchiveStack::~ArchiveStack() { Shutdown(); }

Outcome<std::unique_ptr<ArchiveStack>> ArchiveStack::Build(const MountSettings& settings,
                                                           const Caller& caller) {
  auto parts = std::make_unique<Parts>();
  auto transport = http::CreateCurlTransport(CurlOptionsFor(settings, parts->clock));
  if (!transport) return FailWith(ExitCode::kFailed, transport.error().message);
  parts->transport = *std::move(transport);
  if (auto opened = parts->OpenStorage(settings, caller); !opened)
    return tl::unexpected(opened.error());
  if (auto added = parts->AddSources(settings, caller); !added)
    return tl::unexpected(added.error());
  if (auto assembled = parts->Assemble(settings); !assembled)
    return tl::unexpected(assembled.error());
  return std::unique_ptr<ArchiveStack>(new ArchiveStack(std::move(parts)));
}

vfs::Filesystem& ArchiveStack::filesystem() { return *parts_->filesystem; }

control::Mounted ArchiveStack::Mounted(const std::string& mountpoint) {
  return {*parts_->catalog, *parts_->fetcher,      *parts_->cache,          *parts_->filesystem,
          mountpoint,       parts_->downloads_max, parts_->SourcePointers()};
}

std::vector<std::string> ArchiveStack::Probe(int64_t patience_ms) {
  auto answer = std::make_shared<std::binary_semaphore>(0);
  std::stop_source stop;
  parts_->catalog->List(catalog::ObjectPath{}, stop.get_token(),
                        [answer](const Result<catalog::ListAnswer>&) { answer->release(); });
  const bool answered = answer->try_acquire_for(std::chrono::milliseconds(patience_ms));
  stop.request_stop();
  std::vector<std::string> problems;
  std::string silent;
  for (const catalog::ServerHealth& server : parts_->catalog->Health()) {
    if (!server.last_error.empty())
      problems.push_back("mounted, but " + server.last_error);
    else
      silent += (silent.empty() ? "" : ", ") + server.name;
  }
  if (!answered && !silent.empty())
    problems.push_back("mounted, but there is no answer yet from " + silent);
  return problems;
}

void ArchiveStack::Shutdown() {
  if (parts_->fetcher) parts_->fetcher->Shutdown();
}

}  // namespace tciafs::cli
