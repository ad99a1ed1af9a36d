// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/relevance.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "libs/base/check.h"

namespace dki::injection {
namespace {

// Below this a share says nothing; ln of it is finite.
constexpr double kLeastShare = 1e-5;

double LogShare(double share) {
  return std::log(std::fmax(share, 0.0) + kLeastShare);
}

// Without what later memories take away.
std::vector<double> ScoreAlone(const RelevanceModel& model, std::span<const Evidence> memories) {
  const double last = std::max<double>(1.0, static_cast<double>(memories.size()) - 1.0);
  std::vector<double> scores;
  scores.reserve(memories.size());
  for (size_t i = 0; i < memories.size(); ++i) {
    const Evidence& memory = memories[i];
    double score = model.cosine * memory.cosine + model.words * memory.words +
                   model.recency * static_cast<double>(i) / last;
    if (!memory.head_shares.empty()) {
      DKI_CHECK(memory.head_shares.size() == model.heads.size());
      for (size_t h = 0; h < model.heads.size(); ++h) {
        score += model.heads[h] * LogShare(memory.head_shares[h]);
      }
    }
    scores.push_back(score);
  }
  return scores;
}

std::vector<int> BestLater(const RelevanceModel& model, std::span<const Evidence> memories,
                           std::span<const double> alone) {
  std::vector<int> best(memories.size(), -1);
  for (size_t i = 0; i < memories.size(); ++i) {
    double least = alone[i] - model.superseded;
    for (const int later : memories[i].later) {
      if (alone[later] <= least) continue;
      best[i] = later;
      least = alone[later];
    }
  }
  return best;
}

}  // namespace

std::vector<double> ScoreRelevance(const RelevanceModel& model,
                                   std::span<const Evidence> memories) {
  std::vector<double> scores = ScoreAlone(model, memories);
  const std::vector<int> by = BestLater(model, memories, scores);
  for (size_t i = 0; i < scores.size(); ++i) {
    if (by[i] >= 0) scores[i] -= model.superseded;
  }
  return scores;
}

std::vector<int> SupersededBy(const RelevanceModel& model, std::span<const Evidence> memories) {
  return BestLater(model, memories, ScoreAlone(model, memories));
}

double LookShare(const RelevanceModel& model, std::span<const double> head_shares) {
  DKI_CHECK(!head_shares.empty() && head_shares.size() == model.heads.size());
  const double total = std::reduce(model.heads.begin(), model.heads.end());
  if (total <= 0.0) {
    return std::reduce(head_shares.begin(), head_shares.end()) /
           static_cast<double>(head_shares.size());
  }
  return std::inner_product(head_shares.begin(), head_shares.end(), model.heads.begin(), 0.0) /
         total;
}

std::vector<int> MostProbable(std::span<const double> scores, double mass, int most) {
  std::vector<int> best_first(scores.size());
  std::iota(best_first.begin(), best_first.end(), 0);
  const size_t bound = most > 0 ? std::min<size_t>(most, scores.size()) : scores.size();
  if (scores.empty() || (mass >= 1.0 && bound == scores.size())) return best_first;
  std::stable_sort(best_first.begin(), best_first.end(),
                   [&](int a, int b) { return scores[a] > scores[b]; });
  const double best = scores[best_first[0]];
  double total = 0.0;
  for (const double score : scores) total += std::exp(score - best);
  double held = 0.0;
  size_t n = 0;
  while (n < bound && (n == 0 || mass >= 1.0 || held < mass * total)) {
    held += std::exp(scores[best_first[n++]] - best);
  }
  best_first.resize(n);
  std::sort(best_first.begin(), best_first.end());
  return best_first;
}

double AnswerProbability(const AnswerModel& model, std::span<const Evidence> memories,
                         std::span<const double> scores, bool speaks_of_asker) {
  DKI_CHECK(memories.size() == scores.size());
  if (memories.empty()) return 0.0;
  const double cosine = std::ranges::max_element(memories, {}, &Evidence::cosine)->cosine;
  const double words = std::ranges::max_element(memories, {}, &Evidence::words)->words;
  const double log_odds = model.bias + model.cosine * cosine + model.words * words +
                          (speaks_of_asker ? model.personal * cosine : 0.0) +
                          model.relevance * std::ranges::max(scores);
  return 1.0 / (1.0 + std::exp(-log_odds));
}

}  // namespace dki::injection
