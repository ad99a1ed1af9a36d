// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/chat_task.h"

#include <set>

#include "libs/base/sha256.h"
#include "libs/base/strings.h"
#include "libs/injection/attention_rule.h"
#include "services/orchestrator/limits.h"

namespace dki::orchestrator {
namespace {

using common::v1::Message;

constexpr char kSystem[] = "system";
constexpr char kUser[] = "user";
constexpr char kAssistant[] = "assistant";

template <typename Enum>
absl::Status CheckEnum(std::string_view field, Enum value, bool is_valid) {
  if (is_valid) return absl::OkStatus();
  return InvalidArgument("%s %d is unknown", field, static_cast<int>(value));
}

absl::Status CheckMessages(const v1::ChatRequest& request) {
  const auto& messages = request.messages();
  if (messages.empty()) return InvalidArgument("messages must hold at least the user's turn");
  if (messages.size() > kMaxMessages) {
    return InvalidArgument("messages must be at most %d, not %d", kMaxMessages, messages.size());
  }
  size_t total = 0;
  for (int i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    const std::string field = absl::StrFormat("messages[%d]", i);
    DKI_RETURN_IF_ERROR(CheckText(field + ".role", message.role(), 1, 32));
    if (message.role() != kSystem && message.role() != kUser && message.role() != kAssistant) {
      return InvalidArgument("%s.role must be \"system\", \"user\" or \"assistant\", not \"%s\"",
                             field, message.role());
    }
    if (message.role() == kSystem && i > 0) {
      return InvalidArgument("%s.role: a system message may only come first", field);
    }
    DKI_RETURN_IF_ERROR(CheckText(field + ".content", message.content(), 0, kMaxMessageBytes));
    total += message.content().size();
  }
  if (total > kMaxTotalBytes) {
    return InvalidArgument("messages must have at most %d bytes together, not %d", kMaxTotalBytes,
                           total);
  }
  const int last = messages.size() - 1;
  if (messages[last].role() != kUser) {
    return InvalidArgument("messages[%d].role must be \"user\": the turn to answer comes last",
                           last);
  }
  if (Trim(messages[last].content()).empty()) {
    return InvalidArgument("messages[%d].content must not be empty", last);
  }
  return absl::OkStatus();
}

absl::Status CheckConversation(const v1::ChatRequest& request) {
  if (request.conversation_id().empty()) return absl::OkStatus();
  DKI_RETURN_IF_ERROR(CheckId("conversation_id", request.conversation_id(), "conv_"));
  const auto& messages = request.messages();
  const int n_system = messages[0].role() == kSystem ? 1 : 0;
  if (messages.size() - n_system != 1) {
    return InvalidArgument(
        "messages must be only the new turn where conversation_id is set, not %d messages",
        messages.size());
  }
  return CheckText("messages[0].content", messages[n_system].content(), 1, kMaxStoredMessageBytes);
}

absl::StatusOr<MemoryRules> MakeMemoryRules(const PipelineConfig& config,
                                            const v1::MemoryOptions& options) {
  using namespace common::v1;  // NOLINT: the enums' own names
  DKI_RETURN_IF_ERROR(CheckEnum("memory.mode", options.mode(), Mode_IsValid(options.mode())));
  DKI_RETURN_IF_ERROR(CheckEnum("memory.prompt_place", options.prompt_place(),
                                PromptPlace_IsValid(options.prompt_place())));
  DKI_RETURN_IF_ERROR(CheckEnum("memory.pack_context", options.pack_context(),
                                PackContext_IsValid(options.pack_context())));
  MemoryRules rules;
  if (options.mode() != MODE_UNSPECIFIED) rules.mode = options.mode();
  if (options.prompt_place() != PROMPT_PLACE_UNSPECIFIED) rules.place = options.prompt_place();
  if (options.pack_context() != PACK_CONTEXT_UNSPECIFIED) rules.context = options.pack_context();

  rules.k = options.has_k() ? options.k() : config.k;
  DKI_RETURN_IF_ERROR(CheckRange("memory.k", rules.k, 1, kMaxK));
  if (options.has_alpha()) {
    DKI_RETURN_IF_ERROR(CheckReal("memory.alpha", options.alpha(), 0.0, injection::kMaxAlpha));
    rules.alpha = options.alpha();
  }
  if (options.weights_size() > kMaxMemoryIds) {
    return InvalidArgument("memory.weights must be at most %d, not %d", kMaxMemoryIds,
                           options.weights_size());
  }
  for (int i = 0; i < options.weights_size(); ++i) {
    const v1::MemoryWeight& weight = options.weights(i);
    const std::string field = absl::StrFormat("memory.weights[%d].", i);
    DKI_RETURN_IF_ERROR(CheckId(field + "memory_id", weight.memory_id(), "mem_"));
    DKI_RETURN_IF_ERROR(
        CheckReal(field + "alpha_read", weight.alpha_read(), 0.0, injection::kMaxAlpha));
    DKI_RETURN_IF_ERROR(
        CheckReal(field + "alpha_answer", weight.alpha_answer(), 0.0, injection::kMaxAlpha));
    const injection::MemoryAlpha alpha = {weight.alpha_read(), weight.alpha_answer()};
    if (!rules.weights.emplace(weight.memory_id(), alpha).second) {
      return InvalidArgument("%smemory_id: %s is named twice", field, weight.memory_id());
    }
  }
  rules.composition = config.composition;
  if (!options.composition().empty()) {
    const auto composition = injection::ParseServedComposition(options.composition());
    if (!composition.ok()) return Annotate(composition.status(), "memory.composition");
    rules.composition = *composition;
  }
  const auto rule = injection::ParseAttentionRule(options.law(), options.layers());
  if (!rule.ok()) return Annotate(rule.status(), "memory");
  rules.rule = *rule;
  if (rules.rule.law != model::AttentionLaw::kBias && !(rules.alpha && rules.weights.empty())) {
    return InvalidArgument("memory.law %s needs one weight for all memories, memory.alpha",
                           options.law());
  }
  if (rules.rule.law == model::AttentionLaw::kBlend && *rules.alpha > 1.0) {
    return InvalidArgument("memory.alpha must be from 0 to 1 with the law blend, not %g",
                           *rules.alpha);
  }
  const auto modulation = injection::ParseModulationChoice(options.modulation());
  if (!modulation.ok()) return Annotate(modulation.status(), "memory");
  rules.modulation = *modulation;
  rules.gate = config.gate;
  if (options.has_gate()) rules.gate.enabled = options.gate();
  if (options.has_threshold()) rules.gate.threshold = options.threshold();
  DKI_RETURN_IF_ERROR(CheckReal("memory.threshold", rules.gate.threshold, -1.0, 1.0));

  if (options.memory_ids_size() > kMaxMemoryIds) {
    return InvalidArgument("memory.memory_ids must be at most %d, not %d", kMaxMemoryIds,
                           options.memory_ids_size());
  }
  std::set<std::string> seen;
  for (int i = 0; i < options.memory_ids_size(); ++i) {
    const std::string field = absl::StrFormat("memory.memory_ids[%d]", i);
    DKI_RETURN_IF_ERROR(CheckId(field, options.memory_ids(i), "mem_"));
    if (!seen.insert(options.memory_ids(i)).second) {
      return InvalidArgument("%s: %s is named twice", field, options.memory_ids(i));
    }
    rules.ids.push_back(options.memory_ids(i));
  }
  if (!rules.ids.empty()) rules.gate.enabled = false;
  if (options.min_position() < 0) {
    return InvalidArgument("memory.min_position must be at least 0, not %d",
                           options.min_position());
  }
  rules.min_position = options.min_position();
  DKI_RETURN_IF_ERROR(CheckText("memory.tag", options.tag(), 0, kMaxTagBytes));
  rules.tag = options.tag();
  return rules;
}

}  // namespace

absl::Status ValidateSampling(const common::v1::SamplingOptions& sampling) {
  if (sampling.has_temperature()) {
    DKI_RETURN_IF_ERROR(CheckReal("sampling.temperature", sampling.temperature(), 0.0, 10.0));
  }
  if (sampling.has_top_k()) {
    DKI_RETURN_IF_ERROR(CheckRange("sampling.top_k", sampling.top_k(), 0, 1 << 20));
  }
  if (sampling.has_top_p()) {
    DKI_RETURN_IF_ERROR(CheckReal("sampling.top_p", sampling.top_p(), 0.0, 1.0));
    if (sampling.top_p() == 0.0f) return InvalidArgument("sampling.top_p must be above 0");
  }
  if (sampling.has_min_p()) {
    DKI_RETURN_IF_ERROR(CheckReal("sampling.min_p", sampling.min_p(), 0.0, 1.0));
    if (sampling.min_p() == 1.0f) return InvalidArgument("sampling.min_p must be below 1");
  }
  if (sampling.has_repetition_penalty()) {
    DKI_RETURN_IF_ERROR(
        CheckReal("sampling.repetition_penalty", sampling.repetition_penalty(), 0.0, 10.0));
    if (sampling.repetition_penalty() == 0.0f) {
      return InvalidArgument("sampling.repetition_penalty must be above 0, at most 10");
    }
  }
  if (sampling.has_max_tokens()) {
    DKI_RETURN_IF_ERROR(
        CheckRange("sampling.max_tokens", sampling.max_tokens(), 1, kMaxAnswerTokens));
  }
  if (sampling.stop_size() > kMaxStopStrings) {
    return InvalidArgument("sampling.stop must have at most %d strings, not %d", kMaxStopStrings,
                           sampling.stop_size());
  }
  for (int i = 0; i < sampling.stop_size(); ++i) {
    DKI_RETURN_IF_ERROR(
        CheckText(absl::StrFormat("sampling.stop[%d]", i), sampling.stop(i), 1, kMaxStopBytes));
  }
  return absl::OkStatus();
}

std::string DecisionId(const std::string& tenant_id, const std::string& request_id) {
  // Tenant ids hold no NUL, so the two cannot run into each other.
  std::string bytes = "dki decision";
  for (const std::string& part : {tenant_id, request_id}) {
    bytes.push_back('\0');
    bytes += part;
  }
  return "dec_" + Sha256Hex(bytes).substr(0, 32);
}

absl::StatusOr<ChatTask> MakeChatTask(const PipelineConfig& config, const std::string& tenant_id,
                                      const v1::ChatRequest& request,
                                      const std::string& request_id) {
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  DKI_RETURN_IF_ERROR(CheckScope("scope", request.scope()));
  DKI_RETURN_IF_ERROR(CheckMessages(request));
  DKI_RETURN_IF_ERROR(CheckConversation(request));
  DKI_RETURN_IF_ERROR(CheckText("answer_prefix", request.answer_prefix(), 0, kMaxPrefixBytes));
  DKI_RETURN_IF_ERROR(ValidateSampling(request.sampling()));

  ChatTask task;
  DKI_ASSIGN_OR_RETURN(task.memory, MakeMemoryRules(config, request.memory()));
  task.is_repeatable = !request.request_id().empty();
  task.request_id = task.is_repeatable ? request.request_id() : request_id;
  task.decision_id = DecisionId(tenant_id, task.request_id);
  task.scope = request.scope();
  task.conversation_id = request.conversation_id();
  task.history.assign(request.messages().begin(), request.messages().end());
  task.turn = task.history.back();
  task.history.pop_back();
  if (!task.history.empty() && task.history.front().role() == kSystem) {
    task.system_prompt = task.history.front().content();
    task.history.erase(task.history.begin());
  }
  task.answer_prefix = request.answer_prefix();
  task.sampling = request.sampling();
  if (!task.sampling.has_max_tokens()) task.sampling.set_max_tokens(config.default_max_tokens);
  return task;
}

}  // namespace dki::orchestrator
