// SPDX-License-Identifier: Apache-2.0
// Purpose: the audit log: one chain of decisions and outcomes per tenant, append-only, with texts
//   beside it that can be erased. Implementations: PostgresAuditRepository, InMemoryAuditRepository
//   (the fake), under one conformance suite (audit_repository_conformance_test.cc).
//   REQUIRES: requests have passed audit_rules.h.
// Thread-safety: thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "dki/audit/v1/audit_service.pb.h"
#include "libs/base/status.h"
#include "services/memory_store/memory_repository.h"

namespace dki::memory_store {

class AuditRepository {
 public:
  virtual ~AuditRepository() = default;

  // Both return the link's sequence. NOT_FOUND when the tenant has been erased.
  //
  // A repeated decision has the first one's sequence; ALREADY_EXISTS when it has other contents:
  // what is not in the log is not acknowledged.
  virtual absl::StatusOr<int64_t> AppendDecision(
      const Access& access, const audit::v1::AppendDecisionRequest& request) = 0;
  // The first outcome of a decision stays, also where CloseAbandoned made it; a later one has its
  // sequence and leaves no text. FAILED_PRECONDITION when there is no such decision.
  virtual absl::StatusOr<int64_t> AppendOutcome(const Access& access,
                                                const audit::v1::AppendOutcomeRequest& request) = 0;

  virtual absl::StatusOr<audit::v1::Decision> GetDecision(const Access& access,
                                                          const std::string& decision_id) = 0;
  // A page ends early at kMaxPageBytes, with a token for the rest.
  virtual absl::StatusOr<audit::v1::ListDecisionsResponse> ListDecisions(
      const Access& access, const audit::v1::ListDecisionsRequest& request) = 0;
  // A broken chain is a result, not an error. Sees one moment; appending goes on meanwhile.
  virtual absl::StatusOr<audit::v1::VerifyChainResponse> VerifyChain(const Access& access) = 0;
  // Returns how many texts there were. An answer that is still being written leaves none then.
  virtual absl::StatusOr<int64_t> EraseTexts(const Access& access,
                                             const std::string& decision_id) = 0;

  // Closes the decisions of all tenants that have had no outcome for `timeout` as "unknown".
  // Returns how many.
  virtual absl::StatusOr<int64_t> CloseAbandoned(absl::Duration timeout) = 0;
};

}  // namespace dki::memory_store
