// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/executor.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace tciafs {
namespace {

void NameThisThread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());  // the kernel's limit
}

int64_t SteadyMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

WorkerPool::WorkerPool(std::string name, size_t threads) : name_(std::move(name)) {
  threads_.reserve(threads);
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

WorkerPool::~WorkerPool() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  for (auto& thread : threads_) thread.join();
  // While the pool can still be posted to: what the tasks own may do so when it goes.
  std::deque<Task> dropped;
  MutexLock lock(mutex_);
  dropped.swap(queue_);
}

void WorkerPool::Post(Task task) {
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    queue_.push_back(std::move(task));
  }
  wake_.NotifyOne();
}

void WorkerPool::Run() {
  NameThisThread(name_);
  for (;;) {
    Task task;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && queue_.empty()) wake_.Wait(mutex_);
      if (stopping_) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

// What an executor holds of a strand. Where the executor drops it, the strand's tasks are dropped
// too: one that owns its strand would otherwise keep both for ever.
class Strand::Turn {
 public:
  explicit Turn(std::shared_ptr<Strand> strand) : strand_(std::move(strand)) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    if (strand_) strand_->DropTasks();
  }
  void Take() { std::exchange(strand_, nullptr)->RunNext(); }

 private:
  std::shared_ptr<Strand> strand_;
};

std::shared_ptr<Strand> Strand::Create(Executor& executor) {
  return std::shared_ptr<Strand>(new Strand(executor));
}

void Strand::Post(Task task) {
  {
    MutexLock lock(mutex_);
    queue_.push_back(std::move(task));
    if (running_) return;
    running_ = true;
  }
  AskForTurn();
}

void Strand::AskForTurn() {
  executor_.Post([turn = std::make_shared<Turn>(shared_from_this())] { turn->Take(); });
}

void Strand::DropTasks() {
  std::deque<Task> dropped;
  MutexLock lock(mutex_);
  dropped.swap(queue_);
  running_ = false;
}

// One task per turn, so that strands share the executor's threads fairly.
void Strand::RunNext() {
  Task task;
  {
    MutexLock lock(mutex_);
    task = std::move(queue_.front());
    queue_.pop_front();
  }
  task();
  task = nullptr;  // what it captured goes before the next one starts
  {
    MutexLock lock(mutex_);
    if (queue_.empty()) {
      running_ = false;
      return;
    }
  }
  AskForTurn();
}

TimerThread::TimerThread() : thread_([this] { Run(); }) {}

TimerThread::~TimerThread() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  thread_.join();
  std::map<std::pair<int64_t, TimerId>, Task> dropped;  // while timers can still be cancelled
  MutexLock lock(mutex_);
  dropped.swap(timers_);
  due_ms_.clear();
}

Scheduler::TimerId TimerThread::After(int64_t delay_ms, Task task) {
  TimerId id = 0;
  {
    MutexLock lock(mutex_);
    if (stopping_) return id;
    id = next_id_++;
    const int64_t due = SteadyMs() + std::max<int64_t>(delay_ms, 0);
    timers_.emplace(std::pair{due, id}, std::move(task));
    due_ms_.emplace(id, due);
  }
  wake_.NotifyOne();
  return id;
}

void TimerThread::Cancel(TimerId id) {
  Task dropped;  // destroyed outside the lock: it may own what cancels timers in turn
  MutexLock lock(mutex_);
  const auto due = due_ms_.find(id);
  if (due == due_ms_.end()) return;
  const auto timer = timers_.find({due->second, id});
  dropped = std::move(timer->second);
  timers_.erase(timer);
  due_ms_.erase(due);
}

void TimerThread::Run() {
  NameThisThread("tciafs-timer");
  for (;;) {
    Task task;
    {
      MutexLock lock(mutex_);
      for (;;) {
        if (stopping_) return;
        if (timers_.empty()) {
          wake_.Wait(mutex_);
          continue;
        }
        const int64_t wait_ms = timers_.begin()->first.first - SteadyMs();
        if (wait_ms <= 0) break;
        wake_.WaitFor(mutex_, std::chrono::milliseconds(wait_ms));
      }
      const auto next = timers_.begin();
      task = std::move(next->second);
      due_ms_.erase(next->first.second);
      timers_.erase(next);
    }
    task();
  }
}

}  // namespace tciafs
