// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/stored_rows.h"

#include <utility>

#include "tciafs/catalog/names.h"

namespace tciafs::catalog {
namespace {

constexpr size_t kRowsPerRelease = 5'000;  // each may bring a page of the store into memory

}  // namespace

class StoredRows::Pass {
 public:
  Pass(const StoredRows& rows, const Visitor& visit) : rows_(rows), visit_(visit) {}

  Status Below(const ObjectPath& directory, const DirectoryKey& key) {
    Status below;
    TCIAFS_TRY(Scan(key, [&](std::string_view name, std::string_view stored) {
      auto id = directory.level == Level::kSeries ? DecodeInstanceName(name) : DecodeName(name);
      if (!id) return true;
      const DirectoryKey child_key = ChildKey(key, *id);
      const ObjectPath child = directory.Child(std::move(*id), directory.server);
      below =
          child.level == rows_.level_ ? Show(child, child_key, stored) : Below(child, child_key);
      return below.has_value() && !enough_;
    }));
    return below;
  }

 private:
  template <typename Each>
  Status Scan(const DirectoryKey& key, Each each) {
    return rows_.txn_.Scan(table(CatalogTable::kEntries), key.view(),
                           [&](std::string_view entry_key, std::string_view stored) {
                             return each(entry_key.substr(kDirectoryKeyBytes), stored);
                           });
  }

  Status Show(const ObjectPath& path, const DirectoryKey& key, std::string_view stored) {
    if (++read_ % kRowsPerRelease == 0) environment().ReleasePages();
    auto attributes = Decode(path, stored);
    if (attributes && path.level == Level::kStudy) TCIAFS_TRY(AddStudy(path, key, *attributes));
    if (attributes) enough_ = !visit_(Row{path, std::move(*attributes)});
    return {};
  }

  Status AddStudy(const ObjectPath& study, const DirectoryKey& key,
                  source::Attributes& attributes) {
    return Scan(key, [&](std::string_view name, std::string_view stored) {
      auto id = DecodeName(name);
      if (!id) return true;
      auto first = Decode(study.Child(std::move(*id), study.server), stored);
      if (!first) return true;
      std::erase_if(*first, [](const auto& a) { return !IsStudyLevel(a.name); });
      attributes = std::move(*first);
      return false;
    });
  }

  std::optional<source::Attributes> Decode(const ObjectPath& path, std::string_view stored) {
    std::string_view encoded;
    if (!DecodeRow(stored, &encoded)) return std::nullopt;
    return DecodeAttributes(encoded, path, [this](std::string_view key) { return Shared(key); });
  }

  std::optional<std::string> Shared(std::string_view key) {
    const auto at_hand = shared_.find(std::string(key));
    if (at_hand != shared_.end()) return at_hand->second;
    const auto text = rows_.txn_.Get(table(CatalogTable::kTexts), key);
    if (!text || !*text) return std::nullopt;
    if (shared_.size() >= kSharedTextsAtHandMax) shared_.clear();
    return shared_.emplace(key, **text).first->second;
  }

  store::Environment& environment() const { return rows_.store_->environment(); }
  store::Table table(CatalogTable of) const { return TableOf(environment(), of); }

  const StoredRows& rows_;
  const Visitor& visit_;
  std::unordered_map<std::string, std::string> shared_;
  size_t read_ = 0;
  bool enough_ = false;
};

StoredRows::StoredRows(std::shared_ptr<CatalogStore> store, store::ReadTxn txn,
                       ObjectPath directory, const DirectoryKey& key, Level level)
    : store_(std::move(store)),
      txn_(std::move(txn)),
      directory_(std::move(directory)),
      key_(key),
      level_(level) {}

Status StoredRows::ForEach(const Visitor& visit) const {
  return Pass(*this, visit).Below(directory_, key_);
}

Result<std::unique_ptr<RowReader>> DirectoryStore::ReadRowsBelow(const ObjectPath& directory,
                                                                 const DirectoryKey& key,
                                                                 Level level) const {
  TCIAFS_ASSIGN(store::ReadTxn txn, environment().Read());
  return std::unique_ptr<RowReader>(
      std::make_unique<StoredRows>(store_, std::move(txn), directory, key, level));
}

}  // namespace tciafs::catalog
