// SPDX-License-Identifier: Apache-2.0
// The engine's thread: endings, and work in the background.
#include <algorithm>
#include <utility>

#include "libs/engine/engine.h"

namespace dki::engine {
namespace {

// Small, because a request that arrives meanwhile waits for it.
constexpr int kBackgroundChunk = 32;
constexpr size_t kMaxBackground = 64;  // the oldest conversations are abandoned

}  // namespace

void Engine::Loop() {
  while (AwaitWork()) {
    DropAsked();
    Admit();
    Sweep();
    if (running_.empty()) {
      BackgroundStep();
    } else {
      Step();
    }
    PublishStats();
  }
  std::deque<TicketPtr> all(running_.begin(), running_.end());
  {
    MutexLock lock(&mutex_);
    const std::deque<TicketPtr> waiting = waiting_.All();
    all.insert(all.end(), waiting.begin(), waiting.end());
  }
  for (const TicketPtr& ticket : all) End(*ticket, Unavailable("generation is shutting down"));
  MutexLock lock(&mutex_);
  for (auto& [tenant_id, waiter] : drops_) waiter.set_value(0);
}

// Nothing of the tenant's comes back: what waits or runs keeps nothing, what was to be encoded is
// not.
void Engine::DropAsked() {
  std::vector<std::pair<std::string, std::promise<int64_t>>> drops;
  std::deque<TicketPtr> tickets(running_.begin(), running_.end());
  {
    MutexLock lock(&mutex_);
    if (drops_.empty()) return;
    drops.swap(drops_);
    for (const TicketPtr& ticket : waiting_.All()) tickets.push_back(ticket);
    for (const auto& [tenant_id, waiter] : drops) {
      std::erase_if(background_, [&id = tenant_id](const Conversation& conversation) {
        return conversation.tenant_id == id;
      });
    }
  }
  for (auto& [tenant_id, waiter] : drops) {
    for (const TicketPtr& ticket : tickets) {
      if (ticket->context.tenant_id == tenant_id) ticket->sequence.Forget();
    }
    waiter.set_value(cache_.DropTenant(tenant_id));
  }
}

bool Engine::AwaitWork() {
  MutexLock lock(&mutex_);
  while (!stopping_ && waiting_.size() == 0 && running_.empty() && background_.empty() &&
         drops_.empty()) {
    idle_ = true;
    changed_.NotifyAll();
    changed_.Wait(&mutex_);
  }
  idle_ = false;
  return !stopping_;
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
  std::erase_if(running_, [this](const TicketPtr& ticket) {
    if (!EndIfUnwanted(*ticket)) return false;
    MutexLock lock(&mutex_);
    waiting_.Leave(ticket->context.tenant_id);
    return true;
  });
  std::deque<TicketPtr> waiting, dropped;
  {
    MutexLock lock(&mutex_);
    while (static_cast<int>(waiting_.size()) > options_.max_waiting) {
      std::optional<TicketPtr> newest =
          waiting_.DropNewestOfLongest(1, [](const TicketPtr& ticket) { return !ticket->started; });
      if (!newest) break;
      ++stats_.rejected;
      dropped.push_back(*std::move(newest));
    }
    waiting = waiting_.All();
  }
  for (const TicketPtr& ticket : dropped) {
    End(*ticket, ResourceExhausted("max_waiting requests are waiting, most of them this tenant's"));
  }
  for (const TicketPtr& ticket : waiting) {
    if (!EndIfUnwanted(*ticket)) continue;
    MutexLock lock(&mutex_);
    waiting_.Erase(ticket);
  }
}

void Engine::End(Ticket& ticket, absl::Status status) {
  Sequence& sequence = ticket.sequence;
  StopReading(ticket);
  sequence.Keep(&cache_);
  sequence.Release();
  const bool cancelled = sequence.finish_reason() == "cancelled";
  std::optional<Conversation> next;
  if (status.ok() && !cancelled && !sequence.input().continuation && !sequence.input().is_probe &&
      !sequence.is_forgotten()) {
    absl::StatusOr<std::vector<int32_t>> tokens =
        RenderNextHistory(language_, sequence.input().prompt, sequence.answer_text());
    if (tokens.ok() && static_cast<int>(tokens->size()) <= language_.config->context_length) {
      next = Conversation{ticket.context.tenant_id, *std::move(tokens)};
    }
  }
  {
    MutexLock lock(&mutex_);
    if (cancelled) ++stats_.cancelled;
    if (ticket.started) {
      const double seconds =
          std::chrono::duration<double>(Ticket::Clock::now() - ticket.admitted).count();
      mean_request_seconds_ = 0.9 * mean_request_seconds_ + 0.1 * seconds;
    }
    if (next && background_enabled_) {
      background_.push_back(*std::move(next));
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
  const std::span<const int32_t> all = conversation.tokens;
  PrefixCache::Match match = cache_.Find(conversation.tenant_id, all);
  const int begin = match.n_tokens;
  const int end = std::min(static_cast<int>(all.size()), begin + kBackgroundChunk);
  if (begin == end) return;
  model::KvBuffer kv(model_->kv_shape(), std::move(match.pages), begin, meter_);
  if (!FreeRoom(page_bytes_ * kv.PagesToReserve(end))) return;
  model::Chunk chunk{.tokens = all.subspan(begin, end - begin),
                     .context = &kv,
                     .segments = {},
                     .logits = model::LogitsWanted::kNone};
  if (!model_->Forward(std::span(&chunk, 1)).ok()) return;
  cache_.Insert(conversation.tenant_id, all.first(end), kv);
  // Abandoned when the cache is too small for it.
  const bool kept = cache_.Find(conversation.tenant_id, all).n_tokens >= end;

  MutexLock lock(&mutex_);
  stats_.background_tokens += end - begin;
  if (kept && end < static_cast<int>(all.size()) && background_enabled_) {
    background_.push_front(std::move(conversation));
  }
}

// A pass that has begun is abandoned; the others in it begin again.
void Engine::StopReading(const Ticket& ticket) {
  if (reading_ != nullptr && std::ranges::count(reading_->owners, &ticket) > 0) reading_ = nullptr;
}

void Engine::PublishStats() {
  EngineStats stats;
  {
    MutexLock lock(&mutex_);
    stats_.running = static_cast<int>(running_.size());
    stats_.kv_bytes = *meter_;
    for (const TicketPtr& ticket : running_) stats_.kv_bytes += ticket->memory_bytes;
    stats_.kv_reserved_bytes = CommittedBytes();
    stats_.prefix_cache_bytes = cache_.size_bytes();
    stats_.prefix_cache_pages = cache_.n_pages();
    stats = stats_;
    stats.waiting = static_cast<int>(waiting_.size());
    stats.background = static_cast<int>(background_.size());
  }
  if (options_.stats_listener) options_.stats_listener(stats);
}

}  // namespace dki::engine
