// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "libs/eval/make_random.h"

namespace dki::eval {
namespace {

constexpr uint64_t kSeed = 20260901;

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Sorts `draws`. Linear between the two nearest.
double Percentile(std::vector<double>* draws, double share) {
  std::sort(draws->begin(), draws->end());
  const double place = share * static_cast<double>(draws->size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, draws->size() - 1);
  const double part = place - static_cast<double>(below);
  if (part == 0) return (*draws)[below];  // infinity times 0 is not a number
  return (*draws)[below] * (1 - part) + (*draws)[above] * part;
}

Estimate Around(double value, std::vector<double>* draws) {
  if (draws->empty()) return {value, value, value};
  return {value, Percentile(draws, 0.025), Percentile(draws, 0.975)};
}

}  // namespace

PairedResult PairedBootstrap(std::span<const PairedSuite> suites, int resamples) {
  const auto n_suites = static_cast<double>(suites.size());
  PairedResult result;
  for (const PairedSuite& suite : suites) {
    result.first += Mean(suite.first) / n_suites;
    result.second += Mean(suite.second) / n_suites;
  }
  Random random(kSeed);
  std::vector<double> differences;
  std::vector<double> ratios;
  for (int r = 0; r < resamples; ++r) {
    double first = 0;
    double second = 0;
    for (const PairedSuite& suite : suites) {
      const size_t n = suite.first.size();
      double sum_first = 0;
      double sum_second = 0;
      for (size_t i = 0; i < n; ++i) {
        const size_t drawn = random.Below(n);
        sum_first += suite.first[drawn];
        sum_second += suite.second[drawn];
      }
      first += sum_first / static_cast<double>(n) / n_suites;
      second += sum_second / static_cast<double>(n) / n_suites;
    }
    differences.push_back(first - second);
    if (second != 0) ratios.push_back(first / second);
  }
  result.difference = Around(result.first - result.second, &differences);
  if (result.second != 0) result.ratio = Around(result.first / result.second, &ratios);
  return result;
}

std::optional<Estimate> Bootstrap(
    int n, const std::function<std::optional<double>(std::span<const int>)>& figure,
    int resamples) {
  std::vector<int> drawn(n);
  std::iota(drawn.begin(), drawn.end(), 0);
  const std::optional<double> value = figure(drawn);
  if (!value) return std::nullopt;
  Random random(kSeed);
  std::vector<double> draws;
  for (int r = 0; r < resamples; ++r) {
    for (int& i : drawn) i = static_cast<int>(random.Below(n));
    if (const auto draw = figure(drawn)) draws.push_back(*draw);
  }
  return Around(*value, &draws);
}

std::optional<double> Auroc(std::span<const double> scores, const std::vector<bool>& positive) {
  // By the rank sum (Mann and Whitney, 1947); ties share their mean rank.
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  double rank_sum = 0;
  double n_positive = 0;
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    while (end < order.size() && scores[order[end]] == scores[order[begin]]) ++end;
    const double rank = 0.5 * static_cast<double>(begin + 1 + end);
    for (size_t i = begin; i < end; ++i) {
      if (!positive[order[i]]) continue;
      rank_sum += rank;
      n_positive += 1;
    }
    begin = end;
  }
  const double n_negative = static_cast<double>(scores.size()) - n_positive;
  if (n_positive == 0 || n_negative == 0) return std::nullopt;
  return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative);
}

}  // namespace dki::eval
