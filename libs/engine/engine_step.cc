// SPDX-License-Identifier: Apache-2.0
// The engine's thread: one step of the model for all that run.
#include <algorithm>
#include <utility>

#include "libs/engine/engine.h"

namespace dki::engine {
namespace {

// What a token counts in the shares of tenants; answers keep a place in the batch for longer.
constexpr double kPromptTokenCost = 1.0;
constexpr double kAnswerTokenCost = 2.0;

size_t LogitRows(const model::Chunk& chunk) {
  switch (chunk.logits) {
    case model::LogitsWanted::kNone:
      return 0;
    case model::LogitsWanted::kLast:
      return 1;
    case model::LogitsWanted::kAll:
      break;
  }
  return chunk.tokens.size();
}

}  // namespace

// First those that write, then those that read, by when they would be done if each had the machine
// for itself from its admission on: a short prompt overtakes a long one, but not for ever.
std::vector<Ticket*> Engine::StepOrder(int* n_writing) const {
  std::vector<Ticket*> order;
  for (const TicketPtr& ticket : running_) order.push_back(ticket.get());
  const auto reading = std::stable_partition(
      order.begin(), order.end(), [](const Ticket* ticket) { return ticket->sequence.writing(); });
  *n_writing = static_cast<int>(reading - order.begin());
  std::stable_sort(reading, order.end(),
                   [](const Ticket* a, const Ticket* b) { return a->due < b->due; });
  return order;
}

void Engine::Step() {
  MakeRoomToWrite();
  int n_writing = 0;
  const std::vector<Ticket*> order = StepOrder(&n_writing);
  int budget = pacer_.Budget(n_writing);
  std::vector<model::Chunk> chunks;
  std::vector<Ticket*> owners;
  for (Ticket* ticket : order) {
    std::optional<model::Chunk> chunk = ticket->sequence.NextChunk(&budget);
    if (!chunk) continue;
    chunks.push_back(*std::move(chunk));
    owners.push_back(ticket);
  }

  const Ticket::Clock::time_point began = Ticket::Clock::now();
  const absl::StatusOr<std::vector<float>> logits = model_->Forward(chunks);
  const double seconds = std::chrono::duration<double>(Ticket::Clock::now() - began).count();
  if (!logits.ok()) {
    // Input was checked before, so this is a failure of the whole step.
    for (const TicketPtr& ticket : running_) End(*ticket, Annotate(logits.status(), "forward"));
    MutexLock lock(&mutex_);
    for (const TicketPtr& ticket : running_) waiting_.Leave(ticket->context.tenant_id);
    running_.clear();
    return;
  }
  int prompt_tokens = 0;
  for (size_t i = n_writing; i < chunks.size(); ++i) {
    prompt_tokens += static_cast<int>(chunks[i].tokens.size());
  }
  pacer_.Observe(prompt_tokens, n_writing, seconds);
  {
    MutexLock lock(&mutex_);
    stats_.prefill_tokens += prompt_tokens;
    stats_.decode_tokens += n_writing;
    (prompt_tokens > 0 ? stats_.prefill_seconds : stats_.decode_seconds) += seconds;
    for (size_t i = 0; i < chunks.size(); ++i) {
      const bool writing = static_cast<int>(i) < n_writing;
      waiting_.Charge(owners[i]->context.tenant_id,
                      static_cast<double>(chunks[i].tokens.size()) *
                          (writing ? kAnswerTokenCost : kPromptTokenCost));
    }
  }

  std::span<const float> rest(*logits);
  for (size_t i = 0; i < chunks.size(); ++i) {
    const size_t n_floats = LogitRows(chunks[i]) * language_.config->vocab_size;
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
    MutexLock lock(&mutex_);
    waiting_.Leave(ticket->context.tenant_id);
    return true;
  });
}

}  // namespace dki::engine
