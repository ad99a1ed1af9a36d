// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/call_queue.h"

#include <utility>

namespace dki::rpc {

CallQueue::CallQueue(size_t max_waiting) : max_waiting_(max_waiting), thread_([this] { Run(); }) {}

CallQueue::~CallQueue() {
  {
    MutexLock lock(&mutex_);
    is_stopping_ = true;
    if (running_ != nullptr) running_->TryCancel();
    changed_.NotifyAll();
  }
  thread_.join();
}

bool CallQueue::Offer(std::unique_ptr<grpc::ClientContext> context, Call call) {
  MutexLock lock(&mutex_);
  if (is_stopping_ || waiting_.size() >= max_waiting_) return false;
  waiting_.push_back({std::move(context), std::move(call)});
  changed_.NotifyAll();
  return true;
}

void CallQueue::Run() {
  while (true) {
    Waiting next;
    {
      MutexLock lock(&mutex_);
      running_ = nullptr;
      while (!is_stopping_ && waiting_.empty()) changed_.Wait(&mutex_);
      if (is_stopping_) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
      running_ = next.context.get();
    }
    next.call(next.context.get());
    MutexLock lock(&mutex_);
    running_ = nullptr;  // before the context goes
  }
}

}  // namespace dki::rpc
