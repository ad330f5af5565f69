// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "model/cache_world.h"

#include <algorithm>

#include "unit/cache/cache_fixture.h"

namespace tciafs::model {
namespace {

constexpr int64_t kCapBytes = cache::kCapBytesMin;
constexpr int64_t kFloorBytes = int64_t{4} << 20;
constexpr size_t kHeldMax = 12;

enum Kind {
  kFill,
  kBegin,
  kBeginPart,
  kAppend,
  kPublish,
  kPublishMany,
  kEndPart,
  kEndSeries,
  kMarkVerified,
  kWithdraw,
  kOpen,
  kRead,
  kClose,
  kPin,
  kEvict,
  kReopen,
  kReopenDamaged,
  kReopenCap,
  kCrash,
  kPowerCut,
  kFlush,
  kFault,
  kFreeSpace,
  kAdvance,
};

}  // namespace

// In the order of the enumeration.
std::vector<OpKind> CacheWorld::Kinds() {
  return {{"fill", 10},       {"begin", 8},        {"begin-part", 10}, {"append", 10},
          {"publish", 10},    {"publish-many", 2}, {"end-part", 2},    {"end-series", 6},
          {"verify", 3},      {"withdraw", 3},     {"open", 12},       {"read", 12},
          {"close", 8},       {"pin", 6},          {"evict", 3},       {"reopen", 4},
          {"reopen-hurt", 3}, {"reopen-cap", 1},   {"crash", 5},       {"power-cut", 3},
          {"flush", 1},       {"fault", 1},        {"free-space", 1},  {"advance", 2}};
}

CacheWorld::CacheWorld() : disk_(temp_.File("cache")), state_(static_cast<size_t>(kSeries)) {
  options_.directory = disk_.directory;
  options_.cap_bytes = kCapBytes;
  options_.free_floor_bytes = kFloorBytes;
  disk_.taken_bytes = [this] { return cache::MeasuredBytes(options_.directory) + OrphanedBytes(); };
  OpenCache();
}

CacheWorld::~CacheWorld() { CloseAll(); }

std::string CacheWorld::Run(const std::vector<Op>& ops) {
  for (const Op& op : ops) {
    const ModelState before = state_;
    effects_ = {};
    Do(op);
    DropIdleWriting();
    if (!failure_.empty()) break;
    Compare(before);
    if (failure_.empty() && disk_.copied) AfterCrash(before);
    if (!failure_.empty()) break;
  }
  const ModelState before = state_;
  effects_ = {};
  if (failure_.empty()) Reopen();
  if (failure_.empty()) Compare(before);
  if (failure_.empty()) ReadAll();
  return failure_;
}

void CacheWorld::Do(const Op& op) {
  switch (static_cast<Kind>(op.kind)) {
    case kFill:
      return Fill(op);
    case kBegin:
      return Begin(op.a % kSeries, op.b < 4 ? kHugeVersion : op.b % kVersions, op.c % 2 == 0);
    case kBeginPart:
      return BeginPart(op);
    case kAppend:
      return AppendPart(op);
    case kPublish:
      return PublishPart(op);
    case kPublishMany:
      return PublishMany(op);
    case kEndPart:
      return EndPart(op);
    case kEndSeries:
      return EndSeries(op);
    case kMarkVerified:
      return MarkVerified(op);
    case kWithdraw:
      return Withdraw(op);
    case kOpen:
      return Open(op);
    case kRead:
      return ReadHeld(op);
    case kClose:
      return CloseHeld(op);
    case kPin:
      return Pin(op);
    case kEvict:
      return Evict(op);
    case kReopen:
      return Reopen();
    case kReopenDamaged:
      return ReopenDamaged(op);
    case kReopenCap:
      options_.cap_bytes = kCapBytes + (op.a % 3) * (int64_t{4} << 20);
      return Reopen();
    case kCrash:
    case kPowerCut:
      power_cut_ = op.kind == kPowerCut;
      disk_.steps_before_copy = op.a;
      read_after_crash_ = op.b % 2 == 0;
      crash_seed_ = static_cast<uint32_t>(op.c);
      return;
    case kFlush:
      disk_.unflushed.clear();
      return;
    case kFault:
      return SetFault(op);
    case kFreeSpace:
      return SetFreeSpace(op);
    case kAdvance:
      clock_.Advance(op.a % 2 == 0 ? 100 : 61'000);
      if (op.b % 4 == 0) clock_.JumpUnix((op.c - kOperandEnd / 2) * 3'600'000LL);
      return;
  }
}

// A crash that is wanted goes with the whole of an operation, and a fetch is made of many.
void CacheWorld::Fill(const Op& op) {
  const int series = op.a % kSeries;
  const bool was_busy = HasWriter(series);
  Begin(series, op.b % kVersions, op.c % 2 == 0);
  effects_.exact = false;
  if (was_busy || !HasWriter(series) || disk_.copied) return;
  Writing& writing = writings_.back();
  for (int i = 0; i < kInstances; ++i) {
    if (op.c / 2 % 8 == i + 1) continue;
    if (!BeginSop(writing, SopOf(i))) continue;
    Part& part = writing.parts.back();
    const bool appended =
        Append(writing, part, SizeOf(series, At(series).version, part.sop)).has_value();
    if (appended) (void)Publish(writing, part, /*keep=*/false);
    writing.parts.pop_back();
    if (!failure_.empty()) return;
  }
  if (op.c / 16 % 2 == 0) {
    Op last;
    last.a = static_cast<int>(writings_.size()) - 1;
    MarkVerified(last);
  }
  writings_.pop_back();
}

void CacheWorld::Begin(int series, int version, bool announced) {
  effects_.may_evict = true;
  const bool busy = HasWriter(series);
  const ModelSeries before = At(series);
  const auto told = VersionOf(series, version, announced);
  const cache::RoomFor room = cache_->CheckRoom({{KeyOf(series), told}});
  auto begun = cache_->BeginSeries({KeyOf(series), told});
  if (busy) {
    Expect(!begun && (begun.error().code == Errc::kBusy || version == kHugeVersion),
           "a second writer of a series");
    return;
  }
  if (version == kHugeVersion) {
    Expect(!begun && begun.error().code == Errc::kNoSpace, "a series beyond the cap is begun");
    effects_.may_evict = false;
    return;
  }
  if (!begun) {
    Expect(begun.error().code == Errc::kNoSpace, "cannot begin: " + begun.error().message);
    Expect(suspect_ || !room.Fits(), "no space where there was room: " + begun.error().message);
    effects_.exact = false;
  }
  ModelSeries& of = At(series);
  if (of.version != version) {
    if (suspect_ && of.version >= 0) older_[series].push_back(of);
    of.instances.clear();
    of.verified = of.announced = false;
    const bool perhaps = of.perhaps_announced.count(version) != 0;
    of.perhaps_announced.clear();
    if (perhaps) of.perhaps_announced.insert(version);
    of.version = version;
  }
  of.announced = of.announced || announced;
  Touch(series);
  if (!begun) {
    int64_t wanted = announced ? told.total_bytes + (128 << 10) - of.DiskBytes() : int64_t{0};
    if (Evictable(series, state_)) wanted += of.DiskBytes();  // not by its own writer
    Expect(suspect_ || SpaceIsLacking(wanted), "refused for space that was there");
    return;
  }
  Writing writing;
  writing.series = series;
  writing.writer = std::move(*begun);
  writings_.push_back(std::move(writing));
}

Status CacheWorld::BeginSop(Writing& writing, const std::string& sop) {
  const ModelSeries& of = At(writing.series);
  const bool busy = std::any_of(writing.parts.begin(), writing.parts.end(),
                                [&](const Part& part) { return part.sop == sop && !part.kept; });
  const auto instance = of.instances.find(sop);
  auto begun = writing.writer->BeginInstance(source::SopUid(sop));
  if (busy) {
    Expect(!begun && begun.error().code == Errc::kBusy, "a second writer of " + sop);
    return Fail(Errc::kBusy, sop);
  }
  Expect(begun.has_value(), begun ? "" : "cannot begin " + sop + ": " + begun.error().message);
  if (!begun) return Fail(begun.error());
  Part part;
  part.sop = sop;
  part.writer = std::move(*begun);
  part.kept = instance != of.instances.end() && instance->second.cached;
  writing.parts.push_back(std::move(part));
  return {};
}

Status CacheWorld::Append(Writing& writing, Part& part, int64_t size_bytes) {
  effects_.may_evict = true;
  const std::string bytes = model::BytesOf(writing.series, At(writing.series).version, part.sop);
  const auto begin = static_cast<size_t>(part.appended);
  const auto piece =
      std::string_view(bytes).substr(begin, static_cast<size_t>(std::max<int64_t>(size_bytes, 0)));
  Status status = part.writer->Append(AsBytes(piece));
  if (status) {
    part.appended += static_cast<int64_t>(piece.size());
    return status;
  }
  effects_.exact = false;
  Expect(status.error().code == Errc::kNoSpace, "cannot append: " + status.error().message);
  Expect(suspect_ || SpaceIsLacking((1 << 20) + (16 << 10)), "no space to append, and there is");
  return status;
}

Status CacheWorld::Publish(Writing& writing, Part& part, bool keep) {
  effects_.may_evict = true;
  const int series = writing.series;
  const ModelSeries& of = At(series);
  const auto instance = of.instances.find(part.sop);
  const bool was_there = instance != of.instances.end() && instance->second.cached;
  const bool may_miss = was_there && (instance->second.lost || instance->second.doubtful);
  const std::string md5 =
      part.sop.back() % 2 == 0 ? model::Md5Of(series, of.version, part.sop) : "";
  auto published = part.writer->Publish(md5);
  if (!published) {
    effects_.exact = false;
    if (part.kept) {
      Expect(published.error().code == Errc::kNotFound && (!was_there || may_miss),
             part.sop + " was here when it began, and is not");
      if (was_there) {
        At(series).instances[part.sop].cached = false;
        At(series).verified = false;
      }
      return Fail(published.error());
    }
    Expect(published.error().code == Errc::kNoSpace,
           "cannot publish: " + published.error().message);
    Expect(suspect_ || SpaceIsLacking((1 << 20) + (16 << 10)), "no space to publish, and there is");
    return Fail(published.error());
  }
  Expect(!part.kept || was_there, part.sop + " was withdrawn, and is published by nobody");
  NotePublished(writing, part, **published);
  if (!keep || held_.size() >= kHeldMax) return {};
  const ModelInstance& now = At(series).instances[part.sop];
  held_.push_back({std::move(*published), series, At(series).version, part.sop, now.incarnation,
                   now.damaged_block, now.doubtful});
  return {};
}

void CacheWorld::NotePublished(const Writing& writing, const Part& part,
                               const cache::InstanceFile& file) {
  Touch(writing.series);
  ModelSeries& of = At(writing.series);
  ModelInstance& instance = of.instances[part.sop];
  if (!part.kept) {
    instance = {};
    instance.size_bytes = SizeOf(writing.series, of.version, part.sop);
    instance.md5_hex = file.md5_hex();
    instance.cached = true;
    instance.incarnation = ++incarnations_;
    instance.firm = !suspect_;
  }
  Expect(file.size_bytes() == instance.size_bytes, part.sop + " is published in another size");
  Expect(file.md5_hex() == instance.md5_hex, part.sop + " is published with another MD5 sum");
}

CacheWorld::Writing* CacheWorld::PickWriting(int number) {
  if (writings_.empty()) return nullptr;
  return &writings_[static_cast<size_t>(number) % writings_.size()];
}

// A fetch ends with the last of its writers.
void CacheWorld::DropIdleWriting() {
  writings_.erase(std::remove_if(writings_.begin(), writings_.end(),
                                 [](const Writing& writing) {
                                   return writing.writer == nullptr && writing.parts.empty();
                                 }),
                  writings_.end());
  for (int series = 0; series < kSeries; ++series) {
    ModelSeries& of = At(series);
    if (!of.instances.empty() || HasWriter(series) || !of.announced) continue;
    of.announced = false;  // of a series of which nothing is known nothing need be kept
    of.perhaps_announced.insert(of.version);
  }
}

void CacheWorld::BeginPart(const Op& op) {
  Writing* writing = PickWriting(op.a);
  if (writing == nullptr || writing->writer == nullptr || writing->parts.size() > 3) return;
  (void)BeginSop(*writing, SopOf(op.b % kInstances));
}

void CacheWorld::AppendPart(const Op& op) {
  Writing* writing = PickWriting(op.a);
  if (writing == nullptr || writing->parts.empty()) return;
  const auto at = static_cast<size_t>(op.b) % writing->parts.size();
  Part& part = writing->parts[at];
  const int64_t size = SizeOf(writing->series, At(writing->series).version, part.sop);
  const int64_t bytes = op.c % 3 == 0 ? size - part.appended : size / (1 + op.c % 5);
  if (!Append(*writing, part, bytes))
    writing->parts.erase(writing->parts.begin() + static_cast<std::ptrdiff_t>(at));
}

void CacheWorld::PublishPart(const Op& op) {
  Writing* writing = PickWriting(op.a);
  if (writing == nullptr || writing->parts.empty()) return;
  const auto at = static_cast<size_t>(op.b) % writing->parts.size();
  Part& part = writing->parts[at];
  const int64_t size = SizeOf(writing->series, At(writing->series).version, part.sop);
  if (Append(*writing, part, size - part.appended)) (void)Publish(*writing, part, op.c % 2 == 0);
  writing->parts.erase(writing->parts.begin() + static_cast<std::ptrdiff_t>(at));
}

void CacheWorld::PublishMany(const Op& op) {
  Writing* writing = PickWriting(op.a);
  if (writing == nullptr || writing->writer == nullptr) return;
  effects_.exact = false;
  for (int i = 0; i < op.b * kMany / kOperandEnd && failure_.empty(); ++i) {
    const std::string sop = SmallSopOf(i);
    if (!BeginSop(*writing, sop)) continue;
    Part& part = writing->parts.back();
    if (Append(*writing, part, SizeOf(writing->series, At(writing->series).version, sop)))
      (void)Publish(*writing, part, /*keep=*/false);
    writing->parts.pop_back();
  }
}

void CacheWorld::EndPart(const Op& op) {
  Writing* writing = PickWriting(op.a);
  if (writing == nullptr || writing->parts.empty()) return;
  writing->parts.erase(
      writing->parts.begin() +
      static_cast<std::ptrdiff_t>(static_cast<size_t>(op.b) % writing->parts.size()));
}

void CacheWorld::EndSeries(const Op& op) {
  Writing* writing = PickWriting(op.a);
  if (writing == nullptr) return;
  if (op.b % 2 == 0) writing->parts.clear();
  writing->writer.reset();
}

void CacheWorld::MarkVerified(const Op& op) {
  Writing* writing = PickWriting(op.a);
  if (writing == nullptr || writing->writer == nullptr) return;
  Expect(writing->writer->MarkVerified().has_value(), "cannot be marked as verified");
  ModelSeries& of = At(writing->series);
  const bool all = of.present() >= kInstances;
  if (of.present() > 0 && (all || !of.announced)) of.verified = true;
  if (!all && of.perhaps_announced.count(of.version) != 0 && !of.announced)
    of.verified = cache_->Verified(KeyOf(writing->series),
                                   VersionOf(writing->series, of.version, /*announced=*/false));
}

void CacheWorld::Withdraw(const Op& op) {
  Writing* writing = PickWriting(op.a);
  if (writing == nullptr || writing->writer == nullptr) return;
  ModelSeries& of = At(writing->series);
  const std::string sop = SopOf(op.b % kInstances);
  const Status status = writing->writer->Withdraw(source::SopUid(sop));
  const auto instance = of.instances.find(sop);
  if (instance == of.instances.end() || !instance->second.cached) {
    Expect(suspect_ || (!status && status.error().code == Errc::kNotFound),
           "withdraws what is not here");
    return;
  }
  Expect(suspect_ || status.has_value(), "cannot withdraw");
  revoked_.insert(instance->second.incarnation);
  of.instances.erase(instance);
  of.verified = false;
}

bool CacheWorld::OpenSop(int series, const std::string& sop, Held& held) {
  ModelSeries& of = At(series);
  auto opened = cache_->Open(KeyOf(series), VersionOf(series, of.version, series % 2 == 0),
                             source::SopUid(sop));
  const auto found = of.instances.find(sop);
  const bool cached = found != of.instances.end() && found->second.cached;
  if (!opened) {
    Expect(opened.error().code == Errc::kNotFound, "cannot open: " + opened.error().message);
    const bool may_miss = cached && (found->second.lost || found->second.doubtful);
    Expect(!cached || may_miss, sop + " of series " + std::to_string(series) + " is not here");
    if (cached) {
      found->second.cached = false;
      of.verified = false;
    }
    return false;
  }
  Expect(cached, sop + " is opened and should not be here");
  if (!cached) return false;
  Expect(!found->second.lost, sop + " is opened though its file has another size");
  Touch(series);
  Expect((*opened)->size_bytes() == found->second.size_bytes, sop + " has another size");
  Expect((*opened)->md5_hex() == found->second.md5_hex, sop + " has another MD5 sum");
  held = {std::move(*opened),
          series,
          of.version,
          sop,
          found->second.incarnation,
          found->second.damaged_block,
          found->second.doubtful};
  return true;
}

void CacheWorld::Open(const Op& op) {
  const int series = op.a % kSeries;
  const int version = At(series).version;
  const std::string sop = op.c % 8 == 0 ? SmallSopOf(op.b) : SopOf(op.b % kInstances);
  if (version < 0 || op.c % 16 == 1) {  // another version than the one that is here
    const int other = (version + 1) % kVersions;
    const auto opened =
        cache_->Open(KeyOf(series), VersionOf(series, other, op.c % 2 == 0), source::SopUid(sop));
    Expect(!opened && opened.error().code == Errc::kNotFound, sop + " of another version opened");
    return;
  }
  Held held;
  if (OpenSop(series, sop, held) && held_.size() < kHeldMax) held_.push_back(std::move(held));
}

void CacheWorld::CheckRead(Held& held, int64_t offset, int64_t size_bytes) {
  const std::string bytes = model::BytesOf(held.series, held.version, held.sop);
  const auto size = static_cast<int64_t>(bytes.size());
  const int64_t begin = std::min(offset, size);
  const int64_t end = std::min(begin + size_bytes, size);
  const auto range = held.file->Read(offset, size_bytes);
  const int64_t block = held.damaged_block;
  const bool damaged = block >= 0 && begin < end && cache::BlockAt(begin) <= block &&
                       cache::BlockAt(end - 1) >= block;
  const std::string name = held.sop + " of series " + std::to_string(held.series);
  if (!range) {
    Expect(range.error().code == Errc::kCorrupt, name + ": " + range.error().message);
    Expect(damaged || held.doubtful || revoked_.count(held.incarnation) != 0,
           name + " is not damaged");
    return NoteDamageFound(held);
  }
  Expect(!damaged, name + ": a damaged block was read");
  Expect(revoked_.count(held.incarnation) == 0, name + " was withdrawn, and is read");
  Expect(range->size_bytes == end - begin, name + ": another number of bytes");
  if (!failure_.empty()) return;
  std::string got(static_cast<size_t>(end - begin), '\0');
  const ssize_t count = ::pread(range->fd, got.data(), got.size(), range->offset);
  Expect(count == static_cast<ssize_t>(got.size()) &&
             got == bytes.substr(static_cast<size_t>(begin), got.size()),
         name + ": wrong bytes");
}

void CacheWorld::NoteDamageFound(const Held& held) {
  revoked_.insert(held.incarnation);
  if (!IsLive(held, state_)) return;
  At(held.series).instances[held.sop].cached = false;
  At(held.series).verified = false;
}

void CacheWorld::ReadHeld(const Op& op) {
  if (held_.empty()) return;
  Held& held = held_[static_cast<size_t>(op.a) % held_.size()];
  const int64_t size = held.file->size_bytes();
  const int64_t offset = op.b % 4 == 0 ? 0 : size * op.b / (kOperandEnd - 8);  // also past the end
  CheckRead(held, offset, op.c % 4 == 0 ? size : (int64_t{1} << (op.c % 22)));
}

void CacheWorld::CloseHeld(const Op& op) {
  if (held_.empty()) return;
  held_.erase(held_.begin() +
              static_cast<std::ptrdiff_t>(static_cast<size_t>(op.a) % held_.size()));
}

void CacheWorld::Pin(const Op& op) {
  const int series = op.a % kSeries;
  const bool pinned = op.b % 4 != 3;
  Expect(cache_->Pin(KeyOf(series), pinned).has_value() || suspect_, "cannot pin");
  Expect(cache_->Pinned(KeyOf(series)) == pinned, "is not pinned as it was told");
  At(series).pinned = pinned;
}

void CacheWorld::Evict(const Op& op) {
  const int series = op.a % kSeries;
  ModelSeries& of = At(series);
  const Status status = cache_->Evict(KeyOf(series));
  if (HasWriter(series)) {
    Expect(!status && (status.error().code == Errc::kBusy ||
                       (!of.Cached() && status.error().code == Errc::kNotFound)),
           "evicted while it is being written");
  } else if (!of.Cached()) {
    Expect(suspect_ || (!status && status.error().code == Errc::kNotFound),
           "evicts what is not here");
  } else {
    Expect(suspect_ || status.has_value(), "cannot evict");
    of.Uncache();
  }
}

void CacheWorld::SetFault(const Op& op) {
  cache::Faults& faults = disk_.faults;
  StopFaults();
  if (op.a % 3 == 0) return;
  suspect_ = true;
  faults.error_number = op.c % 2 == 0 ? EIO : ENOSPC;
  faults.writes_before_failing = op.c % 16;
  std::atomic<bool>* const kinds[] = {&faults.creates_fail, &faults.writes_fail,
                                      &faults.renames_fail, &faults.directories_fail,
                                      &faults.removes_fail};
  *kinds[op.b % 5] = true;
}

void CacheWorld::SetFreeSpace(const Op& op) {
  disk_.free_bytes = op.a % 3 == 0 ? int64_t{1} << 40 : (int64_t{10} << 20) + op.b * (1 << 18);
}

}  // namespace tciafs::model

int main() {
  tciafs::model::ModelSpec spec;
  spec.name = "cache";
  spec.kinds = tciafs::model::CacheWorld::Kinds();
  spec.runs = 200;
  spec.length = 100;
  spec.run = [](const std::vector<tciafs::model::Op>& ops) {
    return tciafs::model::CacheWorld().Run(ops);
  };
  return tciafs::model::RunModel(spec);
}
