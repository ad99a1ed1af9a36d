// SPDX-License-Identifier: Apache-2.0
#include "libs/search/word_shares.h"

#include <cmath>
#include <set>

#include "libs/search/words.h"

namespace dki::search {

std::vector<double> WordShares(const WordQuery& query, std::span<const std::string> texts) {
  std::vector<std::set<std::string>> words;
  for (const std::string& text : texts) {
    const std::vector<std::string> stems = ContentWords(text);
    words.emplace_back(stems.begin(), stems.end());
  }
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

}  // namespace dki::search
