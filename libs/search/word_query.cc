// SPDX-License-Identifier: Apache-2.0
#include "libs/search/word_query.h"

#include <algorithm>
#include <cmath>

#include "libs/search/words.h"

namespace dki::search {
namespace {

// An upper-case letter behind the first word: in a question, a name.
bool HasName(std::string_view question) {
  bool in_first_word = true;
  bool at_word_start = false;
  for (const char c : question) {
    if (c == ' ') {
      in_first_word = false;
      at_word_start = true;
      continue;
    }
    const bool is_upper = c >= 'A' && c <= 'Z';
    if (!in_first_word && at_word_start && is_upper) {
      // "I" is no name.
      const size_t at = static_cast<size_t>(&c - question.data());
      const bool alone = at + 1 >= question.size() || question[at + 1] == ' ' ||
                         question[at + 1] == '\'' || question[at + 1] == '?';
      if (!(c == 'I' && alone)) return true;
    }
    at_word_start = false;
  }
  return false;
}

// How much the turn before counts; 0 for a question that stands by itself.
double WeightOfContext(std::string_view question, const ExpansionOptions& options) {
  const std::vector<std::string> words = Words(question);
  const bool is_short = static_cast<int>(ContentWords(question).size()) <= options.short_turn;
  const bool points = std::any_of(words.begin(), words.end(), IsPointingWord) && !HasName(question);
  if (is_short && points) return options.weight_of_both;
  return is_short || points ? options.weight : 0;
}

}  // namespace

std::vector<WeightedText> ExpandQuestion(std::string_view question,
                                         std::span<const std::string> recent,
                                         const ExpansionOptions& options) {
  std::vector<WeightedText> texts = {{std::string(question), 1.0}};
  double weight = WeightOfContext(question, options);
  if (weight <= 0) return texts;
  for (auto turn = recent.rbegin(); turn != recent.rend(); ++turn) {
    if (static_cast<int>(texts.size()) > options.max_turns) break;
    if (ContentWords(*turn).empty()) continue;  // "Yes." says nothing
    texts.push_back({*turn, weight});
    weight *= options.decay;
  }
  return texts;
}

WordQuery MakeWordQuery(std::span<const WeightedText> texts) {
  WordQuery query;
  for (const WeightedText& text : texts) {
    for (std::string& word : ContentWords(text.text)) {
      double& weight = query[std::move(word)];
      weight = std::max(weight, text.weight);
    }
  }
  return query;
}

std::vector<float> MeanVector(std::span<const WeightedText> texts,
                              std::span<const std::vector<float>> vectors) {
  if (vectors.size() == 1) return vectors[0];
  std::vector<double> sum(vectors[0].size());
  for (size_t i = 0; i < vectors.size(); ++i) {
    for (size_t d = 0; d < sum.size(); ++d) {
      sum[d] += texts[i].weight * static_cast<double>(vectors[i][d]);
    }
  }
  double squares = 0;
  for (const double value : sum) squares += value * value;
  const double length = std::sqrt(squares);
  if (!(length > 1e-6)) return vectors[0];
  std::vector<float> mean(sum.size());
  for (size_t d = 0; d < sum.size(); ++d) mean[d] = static_cast<float>(sum[d] / length);
  return mean;
}

}  // namespace dki::search
