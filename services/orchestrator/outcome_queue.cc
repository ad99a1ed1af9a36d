// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/outcome_queue.h"

#include <utility>

namespace dki::orchestrator {

OutcomeQueue::OutcomeQueue(size_t max_waiting)
    : max_waiting_(max_waiting), thread_([this] { Run(); }) {}

OutcomeQueue::~OutcomeQueue() {
  {
    MutexLock lock(&mutex_);
    is_stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

bool OutcomeQueue::Offer(Append append) {
  MutexLock lock(&mutex_);
  if (is_stopping_ || waiting_.size() >= max_waiting_) return false;
  waiting_.push_back(std::move(append));
  ++n_offered_;
  changed_.NotifyAll();
  return true;
}

void OutcomeQueue::WaitForOffered(std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  MutexLock lock(&mutex_);
  const int64_t wanted = n_offered_;
  while (n_written_ < wanted) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return;
    changed_.WaitFor(&mutex_, left);
  }
}

void OutcomeQueue::Run() {
  while (true) {
    Append append;
    {
      MutexLock lock(&mutex_);
      while (!is_stopping_ && waiting_.empty()) changed_.Wait(&mutex_);
      if (waiting_.empty()) return;
      append = std::move(waiting_.front());
      waiting_.pop_front();
    }
    append();
    MutexLock lock(&mutex_);
    ++n_written_;
    changed_.NotifyAll();
  }
}

}  // namespace dki::orchestrator
