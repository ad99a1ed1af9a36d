// SPDX-License-Identifier: Apache-2.0
#include "services/kv/pack_loader.h"

#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "libs/injection/compute_pack.h"

namespace dki::kv {
namespace {

telemetry::Counter* BlocksFrom(telemetry::Metrics* metrics, const std::string& tier) {
  return metrics->GetCounter("dki_kv_blocks_total", "Blocks of packs, by where they came from.",
                             {{"tier", tier}});
}

BlockOrigin OriginOf(kvcache::TierName tier) {
  switch (tier) {
    case kvcache::TierName::kRam:
      return BlockOrigin::kRam;
    case kvcache::TierName::kDisk:
      return BlockOrigin::kDisk;
    case kvcache::TierName::kRemote:
      break;
  }
  return BlockOrigin::kRemote;
}

}  // namespace

telemetry::Counter* PackLoader::CounterOf(kvcache::TierName tier) const {
  switch (tier) {
    case kvcache::TierName::kRam:
      return ram_hits_;
    case kvcache::TierName::kDisk:
      return disk_hits_;
    case kvcache::TierName::kRemote:
      break;
  }
  return remote_hits_;
}

// One pack on its way.
class PackLoader::Job {
 public:
  Job(PackLoader* loader, const injection::PackPlan& plan)
      : loader_(*loader), plan_(plan), blocks_(plan.blocks.size()), decoded_(plan.blocks.size()) {}

  int size() const { return static_cast<int>(blocks_.size()); }
  bool IsThere(int i) const { return blocks_[i].bytes != nullptr; }
  const LoadedBlock& block(int i) const { return blocks_[i]; }

  void LookUp(int i) {
    const absl::Time start = absl::Now();
    std::optional<kvcache::TierHit> hit = loader_.tier_->Get(plan_.blocks[i].identity);
    if (!hit) return;
    loader_.CounterOf(hit->tier)->Increment();
    blocks_[i] = {.origin = OriginOf(hit->tier),
                  .bytes = std::move(hit->block.bytes),
                  .load_time = absl::Now() - start};
  }

  // Computes the first missing blocks, as many as one pass may have. REQUIRES: the turn, and that
  // one is missing.
  absl::Status ComputeSome() {
    const std::vector<int> wanted = LookAgain(NextMissing());
    if (wanted.empty()) return absl::OkStatus();
    const absl::Time start = absl::Now();
    DKI_ASSIGN_OR_RETURN(const model::KvBuffer* const context,
                         loader_.contexts_.Get(plan_.context_tokens));
    std::vector<const model::KvBuffer*> at_hand(plan_.blocks.size(), nullptr);
    for (int i = 0; i < wanted.back(); ++i) {
      if (!IsThere(i)) continue;
      DKI_RETURN_IF_ERROR(Decode(i));
      at_hand[i] = &decoded_[i]->kv;
    }
    DKI_ASSIGN_OR_RETURN(
        std::vector<kvcache::Block> computed,
        injection::ComputeBlocks(loader_.model_, plan_, *context, at_hand, wanted));
    const absl::Duration time = absl::Now() - start;
    loader_.compute_seconds_->Observe(absl::ToDoubleSeconds(time));
    int n_tokens = 0;
    for (const kvcache::Block& block : computed) n_tokens += block.kv.size();
    for (size_t k = 0; k < wanted.size(); ++k) {
      const double share = computed[k].kv.size() / static_cast<double>(std::max(n_tokens, 1));
      Keep(wanted[k], std::move(computed[k]), time * share);
    }
    return absl::OkStatus();
  }

 private:
  std::vector<int> NextMissing() const {
    std::vector<int> missing;
    int n_tokens = 0;
    for (int i = 0; i < size(); ++i) {
      if (IsThere(i)) continue;
      n_tokens += static_cast<int>(plan_.blocks[i].tokens.size());
      if (n_tokens > loader_.options_.max_tokens_per_pass && !missing.empty()) break;
      missing.push_back(i);
    }
    return missing;
  }

