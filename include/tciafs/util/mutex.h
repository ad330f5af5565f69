// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Mutex, its scoped lock and a condition variable, annotated for clang's -Wthread-safety: state
// says which lock guards it, and the compiler checks. With g++ the annotations vanish.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define TCIAFS_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define TCIAFS_THREAD_ANNOTATION(x)
#endif

#define TCIAFS_CAPABILITY(x) TCIAFS_THREAD_ANNOTATION(capability(x))
#define TCIAFS_SCOPED_CAPABILITY TCIAFS_THREAD_ANNOTATION(scoped_lockable)
#define TCIAFS_GUARDED_BY(x) TCIAFS_THREAD_ANNOTATION(guarded_by(x))
#define TCIAFS_REQUIRES(...) TCIAFS_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define TCIAFS_EXCLUDES(...) TCIAFS_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define TCIAFS_ACQUIRE(...) TCIAFS_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define TCIAFS_RELEASE(...) TCIAFS_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define TCIAFS_NO_THREAD_SAFETY_ANALYSIS TCIAFS_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace tciafs {

class TCIAFS_CAPABILITY("mutex") Mutex {
 public:
  void lock() TCIAFS_ACQUIRE() { mutex_.lock(); }
  void unlock() TCIAFS_RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class TCIAFS_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) TCIAFS_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() TCIAFS_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Wait in a loop over the condition; the mutex is held before and after.
class CondVar {
 public:
  void Wait(Mutex& mutex) TCIAFS_REQUIRES(mutex) TCIAFS_NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False when the time has passed.
  bool WaitFor(Mutex& mutex, std::chrono::milliseconds timeout)
      TCIAFS_REQUIRES(mutex) TCIAFS_NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool notified = condition_.wait_for(lock, timeout) == std::cv_status::no_timeout;
    lock.release();
    return notified;
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace tciafs
