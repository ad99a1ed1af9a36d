// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/scoring.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>
#include <vector>

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

namespace {

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  std::istringstream stream(Normalise(text));
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

}  // namespace

bool HoldsOtherValue(std::string_view reply, const Item& item) {
  constexpr size_t kMostWords = 12;
  std::set<std::string> asked;
  const auto add = [&asked](std::string_view text) {
    for (std::string& word : Words(text)) asked.insert(std::move(word));
  };
  add(item.question);
  add(item.answer);
  for (const int i : item.gold) add(item.memories[i].text);
  std::set<std::string> said;
  for (std::string& word : Words(reply)) said.insert(std::move(word));
  for (size_t i = 0; i < item.memories.size(); ++i) {
    if (std::find(item.gold.begin(), item.gold.end(), static_cast<int>(i)) != item.gold.end())
      continue;
    const std::vector<std::string> words = Words(item.memories[i].text);
    if (words.empty() || words.size() > kMostWords) continue;
    if (said.contains(words.back()) && !asked.contains(words.back())) return true;
  }
  return false;
}

double RepeatedTrigrams(std::string_view reply) {
  const std::vector<std::string> words = Words(reply);
  if (words.size() < 3) return 0;
  std::set<std::string> seen;
  int repeated = 0;
  for (size_t i = 0; i + 3 <= words.size(); ++i) {
    const std::string trigram = words[i] + " " + words[i + 1] + " " + words[i + 2];
    if (!seen.insert(trigram).second) ++repeated;
  }
  return static_cast<double>(repeated) / static_cast<double>(words.size() - 2);
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
