// SPDX-License-Identifier: Apache-2.0
// Purpose: what the model will read, decided before anything is computed: the token ids of prefix,
//   history, notes and turn, which memories fit, and where pack and turn sit (design section 4).
// Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libs/base/status.h"
#include "libs/engine/request.h"
#include "libs/injection/pack_plan.h"
#include "libs/injection/placement.h"
#include "libs/model/chat_format.h"
#include "libs/model/config.h"
#include "libs/model/kv_buffer.h"
#include "libs/model/model.h"
#include "libs/model/tokenizer.h"

namespace dki::engine {

struct PromptPlan {
  // The model reads [history][notes][turn]. With a pack, history is attended to as a segment and
  // the turn has a running context of its own at placement.turn_offset; without, all three are one
  // running context.
  std::vector<int32_t> history;  // prefix and history
  // [begin, end) of the pack's tokens in `history` where it attends to them (history_attends); the
  // turn does not see these, and the history behind them stands where it would without them.
  std::pair<int, int> attended = {0, 0};
  std::vector<int32_t> notes;  // a pack's tokens as prompt text (kPromptLate only)
  std::vector<int32_t> turn;   // user's message, answer header, answer prefix
  // Leading tokens of the above whose K/V no memory text has touched: what may be cached.
  int memory_free = 0;
  // [begin, end) of the assistant's messages in `history`.
  std::vector<std::pair<int, int>> answers;
  int memory_prompt_tokens = 0;
  int pack_tokens = 0;  // of the kept memories, wherever they go

  std::optional<injection::PackPlan> pack;  // memory as K/V
  injection::Placement placement;
  std::vector<int> kept;                // indexes into Prompt::memories, in pack order
  std::vector<MemoryOutcome> memories;  // of all memories of the prompt, with n_tokens and dropped

  int n_attended() const { return attended.second - attended.first; }
  int n_tokens() const { return static_cast<int>(history.size() + notes.size() + turn.size()); }
};

// Who tokenises for which model. All outlive the plans' making.
struct PromptLanguage {
  const model::ModelConfig* config = nullptr;
  const model::Tokenizer* tokenizer = nullptr;
  const model::ChatFormat* format = nullptr;
  // What memories' K/V is kept in where the prompt does not say.
  kernels::KvFormat block_format = kernels::KvFormat::kF32;
};

// Plans a prompt that must leave room for `answer_tokens`. Memories of weight 0 in both phases are
// no part of any pack: with nothing else the plan is the vanilla one. The pack and the turn keep
// one placement for the whole request, by the largest weight while reading. The lowest-ranked
// memories are dropped until window and budget hold; OUT_OF_RANGE when it does not fit without any.
// REQUIRES: ValidatePrompt(prompt) is OK.
absl::StatusOr<PromptPlan> PlanPrompt(const PromptLanguage& language, const std::string& tenant_id,
                                      const Prompt& prompt, int answer_tokens);

// Adds the history's K/V (of plan.history, frame 0) as attention takes it in front of the pack, and
// returns the position behind it.
double AddHistory(const PromptPlan& plan, const model::KvBuffer& history,
                  std::vector<model::Segment>* segments);

// How many of `n_common` leading tokens, whose K/V is cached, a request with this plan may take.
// What happens to be equal by chance is not taken: of an answer in the history all (but its last
// tokens, which are computed with the next request) or nothing, of the turn nothing below 64
// tokens. So how many tokens are served from the cache does not depend on how the words of some
// earlier answer, with or without memory, begin (P4).
int ReusableTokens(const PromptPlan& plan, int n_common);

// The conversation after `answer_text`, as its next request will render it as history.
absl::StatusOr<std::vector<int32_t>> RenderNextHistory(const PromptLanguage& language,
                                                       const Prompt& prompt,
                                                       const std::string& answer_text);

// The system prompt of the prompt, or the model's default.
std::string SystemPromptOrDefault(const model::ChatFormat& format, const std::string& text);

}  // namespace dki::engine
