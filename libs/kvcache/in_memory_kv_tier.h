// SPDX-License-Identifier: Apache-2.0
// Purpose: the RAM tier: encoded blocks under a byte budget; on the heap, or in sealed memory, from
//   where another process of the host can have them without a copy.
// Thread-safety: thread-safe.
#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/kvcache/kv_tier.h"
#include "libs/kvcache/tier_budget.h"

namespace dki::kvcache {

class InMemoryKvTier : public KvTier {
 public:
  // The budget counts what the tables take, too. Up to `max_sealed` blocks lie in sealed memory,
  // each of which costs a file descriptor; those beyond, and those it cannot be had for, on the
  // heap.
  InMemoryKvTier(TierBudget::Options budget, const model::KvShape& shape, int64_t max_sealed = 0)
      : shape_(shape), max_sealed_(max_sealed), budget_(std::move(budget)) {}

  std::optional<TierHit> Get(const BlockIdentity& identity) override;
  std::optional<TierPlace> Find(const BlockIdentity& identity) const override;
  void Put(const StoredBlock& block) override;
  absl::Status Erase(const std::string& tenant_id, const std::string& memory_id) override;
  TierStats Stats() const override;
  int64_t DropExpired() override;
  std::vector<BlockInfo> List(const std::string& tenant_id,
                              const std::string& memory_id) const override;

 private:
  // Tenant and memory; with an empty memory, all of the tenant's blocks.
  using Owner = std::pair<std::string, std::string>;

  // The block as it is kept: sealed if it can be. `size`: as the budget counts it.
  StoredBlock ToKeep(const StoredBlock& block, int64_t size) const;
  void Drop(const std::string& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const model::KvShape shape_;
  const int64_t max_sealed_;
  mutable Mutex mutex_;
  TierBudget budget_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<std::string, StoredBlock> blocks_ ABSL_GUARDED_BY(mutex_);
  // Keys of the blocks that have a memory in their chain.
  std::map<Owner, std::set<std::string>> keys_of_ ABSL_GUARDED_BY(mutex_);
  int64_t n_sealed_ ABSL_GUARDED_BY(mutex_) = 0;
  TierStats stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::kvcache
