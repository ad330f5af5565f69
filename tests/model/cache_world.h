// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A real block cache in a directory of its own beside the model of it, and the operations that are
// done to both. After each operation the two are compared (cache_checks.cpp). Not thread-safe.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "model/cache_model.h"
#include "model/model_disk.h"
#include "model/runner.h"
#include "support/fakes.h"
#include "tciafs/cache/disk_cache.h"

namespace tciafs::model {

class CacheWorld {
 public:
  static std::vector<OpKind> Kinds();

  CacheWorld();
  ~CacheWorld();
  // What is wrong, "" if nothing.
  std::string Run(const std::vector<Op>& ops);

 private:
  struct Part {  // an instance being written
    std::string sop;
    std::unique_ptr<cache::InstanceWriter> writer;
    int64_t appended = 0;
    bool kept = false;  // it was there already
  };
  struct Writing {
    int series = 0;
    std::unique_ptr<cache::SeriesWriter> writer;  // may be gone before its parts
    std::vector<Part> parts;
  };
  struct Held {
    std::shared_ptr<cache::InstanceFile> file;
    int series = 0;
    int version = 0;
    std::string sop;
    int64_t incarnation = 0;
    int64_t damaged_block = -1;
    bool doubtful = false;  // as it was when it was opened
  };
  // What an operation may do to series it does not name.
  struct Effects {
    bool may_evict = false;
    bool exact = true;  // what it reserved it still holds, so that no eviction was needless
  };

  // --- operations (cache_world.cpp)
  void Do(const Op& op);
  void Fill(const Op& op);
  void Begin(int series, int version, bool announced);
  void BeginPart(const Op& op);
  void AppendPart(const Op& op);
  void PublishPart(const Op& op);
  void PublishMany(const Op& op);
  void EndPart(const Op& op);
  void EndSeries(const Op& op);
  void MarkVerified(const Op& op);
  void Withdraw(const Op& op);
  void Open(const Op& op);
  void ReadHeld(const Op& op);
  void CloseHeld(const Op& op);
  void Pin(const Op& op);
  void Evict(const Op& op);
  void Reopen();
  void ReopenDamaged(const Op& op);
  void SetFault(const Op& op);
  void SetFreeSpace(const Op& op);

  Status BeginSop(Writing& writing, const std::string& sop);
  Status Append(Writing& writing, Part& part, int64_t bytes);
  Status Publish(Writing& writing, Part& part, bool keep);
  void NotePublished(const Writing& writing, const Part& part, const cache::InstanceFile& file);
  // False if it is not there; whether it may be missing has been checked then.
  bool OpenSop(int series, const std::string& sop, Held& held);
  void CheckRead(Held& held, int64_t offset, int64_t size_bytes);
  void NoteDamageFound(const Held& held);
  void Touch(int series) { state_[static_cast<size_t>(series)].last_use = ++uses_; }
  Writing* PickWriting(int number);
  void DropIdleWriting();

  // --- the process's life (cache_life.cpp)
  void OpenCache();
  void CloseAll();
  void Damage(int series, const std::string& sop, int how);
  void AfterCrash(const ModelState& before);
  void CutPower();
  void StopFaults();
  void ReadAll();
  void Resync(int series, const ModelSeries& before, const ModelSeries& after, bool room_was_made);
  bool MustSurvive(int series, const std::string& sop, const ModelSeries& before,
                   const ModelSeries& after) const;

  // --- comparing (cache_checks.cpp)
  void Expect(bool holds, const std::string& what);
  void Compare(const ModelState& before);
  void CompareSeries(int series, const ModelState& before, std::vector<int>& victims);
  void CheckVictims(const std::vector<int>& victims, const ModelState& before);
  void CheckSpace();
  void CheckFiles();
  bool SpaceIsLacking(int64_t wanted_bytes) const;
  bool IsEvicted(int series) const;
  bool OpeningMadeRoom() const;
  bool Evictable(int series, const ModelState& state) const;
  bool HasWriter(int series) const;
  bool IsLive(const Held& held, const ModelState& state) const;
  int64_t OrphanedBytes() const;
  std::string DataFile(int series, const std::string& sop) const;
  ModelSeries& At(int series) { return state_[static_cast<size_t>(series)]; }
  const ModelSeries& At(int series) const { return state_[static_cast<size_t>(series)]; }

  testing::TempDirectory temp_;
  testing::FakeClock clock_;
  DiskState disk_;
  cache::CacheOptions options_;
  std::unique_ptr<cache::BlockCache> cache_;
  ModelState state_;
  std::vector<Writing> writings_;
  std::vector<Held> held_;
  std::set<int64_t> revoked_;  // incarnations
  Effects effects_;
  int64_t uses_ = 0;
  int64_t incarnations_ = 0;
  // By series: what could perhaps not be dropped for newer versions, one after the other.
  std::map<int, std::vector<ModelSeries>> older_;
  bool suspect_ = false;    // the disk has failed since the cache was opened
  bool opened_ = false;     // anew, in this operation
  bool power_cut_ = false;  // what the next crash is to be
  bool read_after_crash_ = false;
  uint32_t crash_seed_ = 0;
  std::string failure_;
};

}  // namespace tciafs::model
