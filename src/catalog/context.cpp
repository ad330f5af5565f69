// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/context.h"

#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"

namespace tciafs::catalog {

CatalogContext::CatalogContext(const CatalogOptions& catalog_options,
                               std::shared_ptr<CatalogStore> catalog_store,
                               std::vector<source::Source*> catalog_sources,
                               const Clock& catalog_clock, Executor& catalog_executor,
                               Scheduler& catalog_scheduler)
    : options(catalog_options),
      sources(std::move(catalog_sources)),
      clock(catalog_clock),
      executor(catalog_executor),
      scheduler(catalog_scheduler),
      strand(Strand::Create(catalog_executor)),
      store(std::move(catalog_store)),
      servers(sources),
      walks(options.walk_window_ms) {
  for (const auto* source : sources) roots.push_back(RootKey(source->scope()));
}

std::optional<StoredListing> CatalogContext::ReadListing(const DirectoryKey& key, size_t server) {
  if (auto listing = listings.Find(key)) return listing;
  const uint64_t epoch = listings.epoch();
  auto read = store.ReadListing(key, server);
  if (!read) {
    LogError("catalog: {}", read.error().message);
    return std::nullopt;
  }
  if (*read) listings.Insert(key, **read, epoch);
  return *std::move(read);
}

void CatalogContext::Publish(DirectoryWrite& committed) {
  listings.Forget(committed.TakeTouched());
  ++revision;
  if (committed.removed_any()) ClearRemoved();
  for (const auto& change : committed.TakeChanges()) {
    if (!change.removed.empty())
      LogInfo("{}: {} {} gone from the archive: {}{}", change.directory.Text(),
              change.removed.size(), change.removed.size() == 1 ? "name is" : "names are",
              change.removed.front(), change.removed.size() == 1 ? "" : ", ...");
    if (listener) listener(change);
  }
}

void CatalogContext::ClearNext() {
  const auto cleared = [&]() -> Result<bool> {
    TCIAFS_ASSIGN(DirectoryWrite write, store.Begin());
    TCIAFS_ASSIGN(const bool more, write.ClearRemoved(kKeysPerClearing));
    TCIAFS_TRY(write.Commit());
    CommitStep("catalog.cleared");
    listings.Forget(write.TakeTouched());
    ++revision;
    return more;
  }();
  if (cleared && *cleared) return PostWrite([this] { ClearNext(); });
  clearing = false;
  // What stays is cleared after the next removal, or when the catalog is opened again.
  if (!cleared) LogError("catalog: {}", cleared.error().message);
}

}  // namespace tciafs::catalog
