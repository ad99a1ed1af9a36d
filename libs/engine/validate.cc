// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/validate.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "libs/base/strings.h"
#include "libs/base/utf8.h"
#include "libs/injection/alpha_policy.h"

namespace dki::engine {
namespace {

absl::Status CheckText(const std::string& field, std::string_view text, size_t min_bytes,
                       size_t max_bytes) {
  if (text.size() < min_bytes || text.size() > max_bytes) {
    return InvalidArgument("%s must have %d to %d bytes, not %d", field, min_bytes, max_bytes,
                           text.size());
  }
  if (const size_t at = FindInvalidUtf8(text); at != std::string_view::npos) {
    return InvalidArgument("%s must be valid UTF-8; byte %d is not", field, at);
  }
  if (const size_t at = text.find('\0'); at != std::string_view::npos) {
    return InvalidArgument("%s must not contain NUL; byte %d is", field, at);
  }
  return absl::OkStatus();
}

absl::Status CheckAlpha(const std::string& field, double alpha) {
  if (std::isfinite(alpha) && alpha >= 0.0 && alpha <= injection::kMaxAlpha) {
    return absl::OkStatus();
  }
  return InvalidArgument("%s must be from 0 to %g, not %g", field, injection::kMaxAlpha, alpha);
}

absl::Status ValidateMemory(const std::string& field, const Memory& memory) {
  DKI_RETURN_IF_ERROR(CheckText(field + ".memory_id", memory.memory_id, 1, 128));
  DKI_RETURN_IF_ERROR(CheckText(field + ".text", memory.text, 1, kMaxMemoryBytes));
  if (Trim(memory.text).empty()) {
    return InvalidArgument("%s.text must not be only white space", field);
  }
  DKI_RETURN_IF_ERROR(CheckAlpha(field + ".alpha_read", memory.alpha_read));
  DKI_RETURN_IF_ERROR(CheckAlpha(field + ".alpha_answer", memory.alpha_answer));
  if (memory.rank < 0) {
    return InvalidArgument("%s.rank must be at least 0, not %d", field, memory.rank);
  }
  return absl::OkStatus();
}

// Laws other than the bias know one weight at a time.
absl::Status ValidateRule(const Prompt& prompt) {
  const model::AttentionRule& rule = prompt.rule;
  if (rule.first_layer < 0 || rule.end_layer <= rule.first_layer) {
    return InvalidArgument("prompt.injection.layers must be FIRST-LAST, both from 0 on, not %d-%d",
                           rule.first_layer, rule.end_layer - 1);
  }
  if (rule.law == model::AttentionLaw::kBias) return absl::OkStatus();
  for (const Memory& memory : prompt.memories) {
    const Memory& first = prompt.memories.front();
    if (memory.alpha_read != first.alpha_read || memory.alpha_answer != first.alpha_answer) {
      return InvalidArgument("prompt.injection.law: only the bias can weigh memories differently");
    }
    const double largest = std::max(memory.alpha_read, memory.alpha_answer);
    if (rule.law == model::AttentionLaw::kBlend && largest > 1.0) {
      return InvalidArgument("prompt.injection.law: a blend has weights from 0 to 1, not %g",
                             largest);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidatePrompt(const Prompt& prompt) {
  DKI_RETURN_IF_ERROR(CheckText("prompt.system_prompt", prompt.system_prompt, 0, kMaxMessageBytes));
  if (prompt.history.size() > kMaxHistory) {
    return InvalidArgument("prompt.history must have at most %d messages, not %d", kMaxHistory,
                           prompt.history.size());
  }
  for (size_t i = 0; i < prompt.history.size(); ++i) {
    const model::Message& message = prompt.history[i];
    const std::string field = absl::StrFormat("prompt.history[%d]", i);
    if (message.role != "system" && message.role != "user" && message.role != "assistant") {
      return InvalidArgument("%s.role must be \"system\", \"user\" or \"assistant\", not \"%s\"",
                             field, Abbreviate(message.role, 32));
    }
    DKI_RETURN_IF_ERROR(CheckText(field + ".content", message.content, 0, kMaxMessageBytes));
  }
  if (prompt.turn.role != "user") {
    return InvalidArgument("prompt.turn.role must be \"user\", not \"%s\"",
                           Abbreviate(prompt.turn.role, 32));
  }
  DKI_RETURN_IF_ERROR(CheckText("prompt.turn.content", prompt.turn.content, 1, kMaxMessageBytes));
  DKI_RETURN_IF_ERROR(CheckText("prompt.answer_prefix", prompt.answer_prefix, 0, kMaxPrefixBytes));
  if (prompt.max_pack_tokens < 0) {
    return InvalidArgument("prompt.max_pack_tokens must be at least 0, not %d",
                           prompt.max_pack_tokens);
  }
  const std::string memory_field =
      prompt.place == MemoryPlace::kInjected ? "prompt.injection" : "prompt.prompt_memories";
  DKI_RETURN_IF_ERROR(CheckText("prompt.injection.context_system_prompt",
                                prompt.context_system_prompt, 0, kMaxMessageBytes));
  if (prompt.memories.size() > kMaxMemories) {
    return InvalidArgument("%s.memories must be at most %d, not %d", memory_field, kMaxMemories,
                           prompt.memories.size());
  }
  for (size_t i = 0; i < prompt.memories.size(); ++i) {
    DKI_RETURN_IF_ERROR(
        ValidateMemory(absl::StrFormat("%s.memories[%d]", memory_field, i), prompt.memories[i]));
  }
  if (prompt.place == MemoryPlace::kInjected) {
    if (const absl::Status status = injection::Validate(prompt.gates); !status.ok()) {
      return InvalidArgument("prompt.injection.%s", ToStd(status.message()));
    }
    return ValidateRule(prompt);
  }
  return absl::OkStatus();
}

absl::Status ValidateAnswerOptions(const AnswerOptions& options, int context_length) {
  if (const absl::Status status = model::Validate(options.sampling); !status.ok()) {
    return InvalidArgument("sampling.%s", ToStd(status.message()));  // begins with the field
  }
  if (options.max_tokens < 1 || options.max_tokens > context_length) {
    return InvalidArgument("sampling.max_tokens must be from 1 to %d, not %d", context_length,
                           options.max_tokens);
  }
  if (options.stop.size() > kMaxStopStrings) {
    return InvalidArgument("sampling.stop must have at most %d strings, not %d", kMaxStopStrings,
                           options.stop.size());
  }
  for (size_t i = 0; i < options.stop.size(); ++i) {
    DKI_RETURN_IF_ERROR(
        CheckText(absl::StrFormat("sampling.stop[%d]", i), options.stop[i], 1, kMaxStopBytes));
  }
  return absl::OkStatus();
}

absl::Status ValidateContinuation(std::string_view continuation) {
  return CheckText("continuation", continuation, 1, kMaxPrefixBytes);
}

absl::Status ValidateHeads(std::span<const injection::AttentionHead> heads,
                           const model::ModelConfig& config) {
  if (heads.size() > kMaxProbedHeads) {
    return InvalidArgument("heads has %d entries, at most %d are allowed", heads.size(),
                           kMaxProbedHeads);
  }
  for (size_t i = 0; i < heads.size(); ++i) {
    const auto [layer, head] = heads[i];
    if (layer < 0 || layer >= config.n_layers) {
      return InvalidArgument("heads[%d].layer is %d, the model has %d layers", i, layer,
                             config.n_layers);
    }
    if (head < 0 || head >= config.n_heads) {
      return InvalidArgument("heads[%d].head is %d, the model has %d query heads", i, head,
                             config.n_heads);
    }
  }
  return absl::OkStatus();
}

}  // namespace dki::engine
