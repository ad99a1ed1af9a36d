// SPDX-License-Identifier: Apache-2.0
// Purpose: gets erased bytes out of the files of a store that deletes by marking: rewrites what is
//   alive once the store has been quiet for a moment, and knows since when the files are clean.
// Thread-safety: thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <thread>

#include "absl/time/time.h"
#include "libs/base/mutex.h"
#include "libs/base/status.h"
#include "libs/telemetry/metrics.h"

namespace dki::kvcache {

class DiskScrubber {
 public:
  struct Options {
    // So long nothing must have been written.
    std::chrono::milliseconds quiet{5'000};
    // Under steady writes it is done after so long all the same.
    std::chrono::milliseconds at_latest{600'000};
    std::chrono::milliseconds retry{10'000};
  };
  // `rewrite` leaves nothing in the files but what is alive when it is called. `is_pending`: an
  // erasure of an earlier life waits for it. `pending`: 1 while erased bytes may be in the files;
  // null: not told.
  DiskScrubber(std::function<absl::Status()> rewrite, bool is_pending, Options options,
               telemetry::Gauge* pending = nullptr);
  // Waits for a rewrite that is under way.
  ~DiskScrubber();

  // The store wrote; `made_garbage`: bytes that are no longer alive are in its files now.
  void OnWrite(bool made_garbage);
  // Something was erased, or was no longer alive before it could be: the files must become clean.
  void OnErasure();

  // When what was erased at `time` had left the files; nothing: it may still be there.
  std::optional<absl::Time> GoneTime(absl::Time time) const;
  bool IsPending() const;

 private:
  using Clock = std::chrono::steady_clock;

  void Tell() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Run();
  // Until it is time; false: it is over.
  bool WaitUntilDue();

  const std::function<absl::Status()> rewrite_;
  const Options options_;
  telemetry::Gauge* const pending_;
  mutable Mutex mutex_;
  CondVar changed_;
  bool is_stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // Whether there are dead bytes: what an earlier process left is not known.
  bool is_dirty_ ABSL_GUARDED_BY(mutex_) = true;
  bool is_rewriting_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<Clock::time_point> pending_since_ ABSL_GUARDED_BY(mutex_);
  Clock::time_point written_ ABSL_GUARDED_BY(mutex_);
  Clock::time_point not_before_ ABSL_GUARDED_BY(mutex_);
  // Of the last rewrite: what was erased before it began was gone when it ended.
  absl::Time began_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time ended_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::thread thread_;
};

}  // namespace dki::kvcache
