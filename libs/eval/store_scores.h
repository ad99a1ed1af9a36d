// SPDX-License-Identifier: Apache-2.0
// Purpose: how good an order of memories is for a question, and how sure a difference between two
// orders is. Pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace dki::eval {

inline constexpr std::array<int, 4> kRecallDepths = {1, 5, 10, 20};

struct RankScores {
  // The share of the gold memories among the first 1, 5, 10, 20.
  std::array<double, 4> recall = {};
  // 1 / rank of the first gold memory (MRR's summand); 0 when there is none.
  double reciprocal_rank = 0;
  // Gains of the first ten, discounted by log2(rank + 1), over the best order's (Jaervelin,
  // Kekaelaeinen, TOIS 2002).
  double ndcg = 0;

  double recall_at_10() const { return recall[2]; }
};

// `order`: memories, best first. `gold`: not empty, values above 0.
RankScores ScoreOrder(std::span<const int> order, const std::map<int, double>& gold);

RankScores Mean(std::span<const RankScores> scores);

struct Interval {
  double mean = 0;
  double low = 0;  // 95 %
  double high = 0;
};

// Mean of the paired differences with the percentile interval of 10,000 bootstrap samples of the
// questions; the same `seed` gives the same bits everywhere.
Interval PairedBootstrap(std::span<const double> differences, uint64_t seed = 1);

}  // namespace dki::eval
