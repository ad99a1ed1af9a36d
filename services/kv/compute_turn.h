// SPDX-License-Identifier: Apache-2.0
// Purpose: who may use the model now. One at a time, first come first served; work that nobody is
//   waiting for (prefetches) lets requests go first. A request gives up its place when it is
//   cancelled.
//   One computation at a time also means one per block, however many ask for it: whoever gets the
//   turn looks again before computing.
// Thread-safety: thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/base/status.h"

namespace dki::kv {

enum class Urgency { kRequest, kPrefetch };

// OK: go on. Anything else: the caller is gone, or its time is up.
using GoOn = std::function<absl::Status()>;

class ComputeTurn {
 public:
  // Holds the turn as long as it lives.
  class Holder {
   public:
    explicit Holder(ComputeTurn* turn) : turn_(turn) {}
    Holder(Holder&& other) noexcept : turn_(std::exchange(other.turn_, nullptr)) {}
    Holder& operator=(Holder&&) = delete;
    ~Holder() {
      if (turn_ != nullptr) turn_->Release();
    }

   private:
    ComputeTurn* turn_;
  };

  // Waits for the turn, or until `go_on` is no longer OK, whose status it then returns.
  absl::StatusOr<Holder> Take(Urgency urgency, const GoOn& go_on);

 private:
  void Release();

  Mutex mutex_;
  CondVar released_;
  bool taken_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t last_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<int64_t> requests_ ABSL_GUARDED_BY(mutex_);
  std::deque<int64_t> prefetches_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::kv
