// SPDX-License-Identifier: Apache-2.0
// Purpose: the audit log in PostgreSQL. Thread-safety: thread-safe.
#pragma once

#include "libs/base/clock.h"
#include "services/memory_store/audit_repository.h"
#include "services/memory_store/database.h"

namespace dki::memory_store {

class PostgresAuditRepository : public AuditRepository {
 public:
  PostgresAuditRepository(Database* database, const Clock* clock)
      : database_(database), clock_(clock) {}

  absl::StatusOr<int64_t> AppendDecision(const Access& access,
                                         const audit::v1::AppendDecisionRequest& request) override;
  absl::StatusOr<int64_t> AppendOutcome(const Access& access,
                                        const audit::v1::AppendOutcomeRequest& request) override;
  absl::StatusOr<audit::v1::Decision> GetDecision(const Access& access,
                                                  const std::string& decision_id) override;
  absl::StatusOr<audit::v1::ListDecisionsResponse> ListDecisions(
      const Access& access, const audit::v1::ListDecisionsRequest& request) override;
  absl::StatusOr<audit::v1::VerifyChainResponse> VerifyChain(const Access& access) override;
  absl::StatusOr<int64_t> EraseTexts(const Access& access, const std::string& decision_id) override;
  absl::StatusOr<int64_t> CloseAbandoned(absl::Duration timeout) override;

 private:
  Database* const database_;
  const Clock* const clock_;
};

// For the tenant repository, inside its own transaction. After the first one appends fail with
// NOT_FOUND; after the second one the tenant has an empty chain.
void EraseTenantAudit(pqxx::work& work, const std::string& tenant_id);
void OpenTenantAudit(pqxx::work& work, const std::string& tenant_id);

}  // namespace dki::memory_store
