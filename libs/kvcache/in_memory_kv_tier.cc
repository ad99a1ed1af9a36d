// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/in_memory_kv_tier.h"

namespace dki::kvcache {
namespace {

// Key, identity and table nodes of a block, and of each memory in its chain.
constexpr int64_t kBlockOverhead = 1024;
constexpr int64_t kChainOverhead = 192;

int64_t SizeOf(const StoredBlock& block) {
  return static_cast<int64_t>(block.bytes->size()) + kBlockOverhead +
         kChainOverhead * static_cast<int64_t>(block.chain_memory_ids.size());
}

}  // namespace

std::optional<TierHit> InMemoryKvTier::Get(const BlockIdentity& identity) {
  const std::string key = BlockKey(identity);
  StoredBlock block;
  {
    MutexLock lock(&mutex_);
    const auto found = blocks_.find(key);
    if (found == blocks_.end()) {
      ++stats_.misses;
      return std::nullopt;
    }
    if (budget_.IsExpired(key)) {
      Drop(key);
      ++stats_.expired;
      ++stats_.misses;
      return std::nullopt;
    }
    block = found->second;
    budget_.Touch(key);
  }
  // Memory goes bad, too. Outside the lock: it reads the whole block.
  const bool sound = VerifyBlock(*block.bytes, identity, shape_).ok();
  MutexLock lock(&mutex_);
  if (sound) {
    ++stats_.hits;
    return TierHit{std::move(block), TierName::kRam};
  }
  ++stats_.misses;
  ++stats_.corrupt;
  const auto found = blocks_.find(key);
  if (found != blocks_.end() && found->second.bytes == block.bytes) Drop(key);
  return std::nullopt;
}

std::optional<TierPlace> InMemoryKvTier::Find(const BlockIdentity& identity) const {
  const std::string key = BlockKey(identity);
  MutexLock lock(&mutex_);
  const std::optional<int64_t> size = budget_.SizeOf(key);
  if (!size || budget_.IsExpired(key)) return std::nullopt;
  return TierPlace{TierName::kRam, *size};
}

void InMemoryKvTier::Put(const StoredBlock& block) {
  const int64_t size = SizeOf(block);
  const StoredBlock kept = ToKeep(block, size);  // outside the lock: it may copy the whole block
  const std::string key = BlockKey(block.identity);
  const std::string& tenant = block.identity.tenant_id;
  MutexLock lock(&mutex_);
  if (!budget_.Admits(size)) return;
  Drop(key);
  while (const auto victim = budget_.Victim(tenant, size)) {
    ++stats_.evicted;
    Drop(*victim);
  }
  budget_.Add(key, tenant,
              {.size_bytes = size,
               .recompute_seconds = block.recompute_seconds,
               .priority = block.attributes.priority},
              {.pinned = block.attributes.pinned, .expire_time = block.attributes.expire_time});
  blocks_[key] = kept;
  if (kept.bytes.sealed() != nullptr) ++n_sealed_;
  keys_of_[{tenant, ""}].insert(key);
  for (const std::string& id : block.chain_memory_ids) keys_of_[{tenant, id}].insert(key);
}

StoredBlock InMemoryKvTier::ToKeep(const StoredBlock& block, int64_t size) const {
  StoredBlock kept = block;
  {
    MutexLock lock(&mutex_);
    if (n_sealed_ >= max_sealed_ || !budget_.Admits(size)) return kept;
  }
  if (absl::StatusOr<BlockBytes> sealed = Seal(block.bytes); sealed.ok()) {
    kept.bytes = *std::move(sealed);
  }
  return kept;
}

void InMemoryKvTier::Drop(const std::string& key) {
  const auto found = blocks_.find(key);
  if (found == blocks_.end()) return;
  const StoredBlock& block = found->second;
  const auto forget = [&](const std::string& memory_id) {
    const auto keys = keys_of_.find({block.identity.tenant_id, memory_id});
    if (keys == keys_of_.end()) return;  // named twice in the chain
    keys->second.erase(key);
    if (keys->second.empty()) keys_of_.erase(keys);
  };
  forget("");
  for (const std::string& id : block.chain_memory_ids) forget(id);
  budget_.Remove(key);
  if (block.bytes.sealed() != nullptr) --n_sealed_;
  blocks_.erase(found);
}

absl::Status InMemoryKvTier::Erase(const std::string& tenant_id, const std::string& memory_id) {
  MutexLock lock(&mutex_);
  const auto found = keys_of_.find({tenant_id, memory_id});
  if (found == keys_of_.end()) return absl::OkStatus();
  const std::set<std::string> keys = found->second;
  for (const std::string& key : keys) Drop(key);
  stats_.erased += static_cast<int64_t>(keys.size());
  return absl::OkStatus();
}

int64_t InMemoryKvTier::DropExpired() {
  MutexLock lock(&mutex_);
  const std::vector<std::string> expired = budget_.Expired();
  for (const std::string& key : expired) Drop(key);
  stats_.expired += static_cast<int64_t>(expired.size());
  return static_cast<int64_t>(expired.size());
}

std::vector<BlockInfo> InMemoryKvTier::List(const std::string& tenant_id,
                                            const std::string& memory_id) const {
  std::vector<BlockInfo> blocks;
  MutexLock lock(&mutex_);
  const auto owned = keys_of_.find({tenant_id, memory_id});
  if (owned == keys_of_.end()) return blocks;
  for (const std::string& key : owned->second) {
    const StoredBlock& block = blocks_.at(key);
    const std::optional<TierBudget::EntryInfo> entry = budget_.InfoOf(key);
    if (!entry) continue;
    blocks.push_back({.identity = block.identity,
                      .chain_memory_ids = block.chain_memory_ids,
                      .tier = TierName::kRam,
                      .n_tokens = block.n_tokens,
                      .bytes = entry->size_bytes,
                      .hits = entry->hits,
                      .added = entry->added,
                      .attributes = block.attributes,
                      .pinned = entry->pinned});
  }
  return blocks;
}

TierStats InMemoryKvTier::Stats() const {
  MutexLock lock(&mutex_);
  TierStats stats = stats_;
  stats.bytes = budget_.bytes();
  stats.blocks = budget_.size();
  stats.pinned_bytes = budget_.pinned_bytes();
  stats.pins_refused = budget_.pins_refused();
  return stats;
}

}  // namespace dki::kvcache
