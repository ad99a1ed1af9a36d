// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/store_run.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace dki::eval {
namespace {

using search::WordIndex;

constexpr size_t kEmbedTogether = 16;
constexpr char kGroup[] = "store";

double Dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// Memories are numbered by position; as ids the numbers are padded, so that equal scores keep the
// order in which the memories came.
std::string IdOf(size_t index) {
  return absl::StrFormat("%08d", index);
}

// One store, ready for questions with one choice of the word index's options.
class Ranker {
 public:
  static absl::StatusOr<Ranker> Create(const Store& store, const StoreVectors& vectors,
                                       const WordIndex::Options& options) {
    Ranker ranker(store, vectors, options);
    for (size_t i = 0; i < store.memories.size(); ++i) {
      DKI_RETURN_IF_ERROR(ranker.index_->Upsert(IdOf(i), kGroup, store.memories[i].text));
    }
    return ranker;
  }

  struct Signals {
    std::vector<double> cosines;
    std::vector<double> shares;
  };
  absl::StatusOr<Signals> SignalsFor(size_t question, bool uses_recent) const {
    const StoreQuestion& asked = store_->questions[question];
    const std::vector<search::WeightedText> texts = search::ExpandQuestion(
        asked.question, uses_recent ? asked.recent : std::vector<std::string>());
    std::vector<std::vector<float>> of_texts = {vectors_->questions[question]};
    for (size_t i = 1; i < texts.size(); ++i) {
      const auto turn = std::find(asked.recent.begin(), asked.recent.end(), texts[i].text);
      of_texts.push_back(
          vectors_->recent[question][static_cast<size_t>(turn - asked.recent.begin())]);
    }
    const std::vector<float> vector = search::MeanVector(texts, of_texts);
    Signals signals;
    for (const auto& memory : vectors_->memories) signals.cosines.push_back(Dot(vector, memory));
    signals.shares.resize(store_->memories.size());
    WordIndex::Search search;
    search.query = search::MakeWordQuery(texts);
    search.groups = {kGroup};
    search.k = static_cast<int>(store_->memories.size());
    DKI_ASSIGN_OR_RETURN(const auto matches, index_->Find(search));
    for (const auto& match : matches) signals.shares[std::stoul(match.id)] = match.share;
    return signals;
  }

 private:
  Ranker(const Store& store, const StoreVectors& vectors, const WordIndex::Options& options)
      : store_(&store), vectors_(&vectors), index_(std::make_unique<WordIndex>(options)) {}

  const Store* store_;
  const StoreVectors* vectors_;
  std::unique_ptr<WordIndex> index_;
};

std::vector<int> OrderBy(const Method& method, const Ranker::Signals& signals) {
  const auto n = signals.cosines.size();
  switch (method.kind) {
    case Method::Kind::kMeaning:
      return search::OrderByScore(signals.cosines);
    case Method::Kind::kWords:
      return search::OrderByScore(signals.shares, /*positive_only=*/true);
    case Method::Kind::kRankFusion: {
      const std::vector<std::vector<int>> lists = {
          search::OrderByScore(signals.cosines),
          search::OrderByScore(signals.shares, /*positive_only=*/true)};
      const std::vector<double> weights = {1, 1};
      return search::OrderByScore(search::FuseRanks(lists, weights, static_cast<int>(n)));
    }
    case Method::Kind::kScoreFusion:
      break;
  }
  std::vector<double> scores(n);
  for (size_t i = 0; i < n; ++i) {
    const absl::Duration age = absl::Seconds(static_cast<int64_t>(n - 1 - i));
    const absl::Duration half_life =
        absl::Seconds(std::max<int64_t>(1, static_cast<int64_t>(n / 2)));
    scores[i] = search::Score(method.ranking, signals.cosines[i], signals.shares[i],
                              search::Recency(age, half_life));
  }
  return search::OrderByScore(scores);
}

std::vector<Method> Grid() {
  std::vector<Method> grid;
  for (const double k1 : {0.3, 0.6, 1.0, 1.4}) {
    for (const double b : {0.3, 0.5, 0.75}) {
      for (const double weight : {0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5}) {
        Method method;
        method.name = absl::StrFormat("k1=%g,b=%g,word_weight=%g", k1, b, weight);
        method.words.k1 = k1;
        method.words.b = b;
        method.ranking.word_weight = weight;
        grid.push_back(std::move(method));
      }
    }
  }
  return grid;
}

// Mean recall@10 over the questions of all stores but one (`inside` false) or of that one.
double RecallOf(const StoreSuiteResult& result, const std::string& method, int store, bool inside) {
  std::vector<RankScores> scores;
  for (size_t i = 0; i < result.store_of.size(); ++i) {
    if ((result.store_of[i] == store) == inside) scores.push_back(result.scores.at(method)[i]);
  }
  return Mean(scores).recall_at_10();
}

}  // namespace

std::vector<Method> StandardMethods() {
  std::vector<Method> methods(5);
  methods[0].name = "bm25";
  methods[0].kind = Method::Kind::kWords;
  methods[1].name = "minilm";
  methods[1].kind = Method::Kind::kMeaning;
  methods[2].name = "rrf";
  methods[2].kind = Method::Kind::kRankFusion;
  methods[3].name = "hybrid";
  methods[4].name = "hybrid_recent";
  methods[4].ranking.recency_weight = 0.1;
  return methods;
}

