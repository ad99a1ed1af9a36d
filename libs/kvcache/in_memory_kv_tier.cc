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

void InMemoryKvTier::Put(const StoredBlock& block) {
  const int64_t size = SizeOf(block);
  const std::string key = BlockKey(block.identity);
  const std::string& tenant = block.identity.tenant_id;
  MutexLock lock(&mutex_);
  if (!budget_.Admits(size)) return;
  Drop(key);
  while (const auto victim = budget_.Victim(tenant, size)) {
    ++stats_.evicted;
    Drop(*victim);
  }
  budget_.Add(key, tenant, {.size_bytes = size, .recompute_seconds = block.recompute_seconds});
  blocks_[key] = block;
  keys_of_[{tenant, ""}].insert(key);
  for (const std::string& id : block.chain_memory_ids) keys_of_[{tenant, id}].insert(key);
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

TierStats InMemoryKvTier::Stats() const {
  MutexLock lock(&mutex_);
  TierStats stats = stats_;
  stats.bytes = budget_.bytes();
  stats.blocks = budget_.size();
  return stats;
}

}  // namespace dki::kvcache
