// SPDX-License-Identifier: Apache-2.0
#include "libs/search/word_shares.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "libs/search/words.h"

namespace dki::search {
namespace {

constexpr double kAboutIt = 0.75;  // of the greatest share

std::vector<std::set<std::string>> WordsOf(std::span<const std::string> texts) {
  std::vector<std::set<std::string>> words;
  for (const std::string& text : texts) {
    const std::vector<std::string> stems = ContentWords(text);
    words.emplace_back(stems.begin(), stems.end());
  }
  return words;
}

}  // namespace

std::vector<double> WordShares(const WordQuery& query, std::span<const std::string> texts) {
  const std::vector<std::set<std::string>> words = WordsOf(texts);
  std::vector<double> shares(texts.size(), 0.0);
  double total = 0.0;
  for (const auto& [stem, query_weight] : query) {
    double having = 0.0;
    for (const auto& of_text : words) having += of_text.contains(stem) ? 1.0 : 0.0;
    const double rarity = std::log1p((static_cast<double>(texts.size()) + 1.0) / (having + 0.5));
    total += query_weight * rarity;
    for (size_t i = 0; i < words.size(); ++i) {
      if (words[i].contains(stem)) shares[i] += query_weight * rarity;
    }
  }
  if (total <= 0.0) return shares;
  for (double& share : shares) share /= total;
  return shares;
}

std::vector<std::vector<int>> CoveredByLater(const WordQuery& query,
                                             std::span<const std::string> oldest_first) {
  const std::vector<double> shares = WordShares(query, oldest_first);
  double greatest = 0.0;
  for (const double share : shares) greatest = std::max(greatest, share);
  std::vector<std::set<std::string>> asked = WordsOf(oldest_first);
  for (auto& words : asked) {
    std::erase_if(words, [&](const std::string& stem) {
      return std::ranges::none_of(query, [&](const auto& term) { return term.first == stem; });
    });
  }
  std::vector<std::vector<int>> later(asked.size());
  for (size_t i = 0; i < asked.size(); ++i) {
    if (asked[i].empty() || shares[i] < kAboutIt * greatest) continue;
    for (size_t j = i + 1; j < asked.size(); ++j) {
      if (std::ranges::includes(asked[j], asked[i])) later[i].push_back(static_cast<int>(j));
    }
  }
  return later;
}

}  // namespace dki::search
