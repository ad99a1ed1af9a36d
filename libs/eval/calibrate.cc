// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/calibrate.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace dki::eval {
namespace {

// Of thresholds, as Youden's index halved: about its standard error over some hundred items.
constexpr double kAboutAsGood = 0.01;
// What it costs that memory passes which is not needed, in units of one that is missed: that is an
// answer lost, this one changes an answer to what nobody told.
constexpr double kNeedless = 0.5;
// Memories that are kept, where not all are: no fewer right replies than without a bound (default
// against default:most=..., docs/calibration.md), and a bounded cost where hundreds are much alike.
constexpr int kMostKept = 6;

}  // namespace

absl::Status FitCalibration(const std::vector<std::vector<LabelledItem>>& suites,
                            const std::vector<injection::AttentionHead>& heads, int most,
                            injection::Calibration* calibration) {
  DKI_ASSIGN_OR_RETURN(FittedEvidence fitted, FitEvidence(suites, heads.size(), most, {}));
  for (auto& [probability, worth] : fitted.told) worth *= worth < 0 ? kNeedless : 1.0;
  calibration->heads.clear();
  for (const int h : fitted.heads) calibration->heads.push_back(heads[h]);
  calibration->relevance = std::move(fitted.relevance);
  calibration->answer = {.bias = fitted.answer[0],
                         .cosine = fitted.answer[1],
                         .personal = fitted.answer[5],
                         .words = fitted.answer[2],
                         .relevance = fitted.answer[3],
                         .threshold = BestThreshold(std::move(fitted.told))};
  return absl::OkStatus();
}

double BestThreshold(std::vector<std::pair<double, double>> told) {
  std::ranges::sort(told, std::greater<>());
  std::vector<std::pair<double, double>> sums = {{1.0, 0.0}};  // threshold, what passes
  double sum = 0.0;
  for (size_t i = 0; i < told.size(); ++i) {
    sum += told[i].second;
    const double next = i + 1 < told.size() ? told[i + 1].first : 0.0;
    if (next < told[i].first) sums.emplace_back((told[i].first + next) / 2.0, sum);
  }
  double best = 0.0;
  for (const auto& [threshold, passing] : sums) best = std::max(best, passing);
  double threshold = 1.0;
  for (const auto& [at, passing] : sums) {
    if (passing >= best - kAboutAsGood) threshold = at;
  }
  return threshold;
}

std::vector<injection::Strength> StrengthGrid() {
  std::vector<injection::Strength> grid = {
      {.keep = 1.0, .beta = 0.0, .floor = 0.05, .read = 1.0, .answer = 1.0}};
  for (const double keep : {0.85, 0.9}) {
    for (const double beta : {0.15, 0.25}) {
      for (const auto& [read, answer] :
           {std::pair(1.0, 2.0), std::pair(1.5, 2.5), std::pair(1.5, 3.0)}) {
        grid.push_back({.keep = keep,
                        .most = kMostKept,
                        .beta = beta,
                        .floor = 0.05,
                        .read = read,
                        .answer = answer});
      }
    }
  }
  return grid;
}

int BestStrength(const std::vector<std::vector<double>>& right, double slack) {
  int best = 0;
  double best_mean = -1;
  for (size_t g = 0; g < right.size(); ++g) {
    double mean = 0;
    bool loses = false;
    for (size_t s = 0; s < right[g].size(); ++s) {
      mean += right[g][s] / static_cast<double>(right[g].size());
      loses = loses || right[g][s] < right[0][s] - slack;
    }
    if (loses || mean <= best_mean) continue;
    best = static_cast<int>(g);
    best_mean = mean;
  }
  return best;
}

}  // namespace dki::eval
