// SPDX-License-Identifier: Apache-2.0
// Purpose: the fake of the audit log: chains in memory under one lock. Held to the same conformance
//   suite as PostgreSQL.
// Thread-safety: thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "services/memory_store/audit_chain.h"
#include "services/memory_store/audit_repository.h"
#include "services/memory_store/audit_rules.h"
#include "services/memory_store/page_token.h"

namespace dki::memory_store {

class InMemoryAuditRepository : public AuditRepository {
 public:
  explicit InMemoryAuditRepository(const Clock* clock)
      : clock_(clock), tokens_("secret of the fake") {}

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

  // As EraseTenantAudit and OpenTenantAudit.
  void EraseTenant(const std::string& tenant_id);
  void OpenTenant(const std::string& tenant_id);

 private:
  struct Open {
    absl::Time since;
    bool texts_erased = false;
  };
  struct Chain {
    bool erased = false;
    std::vector<StoredLink> links;  // links[i] has sequence i + 1
    std::map<std::string, Open> open;
    // Sequences of a decision and its outcome.
    std::map<std::string, int64_t> decisions;
    std::map<std::string, int64_t> outcomes;

    ChainHead Head(const std::string& tenant_id) const;
    StoredDecision Read(const std::string& decision_id) const;
    int64_t Append(const std::string& tenant_id, const char* kind, const std::string& decision_id,
                   std::string payload);
  };
  // NOT_FOUND when the tenant has been erased.
  absl::StatusOr<Chain*> FindChain(const std::string& tenant_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock* const clock_;
  const PageTokens tokens_;
  Mutex mutex_;
  std::map<std::string, Chain> chains_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::memory_store
