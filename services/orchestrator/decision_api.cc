// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/decision_api.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "services/orchestrator/limits.h"

namespace dki::orchestrator {
namespace {

// A whole chain is read and hashed.
constexpr Timeout kVerifyTimeout{300'000};

std::vector<std::string> MemoryIds(const audit::v1::DecisionRecord& record) {
  std::set<std::string> ids;
  for (const auto& memory : record.retrieved()) ids.insert(memory.memory_id());
  for (const auto& memory : record.chosen()) ids.insert(memory.memory_id());
  return {ids.begin(), ids.end()};
}

}  // namespace

absl::Status DecisionApi::Get(const rpc::Call& call, const v1::GetDecisionRequest& request,
                              v1::GetDecisionResponse* response) const {
  DKI_RETURN_IF_ERROR(CheckId("decision_id", request.decision_id(), "dec_"));
  audit_.WaitForOutcomes();
  audit::v1::GetDecisionRequest get;
  get.set_decision_id(request.decision_id());
  audit::v1::GetDecisionResponse got;
  const auto context = upstreams_.ContextFor(call, upstreams_.memory_store_timeout);
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(upstreams_.audit->GetDecision(context.get(), get, &got)));
  const audit::v1::DecisionRecord& record = got.decision().decision();
  DKI_ASSIGN_OR_RETURN(*response->mutable_memories(),
                       retriever_.CurrentMemories(call, MemoryIds(record), record.scope()));
  *response->mutable_decision() = std::move(*got.mutable_decision());
  return absl::OkStatus();
}

absl::Status DecisionApi::List(const rpc::Call& call, const v1::ListDecisionsRequest& request,
                               v1::ListDecisionsResponse* response) const {
  DKI_RETURN_IF_ERROR(CheckText("user_id", request.user_id(), 0, kMaxScopeBytes));
  audit_.WaitForOutcomes();
  audit::v1::ListDecisionsRequest list;
  list.set_page_size(request.page_size());
  list.set_page_token(request.page_token());
  list.set_user_id(request.user_id());
  audit::v1::ListDecisionsResponse listed;
  const auto context = upstreams_.ContextFor(call, upstreams_.memory_store_timeout);
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(upstreams_.audit->ListDecisions(context.get(), list, &listed)));
  *response->mutable_decisions() = std::move(*listed.mutable_decisions());
  response->set_next_page_token(listed.next_page_token());
  return absl::OkStatus();
}

absl::Status DecisionApi::Verify(const rpc::Call& call, v1::VerifyAuditResponse* response) const {
  audit_.WaitForOutcomes();
  const auto context = upstreams_.ContextFor(call, kVerifyTimeout);
  return rpc::FromGrpcStatus(
      upstreams_.audit->VerifyChain(context.get(), {}, response->mutable_result()));
}

}  // namespace dki::orchestrator
