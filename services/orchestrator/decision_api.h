// SPDX-License-Identifier: Apache-2.0
// Purpose: the audit half of the client API: decisions, the chain's verification. Of answers that
//   this process gave, the outcome is there.
// Thread-safety: thread-safe. Ownership: the dependencies must outlive it.
#pragma once

#include "dki/orchestrator/v1/dki_service.pb.h"
#include "services/orchestrator/audit_writer.h"
#include "services/orchestrator/retriever.h"
#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {

class DecisionApi {
 public:
  DecisionApi(const Upstreams* upstreams, const Retriever* retriever, AuditWriter* audit)
      : upstreams_(*upstreams), retriever_(*retriever), audit_(*audit) {}

  absl::Status Get(const rpc::Call& call, const v1::GetDecisionRequest& request,
                   v1::GetDecisionResponse* response) const;
  absl::Status List(const rpc::Call& call, const v1::ListDecisionsRequest& request,
                    v1::ListDecisionsResponse* response) const;
  absl::Status Verify(const rpc::Call& call, v1::VerifyAuditResponse* response) const;

 private:
  const Upstreams& upstreams_;
  const Retriever& retriever_;
  AuditWriter& audit_;
};

}  // namespace dki::orchestrator
