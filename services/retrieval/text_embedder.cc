// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/text_embedder.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace dki::retrieval {
namespace {

constexpr size_t kTextsOfPiece = 8;  // what a call may put into the queue at once
constexpr size_t kTextsOfTurn = 16;  // of several pieces

}  // namespace

TextEmbedder::TextEmbedder(std::unique_ptr<model::Embedder> embedder, telemetry::Metrics* metrics)
    : embedder_(std::move(embedder)),
      seconds_(metrics->GetHistogram("dki_retrieval_embed_seconds",
                                     "Time of one turn at the embedder, without waiting.")),
      texts_(metrics->GetCounter("dki_retrieval_embedded_texts_total", "Texts embedded.")),
      waiting_texts_(metrics->GetGauge("dki_retrieval_embed_waiting_texts",
                                       "Texts that wait for the embedder.")) {}

absl::StatusOr<std::vector<std::vector<float>>> TextEmbedder::Embed(
    const std::vector<std::string>& texts, const std::function<bool()>& is_cancelled) {
  std::vector<std::vector<float>> vectors;
  for (size_t begin = 0; begin < texts.size(); begin += kTextsOfPiece) {
    if (is_cancelled()) return Cancelled("the client cancelled the call");
    const size_t end = std::min(begin + kTextsOfPiece, texts.size());
    Piece piece{.texts = {texts.begin() + static_cast<std::ptrdiff_t>(begin),
                          texts.begin() + static_cast<std::ptrdiff_t>(end)},
                .vectors = Internal("the embedder failed")};
    EmbedInTurn(&piece);
    DKI_RETURN_IF_ERROR(piece.vectors.status());
    std::move(piece.vectors->begin(), piece.vectors->end(), std::back_inserter(vectors));
  }
  return vectors;
}

void TextEmbedder::EmbedInTurn(Piece* piece) {
  MutexLock lock(&mutex_);
  waiting_.push_back(piece);
  n_waiting_texts_ += piece->texts.size();
  waiting_texts_->Set(static_cast<double>(n_waiting_texts_));
  while (!piece->done) {
    if (busy_) {
      turn_ended_.Wait(&mutex_);
    } else {
      TakeTurn();
    }
  }
}

// The embedder, without the lock. Ends on every way out, an exception's too: the queue must never
// stand still.
class TextEmbedder::Turn {
 public:
  Turn(TextEmbedder* owner, const std::vector<Piece*>* pieces) ABSL_NO_THREAD_SAFETY_ANALYSIS
      : owner_(owner),
        pieces_(pieces) {
    owner_->busy_ = true;
    owner_->mutex_.Unlock();
  }
  ~Turn() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    owner_->mutex_.Lock();
    owner_->busy_ = false;
    for (Piece* piece : *pieces_) piece->done = true;
    owner_->turn_ended_.NotifyAll();
  }

 private:
  TextEmbedder* const owner_;
  const std::vector<Piece*>* const pieces_;
};

void TextEmbedder::TakeTurn() {
  std::vector<Piece*> pieces;
  size_t n_texts = 0;
  while (!waiting_.empty() &&
         (pieces.empty() || n_texts + waiting_.front()->texts.size() <= kTextsOfTurn)) {
    n_texts += waiting_.front()->texts.size();
    pieces.push_back(waiting_.front());
    waiting_.pop_front();
  }
  n_waiting_texts_ -= n_texts;
  waiting_texts_->Set(static_cast<double>(n_waiting_texts_));
  const Turn turn(this, &pieces);
  EmbedTogether(pieces);
}

void TextEmbedder::EmbedTogether(const std::vector<Piece*>& pieces) {
  std::vector<std::string> texts;
  for (const Piece* piece : pieces)
    texts.insert(texts.end(), piece->texts.begin(), piece->texts.end());
  const auto start = std::chrono::steady_clock::now();
  auto vectors = embedder_->Embed(texts);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  seconds_->Observe(elapsed.count());
  texts_->Increment(static_cast<double>(texts.size()));
  size_t first = 0;
  for (Piece* piece : pieces) {
    if (!vectors.ok()) {
      piece->vectors = vectors.status();
      continue;
    }
    const auto begin = vectors->begin() + static_cast<std::ptrdiff_t>(first);
    first += piece->texts.size();
    const auto end = vectors->begin() + static_cast<std::ptrdiff_t>(first);
    piece->vectors = std::vector<std::vector<float>>(std::make_move_iterator(begin),
                                                     std::make_move_iterator(end));
  }
}

}  // namespace dki::retrieval
