// SPDX-License-Identifier: Apache-2.0
#include "services/generation/engine_metrics.h"

namespace dki::generation {
namespace {

telemetry::Counter* Tokens(telemetry::Metrics* metrics, const char* kind) {
  return metrics->GetCounter("dki_generation_tokens_total", "Tokens, by what was done with them.",
                             {{"kind", kind}});
}
telemetry::Counter* Requests(telemetry::Metrics* metrics, const char* event) {
  return metrics->GetCounter("dki_generation_requests_total",
                             "Requests: admitted to the queue, refused, preempted (gave "
                             "their K/V up for a while), cancelled, degraded.",
                             {{"event", event}});
}
telemetry::Counter* Seconds(telemetry::Metrics* metrics, const char* kind) {
  return metrics->GetCounter("dki_generation_step_seconds_total",
                             "Time in the model: steps that read prompt tokens, and others.",
                             {{"kind", kind}});
}

telemetry::Counter* PackBlocks(telemetry::Metrics* metrics, const char* result) {
  return metrics->GetCounter(
      "dki_generation_pack_cache_blocks_total",
      "Blocks asked of tier L1, by result. A pack is all hits or all misses.",
      {{"result", result}});
}

}  // namespace

EngineMetrics::EngineMetrics(telemetry::Metrics* metrics, int64_t kv_budget_bytes)
    : running_(metrics->GetGauge("dki_generation_running", "Requests that the model works on.")),
      waiting_(metrics->GetGauge("dki_generation_waiting", "Requests in the queue.")),
      background_(metrics->GetGauge("dki_generation_background",
                                    "Conversations to be encoded again without memory.")),
      cache_bytes_(metrics->GetGauge("dki_generation_prefix_cache_bytes",
                                     "Bytes of memory-free K/V kept for next turns.")),
      cache_pages_(metrics->GetGauge("dki_generation_prefix_cache_pages",
                                     "Pages of up to 64 tokens in the prefix cache.")),
      kv_bytes_(metrics->GetGauge("dki_generation_kv_bytes",
                                  "Bytes of K/V: pages, and memories of running requests.")),
      kv_reserved_bytes_(
          metrics->GetGauge("dki_generation_kv_reserved_bytes",
                            "The same, with what running requests will need at least.")),
      kv_budget_bytes_(metrics->GetGauge("dki_generation_kv_budget_bytes",
                                         "What kv_reserved_bytes never exceeds.")),
      requests_(Requests(metrics, "queued")),
      rejected_(Requests(metrics, "rejected")),
      preempted_(Requests(metrics, "preempted")),
      cancelled_(Requests(metrics, "cancelled")),
      degraded_(Requests(metrics, "degraded")),
      prefill_tokens_(Tokens(metrics, "prefill")),
      cached_tokens_(Tokens(metrics, "cached")),
      decode_tokens_(Tokens(metrics, "decode")),
      background_tokens_(Tokens(metrics, "background")),
      prefill_seconds_(Seconds(metrics, "prefill")),
      decode_seconds_(Seconds(metrics, "decode")),
      pack_cache_bytes_(metrics->GetGauge("dki_generation_pack_cache_bytes",
                                          "Bytes of memories' K/V kept here (tier L1).")),
      pack_cache_hits_(PackBlocks(metrics, "hit")),
      pack_cache_misses_(PackBlocks(metrics, "miss")) {
  kv_budget_bytes_->Set(static_cast<double>(kv_budget_bytes));
}

void EngineMetrics::Publish(const engine::EngineStats& stats,
                            const engine::PackCache::Stats& packs) {
  running_->Set(stats.running);
  waiting_->Set(stats.waiting);
  background_->Set(stats.background);
  cache_bytes_->Set(static_cast<double>(stats.prefix_cache_bytes));
  cache_pages_->Set(stats.prefix_cache_pages);
  kv_bytes_->Set(static_cast<double>(stats.kv_bytes));
  kv_reserved_bytes_->Set(static_cast<double>(stats.kv_reserved_bytes));
  requests_->Increment(static_cast<double>(stats.requests - last_.requests));
  rejected_->Increment(static_cast<double>(stats.rejected - last_.rejected));
  preempted_->Increment(static_cast<double>(stats.preempted - last_.preempted));
  cancelled_->Increment(static_cast<double>(stats.cancelled - last_.cancelled));
  degraded_->Increment(static_cast<double>(stats.degraded - last_.degraded));
  prefill_tokens_->Increment(static_cast<double>(stats.prefill_tokens - last_.prefill_tokens));
  cached_tokens_->Increment(static_cast<double>(stats.cached_tokens - last_.cached_tokens));
  decode_tokens_->Increment(static_cast<double>(stats.decode_tokens - last_.decode_tokens));
  background_tokens_->Increment(
      static_cast<double>(stats.background_tokens - last_.background_tokens));
  prefill_seconds_->Increment(stats.prefill_seconds - last_.prefill_seconds);
  decode_seconds_->Increment(stats.decode_seconds - last_.decode_seconds);
  last_ = stats;
  pack_cache_bytes_->Set(static_cast<double>(packs.bytes));
  pack_cache_hits_->Increment(static_cast<double>(packs.hits - last_packs_.hits));
  pack_cache_misses_->Increment(static_cast<double>(packs.misses - last_packs_.misses));
  last_packs_ = packs;
}

}  // namespace dki::generation
