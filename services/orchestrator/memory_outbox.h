// SPDX-License-Identifier: Apache-2.0
// Purpose: audit records that wait in memory. What is lost with the process is closed as "unknown"
//   by the store. Thread-safety: as AuditOutbox.
#pragma once

#include <deque>

#include "libs/base/check.h"
#include "libs/base/mutex.h"
#include "services/orchestrator/audit_outbox.h"

namespace dki::orchestrator {

class MemoryOutbox : public AuditOutbox {
 public:
  explicit MemoryOutbox(size_t max_entries) : max_entries_(max_entries) {}

  absl::Status Push(const AuditEntry& entry) override {
    MutexLock lock(&mutex_);
    if (entries_.size() >= max_entries_) {
      return ResourceExhausted("%d audit records wait already", max_entries_);
    }
    entries_.push_back(entry);
    return absl::OkStatus();
  }
  absl::StatusOr<std::optional<AuditEntry>> Front() override {
    MutexLock lock(&mutex_);
    if (entries_.empty()) return std::optional<AuditEntry>();
    return std::optional<AuditEntry>(entries_.front());
  }
  absl::Status Pop() override {
    MutexLock lock(&mutex_);
    DKI_CHECK(!entries_.empty());
    entries_.pop_front();
    return absl::OkStatus();
  }
  size_t size() const override {
    MutexLock lock(&mutex_);
    return entries_.size();
  }

 private:
  const size_t max_entries_;
  mutable Mutex mutex_;
  std::deque<AuditEntry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::orchestrator
