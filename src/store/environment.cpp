// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <lmdb.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "store/lmdb_errors.h"
#include "store/lmdb_pages.h"
#include "store/page_check.h"
#include "store/seal.h"
#include "store/transaction.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"

namespace tciafs::store {
namespace {

// With MDB_NOTLS every live ReadTxn takes one slot of 64 bytes, and a listing may hold one for as
// long as its directory is open.
constexpr unsigned kReadersMax = 4096;
// Below this a smaller map would only fail later; above it the address space is asked for by
// halves.
constexpr int64_t kMapBytesMin = int64_t{1} << 20;
constexpr unsigned kFlags = MDB_NOTLS | MDB_NOMETASYNC;
constexpr mdb_mode_t kFileMode = 0600;
constexpr const char* kDataFile = "data.mdb";  // LMDB's own name

struct EnvCloser {
  void operator()(MDB_env* env) const { mdb_env_close(env); }
};
using EnvPtr = std::unique_ptr<MDB_env, EnvCloser>;

Status MakeDirectory(const std::string& directory) {
  std::error_code ignored;  // mkdir says what is wrong
  const std::filesystem::path parent = std::filesystem::path(directory).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, ignored);
  if (::mkdir(directory.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return Fail(LmdbError(errno, directory));
}

Result<EnvPtr> OpenEnv(const EnvironmentOptions& options, int64_t map_bytes) {
  MDB_env* raw = nullptr;
  int code = mdb_env_create(&raw);
  if (code != MDB_SUCCESS) return Fail(LmdbError(code, options.directory));
  EnvPtr env(raw);
  code = mdb_env_set_maxreaders(raw, kReadersMax);
  if (code == MDB_SUCCESS) code = mdb_env_set_mapsize(raw, static_cast<size_t>(map_bytes));
  if (code == MDB_SUCCESS) {
    code =
        mdb_env_set_maxdbs(raw, static_cast<MDB_dbi>(std::max<size_t>(options.tables.size(), 1)));
  }
  if (code == MDB_SUCCESS) code = mdb_env_open(raw, options.directory.c_str(), kFlags, kFileMode);
  // Linux says ENOMEM; what runs programs in a smaller address space of its own may say EINVAL.
  if ((code == ENOMEM || code == EINVAL) && map_bytes / 2 >= kMapBytesMin) {
    LogDebug("store {}: no address space for {} bytes, asking for half", options.directory,
             map_bytes);
    env.reset();
    return OpenEnv(options, map_bytes / 2);
  }
  if (code != MDB_SUCCESS) return Fail(LmdbError(code, options.directory));
  return env;
}

// A file cut short would make the map fault where the tree points past its end. Filled up with
// zeros those pages are seen to be no pages, and reported as damage.
Status PadToLastPage(MDB_env* env, const std::string& directory) {
  MDB_envinfo info{};
  MDB_stat stat{};
  mdb_filehandle_t fd = -1;
  struct stat file {};
  mdb_env_info(env, &info);
  mdb_env_stat(env, &stat);
  mdb_env_get_fd(env, &fd);
  if (::fstat(fd, &file) != 0) return Fail(LmdbError(errno, directory));
  const auto end = static_cast<off_t>((info.me_last_pgno + 1) * stat.ms_psize);
  if (file.st_size >= end || ::ftruncate(fd, end) == 0) return {};
  return Fail(LmdbError(errno, directory));
}

Result<std::vector<MDB_dbi>> OpenTables(MDB_env* env, const EnvironmentOptions& options) {
  MDB_txn* txn = nullptr;
  int code = mdb_txn_begin(env, nullptr, 0, &txn);
  if (code != MDB_SUCCESS) return Fail(LmdbError(code, options.directory));
  std::vector<MDB_dbi> tables;
  for (const std::string& name : options.tables) {
    MDB_dbi table = 0;
    code = mdb_dbi_open(txn, name.c_str(), MDB_CREATE, &table);
    if (code != MDB_SUCCESS) {
      mdb_txn_abort(txn);
      return Fail(LmdbError(code, options.directory + ": table " + name));
    }
    tables.push_back(table);
  }
  code = mdb_txn_commit(txn);
  if (code != MDB_SUCCESS) return Fail(LmdbError(code, options.directory));
  return tables;
}

// Where the file is mapped, which LMDB does not tell: a key it hands out points into its page, and
// a page knows its number. nullptr if that cannot be made out.
char* FindMap(MDB_env* env) {
  MDB_txn* txn = nullptr;
  if (mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn) != MDB_SUCCESS) return nullptr;
  MDB_stat stat{};
  mdb_env_stat(env, &stat);
  MDB_dbi root = 0;
  MDB_cursor* cursor = nullptr;
  MDB_val key{};
  MDB_val value{};
  char* map = nullptr;
  if (mdb_dbi_open(txn, nullptr, 0, &root) == MDB_SUCCESS &&
      mdb_cursor_open(txn, root, &cursor) == MDB_SUCCESS) {
    if (mdb_cursor_get(cursor, &key, &value, MDB_FIRST) == MDB_SUCCESS) {
      const size_t in_page = reinterpret_cast<uintptr_t>(key.mv_data) % stat.ms_psize;
      char* page = static_cast<char*>(key.mv_data) - in_page;
      map = page - ReadPageHeader(page).number * stat.ms_psize;
    }
    mdb_cursor_close(cursor);
  }
  mdb_txn_abort(txn);
  return map;
}

// Whether LMDB may be let near what is there. The seal sees every changed byte, but only a clean
// close leaves one.
Status CheckFile(const EnvironmentOptions& options) {
  TCIAFS_ASSIGN(const Seal seal, CompareSeal(options.directory));
  switch (seal) {
    case Seal::kBroken:
      return Fail(Errc::kCorrupt, options.directory + ": bytes have changed since it was closed");
    case Seal::kAbsent:
      TCIAFS_TRY(CheckPages(options.directory + "/" + kDataFile, options.tables));
      break;
    case Seal::kFits:
      break;
  }
  return RemoveSeal(options.directory);
}

int64_t AllocatedBytes(const std::string& path) {
  struct stat file {};
  return ::stat(path.c_str(), &file) == 0 ? int64_t{file.st_blocks} * 512 : 0;
}

}  // namespace

struct Environment::State {
  std::string directory;
  EnvPtr env;
  std::vector<MDB_dbi> tables;
  char* map = nullptr;
  std::atomic<bool> damaged = false;
};

Environment::Environment(std::unique_ptr<State> state) : state_(std::move(state)) {}

Environment::~Environment() {
  Status closed = Sync();
  state_->env.reset();
  if (state_->damaged) return;  // it is to be looked over
  if (closed) closed = WriteSeal(state_->directory);
  if (!closed) LogInfo("store {}: not sealed: {}", state_->directory, closed.error().message);
}

Result<std::unique_ptr<Environment>> Environment::Open(const EnvironmentOptions& options) {
  if (const int fault = FaultPoint("store.open"); fault != 0)
    return Fail(LmdbError(fault, options.directory));
  TCIAFS_TRY(MakeDirectory(options.directory));
  CommitStep("store.directory_made");
  TCIAFS_TRY(CheckFile(options));
  auto state = std::make_unique<State>();
  state->directory = options.directory;
  TCIAFS_ASSIGN(state->env, OpenEnv(options, options.map_bytes_max));
  CommitStep("store.opened");
  int dead_readers = 0;
  mdb_reader_check(state->env.get(), &dead_readers);
  TCIAFS_TRY(PadToLastPage(state->env.get(), options.directory));
  TCIAFS_ASSIGN(state->tables, OpenTables(state->env.get(), options));
  state->map = FindMap(state->env.get());
  return std::unique_ptr<Environment>(new Environment(std::move(state)));
}

Table Environment::table(size_t index) const { return Table(state_->tables.at(index)); }

Result<ReadTxn> Environment::Read() const {
  MDB_txn* txn = nullptr;
  const int code = mdb_txn_begin(state_->env.get(), nullptr, MDB_RDONLY, &txn);
  if (code != MDB_SUCCESS) return Fail(LmdbError(code, state_->directory));
  return ReadTxn(std::make_unique<ReadTxn::Handle>(txn, state_->damaged));
}

Result<WriteTxn> Environment::Write() {
  MDB_txn* txn = nullptr;
  const int code = mdb_txn_begin(state_->env.get(), nullptr, 0, &txn);
  if (code != MDB_SUCCESS) return Fail(LmdbError(code, state_->directory));
  return WriteTxn(std::make_unique<ReadTxn::Handle>(txn, state_->damaged));
}

int64_t Environment::used_bytes() const {
  const auto txn = Read();
  if (!txn) return 0;
  int64_t used = 0;
  for (const MDB_dbi table : state_->tables) {
    MDB_stat stat{};
    if (mdb_stat(txn->handle_->txn, table, &stat) != MDB_SUCCESS) continue;
    used +=
        static_cast<int64_t>(stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) *
        stat.ms_psize;
  }
  return used;
}

int64_t Environment::file_bytes() const {
  return AllocatedBytes(state_->directory + "/data.mdb") +
         AllocatedBytes(state_->directory + "/lock.mdb");
}

Status Environment::Sync() {
  if (const int fault = FaultPoint("store.sync"); fault != 0)
    return Fail(LmdbError(fault, state_->directory));
  const int code = mdb_env_sync(state_->env.get(), 1);
  if (code != MDB_SUCCESS) return Fail(LmdbError(code, state_->directory));
  return {};
}

void Environment::ReleasePages() const {
  if (state_->map == nullptr) return;
  MDB_envinfo info{};
  MDB_stat stat{};
  mdb_env_info(state_->env.get(), &info);
  mdb_env_stat(state_->env.get(), &stat);
  // The map is shared and only read through: what is needed again is mapped again.
  ::madvise(state_->map, (info.me_last_pgno + 1) * stat.ms_psize, MADV_DONTNEED);
}

std::string LmdbVersion() { return mdb_version(nullptr, nullptr, nullptr); }

}  // namespace tciafs::store
