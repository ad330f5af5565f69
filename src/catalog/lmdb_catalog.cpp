// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/catalog/lmdb_catalog.h"

#include <utility>

#include "catalog/context.h"
#include "catalog/renewals.h"
#include "catalog/root_listing.h"
#include "catalog/waiter.h"
#include "catalog/whole_listing.h"
#include "tciafs/catalog/names.h"

namespace tciafs::catalog {
namespace {

Error NoSuchName(const ObjectPath& directory, const std::string& name) {
  const std::string where = directory.Text();
  return {Errc::kNotFound, (where == "/" ? where : where + "/") + name + ": no such name"};
}

class LmdbCatalog final : public Catalog {
 public:
  LmdbCatalog(const CatalogOptions& options, std::shared_ptr<CatalogStore> store,
              std::vector<source::Source*> sources, const Clock& clock, Executor& executor,
              Scheduler& scheduler)
      : context_(options, std::move(store), std::move(sources), clock, executor, scheduler),
        renewals_(context_),
        whole_(context_, renewals_),
        root_(context_, renewals_) {
    context_.ClearRemoved();  // where the last process stopped
  }

  ~LmdbCatalog() override {
    context_.stop.request_stop();
    context_.gate.Close();
    context_.gate.WaitUntilEmpty();
    whole_.Abort();
    renewals_.Abort();
  }

  void List(const ObjectPath& directory, std::stop_token stop, Callback<ListAnswer> done) override;
  void Lookup(const ObjectPath& directory, std::string name, std::stop_token stop,
              Callback<LookupAnswer> done) override;
  void ListBelow(const ObjectPath& directory, Level level, std::stop_token stop,
                 Callback<void> done) override;
  Result<source::SeriesRecord> Series(const ObjectPath& series) const override;
  Result<source::Attributes> AttributesOf(const ObjectPath& object) const override;
  Result<std::unique_ptr<RowReader>> Rows(const ObjectPath& directory, Level level) const override;
  uint64_t revision() const override { return context_.revision; }
  void Refresh(const ObjectPath& directory, std::stop_token stop, Callback<void> done) override;
  std::string LastError(const ObjectPath& directory) const override;
  std::vector<ServerHealth> Health() const override {
    auto health = context_.servers.Health();
    for (size_t server = 0; server < health.size(); ++server) {
      source::ServerStatus status = context_.sources[server]->status();
      // Whoever refuses is well, and it is an error all the same.
      const source::ServerStatus& noted = health[server].status;
      if (noted.last_error_unix_ms > status.last_error_unix_ms) {
        status.last_error = noted.last_error;
        status.last_error_unix_ms = noted.last_error_unix_ms;
      }
      health[server].status = std::move(status);
    }
    return health;
  }
  void OnChange(std::function<void(const Change&)> listener) override {
    context_.listener = std::move(listener);
  }

 private:
  bool IsDirectory(const ObjectPath& path) const {
    return path.level != Level::kInstance && path.server < context_.sources.size();
  }
  Error NotADirectory(const ObjectPath& path) const {
    if (path.level == Level::kInstance) return {Errc::kNotDirectory, path.Text()};
    return {Errc::kNotFound, path.Text() + ": no such server"};
  }
  void RenewBehind(const ObjectPath& unit) {
    if (!context_.Blocking(unit)) renewals_.Renew(unit, Purpose::kListing, nullptr);
  }
  bool IsFresh(const ObjectPath& unit) const {
    const auto state = context_.store.ReadState(context_.Key(unit));
    return state && context_.FreshMs(*state) > 0;
  }

  // nullopt: not stored. Starts a renewal where it is due.
  std::optional<ListAnswer> StoredList(const ObjectPath& directory);
  Result<LookupAnswer> LookupFresh(const ObjectPath& directory, const std::string& name);
  std::optional<LookupAnswer> StoredLookup(const ObjectPath& directory, const std::string& name,
                                           bool* directory_listed);
  void LookupPatient(const ObjectPath& collection, const std::string& name, bool listed,
                     std::stop_token stop, Callback<LookupAnswer> done);
  void LookupBelow(const ObjectPath& unit, const ObjectPath& directory, const std::string& name,
                   Purpose purpose, bool absent_if_failing, std::stop_token stop,
                   Callback<LookupAnswer> done);