  // Another request may have computed them while this one waited for its turn.
  std::vector<int> LookAgain(const std::vector<int>& missing) {
    std::vector<int> still;
    for (const int i : missing) {
      LookUp(i);
      if (!IsThere(i)) still.push_back(i);
    }
    return still;
  }

  absl::Status Decode(int i) {
    if (decoded_[i]) return absl::OkStatus();
    DKI_ASSIGN_OR_RETURN(decoded_[i],
                         kvcache::DecodeBlock(*blocks_[i].bytes, plan_.blocks[i].identity,
                                              loader_.model_->kv_shape()));
    return absl::OkStatus();
  }

  void Keep(int i, kvcache::Block block, absl::Duration time) {
    auto bytes = std::make_shared<const std::string>(kvcache::EncodeBlock(block));
    loader_.computed_->Increment();
    loader_.computed_tokens_->Increment(block.kv.size());
    loader_.tier_->Put({.identity = block.identity,
                        .chain_memory_ids = block.chain_memory_ids,
                        .bytes = bytes,
                        .recompute_seconds = absl::ToDoubleSeconds(time)});
    blocks_[i] = {.origin = BlockOrigin::kComputed, .bytes = std::move(bytes), .load_time = time};
    decoded_[i] = std::move(block);
  }

  PackLoader& loader_;
  const injection::PackPlan& plan_;
  std::vector<LoadedBlock> blocks_;
  std::vector<std::optional<kvcache::Block>> decoded_;  // those that others were computed behind
};

PackLoader::PackLoader(model::Model* model, const model::ChatFormat* format, kvcache::KvTier* tier,
                       telemetry::Metrics* metrics, Options options)
    : model_(model),
      format_(format),
      tier_(tier),
      options_(options),
      ram_hits_(BlocksFrom(metrics, "ram")),
      disk_hits_(BlocksFrom(metrics, "disk")),
      remote_hits_(BlocksFrom(metrics, "remote")),
      computed_(BlocksFrom(metrics, "recomputed")),
      computed_tokens_(
          metrics->GetCounter("dki_kv_computed_tokens_total", "Tokens of blocks computed.")),
      compute_seconds_(metrics->GetHistogram("dki_kv_compute_seconds",
                                             "Time of one forward pass over missing blocks.")),
      contexts_(model, options.context_cache_bytes) {}

absl::Status PackLoader::Load(const PackRequest& request, Urgency urgency, const GoOn& go_on,
                              const Sink& sink) {
  const injection::PackPlan plan =
      injection::PlanPack(*format_, request.tenant_id, model_->config().fingerprint,
                          request.context_system_prompt.empty() ? format_->default_system_prompt()
                                                                : request.context_system_prompt,
                          request.memories);
  const int window = model_->config().context_length;
  const int n_context = static_cast<int>(plan.context_tokens.size());
  if (n_context + plan.n_tokens > window) {
    return OutOfRange("pack: %d tokens behind a context of %d, the model's window has %d",
                      plan.n_tokens, n_context, window);
  }
  Job job(this, plan);
  for (int i = 0; i < job.size(); ++i) {
    DKI_RETURN_IF_ERROR(go_on());
    job.LookUp(i);
  }
  int sent = 0;
  while (true) {
    for (; sent < job.size() && job.IsThere(sent); ++sent) {
      DKI_RETURN_IF_ERROR(go_on());
      DKI_RETURN_IF_ERROR(sink(plan.blocks[sent], job.block(sent)));
    }
    if (sent == job.size()) return absl::OkStatus();
    DKI_RETURN_IF_ERROR(go_on());
    DKI_ASSIGN_OR_RETURN(const ComputeTurn::Holder turn, turn_.Take(urgency, go_on));
    DKI_RETURN_IF_ERROR(job.ComputeSome());
  }
}

}  // namespace dki::kv
