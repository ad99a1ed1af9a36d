// SPDX-License-Identifier: Apache-2.0
// Purpose: the audit chain of each tenant in PostgreSQL (design section 8): appended under a lock
// on the tenant's head, verified by
//   recomputing every hash. Records hold ids, hashes and numbers; texts lie beside them and can be
//   erased.
// Thread-safety: thread-safe.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "dki/audit/v1/audit_service.pb.h"
#include "libs/base/clock.h"
#include "services/memory_store/database.h"

namespace dki::memory_store {

class AuditLog {
 public:
  using Deadline = Database::Deadline;
  using Texts = google::protobuf::RepeatedPtrField<audit::v1::SideText>;

  // Both must outlive it.
  AuditLog(Database* database, const Clock* clock) : database_(database), clock_(clock) {}

  // Both return the link's sequence, and the first call's for a repeated one. INVALID_ARGUMENT when
  // a text does not have the hash that the record names; FAILED_PRECONDITION for an outcome without
  // its decision.
  absl::StatusOr<int64_t> AppendDecision(const std::string& tenant_id,
                                         const audit::v1::DecisionRecord& decision,
                                         const Texts& texts, Deadline deadline);
  absl::StatusOr<int64_t> AppendOutcome(const std::string& tenant_id,
                                        const audit::v1::OutcomeRecord& outcome, const Texts& texts,
                                        Deadline deadline);

  absl::StatusOr<audit::v1::Decision> Get(const std::string& tenant_id,
                                          const std::string& decision_id, Deadline deadline);
  absl::StatusOr<audit::v1::ListDecisionsResponse> List(
      const std::string& tenant_id, const audit::v1::ListDecisionsRequest& request,
      Deadline deadline);
  absl::StatusOr<audit::v1::VerifyChainResponse> Verify(const std::string& tenant_id,
                                                        Deadline deadline);
  absl::StatusOr<int64_t> EraseTexts(const std::string& tenant_id, const std::string& decision_id,
                                     Deadline deadline);

  // Closes decisions that have had no outcome for `timeout` as "unknown".
  absl::Status CloseAbandoned(std::chrono::milliseconds timeout);

 private:
  Database* const database_;
  const Clock* const clock_;
};

// Everything that the tenant has in the log, for the tenant's end.
void EraseTenantAudit(pqxx::work& work, const std::string& tenant_id);

}  // namespace dki::memory_store