std::vector<Method> TurnMethods() {
  std::vector<Method> methods(2);
  methods[0].name = "hybrid";
  methods[1].name = "hybrid_turns";
  methods[1].uses_recent = true;
  return methods;
}

absl::StatusOr<std::vector<StoreVectors>> EmbedStores(
    const StoreSuite& suite, model::Embedder* embedder, KnownVectors* known,
    const std::function<void(int done, int total)>& progress) {
  int total = 0;
  for (const Store& store : suite.stores) {
    total += static_cast<int>(store.memories.size() + store.questions.size());
    for (const StoreQuestion& question : store.questions) {
      total += static_cast<int>(question.recent.size());
    }
  }
  int done = 0;
  const auto embed = [&](const std::vector<std::string>& texts,
                         std::vector<std::vector<float>>* out) -> absl::Status {
    for (size_t begin = 0; begin < texts.size(); begin += kEmbedTogether) {
      const size_t end = std::min(texts.size(), begin + kEmbedTogether);
      std::vector<std::string> unknown;
      for (size_t i = begin; i < end; ++i) {
        if (known->count(texts[i]) == 0) unknown.push_back(texts[i]);
      }
      if (!unknown.empty()) {
        DKI_ASSIGN_OR_RETURN(auto vectors, embedder->Embed(unknown));
        for (size_t i = 0; i < unknown.size(); ++i) (*known)[unknown[i]] = std::move(vectors[i]);
      }
      for (size_t i = begin; i < end; ++i) out->push_back(known->at(texts[i]));
      done += static_cast<int>(end - begin);
      if (progress) progress(done, total);
    }
    return absl::OkStatus();
  };
  std::vector<StoreVectors> all;
  for (const Store& store : suite.stores) {
    StoreVectors& vectors = all.emplace_back();
    std::vector<std::string> texts;
    for (const ItemMemory& memory : store.memories) texts.push_back(memory.text);
    DKI_RETURN_IF_ERROR(embed(texts, &vectors.memories));
    texts.clear();
    for (const StoreQuestion& question : store.questions) texts.push_back(question.question);
    DKI_RETURN_IF_ERROR(embed(texts, &vectors.questions));
    for (const StoreQuestion& question : store.questions) {
      DKI_RETURN_IF_ERROR(embed(question.recent, &vectors.recent.emplace_back()));
    }
  }
  return all;
}

absl::StatusOr<StoreSuiteResult> RunStoreSuite(const StoreSuite& suite,
                                               const std::vector<StoreVectors>& vectors,
                                               const std::vector<Method>& methods) {
  StoreSuiteResult result;
  result.name = suite.name;
  for (const Method& method : methods) result.scores[method.name];
  for (size_t s = 0; s < suite.stores.size(); ++s) {
    const Store& store = suite.stores[s];
    result.n_memories += static_cast<int>(store.memories.size());
    for (const StoreQuestion& question : store.questions) {
      result.store_of.push_back(static_cast<int>(s));
      result.categories.push_back(question.category);
    }
    // Methods with the same word options and texts share an index and its signals.
    std::map<std::tuple<double, double, bool>, std::vector<const Method*>> by_words;
    for (const Method& method : methods) {
      by_words[{method.words.k1, method.words.b, method.uses_recent}].push_back(&method);
    }
    for (const auto& [words, sharing] : by_words) {
      DKI_ASSIGN_OR_RETURN(const Ranker ranker,
                           Ranker::Create(store, vectors[s], sharing.front()->words));
      for (size_t q = 0; q < store.questions.size(); ++q) {
        DKI_ASSIGN_OR_RETURN(const auto signals,
                             ranker.SignalsFor(q, sharing.front()->uses_recent));
        for (const Method* method : sharing) {
          result.scores[method->name].push_back(
              ScoreOrder(OrderBy(*method, signals), store.questions[q].gold));
        }
      }
    }
  }
  return result;
}

absl::StatusOr<CrossValidation> CrossValidate(const StoreSuite& suite,
                                              const std::vector<StoreVectors>& vectors) {
  const std::vector<Method> grid = Grid();
  DKI_ASSIGN_OR_RETURN(const StoreSuiteResult result, RunStoreSuite(suite, vectors, grid));
  CrossValidation validation;
  for (size_t s = 0; s < suite.stores.size(); ++s) {
    const int left_out = static_cast<int>(s);
    const Method* best = nullptr;
    double best_recall = -1;
    for (const Method& method : grid) {
      const double recall = RecallOf(result, method.name, left_out, /*inside=*/false);
      if (recall <= best_recall) continue;
      best = &method;
      best_recall = recall;
    }
    CrossValidation::Fold fold;
    fold.store = suite.stores[s].name;
    fold.ranking = best->ranking;
    fold.words = best->words;
    fold.recall_at_10 = RecallOf(result, best->name, left_out, /*inside=*/true);
    fold.n_questions = static_cast<int>(suite.stores[s].questions.size());
    validation.recall_at_10 += fold.recall_at_10 * fold.n_questions / result.n_questions();
    validation.folds.push_back(std::move(fold));
  }
  return validation;
}

}  // namespace dki::eval
