// SPDX-License-Identifier: Apache-2.0
// Purpose: a thread that brings what waits in an outbox to the store, in order, trying again with
//   growing pauses while the store is away.
// Thread-safety: thread-safe. Ownership: owns the outbox and the thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "libs/base/mutex.h"
#include "libs/telemetry/metrics.h"
#include "services/orchestrator/audit_outbox.h"

namespace dki::orchestrator {

class AuditShipper {
 public:
  // Commits an entry to the store. A transient error means: the same again later; any other: this
  // entry will never be taken.
  using Send = std::function<absl::Status(const AuditEntry&)>;

  AuditShipper(std::unique_ptr<AuditOutbox> outbox, Send send, telemetry::Metrics* metrics);
  // Tries each waiting entry once more, until one fails.
  ~AuditShipper();

  // Puts an entry behind those that wait.
  absl::Status Push(const AuditEntry& entry);
  // Something waits: what comes now must queue up behind it, and need not try the store itself.
  bool IsWaiting() const { return outbox_->size() > 0; }

 private:
  void Run();
  // Sends until the outbox is empty. Returns whether that was reached.
  bool Drain();

  const std::unique_ptr<AuditOutbox> outbox_;
  const Send send_;
  telemetry::Gauge* const waiting_;
  telemetry::Counter* const refused_;
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool pushed_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dki::orchestrator