  CatalogContext context_;
  Renewals renewals_;
  WholeListings whole_;
  RootListing root_;
};

std::optional<ListAnswer> LmdbCatalog::StoredList(const ObjectPath& directory) {
  const auto stored = context_.ReadListing(context_.Key(directory), directory.server);
  if (!stored) return std::nullopt;
  const int64_t fresh_ms = context_.FreshMs(stored->state);
  if (fresh_ms == 0) RenewBehind(UnitOf(directory));
  return ListAnswer{stored->listing, fresh_ms};
}

void LmdbCatalog::List(const ObjectPath& directory, std::stop_token stop,
                       Callback<ListAnswer> done) {
  if (!IsDirectory(directory)) return done(Fail(NotADirectory(directory)));
  if (directory.level == Level::kRoot) return root_.List(std::move(stop), std::move(done));
  if (auto answer = StoredList(directory)) return done(*std::move(answer));
  const ObjectPath unit = UnitOf(directory);
  const auto absent = [directory] {
    return Fail(Errc::kNotFound, directory.Text() + ": not in the archive");
  };
  if (unit.level != directory.level && IsFresh(unit)) return done(absent());
  if (auto error = context_.Blocking(unit)) return done(Fail(*std::move(error)));
  auto waiter = Waiter<ListAnswer>::Create(std::move(stop), std::move(done));
  if (waiter->finished()) return;
  renewals_.Renew(unit, Purpose::kListing, [this, directory, waiter, absent](Status status) {
    if (!status) return waiter->Finish(Fail(status.error()));
    if (auto answer = StoredList(directory)) return waiter->Finish(*std::move(answer));
    waiter->Finish(absent());
  });
}

std::optional<LookupAnswer> LmdbCatalog::StoredLookup(const ObjectPath& directory,
                                                      const std::string& name,
                                                      bool* directory_listed) {
  const DirectoryKey key = context_.Key(directory);
  std::optional<Entry> entry;
  std::optional<ListingState> state;
  if (const auto cached = context_.listings.Find(key)) {
    state = cached->state;
    if (const Entry* found = cached->listing->Find(name)) entry = *found;
  } else if (auto stored = context_.store.ReadEntry(key, name)) {
    state = stored->state;
    if (stored->head)
      entry = Entry{name, directory.server, stored->head->modified_s, stored->head->size_bytes};
  }
  *directory_listed = state && state->listed;
  if (!entry) return std::nullopt;
  if (*directory_listed) {
    const int64_t fresh_ms = context_.FreshMs(*state);
    if (fresh_ms == 0) RenewBehind(UnitOf(directory));
    return LookupAnswer{*std::move(entry), fresh_ms};
  }
  // Reached by path only: as fresh as what is known of the patient himself.
  const auto id = DecodeName(name);
  const auto own = id ? context_.store.ReadState(ChildKey(key, *id)) : std::nullopt;
  const int64_t fresh_ms = own ? context_.FreshMs(*own) : 0;
  if (fresh_ms == 0 && id && directory.level == Level::kCollection)
    RenewBehind(directory.Child(*id, directory.server));
  return LookupAnswer{*std::move(entry), fresh_ms};
}

void LmdbCatalog::Lookup(const ObjectPath& directory, std::string name, std::stop_token stop,
                         Callback<LookupAnswer> done) {
  if (!IsDirectory(directory)) return done(Fail(NotADirectory(directory)));
  const bool spelled_right =
      name.size() <= kNameBytesMax &&
      (directory.level == Level::kSeries ? DecodeInstanceName(name) : DecodeName(name)).has_value();
  if (!spelled_right) return done(Fail(NoSuchName(directory, name)));
  if (directory.level == Level::kRoot) return root_.Lookup(name, std::move(stop), std::move(done));

  bool listed = false;
  if (auto answer = StoredLookup(directory, name, &listed)) return done(*std::move(answer));
  if (directory.level == Level::kCollection)
    return LookupPatient(directory, name, listed, std::move(stop), std::move(done));
  const ObjectPath unit = UnitOf(directory);
  if (IsFresh(unit)) return done(LookupFresh(directory, name));
  LookupBelow(unit, directory, name, Purpose::kListing, listed, std::move(stop), std::move(done));
}

// What is not in a directory that is fresh is nowhere. Looked up once more: an answer may have come
// after the first look, and before the directory was seen to be fresh.
Result<LookupAnswer> LmdbCatalog::LookupFresh(const ObjectPath& directory,
                                              const std::string& name) {
  bool listed = false;
  if (auto answer = StoredLookup(directory, name, &listed)) return *std::move(answer);
  return Fail(NoSuchName(directory, name));
}

// One request tells whether there is such a patient, however many the collection has.
void LmdbCatalog::LookupPatient(const ObjectPath& collection, const std::string& name, bool listed,
                                std::stop_token stop, Callback<LookupAnswer> done) {
  if (IsFresh(collection)) return done(LookupFresh(collection, name));
  const ObjectPath patient = collection.Child(*DecodeName(name), collection.server);
  LookupBelow(patient, collection, name, Purpose::kOnePatient, listed, std::move(stop),
              std::move(done));
}

void LmdbCatalog::LookupBelow(const ObjectPath& unit, const ObjectPath& directory,
                              const std::string& name, Purpose purpose, bool absent_if_failing,
                              std::stop_token stop, Callback<LookupAnswer> done) {
  // Where the directory was listed before, what it does not list counts as absent while the
  // archive cannot be asked.
  const auto failed = [directory, name, absent_if_failing](const Error& error) {
    if (absent_if_failing && error.code != Errc::kCancelled)
      return Fail(NoSuchName(directory, name));
    return Fail(error);
  };
  if (const auto error = context_.Blocking(unit)) return done(failed(*error));
  auto waiter = Waiter<LookupAnswer>::Create(std::move(stop), std::move(done));
  if (waiter->finished()) return;
  renewals_.Renew(unit, purpose, [this, directory, name, waiter, failed](Status status) {
    if (!status) return waiter->Finish(failed(status.error()));
    waiter->Finish(LookupFresh(directory, name));
  });
}

// One listing is all there is to know, but for the studies and series of a collection.
void LmdbCatalog::ListBelow(const ObjectPath& directory, Level level, std::stop_token stop,
                            Callback<void> done) {
  const bool whole = directory.level == Level::kCollection && level > Level::kPatient;
  List(directory, stop,
       [this, directory, whole, stop, done = std::move(done)](const Result<ListAnswer>& list) {
         if (!list) return done(Fail(list.error()));
         if (!whole) return done({});
         auto waiter = Waiter<void>::Create(stop, done);
         if (waiter->finished()) return;
         whole_.Complete(directory, [waiter](Status status) { waiter->Finish(std::move(status)); });
       });
}

Result<std::unique_ptr<RowReader>> LmdbCatalog::Rows(const ObjectPath& directory,
                                                     Level level) const {
  if (directory.level == Level::kRoot || level <= directory.level || level > Level::kSeries ||
      directory.server >= context_.sources.size())
    return Fail(Errc::kInvalidArgument, directory.Text() + ": has no such rows");
  return context_.store.ReadRowsBelow(directory, context_.Key(directory), level);
}

Result<source::SeriesRecord> LmdbCatalog::Series(const ObjectPath& series) const {
  if (series.level != Level::kSeries || series.server >= context_.sources.size())
    return Fail(Errc::kInvalidArgument, series.Text() + ": not a series");
  source::SeriesRecord record;
  TCIAFS_ASSIGN(auto head, context_.store.ReadRecord(context_.Key(ParentOf(series)), series,
                                                     record.attributes));
  record.collection = series.collection;
  record.patient = series.patient;
  record.study = series.study;
  record.series = series.series;
  record.version = std::move(head.version);
  record.modified_s = head.modified_s;
  return record;
}

Result<source::Attributes> LmdbCatalog::AttributesOf(const ObjectPath& object) const {
  source::Attributes attributes;
  if (object.level == Level::kRoot) return attributes;
  if (object.server >= context_.sources.size()) return Fail(NotADirectory(object));
  TCIAFS_TRY(context_.store.ReadRecord(context_.Key(ParentOf(object)), object, attributes));
  if (object.level != Level::kStudy) return attributes;
  // Studies have no rows of their own in any archive's answer: their series tell of them.
  const DirectoryKey key = context_.Key(object);
  TCIAFS_ASSIGN(const auto names, context_.store.ReadNames(key, {}, 1));
  const auto id = names.empty() ? std::nullopt : DecodeName(names.front());
  if (!id) return attributes;
  TCIAFS_TRY(context_.store.ReadRecord(key, object.Child(*id, object.server), attributes));
  std::erase_if(attributes, [](const auto& a) { return !IsStudyLevel(a.name); });
  return attributes;
}

void LmdbCatalog::Refresh(const ObjectPath& directory, std::stop_token stop, Callback<void> done) {
  if (!IsDirectory(directory)) return done(Fail(NotADirectory(directory)));
  auto waiter = Waiter<void>::Create(std::move(stop), std::move(done));
  if (waiter->finished()) return;
  const auto finish = [waiter](Status status) { waiter->Finish(std::move(status)); };
  if (directory.level == Level::kRoot) return root_.Refresh(finish);
  renewals_.Renew(UnitOf(directory), Purpose::kForced, finish);
}

std::string LmdbCatalog::LastError(const ObjectPath& directory) const {
  if (!IsDirectory(directory)) return {};
  if (directory.level == Level::kRoot) return root_.LastError();
  const DirectoryKey key = context_.Key(UnitOf(directory));
  auto error = context_.failures.Last(key);
  if (!error) error = whole_.LastError(key);
  return error ? error->message : std::string();
}

}  // namespace

Result<std::unique_ptr<Catalog>> OpenCatalog(const CatalogOptions& options,
                                             std::shared_ptr<CatalogStore> store,
                                             std::vector<source::Source*> sources,
                                             const Clock& clock, Executor& executor,
                                             Scheduler& scheduler) {
  if (store == nullptr || sources.empty())
    return Fail(Errc::kInvalidArgument, "a catalog needs a store and a source");
  return std::unique_ptr<Catalog>(std::make_unique<LmdbCatalog>(
      options, std::move(store), std::move(sources), clock, executor, scheduler));
}

}  // namespace tciafs::catalog
