// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/audit_service.h"

#include "libs/base/utf8.h"

namespace dki::memory_store {

namespace v1 = audit::v1;
using rpc::Call;
using rpc::Permission;
using rpc::Requirement;

namespace {

absl::Status CheckDecisionId(const std::string& id) {
  const bool has_form = id.size() == 36 && id.compare(0, 4, "dec_") == 0 &&
                        id.find_first_not_of("0123456789abcdef", 4) == std::string::npos;
  return has_form ? absl::OkStatus()
                  : InvalidArgument("decision_id: must be dec_ and 32 hexadecimal digits");
}

}  // namespace

grpc::Status AuditServiceImpl::AppendDecision(grpc::ServerContext* context,
                                              const v1::AppendDecisionRequest* request,
                                              v1::AppendDecisionResponse* response) {
  return rpc::Handle(*runtime_, context, "AppendDecision", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(CheckDecisionId(request->decision().decision_id()));
                       DKI_ASSIGN_OR_RETURN(
                           const int64_t sequence,
                           log_->AppendDecision(call.caller().tenant_id, request->decision(),
                                                request->texts(), call.deadline()));
                       response->set_sequence(sequence);
                       return absl::OkStatus();
                     });
}

grpc::Status AuditServiceImpl::AppendOutcome(grpc::ServerContext* context,
                                             const v1::AppendOutcomeRequest* request,
                                             v1::AppendOutcomeResponse* response) {
  return rpc::Handle(*runtime_, context, "AppendOutcome", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(CheckDecisionId(request->outcome().decision_id()));
                       DKI_ASSIGN_OR_RETURN(
                           const int64_t sequence,
                           log_->AppendOutcome(call.caller().tenant_id, request->outcome(),
                                               request->texts(), call.deadline()));
                       response->set_sequence(sequence);
                       return absl::OkStatus();
                     });
}

grpc::Status AuditServiceImpl::GetDecision(grpc::ServerContext* context,
                                           const v1::GetDecisionRequest* request,
                                           v1::GetDecisionResponse* response) {
  return rpc::Handle(
      *runtime_, context, "GetDecision", Permission::kChat, [&](const Call& call) -> absl::Status {
        DKI_RETURN_IF_ERROR(CheckDecisionId(request->decision_id()));
        DKI_ASSIGN_OR_RETURN(
            *response->mutable_decision(),
            log_->Get(call.caller().tenant_id, request->decision_id(), call.deadline()));
        return absl::OkStatus();
      });
}

grpc::Status AuditServiceImpl::ListDecisions(grpc::ServerContext* context,
                                             const v1::ListDecisionsRequest* request,
                                             v1::ListDecisionsResponse* response) {
  return rpc::Handle(
      *runtime_, context, "ListDecisions", Permission::kChat,
      [&](const Call& call) -> absl::Status {
        if (request->user_id().size() > 256 || !IsValidUtf8(request->user_id()) ||
            request->user_id().find('\0') != std::string::npos) {
          return InvalidArgument("user_id: must be at most 256 bytes of UTF-8 without NUL");
        }
        DKI_ASSIGN_OR_RETURN(*response,
                             log_->List(call.caller().tenant_id, *request, call.deadline()));
        return absl::OkStatus();
      });
}

grpc::Status AuditServiceImpl::VerifyChain(grpc::ServerContext* context,
                                           const v1::VerifyChainRequest*,
                                           v1::VerifyChainResponse* response) {
  return rpc::Handle(
      *runtime_, context, "VerifyChain", Permission::kAdmin, [&](const Call& call) -> absl::Status {
        DKI_ASSIGN_OR_RETURN(*response, log_->Verify(call.caller().tenant_id, call.deadline()));
        return absl::OkStatus();
      });
}

grpc::Status AuditServiceImpl::EraseTexts(grpc::ServerContext* context,
                                          const v1::EraseTextsRequest* request,
                                          v1::EraseTextsResponse* response) {
  return rpc::Handle(
      *runtime_, context, "EraseTexts", Permission::kAdmin, [&](const Call& call) -> absl::Status {
        DKI_RETURN_IF_ERROR(CheckDecisionId(request->decision_id()));
        DKI_ASSIGN_OR_RETURN(
            const int64_t erased,
            log_->EraseTexts(call.caller().tenant_id, request->decision_id(), call.deadline()));
        response->set_erased(erased);
        return absl::OkStatus();
      });
}

}  // namespace dki::memory_store
