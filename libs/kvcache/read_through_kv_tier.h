// SPDX-License-Identifier: Apache-2.0
// Purpose: a fast tier over a slow one: reads try the fast one first and promote what the slow one
//   had; writes and erasures go to both.
// Thread-safety: thread-safe. Ownership: both must outlive it.
#pragma once

#include "libs/base/mutex.h"
#include "libs/kvcache/kv_tier.h"

namespace dki::kvcache {

class ReadThroughKvTier : public KvTier {
 public:
  ReadThroughKvTier(KvTier* fast, KvTier* slow) : fast_(fast), slow_(slow) {}

  std::optional<TierHit> Get(const BlockIdentity& identity) override;
  std::optional<TierPlace> Find(const BlockIdentity& identity) const override;
  std::vector<std::optional<TierPlace>> Locate(
      std::span<const BlockIdentity> identities) const override;
  void Put(const StoredBlock& block) override;
  absl::Status Erase(const std::string& tenant_id, const std::string& memory_id) override;
  // Hits and misses of the whole; the other figures are sums.
  TierStats Stats() const override;
  int64_t DropExpired() override;
  std::vector<BlockInfo> List(const std::string& tenant_id,
                              const std::string& memory_id) const override;

 private:
  int64_t Erasures() const;

  KvTier* const fast_;
  KvTier* const slow_;
  mutable Mutex mutex_;
  // A block that was read before an erasure is not promoted after it.
  int64_t erasures_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dki::kvcache
