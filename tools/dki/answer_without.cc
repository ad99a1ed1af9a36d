// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/answer_without.h"

#include <algorithm>
#include <chrono>

#include "libs/base/ids.h"
#include "libs/rpc/call.h"

namespace dki::cli {
namespace {

namespace api = orchestrator::v1;

// The id of the memory that is meant; empty: all of them.
absl::StatusOr<std::string> FindLeftOut(const audit::v1::Decision& recorded,
                                        const std::string& left_out) {
  const auto& chosen = recorded.decision().chosen();
  if (chosen.empty()) return InvalidArgument("--without: the answer used no memory");
  if (left_out == "all") return std::string();
  if (left_out != "top") {
    const bool is_chosen = std::any_of(chosen.begin(), chosen.end(), [&](const auto& memory) {
      return memory.memory_id() == left_out;
    });
    if (is_chosen) return left_out;
    return InvalidArgument("--without: the answer did not use %s (mem_..., top or all)", left_out);
  }
  const auto& outcomes = recorded.outcome().memories();
  const auto top = std::max_element(
      outcomes.begin(), outcomes.end(),
      [](const auto& a, const auto& b) { return a.attention_share() < b.attention_share(); });
  if (top == outcomes.end()) return InvalidArgument("--without top: there is no finished answer");
  return top->memory_id();
}

}  // namespace

absl::StatusOr<api::ChatRequest> AskWithout(const api::GetDecisionResponse& recorded,
                                            const std::string& left_out, std::string* memory_id) {
  const audit::v1::DecisionRecord& decision = recorded.decision().decision();
  DKI_ASSIGN_OR_RETURN(*memory_id, FindLeftOut(recorded.decision(), left_out));
  if (recorded.decision().query_text().empty()) {
    return FailedPrecondition("the question of %s was erased", decision.decision_id());
  }
  api::ChatRequest request;
  request.set_request_id(NewId("req_"));
  *request.mutable_scope() = decision.scope();
  auto* turn = request.add_messages();
  turn->set_role("user");
  turn->set_content(recorded.decision().query_text());
  if (recorded.decision().outcome().finish_reason() == "length") {
    request.mutable_sampling()->set_max_tokens(
        recorded.decision().outcome().usage().completion_tokens());
  }
  api::MemoryOptions* memory = request.mutable_memory();
  for (const auto& chosen : decision.chosen()) {
    if (memory_id->empty() || chosen.memory_id() == *memory_id) continue;
    memory->add_memory_ids(chosen.memory_id());
    if (decision.mode() != common::v1::MODE_INJECTED) continue;
    if (!decision.law().empty()) {  // has one weight for all
      memory->set_alpha(chosen.alpha_read());
      continue;
    }
    api::MemoryWeight* weight = memory->add_weights();
    weight->set_memory_id(chosen.memory_id());
    weight->set_alpha_read(chosen.alpha_read());
    weight->set_alpha_answer(chosen.alpha_answer());
  }
  if (memory->memory_ids().empty()) {
    memory->set_mode(common::v1::MODE_VANILLA);
    return request;
  }
  memory->set_mode(decision.mode());
  memory->set_prompt_place(decision.prompt_place());
  memory->set_pack_context(decision.pack_context());
  memory->set_composition(decision.composition());
  memory->set_law(decision.law());
  memory->set_layers(decision.layers());
  memory->set_modulation(decision.modulation());
  return request;
}

absl::StatusOr<AnswerWithout> AnswerAgainWithout(Context& context,
                                                 const api::GetDecisionResponse& recorded,
                                                 const std::string& left_out) {
  AnswerWithout answer;
  DKI_ASSIGN_OR_RETURN(const api::ChatRequest request,
                       AskWithout(recorded, left_out, &answer.memory_id));
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  const auto call = context.NewCall(std::chrono::seconds(600));
  const auto stream = stub->Chat(call.get(), request);
  api::ChatResponse event;
  while (stream->Read(&event)) {
    if (event.has_decided()) {
      answer.decision_id = event.decided().decision().decision_id();
    } else if (event.has_finished()) {
      answer.text = event.finished().text();
    }
  }
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stream->Finish()));
  return answer;
}

}  // namespace dki::cli
