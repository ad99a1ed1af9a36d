// SPDX-License-Identifier: Apache-2.0
// Purpose: outcomes that are written while their clients have the answer already. A decision is
//   committed before the first token (design section 8); its outcome may follow, and is closed as
//   `unknown` if this process dies before it does.
// Thread-safety: thread-safe. Owns a thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <thread>

#include "libs/base/mutex.h"

namespace dki::orchestrator {

class OutcomeQueue {
 public:
  using Append = std::function<void()>;

  // `max_waiting`: beside the one that is being written.
  explicit OutcomeQueue(size_t max_waiting);
  // Writes what waits.
  ~OutcomeQueue();
  OutcomeQueue(const OutcomeQueue&) = delete;

  // Has it written soon, in the order of the offers. False: too many wait, the caller writes it
  // itself and so comes back no sooner than the store can follow.
  bool Offer(Append append);
  // Returns when all that were offered before this call are written, or after `patience`: whoever
  // asks for decisions sees those of the answers that it has.
  void WaitForOffered(std::chrono::milliseconds patience);

 private:
  void Run();

  const size_t max_waiting_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Append> waiting_ ABSL_GUARDED_BY(mutex_);
  int64_t n_offered_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t n_written_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dki::orchestrator
