// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/metrics_kv_tier.h"

#include "absl/time/clock.h"

namespace dki::kvcache {

MetricsKvTier::MetricsKvTier(KvTier* tier, const std::string& name, telemetry::Metrics* metrics)
    : tier_(tier),
      bytes_(metrics->GetGauge("dki_kv_tier_bytes", "Bytes held.", {{"tier", name}})),
      blocks_(metrics->GetGauge("dki_kv_tier_blocks", "Blocks held.", {{"tier", name}})),
      hits_(metrics->GetCounter("dki_kv_tier_hits_total", "Blocks found.", {{"tier", name}})),
      misses_(
          metrics->GetCounter("dki_kv_tier_misses_total", "Blocks not found.", {{"tier", name}})),
      corrupt_(metrics->GetCounter("dki_kv_tier_corrupt_total",
                                   "Blocks found damaged on read, dropped.", {{"tier", name}})),
      evicted_(
          metrics->GetCounter("dki_kv_tier_evicted_total", "Blocks evicted.", {{"tier", name}})),
      failures_(metrics->GetCounter("dki_kv_tier_failures_total", "Failures of the medium.",
                                    {{"tier", name}})),
      expired_(metrics->GetCounter("dki_kv_tier_expired_total",
                                   "Blocks dropped because a memory of their chain expired.",
                                   {{"tier", name}})),
      pins_refused_(metrics->GetCounter(
          "dki_kv_tier_pins_refused_total",
          "Blocks of pinned memories beyond their tenant's share, kept as ordinary ones.",
          {{"tier", name}})),
      pinned_bytes_(
          metrics->GetGauge("dki_kv_tier_pinned_bytes", "Bytes held pinned.", {{"tier", name}})),
      read_seconds_(metrics->GetHistogram("dki_kv_tier_read_seconds",
                                          "Time to find and verify a block.", {{"tier", name}})),
      write_seconds_(metrics->GetHistogram("dki_kv_tier_write_seconds", "Time to keep a block.",
                                           {{"tier", name}})) {}

std::optional<TierHit> MetricsKvTier::Get(const BlockIdentity& identity) {
  const absl::Time start = absl::Now();
  std::optional<TierHit> hit = tier_->Get(identity);
  if (hit) read_seconds_->Observe(absl::ToDoubleSeconds(absl::Now() - start));
  Publish();
  return hit;
}

void MetricsKvTier::Put(const StoredBlock& block) {
  const absl::Time start = absl::Now();
  tier_->Put(block);
  write_seconds_->Observe(absl::ToDoubleSeconds(absl::Now() - start));
  Publish();
}

absl::Status MetricsKvTier::Erase(const std::string& tenant_id, const std::string& memory_id) {
  absl::Status status = tier_->Erase(tenant_id, memory_id);
  Publish();
  return status;
}

int64_t MetricsKvTier::DropExpired() {
  const int64_t dropped = tier_->DropExpired();
  Publish();
  return dropped;
}

void MetricsKvTier::Publish() {
  MutexLock lock(&mutex_);
  const TierStats now = tier_->Stats();
  bytes_->Set(static_cast<double>(now.bytes));
  blocks_->Set(static_cast<double>(now.blocks));
  hits_->Increment(static_cast<double>(now.hits - published_.hits));
  misses_->Increment(static_cast<double>(now.misses - published_.misses));
  corrupt_->Increment(static_cast<double>(now.corrupt - published_.corrupt));
  evicted_->Increment(static_cast<double>(now.evicted - published_.evicted));
  failures_->Increment(static_cast<double>(now.failures - published_.failures));
  expired_->Increment(static_cast<double>(now.expired - published_.expired));
  pins_refused_->Increment(static_cast<double>(now.pins_refused - published_.pins_refused));
  pinned_bytes_->Set(static_cast<double>(now.pinned_bytes));
  published_ = now;
}

}  // namespace dki::kvcache
