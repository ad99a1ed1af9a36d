// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/chat_command.h"

#include <unistd.h>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "libs/base/ids.h"
#include "libs/base/strings.h"
#include "libs/rpc/call.h"
#include "tools/dki/explanation.h"

namespace dki::cli {
namespace {

namespace api = orchestrator::v1;
using Clock = std::chrono::steady_clock;

absl::StatusOr<common::v1::Mode> ParseMode(const std::string& text) {
  if (text == "vanilla") return common::v1::MODE_VANILLA;
  if (text == "prompt") return common::v1::MODE_PROMPT;
  if (text == "injected") return common::v1::MODE_INJECTED;
  return InvalidArgument("--mode is '%s', must be vanilla, prompt or injected", text);
}

absl::StatusOr<common::v1::PromptPlace> ParsePlace(const std::string& text) {
  if (text.empty()) return common::v1::PROMPT_PLACE_UNSPECIFIED;
  if (text == "late") return common::v1::PROMPT_PLACE_LATE;
  if (text == "system") return common::v1::PROMPT_PLACE_SYSTEM;
  if (text == "user") return common::v1::PROMPT_PLACE_USER;
  return InvalidArgument("--place is '%s', must be late, system or user", text);
}

absl::StatusOr<api::ChatRequest> MakeRequest(const ChatOptions& options) {
  api::ChatRequest request;
  options.scope.CopyTo(request.mutable_scope());
  auto* memory = request.mutable_memory();
  DKI_ASSIGN_OR_RETURN(const auto mode, ParseMode(options.mode));
  DKI_ASSIGN_OR_RETURN(const auto place, ParsePlace(options.place));
  memory->set_mode(mode);
  memory->set_prompt_place(place);
  memory->set_tag(options.tag);
  if (options.alpha) memory->set_alpha(*options.alpha);
  if (options.k) memory->set_k(*options.k);
  if (options.threshold) memory->set_threshold(*options.threshold);
  if (options.no_gate) memory->set_gate(false);
  memory->set_composition(options.composition);
  auto* sampling = request.mutable_sampling();
  if (options.max_tokens) sampling->set_max_tokens(*options.max_tokens);
  if (options.temperature) sampling->set_temperature(*options.temperature);
  if (options.top_k) sampling->set_top_k(*options.top_k);
  if (options.top_p) sampling->set_top_p(*options.top_p);
  if (options.min_p) sampling->set_min_p(*options.min_p);
  if (options.repetition_penalty) sampling->set_repetition_penalty(*options.repetition_penalty);
  if (options.seed) sampling->set_seed(*options.seed);
  for (const std::string& stop : options.stop) sampling->add_stop(stop);
  return request;
}

struct Answer {
  std::string text;
  audit::v1::Decision record;
  std::vector<int32_t> token_ids;
  int64_t first_text_us = 0;  // as the client saw it
};

// Streams an answer, printing it as it comes unless --json.
absl::StatusOr<Answer> Ask(Context& context, const api::ChatRequest& request) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  const auto call = context.NewCall(std::chrono::seconds(600));
  const Clock::time_point start = Clock::now();
  const auto stream = stub->Chat(call.get(), request);
  Answer answer;
  api::ChatResponse event;
  while (stream->Read(&event)) {
    if (event.has_decided()) {
      *answer.record.mutable_decision() = event.decided().decision();
    } else if (event.has_finished()) {
      *answer.record.mutable_outcome() = event.finished().outcome();
      answer.token_ids.assign(event.finished().token_ids().begin(),
                              event.finished().token_ids().end());
    } else {
      if (answer.text.empty()) {
        answer.first_text_us =
            std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
      }
      answer.text += event.text();
      if (!context.output().json()) context.output().Write(context.output().Safe(event.text()));
    }
  }
  const absl::Status status = rpc::FromGrpcStatus(stream->Finish());
  if (!context.output().json() && !answer.text.empty()) context.output().Line("");
  DKI_RETURN_IF_ERROR(status);
  return answer;
}

// The texts of the decision's memories, for the explanation.
absl::StatusOr<api::GetDecisionResponse> Recorded(Context& context,
                                                  const std::string& decision_id) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::GetDecisionRequest request;
  request.set_decision_id(decision_id);
  api::GetDecisionResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->GetDecision(call.get(), request, &response)));
  return response;
}

absl::Status AskAndShow(Context& context, const ChatOptions& options,
                        const api::ChatRequest& request) {
  DKI_ASSIGN_OR_RETURN(const Answer answer, Ask(context, request));
  const Output& output = context.output();
  if (output.json()) {
    nlohmann::json json = {{"text", answer.text},
                           {"token_ids", answer.token_ids},
                           {"first_text_us", answer.first_text_us},
                           {"decision", ToJson(answer.record.decision())},
                           {"outcome", ToJson(answer.record.outcome())}};
    output.Json(json);
    return absl::OkStatus();
  }
  for (const std::string& part : answer.record.decision().degraded())
    output.Line(output.Red("without " + part));
  for (const std::string& part : answer.record.outcome().degraded())
    output.Line(output.Red("without " + part));
  if (options.explain) {
    DKI_ASSIGN_OR_RETURN(const auto recorded,
                         Recorded(context, answer.record.decision().decision_id()));
    output.Line("");
    PrintExplanation(output, recorded);
  } else {
    output.Line(output.Dim("why: dki explain " + answer.record.decision().decision_id()));
  }
  return absl::OkStatus();
}

// A conversation: the server keeps the history, so that every turn sends only what is new.
absl::Status Interactive(Context& context, const ChatOptions& options, api::ChatRequest request) {
  if (context.output().json())
    return InvalidArgument("--json needs a question: dki chat --json QUESTION");
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::CreateConversationRequest create;
  create.set_request_id(NewId("req_"));
  options.scope.CopyTo(create.mutable_scope());
  api::CreateConversationResponse created;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->CreateConversation(call.get(), create, &created)));
  request.set_conversation_id(created.conversation_id());
  const bool is_terminal = ::isatty(STDIN_FILENO) == 1;
  std::string line;
  while (true) {
    if (is_terminal) context.output().Write(context.output().Bold("> "));
    if (!std::getline(std::cin, line)) return absl::OkStatus();
    const std::string_view question = Trim(line);
    if (question.empty()) continue;
    if (question == "/quit") return absl::OkStatus();
    request.clear_messages();
    if (!options.system.empty()) {
      auto* system = request.add_messages();
      system->set_role("system");
      system->set_content(options.system);
    }
    auto* message = request.add_messages();
    message->set_role("user");
    message->set_content(std::string(question));
    request.set_request_id(NewId("req_"));
    if (const absl::Status status = AskAndShow(context, options, request); !status.ok()) {
      // A turn that fails (too long, say) does not end the conversation; a cluster that is away
      // does.
      if (absl::IsUnavailable(status)) return status;
      context.output().Error(status);
    }
  }
}

}  // namespace

absl::Status Chat(Context& context, const ChatOptions& options) {
  DKI_ASSIGN_OR_RETURN(api::ChatRequest request, MakeRequest(options));
  if (options.question.empty()) return Interactive(context, options, request);
  if (!options.system.empty()) {
    auto* system = request.add_messages();
    system->set_role("system");
    system->set_content(options.system);
  }
  auto* message = request.add_messages();
  message->set_role("user");
  message->set_content(options.question);
  request.set_request_id(NewId("req_"));
  return AskAndShow(context, options, request);
}

}  // namespace dki::cli
