// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Ordered persistent tables: RAII over LMDB (http://www.lmdb.tech/doc/), the only place that knows
// it.
//
// Keys are at most kKeyBytesMax bytes and sort bytewise. Values handed out by a transaction are
// views into the map: valid until that transaction ends (and, in a WriteTxn, until its next
// change). Threads: an Environment is shared by all; any number of ReadTxn at once, each used by
// one thread at a time; one WriteTxn at a time, Begin blocks for it, and it stays on the thread
// that began it. A transaction dropped without Commit changes nothing. Durability: a commit
// survives the death of the process at once; after power loss the last commits may be missing,
// never torn (MDB_NOMETASYNC). Errors: kNotFound (no such key: Get returns nullopt instead),
// kNoSpace (map or disk full), kCorrupt (not a database, damaged, or of a foreign format),
// kInternal.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tciafs/util/result.h"

namespace tciafs::store {

inline constexpr size_t kKeyBytesMax = 511;

struct EnvironmentOptions {
  std::string directory;                      // created 0700 if missing
  std::vector<std::string> tables;            // opened (created) all at once
  int64_t map_bytes_max = int64_t{64} << 30;  // address space, not disk
};

class Table {  // a handle, cheap to copy; belongs to its Environment
 public:
  Table() = default;

 private:
  friend class Environment;
  friend class ReadTxn;
  friend class WriteTxn;
  explicit Table(unsigned id) : id_(id) {}
  unsigned id_ = 0;
};

class Environment;

class ReadTxn {
 public:
  ReadTxn(ReadTxn&&) noexcept;
  ReadTxn& operator=(ReadTxn&&) noexcept;
  virtual ~ReadTxn();

  Result<std::optional<std::string_view>> Get(Table table, std::string_view key) const;
  // Visits keys starting with `prefix`, in order, from the first key >= `from` (or the prefix
  // itself if `from` is empty), until the visitor returns false.
  using Visitor = std::function<bool(std::string_view key, std::string_view value)>;
  Status Scan(Table table, std::string_view prefix, const Visitor& visit,
              std::string_view from = {}) const;
  Result<uint64_t> Count(Table table) const;

 protected:
  struct Handle;
  explicit ReadTxn(std::unique_ptr<Handle> handle);
  std::unique_ptr<Handle> handle_;
  friend class Environment;
};

class WriteTxn : public ReadTxn {
 public:
  WriteTxn(WriteTxn&&) noexcept = default;
  WriteTxn& operator=(WriteTxn&&) noexcept = default;
  ~WriteTxn() override;

  Status Put(Table table, std::string_view key, std::string_view value);
  // The same. Keys that each sort behind all of the table fill its pages.
  Status Append(Table table, std::string_view key, std::string_view value);
  Status Delete(Table table, std::string_view key);  // absent is fine
  // Deletes every key with that prefix; returns how many.
  Result<uint64_t> DeletePrefix(Table table, std::string_view prefix);
  Status Commit();

 private:
  Status PutWith(unsigned flags, Table table, std::string_view key, std::string_view value);
  using ReadTxn::ReadTxn;
  friend class Environment;
};

class Environment {
 public:
  static Result<std::unique_ptr<Environment>> Open(const EnvironmentOptions& options);
  ~Environment();

  Table table(size_t index) const;  // in the order of EnvironmentOptions::tables
  Result<ReadTxn> Read() const;
  Result<WriteTxn> Write();
  int64_t used_bytes() const;  // pages in use
  int64_t file_bytes() const;  // what its files take on disk, freed pages included
  Status Sync();
  // Takes the pages that were looked at out of this process's memory; they stay in the page cache.
  // For after work that went over much of the file.
  void ReleasePages() const;

 private:
  struct State;
  explicit Environment(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

std::string LmdbVersion();

}  // namespace tciafs::store
