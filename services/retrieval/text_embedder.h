// SPDX-License-Identifier: Apache-2.0
// Purpose: lets many calls share the one embedder, in the order in which they come and a few texts
//   at a time, so that a question never waits for a long import.
// Thread-safety: thread-safe.
#pragma once

#include <cstdint>
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
  absl::StatusOr<std::vector<std::vector<float>>> EmbedInTurn(
      const std::vector<std::string>& texts);

  const std::unique_ptr<model::Embedder> embedder_;
  telemetry::Histogram* const seconds_;
  telemetry::Counter* const texts_;

  // Tickets make the queue fair; std::mutex alone would let a long call take every turn.
  Mutex mutex_;
  CondVar turn_changed_;
  uint64_t next_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t turn_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dki::retrieval
