// SPDX-License-Identifier: Apache-2.0
// The engine's thread: one step of the model for all that run.
//
// Answers grow by a token each. Prompts are read in pieces: alone, a whole piece at once; beside
// answers, some layers of a piece, so that the answers go on (prefill_pacer.h). A piece may belong
// to several requests.
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

double SecondsSince(Ticket::Clock::time_point from) {
  return std::chrono::duration<double>(Ticket::Clock::now() - from).count();
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
  Work step;
  for (int i = 0; i < n_writing; ++i) step.Add(order[i], 0);
  absl::Status status;
  if (reading_ == nullptr) {
    auto reading = std::make_unique<Work>();
    int budget = pacer_.Tokens(n_writing > 0);
    for (size_t i = n_writing; i < order.size() && budget > 0; ++i) {
      // Attention shares are counted row by row and once, so those rows never go half-way.
      const bool counted = order[i]->sequence.next_chunk_counts();
      budget -= (counted || n_writing == 0 ? step : *reading).Add(order[i], budget);
    }
    if (!reading->chunks.empty()) {
      absl::StatusOr<std::unique_ptr<model::LayeredForward>> pass =
          model_->StartForward(reading->chunks);
      status = pass.status();
      if (pass.ok()) reading->pass = *std::move(pass);
      reading_ = std::move(reading);
    }
  }
  if (status.ok()) status = RunStep(n_writing, &step);
  if (status.ok() && reading_ != nullptr) ReadOn(n_writing);
  if (!status.ok()) {
    // Input was checked before, so this is a failure of the whole step.
    reading_ = nullptr;
    for (const TicketPtr& ticket : running_) ticket->failure = Annotate(status, "forward");
  }
  std::erase_if(running_, [this](const TicketPtr& ticket) {
    if (ticket->failure.ok() && ticket->sequence.finish_reason().empty()) return false;
    End(*ticket, ticket->failure);
    MutexLock lock(&mutex_);
    waiting_.Leave(ticket->context.tenant_id);
    return true;
  });
}

int Engine::Work::Add(Ticket* ticket, int budget) {
  const int before = budget;
  std::optional<model::Chunk> chunk = ticket->sequence.NextChunk(&budget);
  if (!chunk) return 0;
  chunks.push_back(*std::move(chunk));
  owners.push_back(ticket);
  n_tokens += static_cast<int>(chunks.back().tokens.size());
  return before - budget;
}

absl::Status Engine::RunStep(int n_writing, Work* step) {
  if (step->chunks.empty()) return absl::OkStatus();
  const Ticket::Clock::time_point began = Ticket::Clock::now();
  DKI_ASSIGN_OR_RETURN(const std::vector<float> logits, model_->Forward(step->chunks));
  const double seconds = SecondsSince(began);
  const int n_read = step->n_tokens - n_writing;
  if (n_read == 0) pacer_.ObserveAnswers(n_writing, seconds);
  if (n_writing == 0) pacer_.ObserveLayers(n_read, language_.config->n_layers, seconds);
  {
    MutexLock lock(&mutex_);
    stats_.decode_tokens += n_writing;
    stats_.prefill_tokens += n_read;
    (n_read > 0 ? stats_.prefill_seconds : stats_.decode_seconds) += seconds;
  }
  Absorb(*step, logits);
  return absl::OkStatus();
}

// As much of the piece as there is time for; all of it when nobody writes.
void Engine::ReadOn(int n_writing) {
  const int left = reading_->pass->layers_left();
  const int n_layers =
      n_writing == 0 ? left : std::min(left, pacer_.Layers(n_writing, reading_->n_tokens));
  const Ticket::Clock::time_point began = Ticket::Clock::now();
  reading_->pass->Run(n_layers);
  const double seconds = SecondsSince(began);
  pacer_.ObserveLayers(reading_->n_tokens, n_layers, seconds);
  const bool done = reading_->pass->layers_left() == 0;
  {
    MutexLock lock(&mutex_);
    stats_.prefill_seconds += seconds;
    if (done) stats_.prefill_tokens += reading_->n_tokens;
  }
  if (!done) return;
  const std::unique_ptr<Work> reading = std::move(reading_);
  Absorb(*reading, reading->pass->Finish());
}

void Engine::Absorb(const Work& work, std::span<const float> logits) {
  // Rows are as long as the vocabulary: the sequences read theirs at the same time.
  std::vector<std::pair<size_t, std::span<const float>>> read;
  for (size_t i = 0; i < work.chunks.size(); ++i) {
    const size_t n_floats = LogitRows(work.chunks[i]) * language_.config->vocab_size;
    if (n_floats > 0) read.emplace_back(i, logits.first(n_floats));
    logits = logits.subspan(n_floats);
  }
  model_->ForEach(static_cast<int>(read.size()), [&](int r) {
    const auto& [i, rows] = read[r];
    work.owners[i]->sequence.ReadLogits(work.chunks[i], rows);
  });
  for (size_t i = 0; i < work.chunks.size(); ++i) {
    const model::Chunk& chunk = work.chunks[i];
    Ticket& ticket = *work.owners[i];
    const bool was_writing = ticket.sequence.writing();
    const bool was_prefilling = ticket.sequence.prefilling();
    const std::string text = ticket.sequence.Absorb(chunk, &cache_);
    if (was_prefilling && !ticket.sequence.prefilling()) ticket.prefilled = Ticket::Clock::now();
    ticket.PostText(text);
    MutexLock lock(&mutex_);
    waiting_.Charge(ticket.context.tenant_id,
                    static_cast<double>(chunk.tokens.size()) *
                        (was_writing ? kAnswerTokenCost : kPromptTokenCost));
  }
}

}  // namespace dki::engine
