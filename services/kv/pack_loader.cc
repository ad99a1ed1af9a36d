// SPDX-License-Identifier: Apache-2.0
#include "services/kv/pack_loader.h"

#include <optional>
#include <utility>

#include "libs/base/parallel.h"

namespace dki::kv {
namespace {

telemetry::Counter* BlocksFrom(telemetry::Metrics* metrics, const std::string& tier) {
  return metrics->GetCounter("dki_kv_blocks_total", "Blocks of packs, by where they came from.",
                             {{"tier", tier}});
}

telemetry::Counter* Choices(telemetry::Metrics* metrics, const std::string& path) {
  return metrics->GetCounter(
      "dki_kv_path_choices_total",
      "Stored blocks, by what was decided: load, recompute, or explore (load "
      "against the estimate, to learn).",
      {{"path", path}});
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
      : loader_(*loader),
        plan_(plan),
        blocks_(plan.blocks.size()),
        decoded_(plan.blocks.size()),
        recomputes_(plan.blocks.size()) {}

  int size() const { return static_cast<int>(blocks_.size()); }
  bool IsThere(int i) const { return blocks_[i].bytes != nullptr; }
  const LoadedBlock& block(int i) const { return blocks_[i]; }

  // Where each block lies, and for those that are stored: load or recompute.
  void ChoosePaths() {
    std::vector<kvcache::BlockIdentity> identities;
    for (const injection::PlannedBlock& block : plan_.blocks) identities.push_back(block.identity);
    places_ = loader_.tier_->Locate(identities);
    if (loader_.options_.costs == nullptr) return;
    std::vector<kvcache::CostedBlock> costed;
    for (int i = 0; i < size(); ++i) {
      costed.push_back(Cost(i));
      if (!places_[i]) continue;
      costed.back().tier = places_[i]->tier;
      costed.back().bytes = places_[i]->bytes;
    }
    const std::vector<kvcache::PathChoice> choices = loader_.options_.costs->Choose(costed);
    for (int i = 0; i < size(); ++i) {
      blocks_[i].choice = choices[i];
      blocks_[i].had_choice = costed[i].tier.has_value();
      // Where nobody knows of a block, some tier may have it all the same.
      recomputes_[i] = costed[i].tier && choices[i].path == kvcache::LoadPath::kRecompute;
      if (costed[i].tier) loader_.CountChoice(choices[i]);
    }
  }

  // What RAM has, one after another; what lies further away, several at a time. REQUIRES: the
  // paths are chosen.
  absl::Status LookUpAll(const GoOn& go_on) {
    std::vector<int> far;
    for (int i = 0; i < size(); ++i) {
      DKI_RETURN_IF_ERROR(go_on());
      if (places_[i] && places_[i]->tier != kvcache::TierName::kRam && !recomputes_[i]) {
        far.push_back(i);
      } else {
        LookUp(i);
      }
    }
    if (far.empty()) return absl::OkStatus();
    std::vector<std::optional<Found>> found(far.size());
    const absl::Time start = loader_.options_.clock->Now();
    RunInParallel(static_cast<int>(far.size()), loader_.options_.parallel_reads, [&](int k) {
      if (go_on().ok()) found[k] = Find(far[k]);
    });
    const absl::Duration all = loader_.options_.clock->Now() - start;
    // Of each, what it added to the time that the pack waited.
    absl::Duration sum;
    for (const auto& one : found) sum += one ? one->time : absl::ZeroDuration();
    for (size_t k = 0; k < far.size(); ++k) {
      if (!found[k]) continue;
      if (sum > absl::ZeroDuration()) found[k]->time *= absl::FDivDuration(all, sum);
      Take(far[k], *std::move(found[k]));
    }
    return go_on();
  }

  // Computes the first missing blocks, as many as one pass may have. REQUIRES: the turn, and that
  // one is missing.
  absl::Status ComputeSome() {
    const std::vector<int> wanted = LookAgain(NextMissing());
    if (wanted.empty()) return absl::OkStatus();
    DKI_ASSIGN_OR_RETURN(const model::KvBuffer* const context,
                         loader_.contexts_.Get(plan_.context_tokens));
    const absl::Time start = loader_.options_.clock->Now();
    std::vector<const model::KvBuffer*> at_hand(plan_.blocks.size(), nullptr);
    for (const int i : wanted) {
      for (const int j : plan_.blocks[i].behind) {
        if (!IsThere(j) || at_hand[j] != nullptr) continue;
        DKI_RETURN_IF_ERROR(Decode(j));
        at_hand[j] = &decoded_[j]->kv;
      }
    }
    DKI_ASSIGN_OR_RETURN(std::vector<injection::MadeBlock> made,
                         loader_.maker_.Make(plan_, *context, at_hand, wanted));
    const absl::Duration time = loader_.options_.clock->Now() - start;
    loader_.compute_seconds_->Observe(absl::ToDoubleSeconds(time));
    int n_tokens = 0;
    for (const injection::MadeBlock& block : made) n_tokens += block.kept.size();
    if (loader_.options_.costs != nullptr) {
      std::vector<kvcache::CostedBlock> costed;
      for (const int i : wanted) costed.push_back(Cost(i));
      loader_.options_.costs->ObserveCompute(costed, time);
    }
    for (size_t k = 0; k < made.size(); ++k) {
      const double share = made[k].kept.size() / static_cast<double>(std::max(n_tokens, 1));
      Keep(wanted[k], std::move(made[k]), time * share);
    }
    return absl::OkStatus();
  }

 private:
  struct Found {
    kvcache::TierHit hit;
    absl::Duration time;
  };

  // What is to be recomputed is not looked for, unless it has come into RAM meanwhile.
  void LookUp(int i) {
    if (recomputes_[i]) {
      const auto place = loader_.tier_->Find(plan_.blocks[i].identity);
      if (!place || place->tier != kvcache::TierName::kRam) return;
    }
    if (std::optional<Found> found = Find(i)) Take(i, *std::move(found));
  }
  std::optional<Found> Find(int i) const {
    const absl::Time start = loader_.options_.clock->Now();
    std::optional<kvcache::TierHit> hit = loader_.tier_->Get(plan_.blocks[i].identity);
    if (!hit) return std::nullopt;
    return Found{*std::move(hit), loader_.options_.clock->Now() - start};
  }
  void Take(int i, Found found) {
    const kvcache::TierName tier = found.hit.tier;
    kvcache::BlockBytes bytes = std::move(found.hit.block.bytes);
    if (loader_.options_.costs != nullptr) {
      loader_.options_.costs->ObserveLoad(tier, static_cast<int64_t>(bytes->size()), found.time);
    }
    loader_.CounterOf(tier)->Increment();
    blocks_[i] = {.origin = OriginOf(tier),
                  .bytes = std::move(bytes),
                  .load_time = found.time,
                  .choice = blocks_[i].choice,
                  .had_choice = blocks_[i].had_choice};
    loader_.CountOutcome(blocks_[i].choice.load_estimate, found.time);
  }

  kvcache::CostedBlock Cost(int i) const {
    const injection::PlannedBlock& planned = plan_.blocks[i];
    int n_before = static_cast<int>(plan_.context_tokens.size());
    for (const int j : planned.behind) n_before += plan_.blocks[j].n_used();
    return {.tier = std::nullopt,
            .bytes = 0,
            .n_tokens = static_cast<int>(planned.tokens.size()),
            .n_before = n_before};
  }

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
    DKI_ASSIGN_OR_RETURN(
        decoded_[i],
        kvcache::DecodeBlock(*blocks_[i].bytes, plan_.blocks[i].identity, loader_.maker_.codec()));
    return absl::OkStatus();
  }

