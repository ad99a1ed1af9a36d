// SPDX-License-Identifier: Apache-2.0
// Purpose: one request while the model works on it: which tokens come next, over which segments,
//   and what their logits become (an answer's tokens, or the scores of a given continuation).
//
//     history (only with a pack) -> turn -> answer
//
//   Where tokens are gated by what was asked, the message is read once more in front of the turn
//   (turn_gates.h), in the running context, which is then begun anew.
//
//   With a pack, the last token of the turn is a chunk of its own, because its row produces the
//   first answer token and counts for attention shares. Everything up to that row reads with the
//   memories' weight for reading, everything behind with the weight for answering.
//
//   A sequence may lose its K/V at any time between steps (Preempt) and be started again: it
//   computes the same K/V once more, without logits, and goes on where it was. By P11 the answer
//   has the same bytes.
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
#include "libs/engine/turn_gates.h"
#include "libs/model/model.h"
#include "libs/model/sampler.h"

namespace dki::engine {

// What a sequence is made from.
struct SequenceInput {
  std::string tenant_id;
  Prompt prompt;
  PromptPlan plan;
  std::vector<LoadedBlock> blocks;  // of plan.pack, in order
  bool modulated = false;           // those of memories are this request's own copies
  // Where gates depend on what was asked (AsksForGates): the null notes, and how many of
  // plan.turn's tokens are the user's message.
  NullPack nulls;
  int message_tokens = 0;
  AnswerOptions options;
  // Set for scoring: the tokens whose probabilities are wanted; nothing is sampled then.
  std::optional<std::vector<int32_t>> continuation;
  bool distributions = false;  // ScoreOptions
  // Only how the user's message attends to the memories is wanted; plan.turn ends with it.
  bool is_probe = false;
};

class Sequence {
 public:
  Sequence(SequenceInput input, const PromptLanguage& language, const model::KvShape& shape,
           std::shared_ptr<model::KvMeter> meter);

  // Takes what the cache holds of this conversation. Before the first chunk, and after Preempt.
  void Start(PrefixCache* cache);
  // Gives its K/V up, to be started again later.
  void Preempt();
  // Gives its K/V and that of its memories up for good.
  void Release();
  // Prompt tokens that the cache held when it was first started.
  int cached_tokens() const { return first_cached_tokens_.value_or(0); }

  // Pages of K/V held, shared ones included, but not one that will be copied to be written.
  int pages() const;
  // Pages more that its next row of the answer takes; 0 while it does not write.
  int PagesToWrite() const;
  // Pages that it holds once it has read, or read again, everything that it has so far, and writes
  // behind it.
  int PagesToGoOn() const;
  // Pages for a prompt and an answer of this plan, whatever happens.
  static int MostPages(const PromptPlan& plan, int answer_tokens);
  // Bytes of its memories' K/V.
  int64_t memory_bytes() const;
  // Prompt tokens still to be read before it writes.
  int TokensToRead() const;

  // The next piece of work, or none when it would need prompt tokens and `*prompt_budget` is used
  // up; prompt tokens are taken off the budget. The chunk refers into this object.
  std::optional<model::Chunk> NextChunk(int* prompt_budget);
  // What the logits of the chunk just run, [rows wanted, vocab_size], become: the next token, or
  // scores. Touches this sequence alone, so sequences may do it at the same time.
  void ReadLogits(const model::Chunk& chunk, std::span<const float> logits);
  // Takes the chunk just run, after ReadLogits. Returns text to show.
  std::string Absorb(const model::Chunk& chunk, PrefixCache* cache);

  // Before the first token of the answer.
  bool prefilling() const { return !prefilled_; }
  // The next chunk is a row of the answer.
  bool writing() const;
  // The next chunk's rows count for attention shares.
  bool next_chunk_counts() const;
  // Why it ended; empty while it goes on.
  const std::string& finish_reason() const { return finish_reason_; }
  // Ends the answer from outside ("cancelled"). Returns text that was held back.
  std::string Finish(const std::string& reason);

  // Leaves what no memory has touched to the conversation's next request.
  void Keep(PrefixCache* cache) const;
  // From now on nothing of it is kept.
  void Forget() { is_forgotten_ = true; }
  bool is_forgotten() const { return is_forgotten_; }

  const SequenceInput& input() const { return input_; }
  int completion_tokens() const { return static_cast<int>(answer_.size()); }
  const std::string& answer_text() const { return text_.text(); }
  Usage usage() const;
  // With attention shares once rows were accumulated.
  std::vector<MemoryOutcome> Outcomes() const;
  Answer TakeAnswer();
  ScoreResult TakeScores();
  // REQUIRES: the heads exist.
  std::vector<ProbedMemory> TakeProbe(std::span<const injection::AttentionHead> heads) const;

 private:
  enum class Weights { kRead, kAnswer };
  std::vector<model::Segment> Segments(Weights weights) const;
  std::span<const int32_t> context_tokens() const { return context_tokens_; }
  model::Chunk ContextChunk(std::span<const int32_t> tokens, Weights weights);
  // All that the running context holds or has held: the turn (or everything), then the answer.
  int n_stream() const;
  int32_t StreamToken(int index) const;
  int FirstBlockSegment() const;
  std::string AbsorbToken(int32_t token);
  void AbsorbScoreRow(std::span<const float> logits);

  SequenceInput input_;
  const PromptLanguage language_;
  const model::KvShape shape_;
  const std::shared_ptr<model::KvMeter> meter_;
  const bool has_pack_;
  bool is_forgotten_ = false;

  // With a pack: K/V of prefix and history, frame 0.
  model::KvBuffer history_;
  // The running context: the turn (with a pack) or everything, then the answer.
  std::vector<int32_t> context_tokens_;
  model::KvBuffer context_;
  TurnGates gates_;
  model::AttentionMass mass_;
  std::optional<int> first_cached_tokens_;
  bool prefilled_ = false;
  int absorbed_ = 0;            // tokens of the running context whose rows have done their work
  std::vector<int32_t> again_;  // of the chunk that computes them again

  model::Sampler sampler_;
  int32_t next_token_ = 0;  // between ReadLogits and Absorb
  AnswerText text_;
  std::vector<int32_t> recent_;  // turn and answer, for the repetition penalty
  std::vector<int32_t> answer_;
  ScoreResult scores_;
  std::string finish_reason_;
};

}  // namespace dki::engine
