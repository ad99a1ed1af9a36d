// SPDX-License-Identifier: Apache-2.0
// Purpose: keeps what was deleted from coming back: a block that was being computed while one of
//   its memories was deleted is not admitted any more (P7). Remembers the newest deletions; memory
//   ids are never used again.
// Thread-safety: thread-safe. Ownership: the tier must outlive it.
#pragma once

#include <deque>
#include <set>
#include <string>
#include <utility>

#include "libs/base/mutex.h"
#include "libs/kvcache/kv_tier.h"

namespace dki::kv {

class TombstoneKvTier : public kvcache::KvTier {
 public:
  TombstoneKvTier(kvcache::KvTier* tier, size_t max_tombstones)
      : tier_(tier), max_tombstones_(max_tombstones) {}

  std::optional<kvcache::TierHit> Get(const kvcache::BlockIdentity& identity) override {
    return tier_->Get(identity);
  }
  std::optional<kvcache::TierPlace> Find(const kvcache::BlockIdentity& identity) const override {
    return tier_->Find(identity);
  }
  std::vector<std::optional<kvcache::TierPlace>> Locate(
      std::span<const kvcache::BlockIdentity> identities) const override {
    return tier_->Locate(identities);
  }
  void Put(const kvcache::StoredBlock& block) override;
  // The memory lives on (a new version): nothing is remembered.
  absl::Status Erase(const std::string& tenant_id, const std::string& memory_id) override {
    return tier_->Erase(tenant_id, memory_id);
  }
  kvcache::TierStats Stats() const override { return tier_->Stats(); }
  int64_t DropExpired() override { return tier_->DropExpired(); }
  std::vector<kvcache::BlockInfo> List(const std::string& tenant_id,
                                       const std::string& memory_id) const override {
    return tier_->List(tenant_id, memory_id);
  }

  // The memory (or with an empty id the tenant) is gone.
  absl::Status EraseForGood(const std::string& tenant_id, const std::string& memory_id);
  // A tenant of that name exists again.
  void ReviveTenant(const std::string& tenant_id);

 private:
  using Tombstone = std::pair<std::string, std::string>;  // tenant, memory
  bool IsDeleted(const kvcache::StoredBlock& block) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  kvcache::KvTier* const tier_;
  const size_t max_tombstones_;
  // Held while a block is admitted, so that a deletion comes either before (the block is refused)
  // or after (it is found and erased).
  mutable Mutex mutex_;
  std::set<Tombstone> tombstones_ ABSL_GUARDED_BY(mutex_);
  std::deque<Tombstone> oldest_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::kv
