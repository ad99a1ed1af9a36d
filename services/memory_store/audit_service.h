// SPDX-License-Identifier: Apache-2.0
// Purpose: AuditService on the wire: permission, validation, one call of the repository. Only the
//   cluster's services append.
// Thread-safety: thread-safe. Ownership: owns none of what it is given.
#pragma once

#include "dki/audit/v1/audit_service.grpc.pb.h"
#include "libs/rpc/call.h"
#include "libs/rpc/service_runtime.h"
#include "services/memory_store/audit_repository.h"

namespace dki::memory_store {

class AuditService final : public audit::v1::AuditService::Service {
 public:
  AuditService(rpc::ServiceRuntime* runtime, AuditRepository* repository)
      : runtime_(runtime), repository_(repository) {}

  grpc::Status AppendDecision(grpc::ServerContext* context,
                              const audit::v1::AppendDecisionRequest* request,
                              audit::v1::AppendDecisionResponse* response) override;
  grpc::Status AppendOutcome(grpc::ServerContext* context,
                             const audit::v1::AppendOutcomeRequest* request,
                             audit::v1::AppendOutcomeResponse* response) override;
  grpc::Status GetDecision(grpc::ServerContext* context,
                           const audit::v1::GetDecisionRequest* request,
                           audit::v1::GetDecisionResponse* response) override;
  grpc::Status ListDecisions(grpc::ServerContext* context,
                             const audit::v1::ListDecisionsRequest* request,
                             audit::v1::ListDecisionsResponse* response) override;
  grpc::Status VerifyChain(grpc::ServerContext* context,
                           const audit::v1::VerifyChainRequest* request,
                           audit::v1::VerifyChainResponse* response) override;
  grpc::Status EraseTexts(grpc::ServerContext* context, const audit::v1::EraseTextsRequest* request,
                          audit::v1::EraseTextsResponse* response) override;

 private:
  rpc::ServiceRuntime* const runtime_;
  AuditRepository* const repository_;
};

}  // namespace dki::memory_store
