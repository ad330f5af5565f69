// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// QueuedSink: what a source pours, kept for a moment and passed on to an InstanceSink by another
// thread, so that the thread which inflates does not also sum and write. Instances that lie in the
// queue whole have their MD5 computed side by side, which costs a fraction of one after the other,
// whether few or many: so they wait for one another a moment, except for the first and the last.
//
// Bounded: where the queue is full, the source's thread waits for the thread that empties it, or,
// if no thread does, empties it itself. So it never waits for a thread of the executor to become
// free, and on a single core things go on as if there were no queue.
//
// The source calls one method after the other, as of any sink; a failure of the InstanceSink comes
// back with a later call, or through Done.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fetch/fetch_core.h"
#include "fetch/instance_sink.h"
#include "tciafs/source/source.h"
#include "tciafs/util/mutex.h"

namespace tciafs::fetch {

class QueuedSink final : public source::SeriesSink,
                         public std::enable_shared_from_this<QueuedSink> {
 public:
  QueuedSink(std::shared_ptr<FetchCore> core, std::shared_ptr<InstanceSink> sink);

  void KnowRequest(uint64_t request_id) override { sink_->KnowRequest(request_id); }
  Status BeginInstance(const source::SopUid& sop) override;
  Status Data(ByteView bytes) override;
  Status EndInstance() override;
  void ExpectMd5(const source::SopUid& sop, const std::string& md5_hex) override;
  void Done(Status status) override;

 private:
  using Buffer = std::unique_ptr<std::byte[]>;
  struct Event {
    enum class Kind { kBegin, kData, kEnd, kMd5, kDone };
    Kind kind = Kind::kData;
    source::SopUid sop;   // kBegin, kMd5
    std::string md5_hex;  // kMd5; kBegin: once it is known
    Buffer buffer;        // kData
    size_t size_bytes = 0;
    size_t capacity_bytes = 0;
    Status status;            // kDone
    size_t memory_bytes = 0;  // what it counts as in the queue
  };
  using Events = std::deque<Event>;

  Status PushFilled();
  Status Push(Event event);
  bool AwaitRoom();
  Buffer NewBuffer(size_t capacity_bytes);
  void AskForTurn() TCIAFS_REQUIRES(mutex_);
  bool WorthATurn() const TCIAFS_REQUIRES(mutex_);
  void HoldOver();
  void TakeTurn();
  void PassOn();
  static size_t WholePart(const Events& events);
  static bool IsEnd(const Event& event);
  static void SumWhole(Events& events);
  Status PassOn(Event& event);

  const std::shared_ptr<FetchCore> core_;
  const std::shared_ptr<InstanceSink> sink_;
  const size_t bytes_max_;

  // Of the source's calls alone.
  Buffer filling_;
  size_t filled_bytes_ = 0;
  size_t capacity_bytes_ = 0;  // of the buffer that is filled, or is next

  Mutex mutex_;
  CondVar emptied_;
  Events events_ TCIAFS_GUARDED_BY(mutex_);
  size_t queued_bytes_ TCIAFS_GUARDED_BY(mutex_) = 0;    // what is being passed on included
  size_t ends_ TCIAFS_GUARDED_BY(mutex_) = 0;            // of instances or of all, in events_
  std::vector<Buffer> spare_ TCIAFS_GUARDED_BY(mutex_);  // whole pieces
  size_t begins_ TCIAFS_GUARDED_BY(mutex_) = 0;          // of instances, in events_
  size_t begins_passed_on_ TCIAFS_GUARDED_BY(mutex_) = 0;
  bool done_ TCIAFS_GUARDED_BY(mutex_) = false;     // it is in events_, or was
  bool holding_ TCIAFS_GUARDED_BY(mutex_) = false;  // a timer runs
  bool hold_over_ TCIAFS_GUARDED_BY(mutex_) = false;
  bool turn_asked_ TCIAFS_GUARDED_BY(mutex_) = false;
  bool passing_on_ TCIAFS_GUARDED_BY(mutex_) = false;  // by one thread at a time
  std::optional<Error> failure_ TCIAFS_GUARDED_BY(mutex_);
};

}  // namespace tciafs::fetch
