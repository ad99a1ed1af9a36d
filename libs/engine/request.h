// SPDX-License-Identifier: Apache-2.0
// What the engine is asked and what it answers, as plain data. Field names in error messages are
// those of proto/dki/generation/v1, so that a client recognises them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/kv_format.h"
#include "libs/injection/attention_head.h"
#include "libs/injection/composition.h"
#include "libs/injection/memory_attributes.h"
#include "libs/injection/modulation.h"
#include "libs/injection/token_gates.h"
#include "libs/model/chat_format.h"
#include "libs/model/model.h"
#include "libs/model/sampler.h"
#include "libs/model/value_refinement.h"

namespace dki::engine {

// A memory and its weight.
struct Memory {
  std::string memory_id;
  std::string text;
  // [0, 16]: while the turn is read, and while the answer is written. Ignored where the memory is
  // text in the prompt.
  double alpha_read = 1.0;
  double alpha_answer = 1.0;
  int rank = 0;  // 0 is the best; the worst are dropped first
  injection::MemoryAttributes attributes = {};
};

// Where the memories go.
enum class MemoryPlace { kNone, kInjected, kPromptLate, kPromptSystem, kPromptUser };

struct Prompt {
  std::string system_prompt;            // empty: the model's default
  std::vector<model::Message> history;  // its K/V is computed without memory
  model::Message turn;                  // the user's message
  MemoryPlace place = MemoryPlace::kNone;
  std::vector<Memory> memories;        // in the order of the pack
  std::string context_system_prompt;   // what an injected pack is computed behind; empty: default
  injection::Composition composition;  // of an injected pack
  model::AttentionRule rule;           // how their weights act
  injection::GateRule gates;           // of their tokens
  // Applied to the memories' values before they are attended to; null: nothing is. For
  // experiments.
  std::shared_ptr<const model::ValueRefinement> refinement;
  // For comparison: the history has attended to the memories (at weight 1) while its K/V was
  // computed. That K/V is not kept for other requests.
  bool history_attends = false;
  std::string answer_prefix;     // what the answer is made to begin with
  int max_pack_tokens = 0;       // 0: no budget but the window
  bool memory_required = false;  // fail rather than answer without memory
  // Changes the injected memories' K/V by what the turn asks, for this request alone; null: nothing
  // does. A probe sees them unchanged.
  std::shared_ptr<const injection::Modulation> modulation;
  // What the K/V of injected memories is kept in; nothing: as the engine is set up.
  std::optional<kernels::KvFormat> block_format;
};

struct AnswerOptions {
  model::SamplingOptions sampling;
  int max_tokens = 256;
  std::vector<std::string> stop;  // the answer ends before the first that occurs
};

// On whose behalf, and until when.
struct RequestContext {
  std::string tenant_id;
  std::string request_id;
  std::chrono::system_clock::time_point deadline = std::chrono::system_clock::time_point::max();
  // Asked between tokens, from the engine's thread. May be empty.
  std::function<bool()> cancelled;
};

enum class Tier { kUnknown, kDevice, kRam, kDisk, kRemote, kRecomputed };

// Why a block was loaded, or computed again (libs/kvcache/cost_model.h).
struct LoadChoice {
  enum class Path { kNone, kLoad, kRecompute, kExplore };
  Path path = Path::kNone;        // none: there was nothing to choose
  int64_t load_estimate_us = -1;  // negative: not known
  int64_t recompute_estimate_us = -1;
};

// What became of a memory of the request; in the request's order.
struct MemoryOutcome {
  std::string memory_id;
  int n_tokens = 0;
  Tier tier = Tier::kUnknown;
  int64_t load_us = 0;
  double attention_share = 0.0;
  double attention_share_unbiased = 0.0;
  bool dropped = false;  // fitted neither window nor budget
  LoadChoice choice = {};
};

struct Usage {
  int prompt_tokens = 0;
  int memory_prompt_tokens = 0;  // of those, what memories as text cost
  int cached_prompt_tokens = 0;  // of those, whose K/V was still cached
  int injected_tokens = 0;       // attended to without being in the prompt
  int completion_tokens = 0;     // without the end token
};

struct Timings {
  int64_t queue_us = 0;
  int64_t pack_us = 0;
  int64_t prefill_us = 0;
  int64_t first_token_us = 0;
  int64_t total_us = 0;
};

struct Started {
  Usage usage;
  std::vector<MemoryOutcome> memories;
  std::vector<std::string> degraded;  // what was away and had to be done without: "kv"
  bool modulated = false;             // the memories, by Prompt::modulation
};

struct Answer {
  std::string finish_reason;  // "stop", "length", "stop_string" or "cancelled"
  std::string text;
  std::vector<int32_t> token_ids = {};
  Usage usage = {};
  std::vector<MemoryOutcome> memories = {};
  double lead_in_share = 0.0;  // attention on the pack's header and footer
  double lead_in_share_unbiased = 0.0;
  std::vector<std::string> degraded = {};
  bool modulated = false;
  Timings timings = {};
};

struct ScoreOptions {
  bool distributions = false;
};

struct ScoreResult {
  std::vector<int32_t> token_ids;
  std::vector<double> log_probabilities;  // natural
  std::vector<int32_t> greedy_ids;
  // Where asked for: natural logarithms of the whole distribution at each place, [vocab_size].
  std::vector<std::vector<float>> distributions;
  std::vector<MemoryOutcome> memories;
  std::vector<std::string> degraded;
};

// What the user's message saw of a memory while it was read with all memories at weight 1: the
// mean over its tokens of the softmax mass on the memory's line.
struct ProbedMemory {
  MemoryOutcome outcome;            // the share: mean over all query heads
  double middle_share = 0.0;        // mean over the query heads of the middle half of the layers
  std::vector<double> head_shares;  // of the heads asked for, in their order
};
struct ProbeResult {
  std::vector<ProbedMemory> memories;  // in the request's order
  Usage usage;
  std::vector<std::string> degraded;
  Timings timings;
};

// Receives an answer while it is written, on the thread that called Engine::Generate: OnStarted
// once, then text in whole UTF-8 characters. Returning false cancels.
class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  virtual bool OnStarted(const Started& started) = 0;
  virtual bool OnText(std::string_view text) = 0;
};

}  // namespace dki::engine
