// SPDX-License-Identifier: Apache-2.0
// Purpose: from what is known about memories and a message, how likely each memory is the one that
//   answers, and whether any of them does (design section 6). Kinds of evidence: retrieval's
//   cosine, the words of the message that a memory has, whether a later one has them, and how much
//   the model's retrieval heads attend to each memory while they read the message (a probe). Pure
//   functions; the numbers come from a calibration (calibration.h).
#pragma once

#include <span>
#include <vector>

namespace dki::injection {

// Of one memory.
struct Evidence {
  double cosine = 0.0;
  double words = 0.0;  // share of the message's words that it has, 0 to 1 (search::WordShares)
  // Where the message asks for one state (AsksForOneState): the later memories with all its words
  // of the message (search::CoveredByLater), by index among those that it is scored with.
  std::vector<int> later = {};
  // Softmax mass of the probed heads on the memory's line, mean over the message's tokens. Empty
  // where nothing was probed.
  std::vector<double> head_shares = {};
};

// Log-odds, up to a constant, that a memory is the one that answers:
//   cosine * cos_i + words * words_i + recency * place_i + sum_h heads_h * ln(share_hi)
// and less `superseded` where that puts it behind a later memory that says as much (SupersededBy).
// place_i is the memory's place in the pack, oldest 0, newest 1.
struct RelevanceModel {
  double cosine = 1.0;
  double words = 0.0;
  double recency = 0.0;
  double superseded = 0.0;
  std::vector<double> heads = {};  // one per probed head
};
// One score per memory; memories in the order of the pack. Evidence without shares is scored
// without heads. REQUIRES: shares of all memories, or of none, as many as model.heads.
std::vector<double> ScoreRelevance(const RelevanceModel& model, std::span<const Evidence> memories);

// For each memory the best of its `later` ones, if that is so relevant that `superseded` puts the
// earlier behind it; else -1. What merely mentions the same name later supersedes nothing.
std::vector<int> SupersededBy(const RelevanceModel& model, std::span<const Evidence> memories);

// How much the model looked at a memory, for people: the mean of its shares, each head counted by
// its weight in `model`; of all heads alike where none has a weight. REQUIRES: as many shares as
// model.heads, one at least.
double LookShare(const RelevanceModel& model, std::span<const double> head_shares);

// The fewest memories that together hold `mass` of the probability that scores (log-odds) give, but
// not more than `most` (0: no bound): indexes, ascending; never none. What is certain needs one
// memory, what is not needs more; a memory that is left out disturbs neither the others nor the
// answer, and costs nothing. REQUIRES: 0 <= mass <= 1, most >= 0.
std::vector<int> MostProbable(std::span<const double> scores, double mass, int most = 0);

// Probability that the memories hold the answer, a logistic model over the best of them:
//   bias + cosine * max_i cos_i + words * max_i words_i + relevance * max_i score_i,
// and personal * max_i cos_i where the message speaks of who asks (SpeaksOfAsker): people ask for
// their notes in other words than they wrote them. Few numbers, so that it holds for questions
// unlike those it was fitted on.
struct AnswerModel {
  double bias = 0.0;
  double cosine = 0.0;
  double personal = 0.0;
  double words = 0.0;
  double relevance = 0.0;
  double threshold = 0.5;  // below, nothing is injected

  // Whether it can tell only after a probe.
  bool needs_probe() const { return relevance != 0.0; }
};
// `scores`: ScoreRelevance of the same memories. 0 without memories.
double AnswerProbability(const AnswerModel& model, std::span<const Evidence> memories,
                         std::span<const double> scores, bool speaks_of_asker);

}  // namespace dki::injection
