// SPDX-License-Identifier: Apache-2.0
// Purpose: which entry goes first. Policy apart from mechanism: a tier owns the entries, TierBudget
//   counts their bytes, this knows the order alone.
// Thread-safety: thread-compatible; the tier's lock guards it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "libs/base/clock.h"
#include "libs/base/status.h"

namespace dki::kvcache {

// What an entry takes, and what losing it costs.
struct Worth {
  int64_t size_bytes = 0;
  double recompute_seconds = 0;
  double alpha = 1;  // of `as_original` alone
  int priority = 0;  // [-100, 100]; of greedy_dual alone
};

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;
  virtual void OnInsert(const std::string& key, const Worth& worth) = 0;
  virtual void OnHit(const std::string& key) = 0;
  virtual void OnErase(const std::string& key) = 0;
  // The entry to lose next; it stays until OnErase. REQUIRES: there is one.
  virtual std::string Victim() = 0;
};

// GreedyDual-Size-Frequency (Cherkasova, HPL-98-69, 1998): rank = clock + frequency * cost / size;
// the clock rises to the rank of what was evicted, so that old popularity ages. Differences, found
// by replaying Mooncake's traces (tools/bench tiers --only policies): what goes is remembered by
// its uses, four times as many keys as there are entries, so that a block that comes back is known
// at once; and of the uses, up to eight, the cube counts, since most blocks are used once. An
// entry's priority p multiplies its cost by 2^(p / 20): 100 weighs as 32 times the recompute time,
// -100 as a 32nd.
std::unique_ptr<EvictionPolicy> MakeGreedyDualPolicy();
// Least recently used.
std::unique_ptr<EvictionPolicy> MakeLruPolicy();
// Least frequently used, the least recently used of those first. Nothing ages.
std::unique_ptr<EvictionPolicy> MakeLfuPolicy();
// The weighted score of the seeds' session cache, exactly: the smallest
// 0.4 * hits / 100 + 0.3 / (seconds since the last use + 1) + 0.3 * alpha goes. Its recency is gone
// after some seconds and it knows no size: for comparison. `clock` must outlive it.
std::unique_ptr<EvictionPolicy> MakeOriginalPolicy(const Clock* clock);

using PolicyFactory = std::function<std::unique_ptr<EvictionPolicy>()>;
// greedy_dual, lru, lfu or as_original. INVALID_ARGUMENT for another name.
absl::StatusOr<PolicyFactory> ParseEvictionPolicy(std::string_view name,
                                                  const Clock* clock = RealClock());

}  // namespace dki::kvcache
