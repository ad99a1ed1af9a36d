// SPDX-License-Identifier: Apache-2.0
// Purpose: the regressions of a calibration (calibrate.h, steps 1 and 2), and what they say of
// items
//   that they have not seen. Deterministic. Pure functions.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "libs/base/status.h"
#include "libs/injection/relevance.h"

namespace dki::eval {

// An item with all that a probe and retrieval tell of it.
struct LabelledItem {
  std::vector<double> cosines;
  std::vector<double> words;
  std::vector<std::vector<int>> later;
  std::vector<std::vector<double>> shares;  // [memories][heads], as the heads given
  std::vector<int> gold;
  bool needed = true;
  bool speaks_of_asker = false;
  double entropy = 0.0;  // of the next token without memory, nats; only for comparison
};

// What a fit may use. The product's gate uses all but the entropy.
struct FitInputs {
  bool cosine = true;
  bool personal = true;   // of the answer: a weight of its own for the cosine of who asks
  bool relevance = true;  // of the answer: the best relevance, where it helps enough
  bool words = true;
  bool place = true;
  bool superseded = true;
  bool heads = true;
  bool entropy = false;
};

struct FittedEvidence {
  std::vector<int> heads;  // chosen, as indexes of LabelledItem::shares
  injection::RelevanceModel relevance;
  // Of the logistic regression: bias, best cosine, best share of words, best relevance, entropy,
  // best cosine where who asks speaks of themselves.
  std::vector<double> answer;
  // Of the fitted items: their probability, and what letting them pass is worth (BestThreshold).
  std::vector<std::pair<double, double>> told;
};

// `n_heads`: whose shares the items hold; at most `most_heads` of them are chosen, and one at least
// where heads may be used. INVALID_ARGUMENT when there are no items with gold among several
// memories, or none of both kinds of needed.
absl::StatusOr<FittedEvidence> FitEvidence(const std::vector<std::vector<LabelledItem>>& suites,
                                           size_t n_heads, int most_heads, const FitInputs& inputs);

// The same with these heads; none of them where heads may not be used.
absl::StatusOr<FittedEvidence> FitEvidenceOfHeads(
    const std::vector<std::vector<LabelledItem>>& suites, const std::vector<int>& heads,
    const FitInputs& inputs);

// Log-odds of each memory of an item, and the probability that they hold the answer; 0 without
// memories.
std::vector<double> RelevanceOf(const FittedEvidence& fitted, const LabelledItem& item);
double AnswerProbability(const FittedEvidence& fitted, const LabelledItem& item);

}  // namespace dki::eval
