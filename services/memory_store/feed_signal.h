// SPDX-License-Identifier: Apache-2.0
// Purpose: wakes the followers of the feed when this process has committed a change. Changes of
//   other processes are found by polling.
// Thread-safety: thread-safe.
#pragma once

#include <chrono>
#include <cstdint>

#include "libs/base/mutex.h"

namespace dki::memory_store {

class FeedSignal {
 public:
  void Notify() {
    MutexLock lock(&mutex_);
    ++count_;
    changed_.NotifyAll();
  }

  // No follower waits any longer.
  void Stop() {
    MutexLock lock(&mutex_);
    stopped_ = true;
    changed_.NotifyAll();
    stop_.NotifyAll();
  }
  bool stopped() {
    MutexLock lock(&mutex_);
    return stopped_;
  }

  // Take it before reading the feed, and a change that comes meanwhile ends the wait at once.
  int64_t count() {
    MutexLock lock(&mutex_);
    return count_;
  }
  // Somebody waits for what the followers have not sent yet: nobody rests.
  void Hurry() {
    MutexLock lock(&mutex_);
    ++hurries_;
    stop_.NotifyAll();
  }
  // As count, for Rest.
  int64_t hurries() {
    MutexLock lock(&mutex_);
    return hurries_;
  }
  // Returns after `time`, after Stop, or when there has been a Hurry since `seen`. No Notify
  // disturbs it.
  void Rest(std::chrono::microseconds time, int64_t seen) {
    const auto end = std::chrono::steady_clock::now() + time;
    MutexLock lock(&mutex_);
    while (!stopped_ && hurries_ <= seen) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      if (left.count() <= 0 || !stop_.WaitFor(&mutex_, left)) return;
    }
  }
  // Returns when there has been a Notify since `seen`, after Stop, or when the time is over.
  void WaitBeyond(int64_t seen, std::chrono::milliseconds timeout) {
    MutexLock lock(&mutex_);
    while (count_ <= seen && !stopped_) {
      if (!changed_.WaitFor(&mutex_, timeout)) return;
    }
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  CondVar stop_;
  int64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t hurries_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace dki::memory_store
