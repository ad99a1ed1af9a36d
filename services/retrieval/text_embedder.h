// SPDX-License-Identifier: Apache-2.0
// Purpose: lets many calls share the one embedder, in the order in which they come and a few texts
//   at a time, so that a question never waits for a long import. Those that wait together are
//   embedded together: a batch takes much less time than its texts one by one.
// Thread-safety: thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/model/embedder.h"
#include "libs/telemetry/metrics.h"

namespace dki::retrieval {

class TextEmbedder {
 public:
  TextEmbedder(std::unique_ptr<model::Embedder> embedder, telemetry::Metrics* metrics);

  int dimension() const { return embedder_->dimension(); }
  const std::string& fingerprint() const { return embedder_->fingerprint(); }

  // Unit vectors, in order. CANCELLED when `is_cancelled` says so between two batches.
  absl::StatusOr<std::vector<std::vector<float>>> Embed(const std::vector<std::string>& texts,
                                                        const std::function<bool()>& is_cancelled);

 private:
  // A few texts of one call, waiting for their turn.
  struct Piece {
    std::vector<std::string> texts;
    absl::StatusOr<std::vector<std::vector<float>>> vectors;
    bool done = false;
  };

  class Turn;

  // Returns when the piece is done: by this thread, or by another one's turn.
  void EmbedInTurn(Piece* piece);
  // Takes a turn with the pieces at the head of the queue, if they are not too many.
  void TakeTurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Embeds the pieces' texts together, without the lock.
  void EmbedTogether(const std::vector<Piece*>& pieces);

  const std::unique_ptr<model::Embedder> embedder_;
  telemetry::Histogram* const seconds_;
  telemetry::Counter* const texts_;
  telemetry::Gauge* const waiting_texts_;

  Mutex mutex_;
  CondVar turn_ended_;
  std::deque<Piece*> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t n_waiting_texts_ ABSL_GUARDED_BY(mutex_) = 0;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace dki::retrieval