  void Keep(int i, injection::MadeBlock made, absl::Duration time) {
    kvcache::Block& block = made.block;
    kvcache::BlockBytes bytes = kvcache::EncodeBlock(block, loader_.maker_.codec());
    loader_.Count(made);
    loader_.tier_->Put({.identity = block.identity,
                        .chain_memory_ids = block.chain_memory_ids,
                        .bytes = bytes,
                        .recompute_seconds = absl::ToDoubleSeconds(time),
                        .n_tokens = made.kept.size(),
                        .attributes = plan_.blocks[i].attributes});
    const LoadedBlock before = blocks_[i];
    blocks_[i] = {.origin = BlockOrigin::kComputed,
                  .bytes = std::move(bytes),
                  .load_time = time,
                  .choice = before.choice,
                  .had_choice = before.had_choice};
    loader_.CountOutcome(before.choice.recompute_estimate, time);
    block.kv = std::move(made.kept);  // as if it had been read back
    block.as_computed = block.format == kernels::KvFormat::kF32;

    decoded_[i] = std::move(block);
  }

  PackLoader& loader_;
  const injection::PackPlan& plan_;
  std::vector<LoadedBlock> blocks_;
  std::vector<std::optional<kvcache::TierPlace>> places_;  // when the pack was asked for
  std::vector<std::optional<kvcache::Block>> decoded_;     // those that others were computed behind
  std::vector<bool> recomputes_;                           // though some tier has it
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
      chosen_load_(Choices(metrics, "load")),
      chosen_recompute_(Choices(metrics, "recompute")),
      explored_(Choices(metrics, "explore")),
      estimated_seconds_(
          metrics->GetCounter("dki_kv_path_estimated_seconds_total",
                              "What the chosen ways of blocks were estimated to take.")),
      measured_seconds_(
          metrics->GetCounter("dki_kv_path_measured_seconds_total", "What the same blocks took.")),
      metrics_(metrics),
      contexts_(model, options.context_cache_bytes),
      maker_(model, *format, options.drift) {}

void PackLoader::Count(const injection::MadeBlock& made) {
  computed_->Increment();
  computed_tokens_->Increment(made.block.kv.size());
  const auto format_label = [](kernels::KvFormat format) {
    return telemetry::Labels{{"format", kernels::Name(format)}};
  };
  const auto observe = [&](kernels::KvFormat format, const kvcache::Drift& drift) {
    metrics_
        ->GetHistogram("dki_kv_drift_nats",
                       "What the blocks measured lose by their format: KL on the probe, in nats.",
                       format_label(format))
        ->Observe(drift.kl);
  };
  for (const auto& [format, drift] : made.refused) {
    observe(format, drift);
    metrics_
        ->GetCounter("dki_kv_format_refused_total",
                     "Blocks that would have lost too much in a format, by format.",
                     format_label(format))
        ->Increment();
  }
  if (made.block.drift.measured()) observe(made.block.format, made.block.drift);
  metrics_
      ->GetCounter("dki_kv_blocks_made_total", "Blocks computed, by the format that they are in.",
                   format_label(made.block.format))
      ->Increment();
}

void PackLoader::CountChoice(const kvcache::PathChoice& choice) const {
  if (choice.path == kvcache::LoadPath::kRecompute) {
    chosen_recompute_->Increment();
  } else {
    (choice.explores ? explored_ : chosen_load_)->Increment();
  }
}

void PackLoader::CountOutcome(absl::Duration estimate, absl::Duration measured) const {
  if (options_.costs == nullptr || estimate < absl::ZeroDuration()) return;
  estimated_seconds_->Increment(absl::ToDoubleSeconds(estimate));
  measured_seconds_->Increment(absl::ToDoubleSeconds(measured));
}

absl::Status PackLoader::WarmUp() {
  const std::vector<int32_t> tokens = format_->RenderPrefix(format_->default_system_prompt());
  const absl::Time start = options_.clock->Now();
  DKI_RETURN_IF_ERROR(contexts_.Get(tokens).status());
  if (options_.costs == nullptr) return absl::OkStatus();
  const kvcache::CostedBlock context{.n_tokens = static_cast<int>(tokens.size())};
  options_.costs->ObserveCompute({&context, 1}, options_.clock->Now() - start);
  return absl::OkStatus();
}

absl::Status PackLoader::Load(const PackRequest& request, Urgency urgency, const GoOn& go_on,
                              const Sink& sink) {
  const injection::PackPlan plan =
      injection::PlanPack(*format_, request.tenant_id, model_->config().kv_fingerprint,
                          request.context_system_prompt.empty() ? format_->default_system_prompt()
                                                                : request.context_system_prompt,
                          request.memories, options_.block_format, request.composition);
  const int window = model_->config().context_length;
  const int n_context = static_cast<int>(plan.context_tokens.size());
  if (n_context + plan.n_tokens > window) {
    return OutOfRange("pack: %d tokens behind a context of %d, the model's window has %d",
                      plan.n_tokens, n_context, window);
  }
  Job job(this, plan);
  job.ChoosePaths();
  DKI_RETURN_IF_ERROR(job.LookUpAll(go_on));
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
