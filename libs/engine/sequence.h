// SPDX-License-Identifier: Apache-2.0
// Purpose: one request while the model works on it: which tokens come next, over which segments,
//   and what their logits become (an answer's tokens, or the scores of a given continuation).
//
//     history (only with a pack) -> turn -> answer
//
//   With a pack, the last token of the turn is a chunk of its own, because its row produces the
//   first answer token and counts for attention shares. Everything up to that row reads with the
//   memories' weight for reading, everything behind with the weight for answering.
// Thread-safety: thread-compatible; owned by the engine's thread once it runs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libs/engine/answer_text.h"
#include "libs/engine/pack_source.h"
#include "libs/engine/prefix_cache.h"
#include "libs/engine/prompt_plan.h"
#include "libs/engine/request.h"
#include "libs/model/model.h"
#include "libs/model/sampler.h"

namespace dki::engine {

// What a sequence is made from.
struct SequenceInput {
  std::string tenant_id;
  Prompt prompt;
  PromptPlan plan;
  std::vector<LoadedBlock> blocks;  // of plan.pack, in order
  AnswerOptions options;
  // Set for scoring: the tokens whose probabilities are wanted; nothing is sampled then.
  std::optional<std::vector<int32_t>> continuation;
};

class Sequence {
 public:
  Sequence(SequenceInput input, const PromptLanguage& language, const model::KvShape& shape);

  // Takes what the cache holds of this conversation. Once, before the first chunk.
  void Start(PrefixCache* cache);
  int cached_tokens() const { return cached_tokens_; }

  // The next piece of work, or none when it would need prompt tokens and `*prompt_budget` is used
  // up; prompt tokens are taken off the budget. The chunk refers into this object.
  std::optional<model::Chunk> NextChunk(int* prompt_budget);
  // Takes the logits of the chunk just run ([rows wanted, vocab_size]). Returns text to show.
  std::string Absorb(const model::Chunk& chunk, std::span<const float> logits, PrefixCache* cache);

  bool prefilling() const { return !prefilled_; }
  // Why it ended; empty while it goes on.
  const std::string& finish_reason() const { return finish_reason_; }
  // Ends the answer from outside ("cancelled"). Returns text that was held back.
  std::string Finish(const std::string& reason);

  // Leaves what no memory has touched to the conversation's next request.
  void Keep(PrefixCache* cache) const;

  const SequenceInput& input() const { return input_; }
  int completion_tokens() const { return static_cast<int>(answer_.size()); }
  const std::string& answer_text() const { return text_.text(); }
  Usage usage() const;
  // With attention shares once rows were accumulated.
  std::vector<MemoryOutcome> Outcomes() const;
  Answer TakeAnswer();
  ScoreResult TakeScores();

 private:
  enum class Weights { kRead, kAnswer };
  std::vector<model::Segment> Segments(Weights weights) const;
  std::span<const int32_t> context_tokens() const { return context_tokens_; }
  model::Chunk ContextChunk(std::span<const int32_t> tokens, Weights weights);
  std::string AbsorbAnswerRow(std::span<const float> logits);
  void AbsorbScoreRow(std::span<const float> logits);

  SequenceInput input_;
  const PromptLanguage language_;
  const model::KvShape shape_;
  const bool has_pack_;

  // With a pack: K/V of prefix and history, frame 0; own while it is computed, then shared.
  std::unique_ptr<model::KvBuffer> own_history_;
  std::shared_ptr<const model::KvBuffer> history_;
  // The running context: the turn (with a pack) or everything, then the answer.
  std::vector<int32_t> context_tokens_;
  model::KvBuffer context_;
  model::AttentionMass mass_;
  int cached_tokens_ = 0;
  bool prefilled_ = false;

  model::Sampler sampler_;
  AnswerText text_;
  std::vector<int32_t> recent_;  // turn and answer, for the repetition penalty
  std::vector<int32_t> answer_;
  ScoreResult scores_;
  std::string finish_reason_;
};

}  // namespace dki::engine
