// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/sequence.h"

#include <algorithm>

#include "libs/base/check.h"
#include "libs/engine/attention_shares.h"

namespace dki::engine {
namespace {

// Rows of a scored continuation at once: each brings a whole row of logits.
constexpr int kScoreRows = 32;

// Of history and context, what is not a whole page yet, and one to write into.
constexpr int kPartialPages = 3;

int CountSegments(const SequenceInput& input) {
  const int n_history = input.plan.history.empty() ? 0 : input.plan.n_attended() > 0 ? 2 : 1;
  return n_history + static_cast<int>(input.blocks.size());
}

std::vector<int32_t> ContextTokens(const PromptPlan& plan) {
  if (plan.pack) return plan.turn;
  std::vector<int32_t> tokens = plan.history;
  tokens.insert(tokens.end(), plan.notes.begin(), plan.notes.end());
  tokens.insert(tokens.end(), plan.turn.begin(), plan.turn.end());
  return tokens;
}

// The request's, and those of the chat format.
std::vector<std::string> StopTexts(std::vector<std::string> texts,
                                   const model::ChatFormat& format) {
  for (std::string& text : format.stop_texts()) texts.push_back(std::move(text));
  return texts;
}

}  // namespace

Sequence::Sequence(SequenceInput input, const PromptLanguage& language, const model::KvShape& shape,
                   std::shared_ptr<model::KvMeter> meter)
    : input_(std::move(input)),
      language_(language),
      shape_(shape),
      meter_(std::move(meter)),
      has_pack_(input_.plan.pack.has_value()),
      history_(shape, 0, meter_),
      context_tokens_(ContextTokens(input_.plan)),
      context_(shape, 0, meter_),
      sampler_(input_.options.sampling),
      text_(StopTexts(input_.options.stop, *language.format), language.format->trims_answers()),
      recent_(input_.plan.turn) {
  DKI_CHECK(!has_pack_ || input_.blocks.size() == input_.plan.pack->blocks.size());
  if (input_.continuation) scores_.token_ids = *input_.continuation;
}

void Sequence::Start(PrefixCache* cache) {
  // Of a running context the last token is always computed: its logits are wanted.
  const std::span<const int32_t> wanted =
      has_pack_ ? std::span<const int32_t>(input_.plan.history)
                : std::span<const int32_t>(context_tokens_).first(context_tokens_.size() - 1);
  PrefixCache::Match match = cache->Find(input_.tenant_id, wanted);
  match.Truncate(ReusableTokens(input_.plan, match.n_tokens));
  const int n_tokens = match.n_tokens;
  (has_pack_ ? history_ : context_) =
      model::KvBuffer(shape_, std::move(match.pages), n_tokens, meter_);
  if (!first_cached_tokens_) first_cached_tokens_ = n_tokens;
}

void Sequence::Preempt() {
  if (gates_.pending()) gates_.Restart();
  history_ = model::KvBuffer(shape_, 0, meter_);
  context_ = model::KvBuffer(shape_, 0, meter_);
}

void Sequence::Release() {
  Preempt();
  for (LoadedBlock& block : input_.nulls.blocks) block.block.kv = model::KvBuffer(shape_, 0);
  for (LoadedBlock& block : input_.blocks) block.block.kv = model::KvBuffer(shape_, 0);
}

int Sequence::pages() const {
  const auto held = [](const model::KvBuffer& kv) {
    const int n = static_cast<int>(kv.pages().size());
    const bool replaced = kv.size() % model::kPageTokens != 0 && kv.pages().back().use_count() > 1;
    return replaced ? n - 1 : n;
  };
  const bool history_done =
      !has_pack_ || std::cmp_equal(history_.size(), input_.plan.history.size());
  return (history_done ? static_cast<int>(history_.pages().size()) : held(history_)) +
         held(context_);
}

int Sequence::PagesToWrite() const {
  return writing() ? context_.PagesToReserve(context_.size() + 1) : 0;
}

int Sequence::PagesToGoOn() const {
  const size_t n_history = has_pack_ ? input_.plan.history.size() : 0;
  return (static_cast<int>(n_history) + n_stream()) / model::kPageTokens + kPartialPages;
}

int Sequence::MostPages(const PromptPlan& plan, int answer_tokens) {
  return (plan.n_tokens() + answer_tokens) / model::kPageTokens + kPartialPages;
}

int64_t Sequence::memory_bytes() const {
  int64_t bytes = 0;
  for (const LoadedBlock& block : input_.nulls.blocks) {
    bytes += static_cast<int64_t>(block.block.kv.size_bytes());
  }
  for (const LoadedBlock& block : input_.blocks) {
    bytes += static_cast<int64_t>(block.block.kv.size_bytes());
  }
  return bytes;
}

int Sequence::TokensToRead() const {
  const int n_history =
      has_pack_ ? static_cast<int>(input_.plan.history.size()) - history_.size() : 0;
  const int n_message = gates_.started() && !gates_.pending() ? 0 : input_.message_tokens;
  return n_history + n_message + n_stream() - context_.size();
}

int Sequence::n_stream() const {
  return static_cast<int>(context_tokens_.size() +
                          (input_.continuation ? input_.continuation->size() : answer_.size()));
}

int32_t Sequence::StreamToken(int index) const {
  const int n_read = static_cast<int>(context_tokens_.size());
  if (index < n_read) return context_tokens_[index];
  return (input_.continuation ? *input_.continuation : answer_)[index - n_read];
}

bool Sequence::writing() const {
  return prefilled_ && !input_.continuation && context_.size() >= absorbed_;
}

bool Sequence::next_chunk_counts() const {
  if (!has_pack_ || std::cmp_less(history_.size(), input_.plan.history.size())) return false;
  if (input_.message_tokens > 0 && (!gates_.started() || gates_.pending())) return true;
  if (context_.size() < absorbed_) return false;
  if (input_.is_probe) return true;
  return prefilled_ || context_.size() + 1 >= static_cast<int>(context_tokens_.size());
}

std::vector<model::Segment> Sequence::Segments(Weights weights) const {
  std::vector<model::Segment> segments;
  if (!has_pack_) return segments;
  const auto alpha_of = [&](int memory) {
    const Memory& m = input_.prompt.memories[memory];
    return weights == Weights::kRead ? m.alpha_read : m.alpha_answer;
  };
  double largest = 0.0;  // the lead-in's weight
  for (const int memory : input_.plan.kept) largest = std::max(largest, alpha_of(memory));

  AddHistory(input_.plan, history_, &segments);
  for (size_t i = 0; i < input_.blocks.size(); ++i) {
    const injection::PlannedBlock& planned = input_.plan.pack->blocks[i];
    segments.push_back(
        {.kv = &input_.blocks[i].block.kv,
         .begin = planned.begin,
         .n_tokens = planned.n_used(),
         .offset = input_.plan.placement.pack_offset + planned.start,
         .alpha = planned.memory >= 0 ? alpha_of(input_.plan.kept[planned.memory]) : largest,
         .gates = gates_.of(i)});
  }
  return segments;
}

model::Chunk Sequence::ContextChunk(std::span<const int32_t> tokens, Weights weights) {
  return {.tokens = tokens,
          .context = &context_,
          .context_offset = has_pack_ ? input_.plan.placement.turn_offset : 0.0,
          .segments = Segments(weights),
          .rule = input_.prompt.rule,
          .logits = model::LogitsWanted::kNone};
}

std::optional<model::Chunk> Sequence::NextChunk(int* prompt_budget) {
  if (writing()) {
    model::Chunk chunk = ContextChunk(std::span(answer_).last(1), Weights::kAnswer);
    chunk.logits = model::LogitsWanted::kLast;
    if (has_pack_) chunk.mass = &mass_;
    return chunk;
  }
  if (*prompt_budget <= 0) return std::nullopt;
  const auto take = [&](std::span<const int32_t> rest, int most) {
    const int n = std::min({static_cast<int>(rest.size()), most, *prompt_budget});
    *prompt_budget -= n;
    return rest.first(n);
  };

  if (has_pack_ && history_.size() < static_cast<int>(input_.plan.history.size())) {
    const std::span<const int32_t> history(input_.plan.history);
    return model::Chunk{.tokens = take(history.subspan(history_.size()), *prompt_budget),
                        .context = &history_,
                        .segments = {},
                        .logits = model::LogitsWanted::kNone};
  }
  if (!gates_.started()) {
    gates_.Start(input_.prompt, input_.plan, input_.blocks, input_.nulls, *language_.config);
  }
  if (gates_.pending()) {
    const auto message = std::span<const int32_t>(context_tokens_).first(input_.message_tokens);
    model::Chunk chunk{.tokens = take(message.subspan(context_.size()), *prompt_budget),
                       .context = &context_,
                       .segments = {},
                       .logits = model::LogitsWanted::kNone,
                       .match = gates_.match()};
    chunk.context_offset = AddHistory(input_.plan, history_, &chunk.segments);
    return chunk;
  }
  if (context_.size() < absorbed_) {  // preempted: what it held before, with the same weights
    const int n_read = static_cast<int>(context_tokens_.size());
    const bool reads = context_.size() < n_read;
    const int end = std::min(
        {reads ? std::min(n_read, absorbed_) : absorbed_, context_.size() + *prompt_budget});
    again_.clear();
    for (int i = context_.size(); i < end; ++i) again_.push_back(StreamToken(i));
    *prompt_budget -= static_cast<int>(again_.size());
    return ContextChunk(again_, reads ? Weights::kRead : Weights::kAnswer);
  }
  if (prefilled_) {
    const std::span<const int32_t> all = *input_.continuation;
    const size_t done = scores_.log_probabilities.size();
    model::Chunk chunk =
        ContextChunk(take(all.subspan(done - 1, all.size() - done), kScoreRows), Weights::kAnswer);
    chunk.logits = model::LogitsWanted::kAll;
    if (has_pack_) chunk.mass = &mass_;
    return chunk;
  }
  const std::span<const int32_t> rest = context_tokens().subspan(context_.size());
  if (input_.is_probe) {
    model::Chunk chunk = ContextChunk(take(rest, *prompt_budget), Weights::kRead);
    chunk.mass = &mass_;
    return chunk;
  }
  const bool separate_last = has_pack_ && rest.size() > 1;
  model::Chunk chunk = ContextChunk(
      take(separate_last ? rest.first(rest.size() - 1) : rest, *prompt_budget), Weights::kRead);
  if (chunk.tokens.size() == rest.size()) {
    chunk.logits = model::LogitsWanted::kLast;
    if (has_pack_) chunk.mass = &mass_;
  }
  return chunk;
}

void Sequence::ReadLogits(const model::Chunk& chunk, std::span<const float> logits) {
  if (chunk.logits == model::LogitsWanted::kNone) return;
  if (!input_.continuation) {
    next_token_ = sampler_.Sample(logits, recent_);
    return;
  }
  const size_t vocab_size = language_.config->vocab_size;
  for (size_t at = 0; at < logits.size(); at += vocab_size) {
    AbsorbScoreRow(logits.subspan(at, vocab_size));
  }
}

std::string Sequence::Absorb(const model::Chunk& chunk, PrefixCache* cache) {
  if (chunk.context == &history_) {
    if (history_.size() == static_cast<int>(input_.plan.history.size())) Keep(cache);
    return "";
  }
  if (gates_.pending()) {
    if (context_.size() < input_.message_tokens) return "";
    gates_.Finish(input_.prompt, input_.plan, input_.blocks, *language_.config);
    input_.nulls = {};
    context_ = model::KvBuffer(shape_, 0, meter_);
    return "";
  }
  if (input_.is_probe && chunk.mass != nullptr) {
    absorbed_ = context_.size();
    if (std::cmp_equal(absorbed_, context_tokens_.size())) finish_reason_ = "stop";
  }
  if (chunk.logits == model::LogitsWanted::kNone) return "";
  absorbed_ = context_.size();
  prefilled_ = true;
  return input_.continuation ? "" : AbsorbToken(next_token_);
}

std::string Sequence::AbsorbToken(int32_t token) {
  if (language_.tokenizer->IsEndOfGeneration(token)) return Finish("stop");
  answer_.push_back(token);
  recent_.push_back(token);
  std::string text = text_.Append(language_.tokenizer->Decode(std::span(&token, 1)));
  if (text_.stopped()) {
    finish_reason_ = "stop_string";
  } else if (static_cast<int>(answer_.size()) >= input_.options.max_tokens) {
    text += Finish("length");
  }
  return text;
}

void Sequence::AbsorbScoreRow(std::span<const float> logits) {
  const size_t at = scores_.log_probabilities.size();
  scores_.log_probabilities.push_back(model::LogProbability(logits, scores_.token_ids[at]));
  scores_.greedy_ids.push_back(
      static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
  if (input_.distributions) scores_.distributions.push_back(model::LogProbabilities(logits));
  if (at + 1 == scores_.token_ids.size()) finish_reason_ = "stop";
}

std::string Sequence::Finish(const std::string& reason) {
  finish_reason_ = reason;
  return text_.Finish();
}

void Sequence::Keep(PrefixCache* cache) const {
  if (is_forgotten_) return;
  if (has_pack_) {  // what the turn and the answer hold, memory has touched
    const std::span<const int32_t> history(input_.plan.history);
    const int n_tokens = std::min(history_.size(), input_.plan.memory_free);
    cache->Insert(input_.tenant_id, history.first(n_tokens), history_.Share(n_tokens));
    return;
  }
  std::vector<int32_t> tokens = context_tokens_;
  const bool vanilla = input_.plan.memory_free == static_cast<int>(tokens.size());
  const std::vector<int32_t>& answer = input_.continuation ? *input_.continuation : answer_;
  tokens.insert(tokens.end(), answer.begin(), answer.end());
  const int n_tokens =
      vanilla ? context_.size() : std::min(context_.size(), input_.plan.memory_free);
  tokens.resize(n_tokens);
  cache->Insert(input_.tenant_id, tokens, context_.Share(n_tokens));
}

Usage Sequence::usage() const {
  const PromptPlan& plan = input_.plan;
  return {.prompt_tokens = plan.n_tokens(),
          .memory_prompt_tokens = plan.memory_prompt_tokens,
          .cached_prompt_tokens = cached_tokens(),
          .injected_tokens = plan.pack ? plan.pack->n_tokens : 0,
          .completion_tokens = completion_tokens()};
}

int Sequence::FirstBlockSegment() const {  // behind the history
  return CountSegments(input_) - static_cast<int>(input_.blocks.size());
}

std::vector<MemoryOutcome> Sequence::Outcomes() const {
  std::vector<MemoryOutcome> outcomes = input_.plan.memories;
  if (!has_pack_) return outcomes;
  for (size_t i = 0; i < input_.blocks.size(); ++i) {
    const int memory = input_.plan.pack->blocks[i].memory;
    if (memory < 0) continue;
    MemoryOutcome& outcome = outcomes[input_.plan.kept[memory]];
    const Share share = ShareOf(mass_, FirstBlockSegment() + static_cast<int>(i));
    outcome.attention_share += share.biased;
    outcome.attention_share_unbiased += share.unbiased;
    outcome.tier = input_.blocks[i].tier;
    outcome.load_us += input_.blocks[i].load_us;
    outcome.choice = input_.blocks[i].choice;
  }
  return outcomes;
}

Answer Sequence::TakeAnswer() {
  Answer answer{.finish_reason = finish_reason_,
                .text = text_.text(),
                .token_ids = answer_,
                .usage = usage(),
                .memories = Outcomes(),
                .modulated = input_.modulated};
  if (has_pack_) {
    const Share header = ShareOf(mass_, FirstBlockSegment());
    const Share footer = ShareOf(mass_, CountSegments(input_) - 1);
    answer.lead_in_share = header.biased + footer.biased;
    answer.lead_in_share_unbiased = header.unbiased + footer.unbiased;
  }
  return answer;
}

std::vector<ProbedMemory> Sequence::TakeProbe(
    std::span<const injection::AttentionHead> heads) const {
  std::vector<ProbedMemory> probed;
  for (MemoryOutcome& outcome : Outcomes()) {
    probed.push_back(
        {.outcome = std::move(outcome), .head_shares = std::vector<double>(heads.size(), 0.0)});
  }
  if (!has_pack_) return probed;
  for (size_t i = 0; i < input_.blocks.size(); ++i) {
    const int index = input_.plan.pack->blocks[i].memory;
    if (index < 0) continue;
    ProbedMemory& memory = probed[input_.plan.kept[index]];
    const int column = FirstBlockSegment() + static_cast<int>(i);
    memory.middle_share += MiddleShareOf(mass_, column);
    for (size_t h = 0; h < heads.size(); ++h) {
      memory.head_shares[h] += HeadShareOf(mass_, column, heads[h]);
    }
  }
  return probed;
}

ScoreResult Sequence::TakeScores() {
  scores_.memories = Outcomes();
  return std::move(scores_);
}

}  // namespace dki::engine
