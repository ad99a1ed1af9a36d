// SPDX-License-Identifier: Apache-2.0
// Purpose: load a stored block or compute it again: which is cheaper now (P6)? Learns from what is
//   measured, newer measurements counting more:
//     load       of each tier: latency + time per byte
//     recompute  of tokens in one forward pass: time per pass, per token, and per token and token
//                of context that it attends to
//   The choice is for a pack as a whole: where something is computed anyway, a further block costs
//   no further pass.
//   What is not chosen is not measured. So from time to time one block goes the way that looks
//   worse, and while that turns out better than thought, so do the next ones: the model finds out
//   that a slow disk has become fast again.
//   Whatever is chosen, the bytes are the same (P11).
// Thread-safety: thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/kvcache/decayed_fit.h"
#include "libs/kvcache/kv_tier.h"

namespace dki::kvcache {

// Where a block lies, by the tier's tables alone: nothing is read or verified.
struct CostedBlock {
  std::optional<TierName> tier = std::nullopt;  // nothing: nobody has it, it will be computed
  int64_t bytes = 0;                            // encoded
  int n_tokens = 0;
  int n_before = 0;  // tokens that it attends to
};

enum class LoadPath { kLoad, kRecompute };

struct PathChoice {
  LoadPath path = LoadPath::kLoad;
  // Negative: not known yet.
  absl::Duration load_estimate = -absl::Seconds(1);
  absl::Duration recompute_estimate = -absl::Seconds(1);
  bool explores = false;  // to learn, against the estimates
};

class CostModel {
 public:
  struct Options {
    // A measurement counts half as much after so many later ones, and after so much time.
    double half_life_count = 8;
    absl::Duration half_life = absl::Seconds(15);
    // A tier whose blocks are recomputed is tried again this long after it was last read.
    absl::Duration explore_after = absl::Seconds(20);
    // Of all estimated work, recomputing must save this share, and at least so much time: estimates
    // are not better than that, and the model's time is wanted elsewhere.
    double least_gain = 0.05;
    absl::Duration least_gain_time = absl::Microseconds(500);
    const Clock* clock = RealClock();
  };
  CostModel() : CostModel(Options()) {}
  explicit CostModel(const Options& options) : options_(options) {}

  // Measured: a block was found, read and verified.
  void ObserveLoad(TierName tier, int64_t bytes, absl::Duration time);
  // Measured: one forward pass over `blocks`' tokens.
  void ObserveCompute(std::span<const CostedBlock> blocks, absl::Duration time);

  // One for each block, in order. Until a way has been measured, blocks are loaded.
  std::vector<PathChoice> Choose(std::span<const CostedBlock> blocks);

  // Nothing: not measured yet.
  std::optional<absl::Duration> EstimateLoad(TierName tier, int64_t bytes) const;
  // Of one pass over these.
  std::optional<absl::Duration> EstimateCompute(std::span<const CostedBlock> blocks) const;

 private:
  static constexpr int kTiers = 3;
  struct Tier {
    DecayedFit<2> fit;
    absl::Time measured = absl::InfinitePast();
    absl::Time explored = absl::InfinitePast();
    bool promising = false;  // the last measurement was far better than the estimate
  };

  Tier& TierOf(TierName name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return tiers_[static_cast<int>(name)];
  }
  const Tier& TierOf(TierName name) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return tiers_[static_cast<int>(name)];
  }
  double Keep(absl::Time* measured) const;
  // Seconds. REQUIRES: measured.
  double LoadSeconds(const CostedBlock& block) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  double PassSeconds() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  double TokenSeconds(const CostedBlock& block) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  std::array<Tier, kTiers> tiers_ ABSL_GUARDED_BY(mutex_);
  DecayedFit<3> compute_ ABSL_GUARDED_BY(mutex_);
  absl::Time computed_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace dki::kvcache
