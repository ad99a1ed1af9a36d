// SPDX-License-Identifier: Apache-2.0
// Purpose: which entry of a tier goes first. Policy apart from mechanism: the tier owns the
// entries, this the order. Thread-safety: thread-compatible; the tier's lock guards it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "libs/base/status.h"

namespace dki::kvcache {

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;
  // `recompute_seconds` is what losing the entry costs.
  virtual void OnInsert(const std::string& key, int64_t size_bytes, double recompute_seconds) = 0;
  virtual void OnHit(const std::string& key) = 0;
  virtual void OnErase(const std::string& key) = 0;
  // The entry to lose next; it stays until OnErase. REQUIRES: there is one.
  virtual std::string Victim() = 0;
};

// GreedyDual-Size-Frequency (Cherkasova, HPL-98-69, 1998): priority = clock + frequency * cost /
// size; the clock rises to the priority of what was evicted, so that old popularity ages.
std::unique_ptr<EvictionPolicy> MakeGreedyDualPolicy();
// Least recently used.
std::unique_ptr<EvictionPolicy> MakeLruPolicy();

}  // namespace dki::kvcache
