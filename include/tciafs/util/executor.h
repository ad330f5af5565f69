// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Where work runs that must not run on a FUSE worker or on the network loop.
//
//   Executor     somewhere to post a task
//   WorkerPool   a fixed number of threads over one queue
//   Strand       tasks posted to one strand run one after the other, in order, on an Executor;
//                this is how one download's inflate, hash and write stay in sequence without a
//                thread
//   Scheduler    runs a task later; TimerThread is the real one
//
// All are thread-safe. Tasks must not throw. Destroying a WorkerPool or a TimerThread drops tasks
// that have not started and waits for those that have; a strand whose executor goes drops its own.
// A task may post further tasks; it must not destroy the executor it runs on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tciafs/util/mutex.h"

namespace tciafs {

using Task = std::function<void()>;

class Executor {
 public:
  virtual ~Executor() = default;
  virtual void Post(Task task) = 0;
};

class WorkerPool final : public Executor {
 public:
  WorkerPool(std::string name, size_t threads);
  ~WorkerPool() override;
  void Post(Task task) override;

 private:
  void Run();

  const std::string name_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<Task> queue_ TCIAFS_GUARDED_BY(mutex_);
  bool stopping_ TCIAFS_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

class Strand final : public Executor, public std::enable_shared_from_this<Strand> {
 public:
  // Always owned by a shared_ptr, since a running task keeps its strand alive.
  static std::shared_ptr<Strand> Create(Executor& executor);
  void Post(Task task) override;

 private:
  class Turn;

  explicit Strand(Executor& executor) : executor_(executor) {}
  void AskForTurn();
  void RunNext();
  void DropTasks();

  Executor& executor_;
  Mutex mutex_;
  std::deque<Task> queue_ TCIAFS_GUARDED_BY(mutex_);
  bool running_ TCIAFS_GUARDED_BY(mutex_) = false;
};

class Scheduler {
 public:
  using TimerId = uint64_t;
  virtual ~Scheduler() = default;
  // Runs `task` once, no sooner than in `delay_ms`, on the scheduler's own thread: keep it short,
  // post longer work to an Executor.
  virtual TimerId After(int64_t delay_ms, Task task) = 0;
  // After this returns the task has run, is running on another thread, or will never run. Unknown
  // ids are ignored.
  virtual void Cancel(TimerId id) = 0;
};

class TimerThread final : public Scheduler {
 public:
  TimerThread();
  ~TimerThread() override;
  TimerId After(int64_t delay_ms, Task task) override;
  void Cancel(TimerId id) override;

 private:
  void Run();

  Mutex mutex_;
  CondVar wake_;
  std::map<std::pair<int64_t, TimerId>, Task> timers_ TCIAFS_GUARDED_BY(mutex_);
  std::map<TimerId, int64_t> due_ms_ TCIAFS_GUARDED_BY(mutex_);
  TimerId next_id_ TCIAFS_GUARDED_BY(mutex_) = 1;
  bool stopping_ TCIAFS_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tciafs
