// SPDX-License-Identifier: Apache-2.0
#include "services/kv/compute_turn.h"

#include <algorithm>

namespace dki::kv {
namespace {

// How soon a waiting call notices that it was cancelled.
constexpr std::chrono::milliseconds kPoll{20};

}  // namespace

absl::StatusOr<ComputeTurn::Holder> ComputeTurn::Take(Urgency urgency, const GoOn& go_on) {
  MutexLock lock(&mutex_);
  std::deque<int64_t>& queue = urgency == Urgency::kRequest ? requests_ : prefetches_;
  const int64_t ticket = ++last_ticket_;
  queue.push_back(ticket);
  while (taken_ || queue.front() != ticket ||
         (urgency == Urgency::kPrefetch && !requests_.empty())) {
    released_.WaitFor(&mutex_, kPoll);
    if (const absl::Status status = go_on(); !status.ok()) {
      queue.erase(std::ranges::find(queue, ticket));
      released_.NotifyAll();
      return status;
    }
  }
  queue.pop_front();
  taken_ = true;
  return Holder(this);
}

void ComputeTurn::Release() {
  MutexLock lock(&mutex_);
  taken_ = false;
  released_.NotifyAll();
}

}  // namespace dki::kv
