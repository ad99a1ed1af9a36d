// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/audit_commands.h"

#include <nlohmann/json.hpp>

#include "absl/time/time.h"
#include "libs/base/strings.h"
#include "libs/rpc/call.h"
#include "tools/dki/answer_without.h"
#include "tools/dki/explanation.h"

namespace dki::cli {

namespace api = orchestrator::v1;

absl::Status Explain(Context& context, const std::string& decision_id, const std::string& without) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::GetDecisionRequest request;
  request.set_decision_id(decision_id);
  api::GetDecisionResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->GetDecision(call.get(), request, &response)));
  AnswerWithout other;
  if (!without.empty()) {
    DKI_ASSIGN_OR_RETURN(other, AnswerAgainWithout(context, response, without));
  }
  const bool changed = other.text != response.decision().answer_text();
  const Output& output = context.output();
  if (output.json()) {
    nlohmann::json json = ToJson(response);
    if (!without.empty()) {
      json["without"] = {{"memory_id", other.memory_id},
                         {"answer_text", other.text},
                         {"changed", changed},
                         {"decision_id", other.decision_id}};
    }
    output.Json(json);
    return absl::OkStatus();
  }
  if (!response.decision().query_text().empty())
    output.Line("question: " + output.Safe(FoldNewlines(response.decision().query_text())));
  if (!response.decision().answer_text().empty())
    output.Line("answer:   " + output.Safe(FoldNewlines(response.decision().answer_text())));
  PrintExplanation(output, response);
  if (without.empty()) return absl::OkStatus();
  output.Line("");
  output.Line("without " + (other.memory_id.empty() ? std::string("memory") : other.memory_id) +
              (changed ? ", another answer: " : ", the same answer: ") +
              output.Safe(FoldNewlines(other.text)));
  if (!response.decision().decision().conversation_id().empty()) {
    output.Line("(asked outside its conversation, without what was said before)");
  }
  return absl::OkStatus();
}

absl::Status ListDecisions(Context& context, int limit, const std::string& user) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::ListDecisionsRequest request;
  request.set_page_size(limit);
  request.set_user_id(user);
  api::ListDecisionsResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->ListDecisions(call.get(), request, &response)));
  const Output& output = context.output();
  if (output.json()) {
    output.Json(ToJson(response));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {
      {"decision", "time", "mode", "gate", "memories", "status", "question"}};
  for (const auto& d : response.decisions()) {
    rows.push_back(
        {d.decision().decision_id(),
         absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(d.decision().time().seconds()),
                          absl::UTCTimeZone()),
         ModeName(d.decision().mode()), d.decision().gate(),
         std::to_string(d.decision().chosen_size()),
         d.has_outcome() ? d.outcome().status() : "open",
         output.Safe(Abbreviate(FoldNewlines(d.query_text()), 48))});
  }
  output.Table(rows);
  return absl::OkStatus();
}

absl::Status VerifyAudit(Context& context) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::VerifyAuditResponse response;
  const auto call = context.NewCall(std::chrono::seconds(600));
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->VerifyAudit(call.get(), {}, &response)));
  const auto& result = response.result();
  const Output& output = context.output();
  if (output.json()) output.Json(ToJson(result));
  if (!result.valid()) {
    return DataLoss("the chain is broken at link %d (%d before it hold): %s",
                    result.broken_sequence(), result.n_links(), result.problem());
  }
  if (!output.json()) {
    output.Line(output.Green("valid") +
                absl::StrFormat(": %d links, %d texts checked, %d erased, %d answers open",
                                result.n_links(), result.n_texts_checked(), result.n_texts_erased(),
                                result.n_open()));
    output.Line("head " + result.head_hash());
  }
  return absl::OkStatus();
}

}  // namespace dki::cli
