// SPDX-License-Identifier: Apache-2.0
// Purpose: step 5 of the pipeline, its I/O: commits decisions before the first token and outcomes
//   after the last, as the operator's policy says (design sections 8 and 9).
// Thread-safety: thread-safe.
#pragma once

#include <memory>
#include <string>

#include "services/orchestrator/audit_shipper.h"
#include "services/orchestrator/outcome_queue.h"
#include "services/orchestrator/pipeline_config.h"
#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {

class AuditWriter {
 public:
  // Where a decision is, so that its outcome follows it.
  enum class Place { kStore, kSpool, kLost };

  // Opens the spool where the policy wants one. `upstreams` and `metrics` must outlive it.
  static absl::StatusOr<std::unique_ptr<AuditWriter>> Create(const PipelineConfig& config,
                                                             const Upstreams* upstreams,
                                                             telemetry::Metrics* metrics);

  // UNAVAILABLE when the policy is `required` (or the spool is full) and the decision could not be
  // committed within `timeout`. ABORTED when a chosen memory has been changed or deleted meanwhile:
  // decide again. (A decision that is spooled was made while the store was away; it is taken as it
  // is.)
  absl::StatusOr<Place> AppendDecision(const std::string& tenant_id,
                                       const audit::v1::AppendDecisionRequest& request,
                                       Timeout timeout);
  // Always ends: what the store cannot take now waits in the outbox and is sent later.
  void AppendOutcome(const std::string& tenant_id, const audit::v1::AppendOutcomeRequest& request,
                     Place decision);
  // The same, soon: the caller's client need not wait for it. It comes back later only where the
  // store falls behind.
  void AppendOutcomeLater(const std::string& tenant_id,
                          const audit::v1::AppendOutcomeRequest& request, Place decision);
  // Waits for the outcomes that were left for later before, while the store takes them.
  void WaitForOutcomes() { outcomes_.WaitForOffered(kOutcomePatience); }

 private:
  static constexpr std::chrono::milliseconds kOutcomePatience{2'000};

  AuditWriter(AuditPolicy policy, std::unique_ptr<AuditOutbox> outbox, const Upstreams* upstreams,
              telemetry::Metrics* metrics);
  absl::Status Send(const AuditEntry& entry) const;
  absl::Status SendDecision(const std::string& tenant_id,
                            const audit::v1::AppendDecisionRequest& request, Timeout timeout) const;
  absl::Status SendOutcome(const std::string& tenant_id,
                           const audit::v1::AppendOutcomeRequest& request) const;

  const AuditPolicy policy_;
  const Upstreams& upstreams_;
  telemetry::Counter* const spooled_;
  telemetry::Counter* const lost_;
  AuditShipper shipper_;   // its thread calls Send
  OutcomeQueue outcomes_;  // last: its thread calls AppendOutcome
};

}  // namespace dki::orchestrator
