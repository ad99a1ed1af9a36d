// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/store_scores.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

namespace dki::eval {
namespace {

constexpr size_t kGainDepth = 10;
constexpr int kSamples = 10'000;

double Discount(size_t rank_from_0) {
  return 1 / std::log2(static_cast<double>(rank_from_0) + 2);
}

}  // namespace

RankScores ScoreOrder(std::span<const int> order, const std::map<int, double>& gold) {
  RankScores scores;
  double gain = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    const auto found = gold.find(order[rank]);
    if (found == gold.end()) continue;
    if (scores.reciprocal_rank == 0) scores.reciprocal_rank = 1 / static_cast<double>(rank + 1);
    if (rank < kGainDepth) gain += found->second * Discount(rank);
    for (size_t i = 0; i < kRecallDepths.size(); ++i) {
      if (rank < static_cast<size_t>(kRecallDepths[i])) scores.recall[i] += 1;
    }
  }
  for (double& recall : scores.recall) recall /= static_cast<double>(gold.size());
  std::vector<double> gains;
  for (const auto& [memory, relevance] : gold) gains.push_back(relevance);
  std::sort(gains.begin(), gains.end(), std::greater<double>());
  double best = 0;
  for (size_t rank = 0; rank < std::min(gains.size(), kGainDepth); ++rank) {
    best += gains[rank] * Discount(rank);
  }
  scores.ndcg = gain / best;
  return scores;
}

RankScores Mean(std::span<const RankScores> scores) {
  RankScores mean;
  const double n = std::max<double>(1, static_cast<double>(scores.size()));
  for (const RankScores& s : scores) {
    for (size_t i = 0; i < mean.recall.size(); ++i) mean.recall[i] += s.recall[i] / n;
    mean.reciprocal_rank += s.reciprocal_rank / n;
    mean.ndcg += s.ndcg / n;
  }
  return mean;
}

Interval PairedBootstrap(std::span<const double> differences, uint64_t seed) {
  Interval interval;
  if (differences.empty()) return interval;
  const auto n = static_cast<double>(differences.size());
  for (const double d : differences) interval.mean += d / n;
  // The standard's distributions differ between libraries; the generator's numbers do not.
  std::mt19937_64 random(seed);
  std::vector<double> means(kSamples);
  for (double& mean : means) {
    double sum = 0;
    for (size_t i = 0; i < differences.size(); ++i)
      sum += differences[random() % differences.size()];
    mean = sum / n;
  }
  std::sort(means.begin(), means.end());
  interval.low = means[static_cast<size_t>(0.025 * kSamples)];
  interval.high = means[static_cast<size_t>(0.975 * kSamples)];
  return interval;
}

}  // namespace dki::eval
