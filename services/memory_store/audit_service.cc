// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/audit_service.h"

#include "services/memory_store/audit_rules.h"

namespace dki::memory_store {
namespace {

using rpc::Call;
using rpc::Permission;
using rpc::Requirement;

Access AccessOf(const Call& call) {
  return {.tenant_id = call.caller().tenant_id, .admin = false, .deadline = call.deadline()};
}

absl::Status CheckTenant(const Call& call) {
  if (!call.caller().tenant_id.empty()) return absl::OkStatus();
  return PermissionDenied("this call needs a tenant");
}

}  // namespace

grpc::Status AuditService::AppendDecision(grpc::ServerContext* context,
                                          const audit::v1::AppendDecisionRequest* request,
                                          audit::v1::AppendDecisionResponse* response) {
  return rpc::Handle(*runtime_, context, "AppendDecision", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(CheckTenant(call));
                       DKI_RETURN_IF_ERROR(Validate(*request));
                       DKI_ASSIGN_OR_RETURN(const int64_t sequence,
                                            repository_->AppendDecision(AccessOf(call), *request));
                       response->set_sequence(sequence);
                       return absl::OkStatus();
                     });
}

grpc::Status AuditService::AppendOutcome(grpc::ServerContext* context,
                                         const audit::v1::AppendOutcomeRequest* request,
                                         audit::v1::AppendOutcomeResponse* response) {
  return rpc::Handle(*runtime_, context, "AppendOutcome", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(CheckTenant(call));
                       DKI_RETURN_IF_ERROR(Validate(*request));
                       DKI_ASSIGN_OR_RETURN(const int64_t sequence,
                                            repository_->AppendOutcome(AccessOf(call), *request));
                       response->set_sequence(sequence);
                       return absl::OkStatus();
                     });
}

grpc::Status AuditService::GetDecision(grpc::ServerContext* context,
                                       const audit::v1::GetDecisionRequest* request,
                                       audit::v1::GetDecisionResponse* response) {
  return rpc::Handle(
      *runtime_, context, "GetDecision", Permission::kChat, [&](const Call& call) -> absl::Status {
        DKI_RETURN_IF_ERROR(ValidateDecisionId(request->decision_id()));
        DKI_ASSIGN_OR_RETURN(*response->mutable_decision(),
                             repository_->GetDecision(AccessOf(call), request->decision_id()));
        return absl::OkStatus();
      });
}

grpc::Status AuditService::ListDecisions(grpc::ServerContext* context,
                                         const audit::v1::ListDecisionsRequest* request,
                                         audit::v1::ListDecisionsResponse* response) {
  return rpc::Handle(*runtime_, context, "ListDecisions", Permission::kChat,
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(Validate(*request));
                       DKI_ASSIGN_OR_RETURN(*response,
                                            repository_->ListDecisions(AccessOf(call), *request));
                       return absl::OkStatus();
                     });
}

grpc::Status AuditService::VerifyChain(grpc::ServerContext* context,
                                       const audit::v1::VerifyChainRequest*,
                                       audit::v1::VerifyChainResponse* response) {
  return rpc::Handle(*runtime_, context, "VerifyChain", Permission::kAdmin,
                     [&](const Call& call) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(*response, repository_->VerifyChain(AccessOf(call)));
                       return absl::OkStatus();
                     });
}

grpc::Status AuditService::EraseTexts(grpc::ServerContext* context,
                                      const audit::v1::EraseTextsRequest* request,
                                      audit::v1::EraseTextsResponse* response) {
  return rpc::Handle(
      *runtime_, context, "EraseTexts", Permission::kAdmin, [&](const Call& call) -> absl::Status {
        DKI_RETURN_IF_ERROR(ValidateDecisionId(request->decision_id()));
        DKI_ASSIGN_OR_RETURN(const int64_t erased,
                             repository_->EraseTexts(AccessOf(call), request->decision_id()));
        response->set_erased(erased);
        return absl::OkStatus();
      });
}

}  // namespace dki::memory_store
