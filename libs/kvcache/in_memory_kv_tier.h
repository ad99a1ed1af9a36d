// SPDX-License-Identifier: Apache-2.0
// Purpose: the RAM tier: encoded blocks under a byte budget.
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
  // The budget counts what the tables take, too.
  InMemoryKvTier(TierBudget::Options budget, const model::KvShape& shape)
      : shape_(shape), budget_(std::move(budget)) {}

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

  void Drop(const std::string& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const model::KvShape shape_;
  mutable Mutex mutex_;
  TierBudget budget_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<std::string, StoredBlock> blocks_ ABSL_GUARDED_BY(mutex_);
  // Keys of the blocks that have a memory in their chain.
  std::map<Owner, std::set<std::string>> keys_of_ ABSL_GUARDED_BY(mutex_);
  TierStats stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::kvcache
