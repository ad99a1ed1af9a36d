// SPDX-License-Identifier: Apache-2.0
// Purpose: the store's own thread: brings the schema up to date as soon as the database is there,
//   then does what is due every now and then, until it is stopped.
// Thread-safety: Start and Stop from one thread.
#pragma once

#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/base/status.h"

namespace dki::memory_store {

class Background {
 public:
  struct Options {
    std::chrono::milliseconds first_retry{100};
    std::chrono::milliseconds longest_retry{1000};
  };
  struct Chore {
    std::chrono::milliseconds interval;
    std::function<absl::Status()> run;
  };
  struct Work {
    // Tried until it is OK.
    std::function<absl::Status()> prepare;
    // Called once after that.
    std::function<void()> ready;
    // Each called at once after `ready` and then at its interval, or as soon after that as the
    // others let it. Errors are logged.
    std::vector<Chore> chores;
  };

  Background(Work work, Options options) : work_(std::move(work)), options_(options) {}
  ~Background() { Stop(); }

  // FAILED_PRECONDITION of `prepare` is not cured by waiting and is returned.
  absl::Status Start();
  // Returns when the thread has ended.
  void Stop();

 private:
  void Run(bool prepared);
  void DoChores();
  // False: stopped.
  bool Sleep(std::chrono::milliseconds duration);

  const Work work_;
  const Options options_;
  Mutex mutex_;
  CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dki::memory_store
