// SPDX-License-Identifier: Apache-2.0
// Purpose: how sure a difference between two arms is. Paired bootstrap (Efron and Tibshirani, An
//   Introduction to the Bootstrap, 1993, chapter 16): items are drawn again with replacement within
//   each suite, both arms on the same draw; the figure is the mean over suites of the suites'
//   means.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace dki::eval {

inline constexpr int kResamples = 10000;

// A suite's items under two arms, in the same order. REQUIRES: equal sizes, not empty.
struct PairedSuite {
  std::string name;
  std::vector<double> first;
  std::vector<double> second;
};

// A figure and its 95 % interval: the 2.5th and 97.5th percentile of the resamples.
struct Estimate {
  double value = 0;
  double low = 0;
  double high = 0;
};

struct PairedResult {
  double first = 0;  // mean over suites
  double second = 0;
  Estimate difference;            // first - second
  std::optional<Estimate> ratio;  // first / second; none where second is 0 in the data
};

// The same input gives the same result. REQUIRES: suites is not empty.
PairedResult PairedBootstrap(std::span<const PairedSuite> suites, int resamples = kResamples);

// Of any figure of n items: `figure` gets the indexes drawn (0 .. n-1 for the value itself) and
// may have none for a draw, which then does not count; none without a value.
std::optional<Estimate> Bootstrap(
    int n, const std::function<std::optional<double>(std::span<const int>)>& figure,
    int resamples = kResamples);

// Area under the receiver operating characteristic: how often a positive scores above a negative,
// ties half. None without both.
std::optional<double> Auroc(std::span<const double> scores, const std::vector<bool>& positive);

}  // namespace dki::eval
