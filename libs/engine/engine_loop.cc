// SPDX-License-Identifier: Apache-2.0
// The engine's thread: admission, steps, endings, work in the background.
#include <algorithm>
#include <utility>

#include "libs/engine/engine.h"

namespace dki::engine {
namespace {

// Small, because a request that arrives meanwhile waits for it.
constexpr int kBackgroundChunk = 32;
constexpr size_t kMaxBackground = 64;  // the oldest conversations are abandoned

double SecondsSince(Ticket::Clock::time_point from) {
  return std::chrono::duration<double>(Ticket::Clock::now() - from).count();
}

}  // namespace

void Engine::Loop() {
  while (AwaitWork()) {
    Admit();
    Sweep();
    if (running_.empty()) {
      BackgroundStep();
    } else {
      Step();
    }
    PublishStats();
  }
  Admit();
  for (const TicketPtr& ticket : running_) {
    End(*ticket, Unavailable("generation is shutting down"));
  }
}

bool Engine::AwaitWork() {
  MutexLock lock(&mutex_);
  while (!stopping_ && waiting_.empty() && running_.empty() && background_.empty()) {
    idle_ = true;
    changed_.NotifyAll();
    changed_.Wait(&mutex_);
  }
  idle_ = false;
  return !stopping_;
}

void Engine::Admit() {
  std::vector<TicketPtr> admitted;
  {
    MutexLock lock(&mutex_);
    // When stopping, all of them: they are ended together.
    while (!waiting_.empty() && (stopping_ || static_cast<int>(running_.size() + admitted.size()) <
                                                  options_.max_running)) {
      admitted.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
  }
  for (TicketPtr& ticket : admitted) {
    ticket->admitted = Ticket::Clock::now();
    ticket->sequence.Start(&cache_);
    ticket->PostStarted({ticket->sequence.usage(), ticket->sequence.Outcomes(), ticket->degraded});
    {
      MutexLock lock(&mutex_);
      stats_.cached_tokens += ticket->sequence.cached_tokens();
    }
    running_.push_back(std::move(ticket));
  }
}

bool Engine::EndIfUnwanted(Ticket& ticket) {
  if (ticket.abandoned || (ticket.context.cancelled && ticket.context.cancelled())) {
    ticket.PostText(ticket.sequence.Finish("cancelled"));
    End(ticket, absl::OkStatus());
    return true;
  }
  if (std::chrono::system_clock::now() >= ticket.context.deadline) {
    End(ticket, DeadlineExceeded("the deadline passed after %d tokens of the answer",
                                 ticket.sequence.completion_tokens()));
    return true;
  }
  return false;
}

// Those that nobody waits for leave before the step, whether they run or wait.
void Engine::Sweep() {
  std::erase_if(running_, [this](const TicketPtr& ticket) { return EndIfUnwanted(*ticket); });
  std::vector<TicketPtr> waiting;
  {
    MutexLock lock(&mutex_);
    waiting.assign(waiting_.begin(), waiting_.end());
  }
  for (const TicketPtr& ticket : waiting) {
    if (!EndIfUnwanted(*ticket)) continue;
    MutexLock lock(&mutex_);
    std::erase(waiting_, ticket);
  }
}

void Engine::Step() {
  std::vector<model::Chunk> chunks;
  std::vector<Ticket*> owners;
  int budget = options_.prefill_chunk;
  int64_t answer_rows = 0;
  for (const TicketPtr& ticket : running_) {
    const bool prefilling = ticket->sequence.prefilling();
    std::optional<model::Chunk> chunk = ticket->sequence.NextChunk(&budget);
    if (!chunk) continue;
    if (!prefilling) answer_rows += static_cast<int64_t>(chunk->tokens.size());
    chunks.push_back(*std::move(chunk));
    owners.push_back(ticket.get());
  }

  const Ticket::Clock::time_point began = Ticket::Clock::now();
  const absl::StatusOr<std::vector<float>> logits = model_->Forward(chunks);
  const double seconds = SecondsSince(began);
  if (!logits.ok()) {
    // Input was checked before, so this is a failure of the whole step.
    for (const TicketPtr& ticket : running_) End(*ticket, Annotate(logits.status(), "forward"));
    running_.clear();
    return;
  }
  int64_t prompt_rows = -answer_rows;
  for (const model::Chunk& chunk : chunks) prompt_rows += static_cast<int64_t>(chunk.tokens.size());
  {
    MutexLock lock(&mutex_);
    stats_.prefill_tokens += prompt_rows;
    stats_.decode_tokens += answer_rows;
    (prompt_rows > 0 ? stats_.prefill_seconds : stats_.decode_seconds) += seconds;
  }

  std::span<const float> rest(*logits);
  for (size_t i = 0; i < chunks.size(); ++i) {
    const size_t rows = chunks[i].logits == model::LogitsWanted::kNone   ? 0
                        : chunks[i].logits == model::LogitsWanted::kLast ? 1
                                                                         : chunks[i].tokens.size();
    const size_t n_floats = rows * language_.config->vocab_size;
    Sequence& sequence = owners[i]->sequence;
    const bool was_prefilling = sequence.prefilling();
    const std::string text = sequence.Absorb(chunks[i], rest.first(n_floats), &cache_);
    rest = rest.subspan(n_floats);
    if (was_prefilling && !sequence.prefilling()) owners[i]->prefilled = Ticket::Clock::now();
    owners[i]->PostText(text);
  }
  std::erase_if(running_, [this](const TicketPtr& ticket) {
    if (ticket->sequence.finish_reason().empty()) return false;
    End(*ticket, absl::OkStatus());
    return true;
  });
}

void Engine::End(Ticket& ticket, absl::Status status) {
  const Sequence& sequence = ticket.sequence;
  sequence.Keep(&cache_);
  const bool cancelled = sequence.finish_reason() == "cancelled";
  std::optional<Conversation> fresh;
  if (status.ok() && !cancelled && sequence.input().plan.pack && !sequence.input().continuation) {
    absl::StatusOr<std::vector<int32_t>> tokens =
        RenderNextHistory(language_, sequence.input().prompt, sequence.answer_text());
    if (tokens.ok() && static_cast<int>(tokens->size()) <= language_.config->context_length) {
      fresh = Conversation{ticket.context.tenant_id, *std::move(tokens)};
    }
  }
  {
    MutexLock lock(&mutex_);
    if (cancelled) ++stats_.cancelled;
    if (ticket.admitted >= ticket.submitted) {
      mean_request_seconds_ = 0.9 * mean_request_seconds_ + 0.1 * SecondsSince(ticket.admitted);
    }
    if (fresh && background_enabled_) {
      background_.push_back(*std::move(fresh));
      if (background_.size() > kMaxBackground) background_.pop_front();
    }
  }
  ticket.PostEnd(std::move(status));
}

// Continues the oldest conversation by a chunk. All progress is in the cache, so a request of that
// conversation that comes first completes the rest in its own prefill.
void Engine::BackgroundStep() {
  Conversation conversation;
  {
    MutexLock lock(&mutex_);
    if (background_.empty()) return;
    conversation = std::move(background_.front());
    background_.pop_front();
  }
  const PrefixCache::Match match = cache_.Find(conversation.tenant_id, conversation.tokens);
  const int n_tokens = static_cast<int>(conversation.tokens.size());
  const int until = std::min(n_tokens, match.n_tokens + kBackgroundChunk);
  if (match.n_tokens == n_tokens) return;
  auto kv = std::make_shared<model::KvBuffer>(match.kv ? match.kv->Share(match.n_tokens)
                                                       : model::KvBuffer(model_->kv_shape(), 0));
  const std::span<const int32_t> all = conversation.tokens;
  model::Chunk chunk{.tokens = all.subspan(match.n_tokens, until - match.n_tokens),
                     .context = kv.get(),
                     .segments = {},
                     .logits = model::LogitsWanted::kNone};
  if (!model_->Forward(std::span(&chunk, 1)).ok()) return;
  std::vector<int32_t> done(all.begin(), all.begin() + until);
  const bool kept = cache_.Insert(conversation.tenant_id, std::move(done), std::move(kv));

  MutexLock lock(&mutex_);
  stats_.background_tokens += until - match.n_tokens;
  // Abandoned when the cache is too small for it.
  if (kept && until < n_tokens && background_enabled_) {
    background_.push_front(std::move(conversation));
  }
}

void Engine::PublishStats() {
  EngineStats stats;
  {
    MutexLock lock(&mutex_);
    stats_.running = static_cast<int>(running_.size());
    stats_.prefix_cache_bytes = cache_.size_bytes();
    stats_.prefix_cache_entries = cache_.n_entries();
    stats = stats_;
    stats.waiting = static_cast<int>(waiting_.size());
    stats.background = static_cast<int>(background_.size());
  }
  if (options_.stats_listener) options_.stats_listener(stats);
}

}  // namespace dki::engine
