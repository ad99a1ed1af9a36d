// SPDX-License-Identifier: Apache-2.0
// Purpose: a line through noisy measurements that change with time: y = sum of weight_k * x_k, by
//   least squares, in which older measurements count less. Exponentially weighted normal equations;
//   a small ridge settles what the measurements leave open (one size only, say).
//   Weights are never negative: a feature that would need one is left out.
// Thread-safety: thread-compatible.
#pragma once

#include <array>
#include <cmath>

namespace dki::kvcache {

template <int N>
class DecayedFit {
 public:
  using Features = std::array<double, N>;

  // What was known before counts `keep` of what it did, in (0, 1].
  void Add(const Features& x, double y, double keep) {
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < N; ++j) moments_[i][j] = keep * moments_[i][j] + x[i] * x[j];
      products_[i] = keep * products_[i] + x[i] * y;
    }
    count_ = keep * count_ + 1;
    Solve();
  }
  bool empty() const { return count_ == 0; }
  double At(const Features& x) const {
    double y = 0;
    for (int i = 0; i < N; ++i) y += weights_[i] * x[i];
    return y;
  }
  const Features& weights() const { return weights_; }

 private:
  void Solve() {
    std::array<bool, N> used;
    used.fill(true);
    while (true) {
      weights_ = SolveFor(used);
      int worst = -1;
      for (int i = 0; i < N; ++i) {
        if (used[i] && weights_[i] < 0 && (worst < 0 || weights_[i] < weights_[worst])) worst = i;
      }
      if (worst < 0) return;
      used[worst] = false;
    }
  }
  // Gaussian elimination; the ridge makes the matrix positive definite.
  Features SolveFor(const std::array<bool, N>& used) const {
    std::array<std::array<double, N + 1>, N> a{};
    for (int i = 0; i < N; ++i) {
      if (used[i]) {
        for (int j = 0; j < N; ++j) a[i][j] = used[j] ? moments_[i][j] : 0;
        a[i][i] += kRidge * moments_[i][i] + 1e-300;
        a[i][N] = products_[i];
      } else {
        a[i][i] = 1;
      }
    }
    for (int k = 0; k < N; ++k) {
      for (int i = k + 1; i < N; ++i) {
        const double factor = a[i][k] / a[k][k];
        for (int j = k; j <= N; ++j) a[i][j] -= factor * a[k][j];
      }
    }
    Features weights{};
    for (int k = N - 1; k >= 0; --k) {
      double rest = a[k][N];
      for (int j = k + 1; j < N; ++j) rest -= a[k][j] * weights[j];
      weights[k] = rest / a[k][k];
      if (!std::isfinite(weights[k])) weights[k] = 0;
    }
    return weights;
  }

  static constexpr double kRidge = 1e-6;
  std::array<Features, N> moments_{};
  Features products_{};
  Features weights_{};
  double count_ = 0;
};

}  // namespace dki::kvcache
