// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/write_behind_kv_tier.h"

#include <algorithm>
#include <utility>

namespace dki::kvcache {
namespace {

int64_t SizeOf(const StoredBlock& block) {
  return static_cast<int64_t>(block.bytes->size());
}

bool Concerns(const StoredBlock& block, const std::string& tenant_id,
              const std::string& memory_id) {
  return block.identity.tenant_id == tenant_id &&
         (memory_id.empty() ||
          std::ranges::find(block.chain_memory_ids, memory_id) != block.chain_memory_ids.end());
}

}  // namespace

WriteBehindKvTier::WriteBehindKvTier(KvTier* tier, int64_t max_waiting_bytes,
                                     telemetry::Counter* dropped)
    : tier_(tier),
      max_waiting_bytes_(max_waiting_bytes),
      dropped_(dropped),
      thread_([this] { Run(); }) {}

WriteBehindKvTier::~WriteBehindKvTier() {
  {
    MutexLock lock(&mutex_);
    is_stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void WriteBehindKvTier::Put(const StoredBlock& block) {
  MutexLock lock(&mutex_);
  if (waiting_bytes_ + SizeOf(block) > max_waiting_bytes_) {
    ++n_dropped_;
    if (dropped_ != nullptr) dropped_->Increment();
    return;
  }
  waiting_bytes_ += SizeOf(block);
  waiting_.push_back(block);
  changed_.NotifyAll();
}

absl::Status WriteBehindKvTier::Erase(const std::string& tenant_id, const std::string& memory_id) {
  {
    MutexLock lock(&mutex_);
    std::erase_if(waiting_, [&](const StoredBlock& block) {
      if (!Concerns(block, tenant_id, memory_id)) return false;
      waiting_bytes_ -= SizeOf(block);
      return true;
    });
    // What is being written must be there before it can be erased.
    const int64_t under_way = n_written_ + 1;
    while (is_writing_ && n_written_ < under_way) changed_.Wait(&mutex_);
  }
  return tier_->Erase(tenant_id, memory_id);
}

TierStats WriteBehindKvTier::Stats() const {
  TierStats stats = tier_->Stats();
  MutexLock lock(&mutex_);
  stats.failures += n_dropped_;
  return stats;
}

void WriteBehindKvTier::Flush() {
  MutexLock lock(&mutex_);
  while (is_writing_ || !waiting_.empty()) changed_.Wait(&mutex_);
}

void WriteBehindKvTier::Run() {
  while (true) {
    StoredBlock block;
    {
      MutexLock lock(&mutex_);
      while (waiting_.empty() && !is_stopping_) changed_.Wait(&mutex_);
      if (waiting_.empty()) return;
      block = std::move(waiting_.front());
      waiting_.pop_front();
      waiting_bytes_ -= SizeOf(block);
      is_writing_ = true;
    }
    tier_->Put(block);
    MutexLock lock(&mutex_);
    is_writing_ = false;
    ++n_written_;
    changed_.NotifyAll();
  }
}

}  // namespace dki::kvcache
