// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/text_embedder.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace dki::retrieval {
namespace {

constexpr size_t kTextsPerTurn = 8;

}  // namespace

TextEmbedder::TextEmbedder(std::unique_ptr<model::Embedder> embedder, telemetry::Metrics* metrics)
    : embedder_(std::move(embedder)),
      seconds_(metrics->GetHistogram("dki_retrieval_embed_seconds",
                                     "Time of one turn at the embedder, without waiting.")),
      texts_(metrics->GetCounter("dki_retrieval_embedded_texts_total", "Texts embedded.")) {}

absl::StatusOr<std::vector<std::vector<float>>> TextEmbedder::Embed(
    const std::vector<std::string>& texts, const std::function<bool()>& is_cancelled) {
  std::vector<std::vector<float>> vectors;
  for (size_t begin = 0; begin < texts.size(); begin += kTextsPerTurn) {
    if (is_cancelled()) return Cancelled("the client cancelled the call");
    const size_t end = std::min(begin + kTextsPerTurn, texts.size());
    DKI_ASSIGN_OR_RETURN(auto some,
                         EmbedInTurn({texts.begin() + static_cast<std::ptrdiff_t>(begin),
                                      texts.begin() + static_cast<std::ptrdiff_t>(end)}));
    std::move(some.begin(), some.end(), std::back_inserter(vectors));
  }
  return vectors;
}

absl::StatusOr<std::vector<std::vector<float>>> TextEmbedder::EmbedInTurn(
    const std::vector<std::string>& texts) {
  // Ends the turn on every way out, an exception's too: the queue must never stand still.
  struct Turn {
    explicit Turn(TextEmbedder* owner) : owner(owner) {
      MutexLock lock(&owner->mutex_);
      const uint64_t ticket = owner->next_ticket_++;
      while (owner->turn_ != ticket) owner->turn_changed_.Wait(&owner->mutex_);
    }
    ~Turn() {
      MutexLock lock(&owner->mutex_);
      ++owner->turn_;
      owner->turn_changed_.NotifyAll();
    }
    TextEmbedder* owner;
  };
  const Turn turn(this);
  const auto start = std::chrono::steady_clock::now();
  auto vectors = embedder_->Embed(texts);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  seconds_->Observe(elapsed.count());
  texts_->Increment(static_cast<double>(texts.size()));
  return vectors;
}

}  // namespace dki::retrieval
