// SPDX-License-Identifier: Apache-2.0
// Purpose: the blocks of a pack, each from the fastest tier that has it, or computed from text and
//   then kept. Blocks that nobody has are computed several in one forward pass.
// Thread-safety: thread-safe. Ownership: owns none of its parts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "libs/base/status.h"
#include "libs/injection/pack_plan.h"
#include "libs/kvcache/kv_tier.h"
#include "libs/model/chat_format.h"
#include "libs/model/model.h"
#include "libs/telemetry/metrics.h"
#include "services/kv/compute_turn.h"
#include "services/kv/context_cache.h"
#include "services/kv/pack_request.h"

namespace dki::kv {

enum class BlockOrigin { kRam, kDisk, kRemote, kComputed };

struct LoadedBlock {
  BlockOrigin origin = BlockOrigin::kComputed;
  std::shared_ptr<const std::string> bytes;  // encoded; null: not there yet
  absl::Duration load_time;
};

class PackLoader {
 public:
  struct Options {
    // Of one forward pass: how long cancellation and more urgent work may have to wait.
    int max_tokens_per_pass = 512;
    size_t context_cache_bytes = size_t{64} << 20;
  };
  // Takes the blocks in the pack's order, each as soon as it is there.
  using Sink = std::function<absl::Status(const injection::PlannedBlock&, const LoadedBlock&)>;

  PackLoader(model::Model* model, const model::ChatFormat* format, kvcache::KvTier* tier,
             telemetry::Metrics* metrics, Options options);

  // OUT_OF_RANGE when the pack does not fit the model's window; what `go_on` or `sink` say.
  absl::Status Load(const PackRequest& request, Urgency urgency, const GoOn& go_on,
                    const Sink& sink);

  // Blocks computed since start.
  int64_t n_computed() const { return static_cast<int64_t>(computed_->value()); }

 private:
  class Job;

  telemetry::Counter* CounterOf(kvcache::TierName tier) const;

  model::Model* const model_;
  const model::ChatFormat* const format_;
  kvcache::KvTier* const tier_;
  const Options options_;
  telemetry::Counter* const ram_hits_;
  telemetry::Counter* const disk_hits_;
  telemetry::Counter* const remote_hits_;
  telemetry::Counter* const computed_;
  telemetry::Counter* const computed_tokens_;
  telemetry::Histogram* const compute_seconds_;
  ComputeTurn turn_;
  ContextCache contexts_;  // guarded by the turn
};

}  // namespace dki::kv
