// SPDX-License-Identifier: Apache-2.0
// Purpose: orders the memories of stores for their questions, by every method on the same vectors
//   and words, and scores the orders. Deterministic: no clock, no randomness but a seeded one.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "libs/eval/store_scores.h"
#include "libs/eval/store_suite.h"
#include "libs/model/embedder.h"
#include "libs/search/ranking.h"
#include "libs/search/word_index.h"

namespace dki::eval {

struct Method {
  enum class Kind { kWords, kMeaning, kRankFusion, kScoreFusion };

  std::string name;
  Kind kind = Kind::kScoreFusion;
  search::RankingOptions ranking;    // of kScoreFusion
  search::WordIndex::Options words;  // of all but kMeaning
  bool uses_recent = false;          // the turns before a question, where it needs them
  // With a recency weight a memory's age is how many came after it, and half of the store is the
  // half-life (suites have no times of their own).
};

// bm25, minilm, rrf (k = 60, equal weights, whole lists), hybrid (the product's defaults), and
// hybrid_recent (with recency weighed 0.1).
std::vector<Method> StandardMethods();
// hybrid, and hybrid_turns, which looks at the turns before, too.
std::vector<Method> TurnMethods();

struct StoreSuiteResult {
  std::string name;
  int n_memories = 0;
  std::vector<int> store_of;                              // by question
  std::vector<std::string> categories;                    // by question
  std::map<std::string, std::vector<RankScores>> scores;  // by method, then by question

  int n_questions() const { return static_cast<int>(store_of.size()); }
};

// Vectors of a suite's texts; made once, used by many runs.
struct StoreVectors {
  std::vector<std::vector<float>> memories;
  std::vector<std::vector<float>> questions;
  std::vector<std::vector<std::vector<float>>> recent;  // by question; empty: no turns before
};
// By text: suites made from another one share most of their texts.
using KnownVectors = std::unordered_map<std::string, std::vector<float>>;
// One per store; texts that are not in `known` are embedded and put there. `progress`: texts done,
// of how many.
absl::StatusOr<std::vector<StoreVectors>> EmbedStores(
    const StoreSuite& suite, model::Embedder* embedder, KnownVectors* known,
    const std::function<void(int done, int total)>& progress);

absl::StatusOr<StoreSuiteResult> RunStoreSuite(const StoreSuite& suite,
                                               const std::vector<StoreVectors>& vectors,
                                               const std::vector<Method>& methods);

// What each store has from options that were chosen on the other stores alone, by mean recall@10
// over their questions, among a grid of word weights, k1 and b. REQUIRES: at least two stores.
struct CrossValidation {
  struct Fold {
    std::string store;
    search::RankingOptions ranking;
    search::WordIndex::Options words;
    double recall_at_10 = 0;  // of the store left out
    int n_questions = 0;
  };
  std::vector<Fold> folds;
  double recall_at_10 = 0;  // over all questions
};
absl::StatusOr<CrossValidation> CrossValidate(const StoreSuite& suite,
                                              const std::vector<StoreVectors>& vectors);

}  // namespace dki::eval
