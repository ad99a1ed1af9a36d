// SPDX-License-Identifier: Apache-2.0
// Purpose: the blocks of a pack, each from the fastest tier that has it, or computed from text and
//   then kept. Blocks that nobody has, or whose tier is so slow that computing is cheaper (P6), are
//   computed several in one forward pass.
// Thread-safety: thread-safe. Ownership: owns none of its parts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/status.h"
#include "libs/injection/block_maker.h"
#include "libs/injection/pack_plan.h"
#include "libs/kvcache/cost_model.h"
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
  kvcache::BlockBytes bytes;  // encoded; null: not there yet
  absl::Duration load_time;   // measured, whichever way it came
  // What the cost model made of the block when the pack was asked for.
  kvcache::PathChoice choice = {};
  bool had_choice = false;  // a tier was known to have it
};

class PackLoader {
 public:
  struct Options {
    // Of one forward pass: how long cancellation and more urgent work may have to wait.
    int max_tokens_per_pass = 512;
    size_t context_cache_bytes = size_t{64} << 20;
    // Of one pack, from tiers other than RAM.
    int parallel_reads = 4;
    // Decides whether stored blocks are loaded or recomputed; null: always loaded.
    kvcache::CostModel* costs = nullptr;
    const Clock* clock = RealClock();
    // What blocks are kept in, and from what loss on a block is kept in a better one.
    kernels::KvFormat block_format = kernels::KvFormat::kF32;
    injection::DriftOptions drift = {};
  };
  // Takes the blocks in the pack's order, each as soon as it is there.
  using Sink = std::function<absl::Status(const injection::PlannedBlock&, const LoadedBlock&)>;

  PackLoader(model::Model* model, const model::ChatFormat* format, kvcache::KvTier* tier,
             telemetry::Metrics* metrics, Options options);

  // OUT_OF_RANGE when the pack does not fit the model's window; what `go_on` or `sink` say.
  absl::Status Load(const PackRequest& request, Urgency urgency, const GoOn& go_on,
                    const Sink& sink);

  // Computes the context of the configured system prompt, as most packs will need it, and so learns
  // how fast this machine computes. Once, before anything is served.
  absl::Status WarmUp();

  kernels::KvFormat block_format() const { return options_.block_format; }
  // Blocks computed since start.
  int64_t n_computed() const { return static_cast<int64_t>(computed_->value()); }

 private:
  class Job;

  void CountChoice(const kvcache::PathChoice& choice) const;
  void CountOutcome(absl::Duration estimate, absl::Duration measured) const;
  void Count(const injection::MadeBlock& made);
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
  telemetry::Counter* const chosen_load_;
  telemetry::Counter* const chosen_recompute_;
  telemetry::Counter* const explored_;
  telemetry::Counter* const estimated_seconds_;
  telemetry::Counter* const measured_seconds_;
  telemetry::Metrics* const metrics_;
  ComputeTurn turn_;
  // Guarded by the turn.
  ContextCache contexts_;
  injection::BlockMaker maker_;
};

}  // namespace dki::kv
