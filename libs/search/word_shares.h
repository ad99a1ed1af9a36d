// SPDX-License-Identifier: Apache-2.0
// Purpose: how much of what is asked a few texts name, by words. Beside a cosine it tells whether
//   they are about the very thing that is asked: "Ann's cat" and "Ann's dog" mean nearly the same.
//   (The word index's share ranks a whole store by BM25; this one compares the few that are
//   candidates, wherever they came from, and is the same in every tenant.) Pure functions.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "libs/search/word_query.h"

namespace dki::search {

// For each text the share [0, 1] of the query's words that it has. A word counts by its weight in
// the query times its rarity among the texts, ln(1 + (n + 1) / (texts with it + 0.5)): a name that
// all of them have says little. All 0 for a query without words.
std::vector<double> WordShares(const WordQuery& query, std::span<const std::string> texts);

// For each text, oldest first, the later ones that have all the query's words that it has, by
// index: who asks for the state of something wants the latest note on it. Texts that have different
// words of what is asked do not cover each other, and of a text with less than three quarters of
// the greatest share (WordShares) nothing is said: it is about something else.
std::vector<std::vector<int>> CoveredByLater(const WordQuery& query,
                                             std::span<const std::string> oldest_first);

}  // namespace dki::search
