// SPDX-License-Identifier: Apache-2.0
// Purpose: the engine's figures as Prometheus metrics.
// Thread-safety: Publish from one thread at a time. Ownership: `metrics` must outlive it.
#pragma once

#include "libs/engine/engine.h"
#include "libs/engine/pack_cache.h"
#include "libs/telemetry/metrics.h"

namespace dki::generation {

class EngineMetrics {
 public:
  EngineMetrics(telemetry::Metrics* metrics, int64_t kv_budget_bytes);
  void Publish(const engine::EngineStats& stats, const engine::PackCache::Stats& packs);

 private:
  engine::EngineStats last_;
  engine::PackCache::Stats last_packs_;
  telemetry::Gauge* running_;
  telemetry::Gauge* waiting_;
  telemetry::Gauge* background_;
  telemetry::Gauge* cache_bytes_;
  telemetry::Gauge* cache_pages_;
  telemetry::Gauge* kv_bytes_;
  telemetry::Gauge* kv_reserved_bytes_;
  telemetry::Gauge* kv_budget_bytes_;
  telemetry::Counter* requests_;
  telemetry::Counter* rejected_;
  telemetry::Counter* preempted_;
  telemetry::Counter* cancelled_;
  telemetry::Counter* degraded_;
  telemetry::Counter* prefill_tokens_;
  telemetry::Counter* cached_tokens_;
  telemetry::Counter* decode_tokens_;
  telemetry::Counter* background_tokens_;
  telemetry::Counter* prefill_seconds_;
  telemetry::Counter* decode_seconds_;
  telemetry::Gauge* pack_cache_bytes_;
  telemetry::Counter* pack_cache_hits_;
  telemetry::Counter* pack_cache_misses_;
};

}  // namespace dki::generation
