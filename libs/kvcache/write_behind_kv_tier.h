// SPDX-License-Identifier: Apache-2.0
// Purpose: writes to a slow tier on a thread of its own, so that a stalled medium holds up no
//   request. What waits is bounded in bytes; beyond it blocks are not kept, and counted as
//   failures. A crash loses what waits.
// Thread-safety: thread-safe. Ownership: the tier must outlive it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <thread>

#include "libs/base/mutex.h"
#include "libs/kvcache/kv_tier.h"
#include "libs/telemetry/metrics.h"

namespace dki::kvcache {

class WriteBehindKvTier : public KvTier {
 public:
  // `dropped` counts blocks that found no room; null: not counted.
  WriteBehindKvTier(KvTier* tier, int64_t max_waiting_bytes, telemetry::Counter* dropped = nullptr);
  // Writes what waits.
  ~WriteBehindKvTier() override;

  // Blocks that wait are not there yet: a faster tier has them.
  std::optional<TierHit> Get(const BlockIdentity& identity) override {
    return tier_->Get(identity);
  }
  std::optional<TierPlace> Find(const BlockIdentity& identity) const override {
    return tier_->Find(identity);
  }
  std::vector<std::optional<TierPlace>> Locate(
      std::span<const BlockIdentity> identities) const override {
    return tier_->Locate(identities);
  }
  int64_t DropExpired() override { return tier_->DropExpired(); }
  std::vector<BlockInfo> List(const std::string& tenant_id,
                              const std::string& memory_id) const override {
    return tier_->List(tenant_id, memory_id);
  }
  void Put(const StoredBlock& block) override;
  // Drops those that wait, too. May have to wait for the write that is under way.
  absl::Status Erase(const std::string& tenant_id, const std::string& memory_id) override;
  TierStats Stats() const override;

  // Returns when all that was put before has been written.
  void Flush();

 private:
  void Run();

  KvTier* const tier_;
  const int64_t max_waiting_bytes_;
  telemetry::Counter* const dropped_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<StoredBlock> waiting_ ABSL_GUARDED_BY(mutex_);
  int64_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool is_writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t n_written_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t n_dropped_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace dki::kvcache
