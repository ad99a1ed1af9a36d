// SPDX-License-Identifier: Apache-2.0
// The engine's thread: who may run, and with how much K/V.
//
// Committed is what lives (pages, whoever holds them; memories of running requests) and what
// running requests will need for sure: the rest of their prompts and a page to write into. It never
// exceeds the budget. So a prompt, once admitted, is read without asking; only answers that outgrow
// their reservation can run into the limit. Two things make sure that all requests end: a request
// that runs alone fits (it would have been refused otherwise), and who gives its K/V up keeps its
// answer so far, so that every step brings some answer forward.
#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "libs/engine/engine.h"

namespace dki::engine {

int64_t Engine::CommittedBytes() const {
  int64_t bytes = *meter_;
  for (const TicketPtr& ticket : running_) {
    bytes += ticket->memory_bytes;
    bytes += page_bytes_ * std::max(0, ticket->reserved_pages - ticket->sequence.pages());
  }
  return bytes;
}

// Makes room for `bytes` more, at the cost of cached prefixes alone. False, and nothing is dropped,
// where that is not enough.
bool Engine::FreeRoom(int64_t bytes) {
  const int64_t missing = CommittedBytes() + bytes - options_.kv_cache_bytes;
  if (missing <= 0) return true;
  if (missing > cache_.UnusedBytes()) return false;
  while (CommittedBytes() + bytes > options_.kv_cache_bytes) {
    if (!cache_.EvictUnused()) return false;
  }
  return true;
}

void Engine::Admit() {
  while (static_cast<int>(running_.size()) < options_.max_running) {
    TicketPtr ticket;
    {
      MutexLock lock(&mutex_);
      if (waiting_.size() == 0) return;
      ticket = waiting_.Pop();
    }
    if (!StartIfItFits(ticket)) {
      // Nobody overtakes it, or it might wait for ever.
      MutexLock lock(&mutex_);
      waiting_.PushFront(ticket->context.tenant_id, ticket);
      waiting_.Leave(ticket->context.tenant_id);
      return;
    }
    const Ticket::Clock::time_point now = Ticket::Clock::now();
    ticket->due =
        now +
        std::chrono::duration_cast<Ticket::Clock::duration>(std::chrono::duration<double>(
            pacer_.SecondsPerToken(language_.config->n_layers) * ticket->sequence.TokensToRead()));
    if (!ticket->started) {
      ticket->started = true;
      ticket->admitted = now;
      ticket->PostStarted({ticket->sequence.usage(), ticket->sequence.Outcomes(), ticket->degraded,
                           ticket->sequence.input().modulated});
      MutexLock lock(&mutex_);
      stats_.cached_tokens += ticket->sequence.cached_tokens();
    }
    running_.push_back(std::move(ticket));
  }
}

bool Engine::StartIfItFits(const TicketPtr& ticket) {
  Sequence& sequence = ticket->sequence;
  sequence.Start(&cache_);  // what it shares now cannot be evicted
  ticket->reserved_pages = sequence.PagesToGoOn();
  const int missing_pages = std::max(0, ticket->reserved_pages - sequence.pages());
  if (FreeRoom(page_bytes_ * missing_pages + ticket->memory_bytes) || running_.empty()) return true;
  sequence.Preempt();
  return false;
}

void Engine::MakeRoomToWrite() {
  for (const TicketPtr& ticket : running_) {
    const int pages = ticket->sequence.pages() + ticket->sequence.PagesToWrite();
    ticket->reserved_pages = std::max(ticket->reserved_pages, pages);
  }
  while (running_.size() > 1 && !FreeRoom(0)) {
    std::map<std::string, int64_t> held;
    for (const TicketPtr& ticket : running_) {
      held[ticket->context.tenant_id] +=
          ticket->memory_bytes + page_bytes_ * ticket->sequence.pages();
    }
    const TicketPtr newest_of_heaviest =
        *std::ranges::max_element(running_, {}, [&](const TicketPtr& ticket) {
          return std::pair(held[ticket->context.tenant_id], ticket->submitted);
        });
    Preempt(newest_of_heaviest);
  }
  FreeRoom(0);
}

void Engine::Preempt(const TicketPtr& ticket) {
  StopReading(*ticket);
  ticket->sequence.Preempt();
  std::erase(running_, ticket);
  MutexLock lock(&mutex_);
  ++stats_.preempted;
  waiting_.PushFront(ticket->context.tenant_id, ticket);
  waiting_.Leave(ticket->context.tenant_id);
}

}  // namespace dki::engine
