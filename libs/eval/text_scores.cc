// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/text_scores.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "libs/eval/scoring.h"

namespace dki::eval {
namespace {

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  std::istringstream stream(Normalise(text));
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::map<std::vector<std::string>, int> Ngrams(const std::vector<std::string>& words, size_t n) {
  std::map<std::vector<std::string>, int> counts;
  for (size_t i = 0; i + n <= words.size(); ++i)
    ++counts[{words.begin() + static_cast<std::ptrdiff_t>(i),
              words.begin() + static_cast<std::ptrdiff_t>(i + n)}];
  return counts;
}

bool IsKeyword(const std::string& word) {
  static const std::set<std::string> kFunctionWords = {
      "the",  "and",  "for",  "are",  "was",   "were",  "has",   "have",  "had",  "with",
      "that", "this", "from", "you",  "your",  "his",   "her",   "its",   "our",  "their",
      "they", "she",  "who",  "what", "which", "where", "when",  "how",   "not",  "but",
      "does", "did",  "will", "can",  "been",  "being", "there", "about", "into", "than"};
  return word.size() >= 3 && !kFunctionWords.contains(word);
}

}  // namespace

double Bleu(std::string_view reply, std::string_view reference) {
  constexpr size_t kLongest = 4;
  constexpr double kSmoothing = 0.1;
  const std::vector<std::string> ours = Words(reply);
  const std::vector<std::string> theirs = Words(reference);
  if (ours.empty() || theirs.empty()) return 0;
  double log_sum = 0;
  for (size_t n = 1; n <= kLongest; ++n) {
    const auto wanted = Ngrams(theirs, n);
    int common = 0;
    int total = 0;
    for (const auto& [ngram, count] : Ngrams(ours, n)) {
      total += count;
      const auto found = wanted.find(ngram);
      if (found != wanted.end()) common += std::min(count, found->second);
    }
    if (n == 1 && common == 0) return 0;
    log_sum += std::log((common == 0 ? kSmoothing : common) / std::max(1, total));
  }
  const double brevity =
      std::min(0.0, 1 - static_cast<double>(theirs.size()) / static_cast<double>(ours.size()));
  return std::exp(brevity + log_sum / kLongest);
}

double RougeL(std::string_view reply, std::string_view reference) {
  const std::vector<std::string> a = Words(reply);
  const std::vector<std::string> b = Words(reference);
  std::vector<int> row(b.size() + 1, 0);  // longest common subsequence of a's beginning and b's
  for (const std::string& word : a) {
    int diagonal = 0;
    for (size_t j = 1; j <= b.size(); ++j) {
      const int above = row[j];
      row[j] = word == b[j - 1] ? diagonal + 1 : std::max(above, row[j - 1]);
      diagonal = above;
    }
  }
  if (row.back() == 0) return 0;
  return 2.0 * row.back() / static_cast<double>(a.size() + b.size());
}

std::optional<double> MemoryRecall(std::string_view reply, std::string_view asked,
                                   const std::vector<std::string>& expected) {
  const std::vector<std::string> said = Words(reply);
  const std::vector<std::string> echo = Words(asked);
  const auto in = [](const std::vector<std::string>& words, const std::string& word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  int n = 0;
  int recalled = 0;
  for (const std::string& memory : expected) {
    std::set<std::string> keywords;
    for (const std::string& word : Words(memory)) {
      if (IsKeyword(word) && !in(echo, word)) keywords.insert(word);
    }
    if (keywords.empty()) continue;
    const auto found = std::count_if(keywords.begin(), keywords.end(),
                                     [&](const std::string& word) { return in(said, word); });
    ++n;
    recalled += 2 * found >= static_cast<std::ptrdiff_t>(keywords.size()) ? 1 : 0;
  }
  if (n == 0) return std::nullopt;
  return static_cast<double>(recalled) / n;
}

std::optional<double> HallucinationRate(std::string_view reply,
                                        const std::vector<std::string>& grounding) {
  constexpr size_t kShortest = 10;
  static const std::set<std::string> kVerbs = {"is", "are", "was", "were", "has", "have"};
  std::set<std::string> known;
  for (const std::string& text : grounding) {
    for (std::string& word : Words(text)) known.insert(std::move(word));
  }
  int statements = 0;
  int ungrounded = 0;
  for (size_t begin = 0; begin < reply.size();) {
    const size_t end = std::min(reply.size(), reply.find_first_of(".!?\n", begin));
    const std::string_view sentence = reply.substr(begin, end - begin);
    begin = end + 1;
    const std::vector<std::string> words = Words(sentence);
    const bool states = std::any_of(words.begin(), words.end(),
                                    [](const std::string& word) { return kVerbs.contains(word); });
    if (sentence.size() < kShortest || !states) continue;
    ++statements;
    const bool grounded = std::any_of(words.begin(), words.end(), [&](const std::string& word) {
      return IsKeyword(word) && known.contains(word);
    });
    ungrounded += grounded ? 0 : 1;
  }
  if (statements == 0) return std::nullopt;
  return static_cast<double>(ungrounded) / statements;
}

}  // namespace dki::eval
