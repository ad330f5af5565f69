// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fetch/queued_sink.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "tciafs/fetch/limits.h"
#include "tciafs/util/hash.h"

namespace tciafs::fetch {
namespace {

Status Ended() { return Fail(Errc::kCancelled, "the download has ended"); }

}  // namespace

QueuedSink::QueuedSink(std::shared_ptr<FetchCore> core, std::shared_ptr<InstanceSink> sink)
    : core_(std::move(core)), sink_(std::move(sink)), bytes_max_(core_->options.queue_bytes_max) {}

// ---- the source's calls

Status QueuedSink::BeginInstance(const source::SopUid& sop) {
  filling_.reset();
  filled_bytes_ = 0;
  capacity_bytes_ = kQueueHeadBytes;
  Event event;
  event.kind = Event::Kind::kBegin;
  event.sop = sop;
  return Push(std::move(event));
}

Status QueuedSink::Data(ByteView bytes) {
  while (!bytes.empty()) {
    if (!filling_) filling_ = NewBuffer(capacity_bytes_);
    const size_t taken_bytes = std::min(bytes.size(), capacity_bytes_ - filled_bytes_);
    std::memcpy(filling_.get() + filled_bytes_, bytes.data(), taken_bytes);
    filled_bytes_ += taken_bytes;
    bytes = bytes.subspan(taken_bytes);
    if (filled_bytes_ == capacity_bytes_) TCIAFS_TRY(PushFilled());
  }
  return {};
}

Status QueuedSink::EndInstance() {
  if (filled_bytes_ > 0) TCIAFS_TRY(PushFilled());
  Event event;
  event.kind = Event::Kind::kEnd;
  return Push(std::move(event));
}

void QueuedSink::ExpectMd5(const source::SopUid& sop, const std::string& md5_hex) {
  Event event;
  event.kind = Event::Kind::kMd5;
  event.sop = sop;
  event.md5_hex = md5_hex;
  static_cast<void>(Push(std::move(event)));
}

// What is not whole by now stays behind.
void QueuedSink::Done(Status status) {
  filling_.reset();
  Event event;
  event.kind = Event::Kind::kDone;
  event.status = std::move(status);
  static_cast<void>(Push(std::move(event)));
}

Status QueuedSink::PushFilled() {
  Event event;
  event.buffer = std::move(filling_);
  event.size_bytes = std::exchange(filled_bytes_, 0);
  event.capacity_bytes = std::exchange(capacity_bytes_, kQueuePieceBytes);
  return Push(std::move(event));
}

Status QueuedSink::Push(Event event) {
  const Gate::Pass pass(core_->gate);
  if (!pass) return Ended();
  const bool done = event.kind == Event::Kind::kDone;
  {
    MutexLock lock(mutex_);
    if (failure_ && !done) return Fail(*failure_);
    event.memory_bytes =
        sizeof(Event) + event.sop.text().size() + event.md5_hex.size() + event.capacity_bytes;
    queued_bytes_ += event.memory_bytes;
    if (IsEnd(event)) ++ends_;
    if (event.kind == Event::Kind::kBegin) ++begins_;
    done_ |= done;
    events_.push_back(std::move(event));
    AskForTurn();
  }
  while (!AwaitRoom()) PassOn();
  return {};
}

// False if this thread had better make room.
bool QueuedSink::AwaitRoom() {
  MutexLock lock(mutex_);
  if (queued_bytes_ < bytes_max_) return true;
  while (passing_on_ && queued_bytes_ > bytes_max_ / 2) emptied_.Wait(mutex_);
  return queued_bytes_ < bytes_max_;
}

QueuedSink::Buffer QueuedSink::NewBuffer(size_t capacity_bytes) {
  if (capacity_bytes == kQueuePieceBytes) {
    MutexLock lock(mutex_);
    if (!spare_.empty()) {
      Buffer buffer = std::move(spare_.back());
      spare_.pop_back();
      return buffer;
    }
  }
  return std::make_unique_for_overwrite<std::byte[]>(capacity_bytes);
}

// ---- passing on: a thread of the executor, or the source's

void QueuedSink::AskForTurn() {
  if (turn_asked_ || passing_on_) return;
  if (WorthATurn()) {
    turn_asked_ = true;
    core_->executor.Post([self = shared_from_this()] { self->TakeTurn(); });
  } else if (ends_ > 0 && !std::exchange(holding_, true)) {
    core_->scheduler.After(kQueueHoldMs,
                           core_->gate.Guard([self = shared_from_this()] { self->HoldOver(); }));
  }
}

// Somebody waits for the first instance, which is given out once the second has begun; the others
// come faster together. What is too large does not wait until it is whole.
bool QueuedSink::WorthATurn() const {
  if (queued_bytes_ >= bytes_max_ / 2) return true;
  if (begins_passed_on_ == 1 && begins_ > 0) return true;
  return ends_ > 0 && (begins_passed_on_ < 2 || done_ || hold_over_);
}

void QueuedSink::HoldOver() {
  MutexLock lock(mutex_);
  holding_ = false;
  hold_over_ = true;
  AskForTurn();
}

void QueuedSink::TakeTurn() {
  const Gate::Pass pass(core_->gate);
  if (!pass) return;
  {
    MutexLock lock(mutex_);
    turn_asked_ = false;
  }
  PassOn();
}

// One batch, so that others get their turns.
void QueuedSink::PassOn() {
  Events batch;
  {
    MutexLock lock(mutex_);
    if (passing_on_ || events_.empty()) return;
    passing_on_ = true;
    const auto whole = events_.begin() + static_cast<ptrdiff_t>(WholePart(events_));
    batch.insert(batch.end(), std::make_move_iterator(events_.begin()),
                 std::make_move_iterator(whole));
    events_.erase(events_.begin(), whole);
    const auto begins = static_cast<size_t>(std::count_if(
        batch.begin(), batch.end(), [](const Event& e) { return e.kind == Event::Kind::kBegin; }));
    begins_ -= begins;
    begins_passed_on_ += begins;
    ends_ = 0;
    hold_over_ = false;
  }
  SumWhole(batch);
  for (Event& event : batch) {
    Status passed = PassOn(event);
    MutexLock lock(mutex_);
    queued_bytes_ -= event.memory_bytes;
    if (event.capacity_bytes == kQueuePieceBytes) spare_.push_back(std::move(event.buffer));
    if (!passed && !failure_) failure_ = std::move(passed).error();
    if (queued_bytes_ <= bytes_max_ / 2) emptied_.NotifyAll();
  }
  MutexLock lock(mutex_);
  passing_on_ = false;
  emptied_.NotifyAll();
  AskForTurn();
}

// How many events, from the first, belong to instances of which all is here; all if there is none.
size_t QueuedSink::WholePart(const Events& events) {
  for (size_t count = events.size(); count > 0; --count)
    if (IsEnd(events[count - 1])) return count;
  return events.size();
}

bool QueuedSink::IsEnd(const Event& event) {
  return event.kind == Event::Kind::kEnd || event.kind == Event::Kind::kDone;
}

// An instance whose beginning was passed on before is summed by the InstanceSink.
void QueuedSink::SumWhole(Events& events) {
  std::vector<Event*> begins;
  std::vector<std::vector<ByteView>> messages;
  Event* begun = nullptr;
  std::vector<ByteView> pieces;
  for (Event& event : events) {
    if (event.kind == Event::Kind::kBegin) {
      begun = &event;
      pieces.clear();
    } else if (event.kind == Event::Kind::kData) {
      pieces.emplace_back(event.buffer.get(), event.size_bytes);
    } else if (event.kind == Event::Kind::kEnd && begun != nullptr) {
      begins.push_back(std::exchange(begun, nullptr));
      messages.push_back(std::move(pieces));
      pieces.clear();
    }
  }
  const std::vector<std::string> sums = Md5HexOfEach(messages);
  for (size_t i = 0; i < sums.size(); ++i) begins[i]->md5_hex = sums[i];
}

Status QueuedSink::PassOn(Event& event) {
  {
    MutexLock lock(mutex_);
    if (failure_ && event.kind != Event::Kind::kDone) return {};
    if (failure_ && event.status) event.status = Fail(*failure_);
  }
  switch (event.kind) {
    case Event::Kind::kBegin:
      TCIAFS_TRY(sink_->BeginInstance(event.sop));
      if (!event.md5_hex.empty()) sink_->KnowMd5(event.md5_hex);
      return {};
    case Event::Kind::kData:
      return sink_->Data({event.buffer.get(), event.size_bytes});
    case Event::Kind::kEnd:
      return sink_->EndInstance();
    case Event::Kind::kMd5:
      sink_->ExpectMd5(event.sop, event.md5_hex);
      return {};
    case Event::Kind::kDone:
      sink_->Done(std::move(event.status));
      return {};
  }
  return {};
}

}  // namespace tciafs::fetch
