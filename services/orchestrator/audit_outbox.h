// SPDX-License-Identifier: Apache-2.0
// Purpose: audit records that wait for the store, in order. Two implementations: in memory, bounded
//   (memory_outbox.h), and a synced, chained file (spool_outbox.h).
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "libs/base/status.h"

namespace dki::orchestrator {

enum class RecordKind { kDecision, kOutcome };

struct AuditEntry {
  std::string tenant_id;
  RecordKind kind = RecordKind::kDecision;
  // audit.v1.AppendDecisionRequest or AppendOutcomeRequest, serialised.
  std::string request;
};

// Thread-safety: thread-safe; one thread at a time takes entries out.
class AuditOutbox {
 public:
  virtual ~AuditOutbox() = default;
  // RESOURCE_EXHAUSTED when it is full. OK means as durable as the implementation is.
  virtual absl::Status Push(const AuditEntry& entry) = 0;
  // The oldest entry; nullopt when there is none.
  virtual absl::StatusOr<std::optional<AuditEntry>> Front() = 0;
  // Forgets the oldest entry. REQUIRES: there is one.
  virtual absl::Status Pop() = 0;
  virtual size_t size() const = 0;
};

}  // namespace dki::orchestrator
