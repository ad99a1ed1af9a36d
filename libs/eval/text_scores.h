// SPDX-License-Identifier: Apache-2.0
// Purpose: the seeds' measures of a reply's text, with their degenerate cases mended: what has
//   nothing to measure has no score, where the seeds' gave it the best one. Words are those of
//   Normalise (scoring.h). Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dki::eval {

// BLEU up to 4-grams of one reply (Papineni et al., 2002), counts of zero smoothed by 0.1 (Chen and
// Cherry, 2014, method 1), with brevity penalty. 0 without a common word.
double Bleu(std::string_view reply, std::string_view reference);

// F1 of the longest common subsequence of words (Lin, 2004).
double RougeL(std::string_view reply, std::string_view reference);

// Share of `expected` memories that the reply uses: at least half of their keywords are in it.
// Keywords are words of three letters or more that are neither function words nor in `asked`: the
// question and how its answer begins (the seeds counted those too, so that an echo recalled). None
// where nothing is expected (the seeds: 1, so that a system without memory began at 68 %).
std::optional<double> MemoryRecall(std::string_view reply, std::string_view asked,
                                   const std::vector<std::string>& expected);

// Share of the reply's statements (sentences of ten characters or more with is, are, was, were,
// has or have) none of whose keywords occur in `grounding`, whole words. None without a statement.
std::optional<double> HallucinationRate(std::string_view reply,
                                        const std::vector<std::string>& grounding);

}  // namespace dki::eval
