// SPDX-License-Identifier: Apache-2.0
// Purpose: a tier's size, hits, misses, damage and times as metrics, labelled with its name.
// Thread-safety: thread-safe. Ownership: the tier and the metrics must outlive it.
#pragma once

#include <string>

#include "libs/base/mutex.h"
#include "libs/kvcache/kv_tier.h"
#include "libs/telemetry/metrics.h"

namespace dki::kvcache {

class MetricsKvTier : public KvTier {
 public:
  MetricsKvTier(KvTier* tier, const std::string& name, telemetry::Metrics* metrics);

  std::optional<TierHit> Get(const BlockIdentity& identity) override;
  std::optional<TierPlace> Find(const BlockIdentity& identity) const override {
    return tier_->Find(identity);
  }
  std::vector<std::optional<TierPlace>> Locate(
      std::span<const BlockIdentity> identities) const override {
    return tier_->Locate(identities);
  }
  void Put(const StoredBlock& block) override;
  absl::Status Erase(const std::string& tenant_id, const std::string& memory_id) override;
  TierStats Stats() const override { return tier_->Stats(); }
  int64_t DropExpired() override;
  std::vector<BlockInfo> List(const std::string& tenant_id,
                              const std::string& memory_id) const override {
    return tier_->List(tenant_id, memory_id);
  }

 private:
  void Publish();

  KvTier* const tier_;
  telemetry::Gauge* const bytes_;
  telemetry::Gauge* const blocks_;
  telemetry::Counter* const hits_;
  telemetry::Counter* const misses_;
  telemetry::Counter* const corrupt_;
  telemetry::Counter* const evicted_;
  telemetry::Counter* const failures_;
  telemetry::Counter* const expired_;
  telemetry::Counter* const pins_refused_;
  telemetry::Gauge* const pinned_bytes_;
  telemetry::Histogram* const read_seconds_;
  telemetry::Histogram* const write_seconds_;
  Mutex mutex_;
  TierStats published_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::kvcache
