// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/cost_model.h"

#include <algorithm>
#include <cmath>

namespace dki::kvcache {
namespace {

// Features of about one, so that the ridge weighs them alike.
std::array<double, 2> LoadFeatures(int64_t bytes) {
  return {1, static_cast<double>(bytes) / (1 << 20)};
}

constexpr double kFarBetter = 0.5;

// Of tokens and of token-context pairs; a pass has the sum of its blocks'.
double Tokens(const CostedBlock& block) {
  return block.n_tokens / 256.0;
}
double Pairs(const CostedBlock& block) {
  return Tokens(block) * (block.n_before + block.n_tokens / 2.0) / 1024.0;
}

}  // namespace

// How much older measurements count beside one that is made now.
double CostModel::Keep(absl::Time* measured) const {
  const absl::Time now = options_.clock->Now();
  const double halvings = 1 / options_.half_life_count +
                          std::max(0.0, absl::FDivDuration(now - *measured, options_.half_life));
  *measured = now;
  return std::exp2(-std::min(halvings, 60.0));
}

void CostModel::ObserveLoad(TierName name, int64_t bytes, absl::Duration time) {
  const MutexLock lock(&mutex_);
  Tier& tier = TierOf(name);
  const double seconds = absl::ToDoubleSeconds(time);
  tier.promising = seconds < kFarBetter * tier.fit.At(LoadFeatures(bytes));
  tier.fit.Add(LoadFeatures(bytes), seconds, Keep(&tier.measured));
}

void CostModel::ObserveCompute(std::span<const CostedBlock> blocks, absl::Duration time) {
  double tokens = 0, pairs = 0;
  for (const CostedBlock& block : blocks) {
    tokens += Tokens(block);
    pairs += Pairs(block);
  }
  // Errors count by the share that they are of the time, so that large passes do not drown what
  // small ones tell. (Not so with loads: one that is far slower than before must count at once.)
  const double seconds = absl::ToDoubleSeconds(time);
  if (tokens == 0 || seconds <= 0) return;
  const MutexLock lock(&mutex_);
  compute_.Add({1 / seconds, tokens / seconds, pairs / seconds}, 1, Keep(&computed_));
}

double CostModel::LoadSeconds(const CostedBlock& block) const {
  return TierOf(*block.tier).fit.At(LoadFeatures(block.bytes));
}
double CostModel::PassSeconds() const {
  return compute_.At({1, 0, 0});
}
double CostModel::TokenSeconds(const CostedBlock& block) const {
  return compute_.At({0, Tokens(block), Pairs(block)});
}

std::vector<PathChoice> CostModel::Choose(std::span<const CostedBlock> blocks) {
  std::vector<PathChoice> choices(blocks.size());
  const MutexLock lock(&mutex_);
  const bool knows_compute = !compute_.empty();
  bool computes = false;  // a pass is made anyway
  for (const CostedBlock& block : blocks) computes = computes || !block.tier;
  const double pass = computes || !knows_compute ? 0 : PassSeconds();

  // What recomputing all that it is cheaper for would save, before the pass is paid.
  double gain = 0, work = 0;
  std::vector<size_t> cheaper;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const CostedBlock& block = blocks[i];
    PathChoice& choice = choices[i];
    double recompute = 0;
    if (knows_compute) {
      recompute = TokenSeconds(block);
      choice.recompute_estimate = absl::Seconds(recompute);
    }
    if (!block.tier) {
      choice.path = LoadPath::kRecompute;
      continue;
    }
    if (TierOf(*block.tier).fit.empty()) continue;
    const double load = LoadSeconds(block);
    choice.load_estimate = absl::Seconds(load);
    if (!knows_compute || load <= recompute) continue;
    gain += load - recompute;
    work += load;
    cheaper.push_back(i);
  }
  const double least =
      std::max(options_.least_gain * work, absl::ToDoubleSeconds(options_.least_gain_time));
  if (gain - pass <= least) return choices;
  const absl::Time now = options_.clock->Now();
  for (const size_t i : cheaper) {
    Tier& tier = TierOf(*blocks[i].tier);
    // One block for all who ask meanwhile, unless it tells that more is to be learned.
    if (tier.promising || now - std::max(tier.measured, tier.explored) >= options_.explore_after) {
      choices[i].explores = true;
      tier.explored = now;
      continue;
    }
    choices[i].path = LoadPath::kRecompute;
    choices[i].recompute_estimate += absl::Seconds(pass / static_cast<double>(cheaper.size()));
  }
  return choices;
}

std::optional<absl::Duration> CostModel::EstimateLoad(TierName tier, int64_t bytes) const {
  const MutexLock lock(&mutex_);
  if (TierOf(tier).fit.empty()) return std::nullopt;
  return absl::Seconds(TierOf(tier).fit.At(LoadFeatures(bytes)));
}

std::optional<absl::Duration> CostModel::EstimateCompute(
    std::span<const CostedBlock> blocks) const {
  const MutexLock lock(&mutex_);
  if (compute_.empty()) return std::nullopt;
  double seconds = PassSeconds();
  for (const CostedBlock& block : blocks) seconds += TokenSeconds(block);
  return absl::Seconds(seconds);
}

}  // namespace dki::kvcache
