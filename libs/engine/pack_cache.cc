// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/pack_cache.h"

#include <algorithm>
#include <utility>

namespace dki::engine {
namespace {

LoadedBlock Share(const LoadedBlock& loaded) {
  const kvcache::Block& block = loaded.block;
  return {.block = {.identity = block.identity,
                    .chain_memory_ids = block.chain_memory_ids,
                    .tokens = block.tokens,
                    .kv = block.kv.Share(block.kv.size()),
                    .format = block.format,
                    .drift = block.drift,
                    .as_computed = block.as_computed},
          .tier = loaded.tier,
          .load_us = loaded.load_us,
          .choice = loaded.choice};
}

}  // namespace

PackCache::PackCache(const Options& options, PackSource* source)
    : options_(options),
      source_(source),
      budget_({.bytes = options.budget_bytes, .policy = options.policy}),
      thread_([this] { DropExpired(); }) {}

PackCache::~PackCache() {
  {
    const MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

absl::StatusOr<std::vector<LoadedBlock>> PackCache::Load(const PackRequest& request,
                                                         const injection::PackPlan& plan) {
  std::vector<LoadedBlock> blocks;
  int64_t n_erasures = 0;
  {
    const MutexLock lock(&mutex_);
    DKI_RETURN_IF_ERROR(CheckDeleted(request));
    if (Find(request, plan, &blocks)) return blocks;
    n_erasures = n_erasures_;
  }
  DKI_ASSIGN_OR_RETURN(blocks, source_->Load(request, plan));
  const MutexLock lock(&mutex_);
  DKI_RETURN_IF_ERROR(CheckDeleted(request));
  if (n_erasures_ == n_erasures) {
    for (const LoadedBlock& block : blocks) Insert(request, block);
    changed_.NotifyAll();
  }
  return blocks;
}

absl::Status PackCache::CheckDeleted(const PackRequest& request) const {
  const bool tenant = tombstones_.contains({request.tenant_id, ""});
  for (const injection::PackMemoryText& memory : request.memories) {
    if (tenant || tombstones_.contains({request.tenant_id, memory.memory_id})) {
      return NotFound("memory %s has been deleted", memory.memory_id);
    }
  }
  return absl::OkStatus();
}

bool PackCache::Find(const PackRequest& request, const injection::PackPlan& plan,
                     std::vector<LoadedBlock>* blocks) {
  const Clock::time_point now = Clock::now();
  std::vector<std::string> keys;
  for (const injection::PlannedBlock& planned : plan.blocks) {
    std::string& key = keys.emplace_back(kvcache::BlockKey(planned.identity));
    const auto found = entries_.find(key);
    const bool usable = found != entries_.end() && (following_ || Expires(found->second) > now) &&
                        found->second.loaded.block.identity == planned.identity;
    if (!usable) {
      blocks->clear();
      stats_.misses += static_cast<int64_t>(plan.blocks.size());
      return false;
    }
    const Entry& entry = found->second;
    blocks->push_back(Share(entry.loaded));
    if (entry.request_id.empty() || entry.request_id != request.request_id) {
      blocks->back().tier = Tier::kDevice;
      blocks->back().load_us = 0;
      blocks->back().choice = {};
    }
  }
  for (const std::string& key : keys) budget_.Touch(key);
  stats_.hits += static_cast<int64_t>(keys.size());
  return true;
}

void PackCache::Insert(const PackRequest& request, const LoadedBlock& loaded) {
  const std::string key = kvcache::BlockKey(loaded.block.identity);
  const auto n_bytes = static_cast<int64_t>(loaded.block.kv.size_bytes());
  if (!budget_.Admits(n_bytes)) return;
  Drop(key);  // perhaps near its end: it lives anew
  const std::string& tenant = loaded.block.identity.tenant_id;
  while (const auto victim = budget_.Victim(tenant, n_bytes)) Drop(*victim);
  // Losing it costs what loading it took, and never nothing.
  budget_.Add(key, tenant,
              {.size_bytes = n_bytes,
               .recompute_seconds = std::max(1e-6, static_cast<double>(loaded.load_us) * 1e-6)});
  keys_of_[{tenant, ""}].insert(key);
  for (const std::string& id : loaded.block.chain_memory_ids) keys_of_[{tenant, id}].insert(key);
  entries_.insert_or_assign(
      key,
      Entry{.loaded = Share(loaded), .request_id = request.request_id, .loaded_at = Clock::now()});
}

void PackCache::Drop(const std::string& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  const kvcache::Block& block = found->second.loaded.block;
  const auto forget = [&](const std::string& memory_id) {
    const auto keys = keys_of_.find({block.identity.tenant_id, memory_id});
    if (keys == keys_of_.end()) return;  // named twice in the chain
    keys->second.erase(key);
    if (keys->second.empty()) keys_of_.erase(keys);
  };
  forget("");
  for (const std::string& id : block.chain_memory_ids) forget(id);
  budget_.Remove(key);
  entries_.erase(found);
}

int64_t PackCache::DropOwned(const Owner& owner) {
  ++n_erasures_;
  const auto found = keys_of_.find(owner);
  if (found == keys_of_.end()) return 0;
  const std::set<std::string> keys = found->second;
  for (const std::string& key : keys) Drop(key);
  stats_.erased += static_cast<int64_t>(keys.size());
  return static_cast<int64_t>(keys.size());
}

void PackCache::SetFollowing(bool following) {
  const MutexLock lock(&mutex_);
  if (following_ && !following) told_until_ = Clock::now();
  following_ = following;
  changed_.NotifyAll();
}

int64_t PackCache::Erase(const std::string& tenant_id, const std::string& memory_id) {
  const MutexLock lock(&mutex_);
  return DropOwned({tenant_id, memory_id});
}

int64_t PackCache::EraseForGood(const std::string& tenant_id, const std::string& memory_id) {
  const MutexLock lock(&mutex_);
  const Owner owner = {tenant_id, memory_id};
  if (tombstones_.insert(owner).second) oldest_tombstones_.push_back(owner);
  if (oldest_tombstones_.size() > options_.max_tombstones) {
    tombstones_.erase(oldest_tombstones_.front());
    oldest_tombstones_.pop_front();
  }
  return DropOwned(owner);
}

void PackCache::ReviveTenant(const std::string& tenant_id) {
  const MutexLock lock(&mutex_);
  const Owner owner = {tenant_id, ""};
  if (tombstones_.erase(owner) > 0) std::erase(oldest_tombstones_, owner);
}

void PackCache::Clear() {
  const MutexLock lock(&mutex_);
  ++n_erasures_;
  while (!entries_.empty()) Drop(std::string(entries_.begin()->first));
}

void PackCache::DropExpired() {
  const MutexLock lock(&mutex_);
  while (!stopping_) {
    if (following_ || entries_.empty()) {
      changed_.Wait(&mutex_);
      continue;
    }
    const Clock::time_point now = Clock::now();
    Clock::time_point next = Clock::time_point::max();
    std::vector<std::string> expired;
    for (const auto& [key, entry] : entries_) {
      if (Expires(entry) <= now) {
        expired.push_back(key);
      } else {
        next = std::min(next, Expires(entry));
      }
    }
    for (const std::string& key : expired) Drop(key);
    if (!entries_.empty()) {
      changed_.WaitFor(&mutex_, std::chrono::ceil<std::chrono::milliseconds>(next - now));
    }
  }
}

PackCache::Stats PackCache::stats() const {
  const MutexLock lock(&mutex_);
  Stats stats = stats_;
  stats.bytes = budget_.bytes();
  stats.blocks = budget_.size();
  return stats;
}

}  // namespace dki::engine
