// SPDX-License-Identifier: Apache-2.0
// Purpose: what `dki calibrate` does: finds out from labelled items how memory is used well with a
//   model, and writes it down as an injection::Calibration. Three steps, each on what the one
//   before it found:
//   1. Heads: every query head is probed on every item; those are taken, one by one, that best help
//      to tell the gold memories from the others (a softmax regression over cosine, words, place,
//      superseded and the logarithms of the shares: the relevance model), until the next one hardly
//      helps.
//   2. Answer: a logistic regression over the best cosine (with a weight of its own where who asks
//      speaks of themselves), the best share of words and the best relevance, no weight negative,
//      tells items whose memories hold the answer from items whose memories do not. Without the
//      relevance where that is about as good. More inputs (heads of its own) were tried: better on
//      the fitted items, worse on others. The threshold is where what is needed and passes exceeds
//      what is not and passes by most (Youden's index, the latter counted half), each suite counted
//      alike; the lowest of those about as good.
//   3. Strength: of a grid of settings the one with most right free replies, mean over suites, that
//      loses no suite against weight 1; by kind of question.
// Deterministic: the same items and model give the same calibration.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "libs/eval/evidence_fit.h"
#include "libs/eval/runner.h"
#include "libs/eval/suite.h"
#include "libs/injection/calibration.h"

namespace dki::eval {

// Steps 1 and 2; the strengths of `calibration` are left alone. `heads`: all that `items` hold
// shares of; `most` of them are taken at most. INVALID_ARGUMENT when there are no items with gold
// among several memories, or none of both kinds of needed.
absl::Status FitCalibration(const std::vector<std::vector<LabelledItem>>& suites,
                            const std::vector<injection::AttentionHead>& heads, int most,
                            injection::Calibration* calibration);

// From cases as their probability and what letting them pass is worth (positive: needed), the
// threshold where the sum of what passes is greatest (Youden's index, both kinds of error alike).
// Of those that are about as good, the lowest, for a memory that is missed is an answer lost; in
// the middle of the gap between the last that passes and the first that does not.
double BestThreshold(std::vector<std::pair<double, double>> told);

// The settings of step 3 for a kind of question, weight 1 (keep 1, beta 0, read 1, answer 1) first.
std::vector<injection::Strength> StrengthGrid();
// The index of the best one: right[g][s] is the share of right replies with setting g on suite s.
// A setting is out that loses more than `slack` on a suite against setting 0.
int BestStrength(const std::vector<std::vector<double>>& right, double slack);

}  // namespace dki::eval
