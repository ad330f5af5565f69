// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <filesystem>
#include <system_error>
#include <utility>

#include "catalog/tables.h"
#include "tciafs/catalog/lmdb_catalog.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"

namespace tciafs::catalog {
namespace {

constexpr const char* kDataFile = "data.mdb";  // LMDB's own names
constexpr const char* kLockFile = "lock.mdb";
constexpr const char* kSetAsideFile = "catalog.set-aside.mdb";
constexpr const char* kSchemaKey = "schema";
constexpr const char* kMemoryPrefix = "memory/";

using EnvironmentPtr = std::unique_ptr<store::Environment>;

// kCorrupt if what is there cannot be used.
Status PrepareTables(store::Environment& environment) {
  TCIAFS_ASSIGN(store::WriteTxn txn, environment.Write());
  const store::Table meta = TableOf(environment, CatalogTable::kMeta);
  TCIAFS_ASSIGN(const auto schema, txn.Get(meta, kSchemaKey));
  if (schema && *schema != kSchemaVersion) return Fail(Errc::kCorrupt, "another schema version");
  if (!schema) {
    TCIAFS_ASSIGN(const uint64_t listings,
                  txn.Count(TableOf(environment, CatalogTable::kListings)));
    if (listings > 0) return Fail(Errc::kCorrupt, "no schema version");
    TCIAFS_TRY(txn.Put(meta, kSchemaKey, kSchemaVersion));
  }
  // What a bulk listing left behind when the process died.
  TCIAFS_TRY(txn.DeletePrefix(TableOf(environment, CatalogTable::kStaging), {}));
  return txn.Commit();
}

Result<EnvironmentPtr> OpenPrepared(const std::string& directory) {
  store::EnvironmentOptions options;
  options.directory = directory;
  options.tables = CatalogTableNames();
  TCIAFS_ASSIGN(EnvironmentPtr environment, store::Environment::Open(options));
  TCIAFS_TRY(PrepareTables(*environment));
  CommitStep("catalog.prepared");
  return environment;
}

Status SetAside(const std::string& directory) {
  const std::filesystem::path path(directory);
  std::error_code error;
  std::filesystem::rename(path / kDataFile, path / kSetAsideFile, error);
  if (error) return Fail(Errc::kInternal, directory + ": cannot set it aside: " + error.message());
  CommitStep("catalog.set_aside.moved");
  std::filesystem::remove(path / kLockFile, error);
  CommitStep("catalog.set_aside.done");
  return {};
}

}  // namespace

Result<std::shared_ptr<CatalogStore>> CatalogStore::Open(const std::string& directory) {
  auto environment = OpenPrepared(directory);
  if (!environment && environment.error().code == Errc::kCorrupt) {
    LogWarning("catalog {}: {}; set aside, starting with an empty one", directory,
               environment.error().message);
    TCIAFS_TRY(SetAside(directory));
    environment = OpenPrepared(directory);
  }
  if (!environment) return Fail(environment.error().Within("catalog"));
  return std::shared_ptr<CatalogStore>(new CatalogStore(std::move(environment).value()));
}

CatalogStore::CatalogStore(std::unique_ptr<store::Environment> environment)
    : environment_(std::move(environment)) {}

CatalogStore::~CatalogStore() = default;

std::string CatalogStore::Load(const std::string& key) const {
  const auto txn = environment_->Read();
  if (!txn) return {};
  const auto value = txn->Get(TableOf(*environment_, CatalogTable::kMeta), kMemoryPrefix + key);
  if (!value || !*value) return {};
  return std::string(**value);
}

Status CatalogStore::Save(const std::string& key, const std::string& value) {
  if (key.size() > kMemoryKeyBytesMax)
    return Fail(Errc::kInvalidArgument, "a key of " + std::to_string(key.size()) + " bytes");
  TCIAFS_ASSIGN(store::WriteTxn txn, environment_->Write());
  TCIAFS_TRY(txn.Put(TableOf(*environment_, CatalogTable::kMeta), kMemoryPrefix + key, value));
  TCIAFS_TRY(txn.Commit());
  CommitStep("catalog.memory.saved");
  return {};
}

int64_t CatalogStore::used_bytes() const { return environment_->used_bytes(); }

}  // namespace tciafs::catalog
