// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/scoring.h"

#include <algorithm>
#include <cmath>

namespace dki::eval {

std::string Normalise(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool upper = byte >= 'A' && byte <= 'Z';
    const bool kept =
        upper || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte > 127;
    if (kept) {
      out.push_back(upper ? static_cast<char>(byte - 'A' + 'a') : c);
    } else if (!out.empty() && out.back() != ' ') {
      out.push_back(' ');
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

bool ReplyHolds(std::string_view reply, std::string_view gold) {
  const std::string needle = Normalise(gold);
  if (needle.empty()) return false;
  return (" " + Normalise(reply) + " ").find(" " + needle + " ") != std::string::npos;
}

double StandardErrorPercent(int right, int n) {
  if (n == 0) return 0;
  const double p = static_cast<double>(right) / n;
  return 100 * std::sqrt(p * (1 - p) / n);
}

double StandardErrorOfMean(double sum, double square_sum, int n) {
  if (n < 2) return 0;
  const double variance = std::max(0.0, (square_sum - sum * sum / n) / (n - 1));
  return std::sqrt(variance / n);
}

double McNemar(int only_first, int only_second) {
  const int n = only_first + only_second;
  double tail = 0;
  for (int k = 0; k <= std::min(only_first, only_second); ++k) {
    tail += std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) -
                     n * std::log(2.0));
  }
  return std::min(1.0, 2 * tail);
}

}  // namespace dki::eval
