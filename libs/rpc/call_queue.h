// SPDX-License-Identifier: Apache-2.0
// Purpose: calls that nobody waits for, made in order by a thread of their own, one at a time. In
//   place of gRPC's callback API: with gRPC 1.51 a process that has used it may abort when one of
//   its servers shuts down.
// Thread-safety: thread-safe. Owns a thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "libs/base/mutex.h"

namespace dki::rpc {

class CallQueue {
 public:
  using Call = std::function<void(grpc::ClientContext*)>;

  // `max_waiting`: beside the one that is under way.
  explicit CallQueue(size_t max_waiting);
  // Cancels the one that is under way and drops those that wait.
  ~CallQueue();
  CallQueue(const CallQueue&) = delete;

  // Returns at once. False: too many wait, and the call will not be made. The context's deadline
  // runs from now on.
  bool Offer(std::unique_ptr<grpc::ClientContext> context, Call call);

 private:
  struct Waiting {
    std::unique_ptr<grpc::ClientContext> context;
    Call call;
  };
  void Run();

  const size_t max_waiting_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  grpc::ClientContext* running_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool is_stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dki::rpc
