// SPDX-License-Identifier: Apache-2.0
// Purpose: one request on its way through the engine, shared by the thread that asked and the
//   engine's thread. The engine posts and never waits for a slow reader; what it may have to hold
//   is bounded by the answer's length.
// Thread-safety: the engine's thread alone touches `sequence` and the times from Submit until
//   PostEnd; the asking thread before and after. Post* and Take are thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/base/status.h"
#include "libs/engine/request.h"
#include "libs/engine/sequence.h"

namespace dki::engine {

class Ticket {
 public:
  using Clock = std::chrono::steady_clock;

  Ticket(RequestContext request_context, Sequence made)
      : context(std::move(request_context)), sequence(std::move(made)) {}

  const RequestContext context;
  Sequence sequence;
  std::vector<std::string> degraded;
  int64_t memory_bytes = 0;  // K/V of its memories

  Clock::time_point created, submitted, admitted, prefilled, ended;
  // Of the scheduler. Set by the engine's thread.
  absl::Status failure;    // of the model: it is to end
  bool started = false;    // has been admitted once
  int reserved_pages = 0;  // that it may hold while it runs
  Clock::time_point due;   // when its prompt would be read, were it alone
  int64_t pack_us = 0;

  // Nobody reads on.
  std::atomic<bool> abandoned = false;

  void PostStarted(Started started);
  void PostText(std::string_view text);
  void PostEnd(absl::Status status);

  struct Events {
    std::optional<Started> started;
    std::string text;
    bool ended = false;
  };
  // Waits for events and takes them.
  Events Take();
  // REQUIRES: Take returned `ended`.
  const absl::Status& status() const { return status_; }
  Timings timings() const;

 private:
  Mutex mutex_;
  CondVar changed_;
  Events events_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_;
};

}  // namespace dki::engine
