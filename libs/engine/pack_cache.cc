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
                    .kv = block.kv.Share(block.kv.size())},
          .tier = loaded.tier,
          .load_us = loaded.load_us,
          .choice = loaded.choice};
}

}  // namespace

PackCache::PackCache(const Options& options, PackSource* source)
    : options_(options), source_(source), thread_([this] { DropExpired(); }) {}

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
  {
    const MutexLock lock(&mutex_);
    if (Find(request, plan, &blocks)) return blocks;
  }
  DKI_ASSIGN_OR_RETURN(blocks, source_->Load(request, plan));
  const MutexLock lock(&mutex_);
  for (const LoadedBlock& block : blocks) Insert(request, block);
  changed_.NotifyAll();
  return blocks;
}

bool PackCache::Find(const PackRequest& request, const injection::PackPlan& plan,
                     std::vector<LoadedBlock>* blocks) {
  const Clock::time_point now = Clock::now();
  for (const injection::PlannedBlock& planned : plan.blocks) {
    const auto found = index_.find(kvcache::BlockKey(planned.identity));
    const bool usable = found != index_.end() && found->second->expires > now &&
                        found->second->loaded.block.identity == planned.identity;
    if (!usable) {
      blocks->clear();
      return false;
    }
    blocks->push_back(Share(found->second->loaded));
    if (found->second->request_id.empty() || found->second->request_id != request.request_id) {
      blocks->back().tier = Tier::kDevice;
      blocks->back().load_us = 0;
      blocks->back().choice = {};
    }
  }
  return true;
}

void PackCache::Insert(const PackRequest& request, const LoadedBlock& loaded) {
  std::string key = kvcache::BlockKey(loaded.block.identity);
  if (index_.contains(key)) return;
  const auto n_bytes = static_cast<int64_t>(loaded.block.kv.size_bytes());
  if (n_bytes > options_.budget_bytes) return;
  while (size_bytes_ + n_bytes > options_.budget_bytes) Erase(entries_.begin());
  entries_.push_back({.key = key,
                      .loaded = Share(loaded),
                      .request_id = request.request_id,
                      .n_bytes = n_bytes,
                      .expires = Clock::now() + options_.lifetime});
  index_.emplace(std::move(key), std::prev(entries_.end()));
  size_bytes_ += n_bytes;
}

void PackCache::Erase(Entries::iterator entry) {
  size_bytes_ -= entry->n_bytes;
  index_.erase(entry->key);
  entries_.erase(entry);
}

void PackCache::DropExpired() {
  const MutexLock lock(&mutex_);
  while (!stopping_) {
    const Clock::time_point now = Clock::now();
    while (!entries_.empty() && entries_.front().expires <= now) Erase(entries_.begin());
    if (entries_.empty()) {
      changed_.Wait(&mutex_);
    } else {
      changed_.WaitFor(
          &mutex_, std::chrono::ceil<std::chrono::milliseconds>(entries_.front().expires - now));
    }
  }
}

int64_t PackCache::size_bytes() const {
  const MutexLock lock(&mutex_);
  return size_bytes_;
}

}  // namespace dki::engine
