// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/store_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

namespace dki::eval {
namespace {

using Json = nlohmann::ordered_json;
using Rows = std::vector<std::vector<std::string>>;

constexpr char kMethods[] =
    "bm25: by words alone; minilm: by meaning alone; rrf: both fused by rank (k = 60, whole "
    "lists); hybrid: cosine + 0.7 "
    "times the share of words, the product's default; hybrid_recent: with 0.1 for recency (a "
    "half-life is half of the store). All on the same words and vectors, texts as they are in the "
    "suite. Questions without an "
    "answer are left out. Intervals: paired bootstrap over questions. In `_leaning` suites the "
    "turn before names whom the question calls "
    "\"they\", in `_follow_up` the turn before is the question and the question asks for more, in "
    "`_after_others` it is about something else; hybrid_turns is given the turns "
    "before, hybrid is not.";

const std::vector<std::pair<std::string, std::string>>& Compared() {
  static const std::vector<std::pair<std::string, std::string>> pairs = {
      {"hybrid", "bm25"}, {"hybrid", "minilm"}, {"hybrid", "rrf"}, {"hybrid_turns", "hybrid"}};
  return pairs;
}

double Rounded(double share) {
  return std::round(share * 100'000) / 1000;
}
std::string Percent(double share) {
  return absl::StrFormat("%.1f", 100 * share);
}

std::vector<std::string> ScoreCells(const RankScores& mean) {
  std::vector<std::string> cells;
  for (const double recall : mean.recall) cells.push_back(Percent(recall));
  cells.push_back(Percent(mean.reciprocal_rank));
  cells.push_back(Percent(mean.ndcg));
  return cells;
}

Json ScoreJson(const RankScores& mean) {
  Json json;
  for (size_t i = 0; i < kRecallDepths.size(); ++i) {
    json["recall@" + std::to_string(kRecallDepths[i])] = Rounded(mean.recall[i]);
  }
  json["mrr"] = Rounded(mean.reciprocal_rank);
  json["ndcg@10"] = Rounded(mean.ndcg);
  return json;
}

RankScores MeanOfCategory(const StoreSuiteResult& result, const std::string& method,
                          const std::string& category) {
  std::vector<RankScores> scores;
  for (size_t i = 0; i < result.categories.size(); ++i) {
    if (result.categories[i] == category) scores.push_back(result.scores.at(method)[i]);
  }
  return Mean(scores);
}

std::set<std::string> CategoriesOf(const StoreSuiteResult& result) {
  std::set<std::string> names(result.categories.begin(), result.categories.end());
  names.erase("");
  return names;
}

std::string ToMarkdown(const Rows& rows) {
  std::string text;
  for (size_t i = 0; i < rows.size(); ++i) {
    text += "|";
    for (const std::string& cell : rows[i]) text += " " + cell + " |";
    text += "\n";
    if (i > 0) continue;
    text += "|";
    for (size_t c = 0; c < rows[i].size(); ++c) text += c == 0 ? " --- |" : " ---: |";
    text += "\n";
  }
  return text;
}

Rows CategoryTable(const StoreSuiteResult& result) {
  Rows rows = {{"recall@10, %", "n"}};
  for (const auto& [method, scores] : result.scores) rows[0].push_back(method);
  for (const std::string& category : CategoriesOf(result)) {
    const auto n = std::count(result.categories.begin(), result.categories.end(), category);
    std::vector<std::string> row = {category, std::to_string(n)};
    for (const auto& [method, scores] : result.scores) {
      row.push_back(Percent(MeanOfCategory(result, method, category).recall_at_10()));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string Describe(const StoreComparison& comparison) {
  const Interval& d = comparison.difference;
  return absl::StrFormat("%s against %s: recall@10 %+.1f points (95 %%: %+.1f to %+.1f)",
                         comparison.method, comparison.other, 100 * d.mean, 100 * d.low,
                         100 * d.high);
}

}  // namespace

std::vector<StoreComparison> Compare(const StoreSuiteResult& result) {
  std::vector<StoreComparison> comparisons;
  for (const auto& [method, other] : Compared()) {
    const auto a = result.scores.find(method);
    const auto b = result.scores.find(other);
    if (a == result.scores.end() || b == result.scores.end()) continue;
    std::vector<double> differences;
    for (size_t i = 0; i < a->second.size(); ++i) {
      differences.push_back(a->second[i].recall_at_10() - b->second[i].recall_at_10());
    }
    comparisons.push_back({method, other, PairedBootstrap(differences)});
  }
  // The best peer is the one with the least lead over it.
  std::stable_sort(comparisons.begin(), comparisons.end(), [](const auto& a, const auto& b) {
    return a.difference.mean < b.difference.mean;
  });
  return comparisons;
}

std::vector<std::string> ComparisonLines(const StoreReport& report) {
  std::vector<std::string> lines;
  for (const StoreComparison& comparison : Compare(report.result)) {
    lines.push_back(report.result.name + ": " + Describe(comparison));
  }
  if (report.cross_validation.has_value()) {
    lines.push_back(
        absl::StrFormat("%s: options chosen on the other stores alone: recall@10 %.1f %%",
                        report.result.name, 100 * report.cross_validation->recall_at_10));
  }
  return lines;
}

Rows StoreTable(const std::vector<StoreReport>& reports) {
  Rows rows = {{"suite", "method"}};
  for (const int depth : kRecallDepths) rows[0].push_back("recall@" + std::to_string(depth));
  rows[0].insert(rows[0].end(), {"MRR", "nDCG@10"});
  for (const StoreReport& report : reports) {
    for (const auto& [method, scores] : report.result.scores) {
      std::vector<std::string> row = {report.result.name, method};
      for (std::string& cell : ScoreCells(Mean(scores))) row.push_back(std::move(cell));
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::string StoreJson(const std::vector<StoreReport>& reports) {
  Json json;
  for (const StoreReport& report : reports) {
    const StoreSuiteResult& result = report.result;
    Json& suite = json[result.name];
    suite["n"] = result.n_questions();
    suite["memories"] = result.n_memories;
    for (const auto& [method, scores] : result.scores) {
      suite["methods"][method] = ScoreJson(Mean(scores));
    }
    for (const std::string& category : CategoriesOf(result)) {
      Json& out = suite["categories"][category];
      out["n"] = std::count(result.categories.begin(), result.categories.end(), category);
      for (const auto& [method, scores] : result.scores) {
        out["methods"][method] = ScoreJson(MeanOfCategory(result, method, category));
      }
    }
    for (const StoreComparison& c : Compare(result)) {
      suite["comparison"].push_back({{"method", c.method},
                                     {"against", c.other},
                                     {"recall@10", Rounded(c.difference.mean)},
                                     {"low", Rounded(c.difference.low)},
                                     {"high", Rounded(c.difference.high)}});
    }
    if (!report.cross_validation.has_value()) continue;
    Json& validation = suite["cross_validation"];
    validation["recall@10"] = Rounded(report.cross_validation->recall_at_10);
    for (const auto& fold : report.cross_validation->folds) {
      validation["folds"].push_back({{"left_out", fold.store},
                                     {"k1", fold.words.k1},
                                     {"b", fold.words.b},
                                     {"word_weight", fold.ranking.word_weight},
                                     {"recall@10", Rounded(fold.recall_at_10)}});
    }
  }
  return json.dump(2) + "\n";
}

std::string StoreMarkdown(const std::vector<StoreReport>& reports, const std::string& command) {
  std::string text = "# Retrieval\n\nMade by `" + command + "`; percent.\n\n" + kMethods + "\n";
  for (const StoreReport& report : reports) {
    const StoreSuiteResult& result = report.result;
    text += absl::StrFormat("\n## %s\n\n%d questions to %d memories.\n\n", result.name,
                            result.n_questions(), result.n_memories);
    Rows rows = StoreTable({report});
    for (auto& row : rows) row.erase(row.begin());  // the suite
    text += ToMarkdown(rows) + "\n";
    for (const StoreComparison& c : Compare(result)) text += "- " + Describe(c) + "\n";
    if (!CategoriesOf(result).empty()) text += "\n" + ToMarkdown(CategoryTable(result));
    if (!report.cross_validation.has_value()) continue;
    text += absl::StrFormat(
        "\nCross-validation: with options chosen on the other stores alone, each store's questions "
        "have recall@10 %s together.\n\n",
        Percent(report.cross_validation->recall_at_10));
    Rows folds = {{"left out", "k1", "b", "word weight", "recall@10"}};
    for (const auto& fold : report.cross_validation->folds) {
      folds.push_back(
          {fold.store, absl::StrFormat("%g", fold.words.k1), absl::StrFormat("%g", fold.words.b),
           absl::StrFormat("%g", fold.ranking.word_weight), Percent(fold.recall_at_10)});
    }
    text += ToMarkdown(folds);
  }
  return text;
}

}  // namespace dki::eval
