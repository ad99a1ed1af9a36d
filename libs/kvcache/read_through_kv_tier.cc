// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/read_through_kv_tier.h"

#include <utility>

namespace dki::kvcache {

std::optional<TierHit> ReadThroughKvTier::Get(const BlockIdentity& identity) {
  if (auto hit = fast_->Get(identity)) return hit;
  const int64_t erasures = Erasures();
  std::optional<TierHit> hit = slow_->Get(identity);
  if (!hit) return std::nullopt;
  MutexLock lock(&mutex_);
  if (erasures_ == erasures) fast_->Put(hit->block);
  return hit;
}

std::optional<TierPlace> ReadThroughKvTier::Find(const BlockIdentity& identity) const {
  if (const auto place = fast_->Find(identity)) return place;
  return slow_->Find(identity);
}

std::vector<std::optional<TierPlace>> ReadThroughKvTier::Locate(
    std::span<const BlockIdentity> identities) const {
  std::vector<std::optional<TierPlace>> places = fast_->Locate(identities);
  std::vector<BlockIdentity> missing;
  for (size_t i = 0; i < places.size(); ++i) {
    if (!places[i]) missing.push_back(identities[i]);
  }
  if (missing.empty()) return places;
  const std::vector<std::optional<TierPlace>> slow = slow_->Locate(missing);
  auto next = slow.begin();
  for (std::optional<TierPlace>& place : places) {
    if (!place) place = *next++;
  }
  return places;
}

void ReadThroughKvTier::Put(const StoredBlock& block) {
  fast_->Put(block);
  slow_->Put(block);
}

absl::Status ReadThroughKvTier::Erase(const std::string& tenant_id, const std::string& memory_id) {
  {
    // Before either is touched: a promotion either comes first and is erased below, or not at all.
    MutexLock lock(&mutex_);
    ++erasures_;
  }
  const absl::Status slow = slow_->Erase(tenant_id, memory_id);
  const absl::Status fast = fast_->Erase(tenant_id, memory_id);
  return slow.ok() ? fast : slow;
}

TierStats ReadThroughKvTier::Stats() const {
  const TierStats fast = fast_->Stats();
  const TierStats slow = slow_->Stats();
  return {.bytes = fast.bytes + slow.bytes,
          .blocks = fast.blocks + slow.blocks,
          .hits = fast.hits + slow.hits,
          .misses = slow.misses,
          .corrupt = fast.corrupt + slow.corrupt,
          .evicted = fast.evicted + slow.evicted,
          .erased = fast.erased + slow.erased,
          .failures = fast.failures + slow.failures,
          .expired = fast.expired + slow.expired,
          .pinned_bytes = fast.pinned_bytes + slow.pinned_bytes,
          .pins_refused = fast.pins_refused + slow.pins_refused};
}

int64_t ReadThroughKvTier::DropExpired() {
  return fast_->DropExpired() + slow_->DropExpired();
}

std::vector<BlockInfo> ReadThroughKvTier::List(const std::string& tenant_id,
                                               const std::string& memory_id) const {
  std::vector<BlockInfo> blocks = fast_->List(tenant_id, memory_id);
  for (BlockInfo& block : slow_->List(tenant_id, memory_id)) blocks.push_back(std::move(block));
  return blocks;
}

int64_t ReadThroughKvTier::Erasures() const {
  MutexLock lock(&mutex_);
  return erasures_;
}

}  // namespace dki::kvcache
