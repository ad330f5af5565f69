// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "store/transaction.h"

#include <algorithm>
#include <utility>

#include "store/lmdb_errors.h"
#include "tciafs/util/fault_point.h"

namespace tciafs::store {
namespace {

MDB_val ToVal(std::string_view text) {
  return {text.size(), const_cast<char*>(text.data())};  // LMDB does not write through its inputs
}

std::string_view ToView(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

Status CheckKey(std::string_view key) {
  if (!key.empty() && key.size() <= kKeyBytesMax) return {};
  return Fail(Errc::kInvalidArgument, "a key of " + std::to_string(key.size()) + " bytes");
}

Status Ended() { return Fail(Errc::kInternal, "the transaction has ended"); }

class Cursor {
 public:
  Cursor() = default;
  ~Cursor() {
    if (cursor_ != nullptr) mdb_cursor_close(cursor_);
  }
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;

  int Open(MDB_txn* txn, MDB_dbi table) { return mdb_cursor_open(txn, table, &cursor_); }
  // The first key >= `from`; MDB_NOTFOUND at the end. Seeks with as much of `from` as a key can
  // have, and steps over what that leaves.
  int Seek(std::string_view from, MDB_val* key, MDB_val* value) {
    if (from.empty()) return mdb_cursor_get(cursor_, key, value, MDB_FIRST);
    *key = ToVal(from.substr(0, kKeyBytesMax));
    int code = mdb_cursor_get(cursor_, key, value, MDB_SET_RANGE);
    while (code == MDB_SUCCESS && ToView(*key) < from) code = Next(key, value);
    return code;
  }
  int Next(MDB_val* key, MDB_val* value) { return mdb_cursor_get(cursor_, key, value, MDB_NEXT); }
  int Delete() { return mdb_cursor_del(cursor_, 0); }

 private:
  MDB_cursor* cursor_ = nullptr;
};

}  // namespace

Error ReadTxn::Handle::ErrorOf(int code, std::string_view context) {
  Error error = LmdbError(code, context);
  if (error.code == Errc::kCorrupt) damaged = true;
  return error;
}

ReadTxn::ReadTxn(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
ReadTxn::ReadTxn(ReadTxn&&) noexcept = default;
ReadTxn& ReadTxn::operator=(ReadTxn&&) noexcept = default;
ReadTxn::~ReadTxn() = default;
WriteTxn::~WriteTxn() = default;

Result<std::optional<std::string_view>> ReadTxn::Get(Table table, std::string_view key) const {
  if (!handle_) return Fail(Ended().error());
  TCIAFS_TRY(CheckKey(key));
  MDB_val key_val = ToVal(key);
  MDB_val value{};
  const int code = mdb_get(handle_->txn, table.id_, &key_val, &value);
  if (code == MDB_NOTFOUND) return std::nullopt;
  if (code != MDB_SUCCESS) return Fail(handle_->ErrorOf(code, "get"));
  return ToView(value);
}

Status ReadTxn::Scan(Table table, std::string_view prefix, const Visitor& visit,
                     std::string_view from) const {
  if (!handle_) return Ended();
  Cursor cursor;
  int code = cursor.Open(handle_->txn, table.id_);
  if (code != MDB_SUCCESS) return Fail(handle_->ErrorOf(code, "scan"));
  MDB_val key{};
  MDB_val value{};
  for (code = cursor.Seek(std::max(prefix, from), &key, &value);
       code == MDB_SUCCESS && ToView(key).substr(0, prefix.size()) == prefix;
       code = cursor.Next(&key, &value)) {
    if (!visit(ToView(key), ToView(value))) return {};
  }
  if (code != MDB_SUCCESS && code != MDB_NOTFOUND) return Fail(handle_->ErrorOf(code, "scan"));
  return {};
}

Result<uint64_t> ReadTxn::Count(Table table) const {
  if (!handle_) return Fail(Ended().error());
  MDB_stat stat{};
  const int code = mdb_stat(handle_->txn, table.id_, &stat);
  if (code != MDB_SUCCESS) return Fail(handle_->ErrorOf(code, "count"));
  return stat.ms_entries;
}

Status WriteTxn::Put(Table table, std::string_view key, std::string_view value) {
  return PutWith(0, table, key, value);
}

Status WriteTxn::Append(Table table, std::string_view key, std::string_view value) {
  return PutWith(MDB_APPEND, table, key, value);
}

Status WriteTxn::PutWith(unsigned flags, Table table, std::string_view key,
                         std::string_view value) {
  if (!handle_) return Ended();
  TCIAFS_TRY(CheckKey(key));
  MDB_val key_val = ToVal(key);
  MDB_val value_val = ToVal(value);
  int code = mdb_put(handle_->txn, table.id_, &key_val, &value_val, flags);
  if (code == MDB_KEYEXIST && flags != 0)  // it does not sort behind all others
    code = mdb_put(handle_->txn, table.id_, &key_val, &value_val, 0);
  if (code == MDB_SUCCESS) return {};
  if (!handle_->failure) handle_->failure = handle_->ErrorOf(code, "put");
  return Fail(handle_->ErrorOf(code, "put"));
}

Status WriteTxn::Delete(Table table, std::string_view key) {
  if (!handle_) return Ended();
  TCIAFS_TRY(CheckKey(key));
  MDB_val key_val = ToVal(key);
  const int code = mdb_del(handle_->txn, table.id_, &key_val, nullptr);
  if (code == MDB_SUCCESS || code == MDB_NOTFOUND) return {};
  if (!handle_->failure) handle_->failure = handle_->ErrorOf(code, "delete");
  return Fail(handle_->ErrorOf(code, "delete"));
}

Result<uint64_t> WriteTxn::DeletePrefix(Table table, std::string_view prefix) {
  if (!handle_) return Fail(Ended().error());
  Cursor cursor;
  int code = cursor.Open(handle_->txn, table.id_);
  MDB_val key{};
  MDB_val value{};
  uint64_t deleted = 0;
  if (code == MDB_SUCCESS) code = cursor.Seek(prefix, &key, &value);
  while (code == MDB_SUCCESS && ToView(key).substr(0, prefix.size()) == prefix) {
    code = cursor.Delete();
    if (code != MDB_SUCCESS) break;
    ++deleted;
    code = cursor.Next(&key, &value);
  }
  if (code == MDB_SUCCESS || code == MDB_NOTFOUND) return deleted;
  if (!handle_->failure) handle_->failure = handle_->ErrorOf(code, "delete");
  return Fail(handle_->ErrorOf(code, "delete"));
}

Status WriteTxn::Commit() {
  if (!handle_) return Ended();
  const std::unique_ptr<Handle> handle = std::move(handle_);
  if (handle->failure) return Fail(*handle->failure);
  if (const int fault = FaultPoint("store.commit"); fault != 0)
    return Fail(LmdbError(fault, "commit"));
  const int code = mdb_txn_commit(std::exchange(handle->txn, nullptr));
  CommitStep("store.committed");
  if (code != MDB_SUCCESS) return Fail(handle->ErrorOf(code, "commit"));
  return {};
}

}  // namespace tciafs::store
