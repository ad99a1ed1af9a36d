// SPDX-License-Identifier: Apache-2.0
#include "services/kv/tombstone_kv_tier.h"

#include <algorithm>

namespace dki::kv {

void TombstoneKvTier::Put(const kvcache::StoredBlock& block) {
  MutexLock lock(&mutex_);
  if (!IsDeleted(block)) tier_->Put(block);
}

absl::Status TombstoneKvTier::EraseForGood(const std::string& tenant_id,
                                           const std::string& memory_id) {
  {
    MutexLock lock(&mutex_);
    if (tombstones_.insert({tenant_id, memory_id}).second) {
      oldest_.push_back({tenant_id, memory_id});
    }
    if (oldest_.size() > max_tombstones_) {
      tombstones_.erase(oldest_.front());
      oldest_.pop_front();
    }
  }
  return tier_->Erase(tenant_id, memory_id);
}

void TombstoneKvTier::ReviveTenant(const std::string& tenant_id) {
  MutexLock lock(&mutex_);
  if (tombstones_.erase({tenant_id, ""}) > 0) std::erase(oldest_, Tombstone{tenant_id, ""});
}

bool TombstoneKvTier::IsDeleted(const kvcache::StoredBlock& block) const {
  const std::string& tenant = block.identity.tenant_id;
  if (tombstones_.contains({tenant, ""})) return true;
  return std::ranges::any_of(block.chain_memory_ids, [&](const std::string& id) {
    return tombstones_.contains({tenant, id});
  });
}

}  // namespace dki::kv
