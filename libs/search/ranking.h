// SPDX-License-Identifier: Apache-2.0
// Purpose: one order from several signals. Pure functions.
//   The product ranks by a sum of scores, not of ranks: both signals are calibrated (a cosine, and
//   the share of the question's words that a memory has), so their sizes say what ranks forget.
//   docs/results has the figures of both.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "libs/base/status.h"

namespace dki::search {

struct RankingOptions {
  // Of the share of words beside the cosine, which has 1. 0: meaning alone.
  double word_weight = 0.7;
  // Of recency; on questions about a whole conversation it only loses, so it is off.
  double recency_weight = 0.0;
  absl::Duration recency_half_life = absl::Hours(24 * 30);
};
absl::Status Validate(const RankingOptions& options);

// 1 now, a half after each half-life; 1 for what lies in the future. REQUIRES: half_life > 0.
double Recency(absl::Duration age, absl::Duration half_life);

// What results are ordered by. `word_share` [0, 1], `recency` [0, 1].
double Score(const RankingOptions& options, double cosine, double word_share, double recency);

// Reciprocal rank fusion (Cormack, Clarke, Buettcher, SIGIR 2009): score(i) = sum over lists of
// weight / (constant + rank), ranks from 1; an item that is not in a list gets nothing from it.
// `lists`: items in order, best first; items are 0 to n - 1; `weights`: one per list. Returns [n].
std::vector<double> FuseRanks(std::span<const std::vector<int>> lists,
                              std::span<const double> weights, int n, double constant = 60);

// Items 0 to n - 1 by score, best first, then by number; without those of score 0 or less where
// `positive_only`.
std::vector<int> OrderByScore(std::span<const double> scores, bool positive_only = false);

}  // namespace dki::search
