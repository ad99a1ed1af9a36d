// SPDX-License-Identifier: Apache-2.0
#include "libs/search/ranking.h"

#include <algorithm>
#include <cmath>

namespace dki::search {
namespace {

constexpr double kMaxWeight = 10;

absl::Status CheckWeight(const char* field, double value) {
  if (value >= 0 && value <= kMaxWeight) return absl::OkStatus();  // NaN fails
  return InvalidArgument("%s is %g; it must be 0 to %g", field, value, kMaxWeight);
}

}  // namespace

absl::Status Validate(const RankingOptions& options) {
  DKI_RETURN_IF_ERROR(CheckWeight("word_weight", options.word_weight));
  DKI_RETURN_IF_ERROR(CheckWeight("recency_weight", options.recency_weight));
  if (options.recency_half_life < absl::Seconds(1)) {
    return InvalidArgument("recency_half_life must be at least 1 s");
  }
  return absl::OkStatus();
}

double Recency(absl::Duration age, absl::Duration half_life) {
  return std::exp2(-std::max(0.0, absl::FDivDuration(age, half_life)));
}

double Score(const RankingOptions& options, double cosine, double word_share, double recency) {
  return cosine + options.word_weight * word_share + options.recency_weight * recency;
}

std::vector<double> FuseRanks(std::span<const std::vector<int>> lists,
                              std::span<const double> weights, int n, double constant) {
  std::vector<double> scores(static_cast<size_t>(n));
  for (size_t list = 0; list < lists.size(); ++list) {
    for (size_t rank = 0; rank < lists[list].size(); ++rank) {
      scores[static_cast<size_t>(lists[list][rank])] +=
          weights[list] / (constant + 1 + static_cast<double>(rank));
    }
  }
  return scores;
}

std::vector<int> OrderByScore(std::span<const double> scores, bool positive_only) {
  std::vector<int> order;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!positive_only || scores[i] > 0) order.push_back(static_cast<int>(i));
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  return order;
}

}  // namespace dki::search
