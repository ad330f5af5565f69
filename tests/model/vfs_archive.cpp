// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "model/vfs_archive.h"

#include <algorithm>

#include "tciafs/catalog/names.h"
#include "tciafs/util/hash.h"
#include "unit/cache/cache_fixture.h"

namespace tciafs::model {

source::CollectionId Slot::collection() const {
  static const char* const kNames[] = {"Lung", "A/B %", "NLST"};
  return source::CollectionId(kNames[number / 4]);
}
source::PatientId Slot::patient() const {
  return source::PatientId(std::string(number % 4 < 2 ? ".P" : "p") + "-" +
                           std::to_string(number / 2));
}
source::StudyUid Slot::study() const {
  return source::StudyUid("1." + std::to_string(number == 5 ? 99 : number / 2));
}
source::SeriesUid Slot::series() const { return source::SeriesUid("2." + std::to_string(number)); }

catalog::ObjectPath Slot::path() const {
  return catalog::ObjectPath()
      .Child(collection().text(), server())
      .Child(patient().text(), server())
      .Child(study().text(), server())
      .Child(series().text(), server());
}

source::SopUid Slot::sop(int instance) const {
  return source::SopUid("3." + std::to_string(number) + "." + std::to_string(instance));
}

// Some are as long in every version.
const std::string& Slot::Bytes(int of_version, int instance) const {
  const std::string seed =
      std::to_string(number) + "/" + std::to_string(of_version) + "/" + std::to_string(instance);
  int64_t size = 3'000 + 500 * instance;
  if (instance == 1) size += 700 * of_version;
  if (instance == 2) size = 300'000 + 20'000 * number - 1'000 * of_version;
  static std::map<std::string, std::string> made;
  std::string& bytes = made[seed];
  if (bytes.empty()) bytes = std::string(AsText(cache::PatternBytes(seed, size)));
  return bytes;
}

source::SeriesRecord Slot::Record() const {
  source::SeriesRecord record;
  record.collection = collection();
  record.patient = patient();
  record.study = study();
  record.series = series();
  record.version.timestamp = "2020-01-0" + std::to_string(version + 1);
  record.version.image_count = instances(version);
  record.version.total_bytes = 0;
  for (int i = 0; i < instances(version); ++i)
    record.version.total_bytes += static_cast<int64_t>(Bytes(version, i).size());
  record.modified_s = 1'577'836'800 + 86'400 * version;
  record.attributes = {{"Modality", "CT", false}, {"Version", std::to_string(version), true}};
  return record;
}

Archive::Archive() : slots_(static_cast<size_t>(kSlots)) {
  for (int i = 0; i < kSlots; ++i) slot(i).number = i;
  NoteNames();
}

std::set<std::string> Archive::Names(const catalog::ObjectPath& directory) const {
  std::set<std::string> names;
  for (const Slot& slot : slots_) {
    const catalog::ObjectPath series = slot.path();
    catalog::ObjectPath above;
    for (const auto& id : {series.collection.text(), series.patient.text(), series.study.text(),
                           series.series.text()}) {
      const std::string name = catalog::EncodeName(id);
      if (above == directory && slot.present) names.insert(name);
      above = above.Child(id, slot.server());
    }
    if (above != directory || !slot.present) continue;
    for (int i = 0; i < slot.instances(slot.version); ++i)
      names.insert(catalog::InstanceName(slot.sop(i).text()));
  }
  return names;
}

void Archive::NoteNames() {
  std::set<std::string> noted;
  const auto note = [&](const catalog::ObjectPath& directory) {
    if (noted.insert(directory.Text()).second) ever_[directory.Text()].merge(Names(directory));
  };
  for (const Slot& slot : slots_) {
    catalog::ObjectPath above;
    const catalog::ObjectPath series = slot.path();
    for (const auto& id : {series.collection.text(), series.patient.text(), series.study.text(),
                           series.series.text()}) {
      note(above);
      above = above.Child(id, slot.server());
    }
    note(above);
  }
}

const std::set<std::string>& Archive::NamesEver(const catalog::ObjectPath& directory) const {
  static const std::set<std::string> kNone;
  const auto found = ever_.find(directory.Text());
  return found == ever_.end() ? kNone : found->second;
}

std::pair<int, int> Archive::Find(const catalog::ObjectPath& instance) const {
  for (const Slot& slot : slots_) {
    if (slot.series() != instance.series) continue;
    for (int i = 0; i < 4; ++i)
      if (slot.sop(i) == instance.sop) return {slot.number, i};
  }
  return {-1, -1};
}

struct ModelSource::Stream {
  const Slot* slot = nullptr;
  int version = 0;
  std::vector<int> instances;
  size_t next = 0;
  std::stop_token stop;
  std::shared_ptr<source::SeriesSink> sink;
};

ModelSource::ModelSource(size_t server, const Archive& archive, Executor& executor)
    : server_(server),
      scope_("https://server" + std::to_string(server) + "|guest"),
      archive_(archive),
      executor_(executor) {}

source::Capabilities ModelSource::capabilities() const {
  source::Capabilities capabilities;
  capabilities.bulk_listing = true;
  capabilities.sizes_known = server_ == 0;
  capabilities.instance_hashes = true;
  return capabilities;
}

void ModelSource::Answer(std::stop_token stop, Task answer) {
  if (holding) {
    held_.push_back({std::move(stop), std::move(answer)});
  } else {
    executor_.Post(std::move(answer));
  }
}

void ModelSource::Release(size_t index) {
  if (held_.empty()) return;
  const auto at = held_.begin() + static_cast<std::ptrdiff_t>(index % held_.size());
  executor_.Post(std::move(at->answer));
  held_.erase(at);
}

void ModelSource::ReleaseAll() {
  while (!held_.empty()) Release(0);
}

void ModelSource::ReleaseStopped() {
  for (size_t i = 0; i < held_.size();) {
    if (held_[i].stop.stop_requested())
      Release(i);
    else
      ++i;
  }
}

template <typename T>
void ModelSource::AnswerRows(std::set<source::CollectionId> collections, std::stop_token stop,
                             Callback<std::vector<T>> done, std::function<std::vector<T>()> rows) {
  Answer(stop, [this, collections = std::move(collections), stop, done = std::move(done),
                rows = std::move(rows)] {
    if (stop.stop_requested()) return done(Fail(Errc::kCancelled, "stopped"));
    if (mood == Mood::kFails) return done(Fail(Errc::kUnavailable, "the server is down"));
    std::vector<T> answer = rows();
    for (const auto& collection : collections)
      if (mood == Mood::kEmpty || mood == Mood::kShort || Lacks(collection))
        on_bad_answer(collection);
    if (mood == Mood::kEmpty) answer.clear();
    if (mood == Mood::kShort)
      answer.erase(answer.begin() + static_cast<std::ptrdiff_t>((answer.size() + 1) / 2),
                   answer.end());
    done(std::move(answer));
  });
}

bool ModelSource::Lacks(const source::CollectionId& collection) const {
  for (int i = 0; i < kSlots; ++i) {
    const Slot& slot = archive_.slot(i);
    if (slot.server() != server_ || (!collection.empty() && slot.collection() != collection))
      continue;
    const auto instances = static_cast<size_t>(slot.instances(slot.version));
    if (!slot.present ||
        (!collection.empty() && instances < archive_.NamesEver(slot.path()).size()))
      return true;
  }
  return false;
}

std::vector<const Slot*> ModelSource::Slots(const source::CollectionId& collection) const {
  std::vector<const Slot*> slots;
  for (int i = 0; i < kSlots; ++i) {
    const Slot& slot = archive_.slot(i);
    if (slot.present && slot.server() == server_ &&
        (collection.empty() || slot.collection() == collection))
      slots.push_back(&slot);
  }
  return slots;
}

void ModelSource::ListCollections(std::stop_token stop,
                                  Callback<std::vector<source::CollectionRecord>> done) {
  AnswerRows<source::CollectionRecord>(
      {source::CollectionId()}, std::move(stop), std::move(done), [this] {
        std::vector<source::CollectionRecord> rows;
        for (const Slot* slot : Slots({}))
          if (rows.empty() || rows.back().collection != slot->collection())
            rows.push_back({slot->collection()});
        return rows;
      });
}

void ModelSource::ListPatients(const source::CollectionId& collection, std::stop_token stop,
                               Callback<std::vector<source::PatientRecord>> done) {
  AnswerRows<source::PatientRecord>(
      {collection}, std::move(stop), std::move(done), [this, collection] {
        std::vector<source::PatientRecord> rows;
        for (const Slot* slot : Slots(collection))
          if (rows.empty() || rows.back().patient != slot->patient())
            rows.push_back({collection, slot->patient(), {{"PatientSex", "F", false}}});
        return rows;
      });
}

void ModelSource::ListPatientSeries(const source::CollectionId& collection,
                                    const source::PatientId& patient, std::stop_token stop,
                                    Callback<std::vector<source::SeriesRecord>> done) {
  AnswerRows<source::SeriesRecord>({collection}, std::move(stop), std::move(done),
                                   [this, collection, patient] {
                                     std::vector<source::SeriesRecord> rows;
                                     for (const Slot* slot : Slots(collection))
                                       if (slot->patient() == patient)
                                         rows.push_back(slot->Record());
                                     return rows;
                                   });
}

void ModelSource::ListCollectionSeries(const source::CollectionId& collection, std::stop_token stop,
                                       source::SeriesBatch batch, Callback<void> done) {
  AnswerRows<source::SeriesRecord>(
      {collection}, std::move(stop),
      [batch = std::move(batch), done = std::move(done)](auto rows) {
        if (!rows) return done(Fail(rows.error()));
        if (auto status = batch(std::move(*rows)); !status) return done(status);
        done({});
      },
      [this, collection] {
        std::vector<source::SeriesRecord> rows;
        for (const Slot* slot : Slots(collection)) rows.push_back(slot->Record());
        return rows;
      });
}

void ModelSource::ListInstances(std::vector<source::SeriesQuery> series, std::stop_token stop,
                                Callback<std::vector<source::InstanceListing>> done) {
  std::set<source::CollectionId> collections;
  for (const auto& query : series) collections.insert(query.collection);
  AnswerRows<source::InstanceListing>(
      std::move(collections), std::move(stop), std::move(done), [this, series = std::move(series)] {
        std::vector<source::InstanceListing> rows;
        for (const auto& query : series) {
          for (const Slot* slot : Slots(query.collection)) {
            if (slot->series() != query.series) continue;
            rows.push_back({query.series, {}});
            for (int i = 0; i < slot->instances(slot->version); ++i) {
              auto size = static_cast<int64_t>(slot->Bytes(slot->version, i).size());
              if (i == 1 && sizes_drift) size += 7;
              rows.back().instances.push_back({slot->sop(i), server_ == 0 ? size : -1});
            }
          }
        }
        return rows;
      });
}

void ModelSource::StreamSeries(const source::SeriesQuery& series, std::stop_token stop,
                               std::shared_ptr<source::SeriesSink> sink) {
  ++streams;
  const auto stream = std::make_shared<Stream>();
  stream->stop = std::move(stop);
  stream->sink = std::move(sink);
  for (const Slot* slot : Slots(series.collection)) {
    if (slot->series() != series.series) continue;
    stream->slot = slot;
    stream->version = slot->version;
    for (int i = 0; i < slot->instances(slot->version); ++i) stream->instances.push_back(i);
  }
  Answer(stream->stop, [this, stream] { Send(stream); });
}

void ModelSource::FetchInstance(const source::SeriesQuery& series, const source::SopUid& sop,
                                std::stop_token stop, std::shared_ptr<source::SeriesSink> sink) {
  const auto stream = std::make_shared<Stream>();
  stream->stop = std::move(stop);
  stream->sink = std::move(sink);
  for (const Slot* slot : Slots(series.collection)) {
    if (slot->series() != series.series) continue;
    for (int i = 0; i < slot->instances(slot->version); ++i) {
      if (slot->sop(i) != sop) continue;
      stream->slot = slot;
      stream->version = slot->version;
      stream->instances = {i};
    }
  }
  Answer(stream->stop, [this, stream] { Send(stream); });
}

// One instance per step, so that everything else can happen in between.
void ModelSource::Send(const std::shared_ptr<Stream>& stream) {
  source::SeriesSink& sink = *stream->sink;
  if (stream->stop.stop_requested()) return sink.Done(Fail(Errc::kCancelled, "stopped"));
  if (mood == Mood::kFails) return sink.Done(Fail(Errc::kUnavailable, "the server is down"));
  if (stream->slot == nullptr) return sink.Done(Fail(Errc::kNotFound, "no such series"));
  if (stream->next == stream->instances.size() || mood == Mood::kEmpty) return sink.Done({});
  const size_t position = stream->next++;
  const int instance = stream->instances[position];
  const source::SopUid sop = stream->slot->sop(instance);
  const bool is_last = stream->next == stream->instances.size();
  if (!(mood == Mood::kLeavesOut && is_last)) {
    std::string bytes = stream->slot->Bytes(stream->version, instance);
    Md5 md5;
    md5.Update(AsBytes(bytes));
    sink.ExpectMd5(sop, md5.FinishHex());
    if (mood == Mood::kCorrupts) bytes[bytes.size() / 2] ^= 4;
    Status status = sink.BeginInstance(sop);
    const size_t half = bytes.size() / 2;
    if (status) status = sink.Data(AsBytes(bytes).first(half));
    if (status && mood == Mood::kBreaks)
      return sink.Done(Fail(Errc::kUnavailable, "the connection broke"));
    if (status) status = sink.Data(AsBytes(bytes).subspan(half));
    if (status) status = sink.EndInstance();
    if (!status) return sink.Done(status);
  }
  Answer(stream->stop, [this, stream] { Send(stream); });
}

}  // namespace tciafs::model
