// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/prompt_plan.h"

#include <algorithm>
#include <cmath>

#include "libs/base/strings.h"
#include "libs/injection/fit_pack.h"

namespace dki::engine {
namespace {

void Append(const std::vector<int32_t>& tokens, std::vector<int32_t>* to) {
  to->insert(to->end(), tokens.begin(), tokens.end());
}

struct RenderedHistory {
  std::vector<int32_t> tokens;
  std::vector<std::pair<int, int>> answers;  // see PromptPlan
};

absl::StatusOr<RenderedHistory> RenderHistory(const model::ChatFormat& format, const Prompt& prompt,
                                              const std::string& system_prompt) {
  RenderedHistory history{.tokens = format.RenderPrefix(system_prompt), .answers = {}};
  for (const model::Message& message : prompt.history) {
    const int begin = static_cast<int>(history.tokens.size());
    DKI_ASSIGN_OR_RETURN(const std::vector<int32_t> rendered, format.RenderMessage(message));
    Append(rendered, &history.tokens);
    if (message.role == "assistant") {
      history.answers.emplace_back(begin, static_cast<int>(history.tokens.size()));
    }
  }
  return history;
}

absl::StatusOr<std::vector<int32_t>> RenderTurn(const PromptLanguage& language,
                                                const Prompt& prompt, const std::string& content) {
  DKI_ASSIGN_OR_RETURN(std::vector<int32_t> tokens,
                       language.format->RenderMessage({prompt.turn.role, content}));
  Append(language.format->RenderAnswerHeader(), &tokens);
  Append(language.tokenizer->Encode(prompt.answer_prefix), &tokens);
  return tokens;
}

// The lines of a pack as plain text, for the usual places of a prompt.
std::string NotesText(const Prompt& prompt, const std::vector<int>& kept) {
  std::string text = "You remember these notes:";
  for (const int i : kept) text += "\n- " + FoldNewlines(Trim(prompt.memories[i].text));
  return text;
}

int CommonBeginning(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  return static_cast<int>(std::ranges::mismatch(a, b).in1 - a.begin());
}

injection::PackPlan PlanKept(const PromptLanguage& language, const std::string& tenant_id,
                             const Prompt& prompt, const std::vector<int>& kept) {
  std::vector<injection::PackMemoryText> texts;
  for (const int i : kept) {
    const Memory& memory = prompt.memories[i];
    texts.push_back({memory.memory_id, memory.text, memory.attributes});
  }
  return injection::PlanPack(*language.format, tenant_id, language.config->kv_fingerprint,
                             SystemPromptOrDefault(*language.format, prompt.context_system_prompt),
                             texts, prompt.block_format.value_or(language.block_format),
                             prompt.composition);
}

std::vector<int32_t> TokensOf(const injection::PackPlan& pack) {
  std::vector<int32_t> tokens;
  for (const injection::PlannedBlock& block : pack.blocks) {
    tokens.insert(tokens.end(), block.tokens.begin() + block.begin, block.tokens.end());
  }
  return tokens;
}

// Puts the pack between prefix and history.
void InsertAttended(const PromptLanguage& language, const Prompt& prompt,
                    const injection::PackPlan& pack, PromptPlan* plan) {
  const std::vector<int32_t> tokens = TokensOf(pack);
  const int begin = static_cast<int>(
      language.format->RenderPrefix(SystemPromptOrDefault(*language.format, prompt.system_prompt))
          .size());
  plan->history.insert(plan->history.begin() + begin, tokens.begin(), tokens.end());
  plan->attended = {begin, begin + pack.n_tokens};
  plan->memory_free = begin;
  plan->answers.clear();
}

// Fills `plan` for the memories `kept`; `plan` holds the vanilla rendering.
absl::Status AddMemories(const PromptLanguage& language, const std::string& tenant_id,
                         const Prompt& prompt, std::vector<int> kept, PromptPlan* plan) {
  injection::PackPlan pack = PlanKept(language, tenant_id, prompt, kept);
  const int vanilla_tokens = plan->n_tokens();
  plan->memory_free = static_cast<int>(plan->history.size());
  switch (prompt.place) {
    case MemoryPlace::kNone:
      break;
    case MemoryPlace::kInjected: {
      double largest = 0.0;
      for (const int i : kept) largest = std::max(largest, prompt.memories[i].alpha_read);
      // At 1 the pack stands where a prompt has it, and so does what follows.
      if (!language.config->supports_placement() && largest < 1.0) {
        return FailedPrecondition(
            "memories: the model has no rotary positions, so memory must be a true prefix: the "
            "largest alpha is %g, it must be at least 1",
            largest);
      }
      plan->placement =
          injection::PlacePack(static_cast<int>(plan->history.size()), pack.n_tokens, largest);
      if (prompt.history_attends && !prompt.history.empty()) {
        InsertAttended(language, prompt, pack, plan);
      }
      break;
    }
    case MemoryPlace::kPromptLate:
      plan->notes = TokensOf(pack);
      break;
    case MemoryPlace::kPromptSystem: {
      const std::string system = SystemPromptOrDefault(*language.format, prompt.system_prompt);
      DKI_ASSIGN_OR_RETURN(
          RenderedHistory history,
          RenderHistory(*language.format, prompt, system + "\n\n" + NotesText(prompt, kept)));
      plan->memory_free = CommonBeginning(plan->history, history.tokens);
      plan->history = std::move(history.tokens);
      plan->answers = std::move(history.answers);
      break;
    }
    case MemoryPlace::kPromptUser: {
      DKI_ASSIGN_OR_RETURN(
          plan->turn,
          RenderTurn(language, prompt, NotesText(prompt, kept) + "\n\n" + prompt.turn.content));
      break;
    }
  }
  plan->memory_prompt_tokens = plan->n_tokens() - vanilla_tokens;
  for (const int i : kept) plan->memories[i].n_tokens = 0;
  for (const injection::PlannedBlock& block : pack.blocks) {
    if (block.memory >= 0) plan->memories[kept[block.memory]].n_tokens += block.n_used();
  }
  plan->pack_tokens = pack.n_tokens;
  if (prompt.place == MemoryPlace::kInjected) plan->pack = std::move(pack);
  plan->kept = std::move(kept);
  return absl::OkStatus();
}

// Tokens that the window must hold in front of the answer.
int Extent(const PromptPlan& plan) {
  if (!plan.pack) return plan.n_tokens();
  const double shift =
      plan.placement.turn_offset - static_cast<double>(plan.history.size()) + plan.n_attended();
  return plan.n_tokens() + static_cast<int>(std::ceil(shift));
}

// Drops the worst-ranked of `kept`, whose tokens `plan` counts.
std::vector<int> WithoutWorst(const PromptPlan& plan, const Prompt& prompt,
                              const std::vector<int>& kept) {
  std::vector<injection::FitCandidate> candidates;
  int n_tokens = 0;
  for (const int i : kept) {
    candidates.push_back({plan.memories[i].n_tokens, prompt.memories[i].rank});
    n_tokens += plan.memories[i].n_tokens;
  }
  std::vector<int> fewer;
  for (const int i : injection::FitPack(candidates, n_tokens - 1)) fewer.push_back(kept[i]);
  return fewer;
}

}  // namespace

std::string SystemPromptOrDefault(const model::ChatFormat& format, const std::string& text) {
  return text.empty() ? format.default_system_prompt() : text;
}

absl::StatusOr<PromptPlan> PlanPrompt(const PromptLanguage& language, const std::string& tenant_id,
                                      const Prompt& prompt, int answer_tokens) {
  PromptPlan vanilla;
  DKI_ASSIGN_OR_RETURN(
      RenderedHistory history,
      RenderHistory(*language.format, prompt,
                    SystemPromptOrDefault(*language.format, prompt.system_prompt)));
  vanilla.history = std::move(history.tokens);
  vanilla.answers = std::move(history.answers);
  DKI_ASSIGN_OR_RETURN(vanilla.turn, RenderTurn(language, prompt, prompt.turn.content));
  vanilla.memory_free = vanilla.n_tokens();
  const int window = language.config->context_length;
  if (vanilla.n_tokens() + answer_tokens > window) {
    return OutOfRange(
        "prompt: prefix and history of %d tokens, turn of %d and answer of %d exceed the model's "
        "window of %d tokens",
        vanilla.history.size(), vanilla.turn.size(), answer_tokens, window);
  }

  std::vector<int> kept;
  for (size_t i = 0; i < prompt.memories.size(); ++i) {
    const Memory& memory = prompt.memories[i];
    vanilla.memories.push_back({.memory_id = memory.memory_id});
    const bool weighs = memory.alpha_read > 0.0 || memory.alpha_answer > 0.0;
    const bool wanted =
        prompt.place == MemoryPlace::kInjected ? weighs : prompt.place != MemoryPlace::kNone;
    if (wanted) kept.push_back(static_cast<int>(i));
  }
  // Dropping one may change the largest weight and with it the shift, so each attempt is planned
  // as a whole; packs have few memories and nearly always fit at once.
  while (!kept.empty()) {
    PromptPlan plan = vanilla;
    DKI_RETURN_IF_ERROR(AddMemories(language, tenant_id, prompt, kept, &plan));
    // The budget counts the pack's tokens in every place, so that all modes keep the same memories.
    const bool in_budget =
        prompt.max_pack_tokens == 0 || plan.pack_tokens <= prompt.max_pack_tokens;
    if (in_budget && Extent(plan) + answer_tokens <= window) return plan;
    for (const int i : kept) vanilla.memories[i].dropped = true;
    kept = WithoutWorst(plan, prompt, kept);
    for (const int i : kept) vanilla.memories[i].dropped = false;
  }
  return vanilla;
}

double AddHistory(const PromptPlan& plan, const model::KvBuffer& history,
                  std::vector<model::Segment>* segments) {
  const auto [attended, behind] = plan.attended;
  if (attended < behind) {
    segments->push_back({.kv = &history, .n_tokens = attended});
    segments->push_back({.kv = &history,
                         .begin = behind,
                         .n_tokens = history.size() - behind,
                         .offset = static_cast<double>(attended - behind)});
  } else if (history.size() > 0) {
    segments->push_back({.kv = &history, .n_tokens = history.size()});
  }
  return history.size() - (behind - attended);
}

int ReusableTokens(const PromptPlan& plan, int n_common) {
  constexpr int kLeastOfTurn = 64;
  // What an answer that was just written lacks of its message: the last token and the closing ones.
  constexpr int kUnfinished = 3;
  constexpr int kLeastOfUnfinished = 12;
  const int n_history = static_cast<int>(plan.history.size());
  if (n_common >= n_history) return n_common - n_history < kLeastOfTurn ? n_history : n_common;
  for (const auto& [begin, end] : plan.answers) {
    if (n_common <= begin || n_common >= end) continue;
    const bool just_written =
        n_common >= end - kUnfinished && n_common - begin >= kLeastOfUnfinished;
    return just_written ? n_common : begin;
  }
  return n_common;
}

absl::StatusOr<std::vector<int32_t>> RenderNextHistory(const PromptLanguage& language,
                                                       const Prompt& prompt,
                                                       const std::string& answer_text) {
  Prompt next = prompt;
  next.history.push_back(prompt.turn);
  next.history.push_back({"assistant", prompt.answer_prefix + answer_text});
  DKI_ASSIGN_OR_RETURN(
      RenderedHistory history,
      RenderHistory(*language.format, next,
                    SystemPromptOrDefault(*language.format, prompt.system_prompt)));
  return std::move(history.tokens);
}

}  // namespace dki::engine
