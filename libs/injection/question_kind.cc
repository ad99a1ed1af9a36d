// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/question_kind.h"

#include <algorithm>
#include <cctype>
#include <span>
#include <string>
#include <vector>

namespace dki::injection {
namespace {

constexpr std::string_view kAuxiliaries[] = {
    "am",      "are",    "aren't",  "can",     "can't", "could", "did",    "didn't",
    "do",      "does",   "doesn't", "don't",   "had",   "has",   "hasn't", "have",
    "haven't", "is",     "isn't",   "may",     "might", "must",  "shall",  "should",
    "was",     "wasn't", "were",    "weren't", "will",  "won't", "would"};

// Questions with them ask for one thing, but for those below.
constexpr std::string_view kOfOne[] = {"where", "where's", "when",  "when's",
                                       "who's", "whose",   "what's"};
// What was, or is on a list: all of it stands.
constexpr std::string_view kOfSeveral[] = {"all", "been", "did",   "else", "ever", "every",
                                           "had", "have", "other", "was",  "were"};
// At the end: "What is Ann allergic to?" asks for everything.
constexpr std::string_view kLeadToSeveral[] = {"about", "at", "by", "for", "from", "in",
                                               "into",  "of", "on", "to",  "with"};
constexpr std::string_view kMeasures[] = {"big",  "far",  "heavy", "high", "large", "long",
                                          "many", "much", "often", "old",  "tall"};
constexpr std::string_view kAskers[] = {"i",    "i'd", "i'll",   "i'm",   "i've",  "me",
                                        "mine", "my",  "myself", "our",   "ours",  "ourselves",
                                        "us",   "we",  "we'd",   "we'll", "we're", "we've"};
constexpr size_t kReach = 3;  // words behind "what" in which "is" makes it one thing

bool IsLetter(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '\'';
}

template <typename Range>
bool Has(const Range& words, std::string_view word) {
  return std::ranges::find(words, word) != std::ranges::end(words);
}

std::vector<std::string> WordsAsWritten(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (IsLetter(c)) {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

std::string ToLower(std::string word) {
  for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return word;
}

std::vector<std::string> WordsOf(std::string_view text) {
  std::vector<std::string> words = WordsAsWritten(text);
  std::ranges::transform(words, words.begin(), ToLower);
  return words;
}

bool IsCapitalised(const std::string& word) {
  return std::isupper(static_cast<unsigned char>(word[0])) != 0;
}

// Of the last sentence that ends with a question mark; without one, of the last sentence.
std::vector<std::string> WordsOfQuestion(std::string_view message) {
  size_t end = message.rfind('?');
  if (end == std::string_view::npos) {
    end = message.find_last_not_of(".! \n");
    end = end == std::string_view::npos ? 0 : end + 1;
  }
  const std::string_view before = message.substr(0, end);
  const size_t stop = before.find_last_of(".!?\n:;");
  return WordsOf(stop == std::string_view::npos ? before : before.substr(stop + 1));
}

}  // namespace

QuestionKind ClassifyQuestion(std::string_view message) {
  if (message.find('?') == std::string_view::npos) return QuestionKind::kLookup;
  const std::vector<std::string> words = WordsOfQuestion(message);
  const std::string word = words.empty() ? "" : words[0];
  return Has(kAuxiliaries, word) ? QuestionKind::kJudgement : QuestionKind::kLookup;
}

bool AsksForOneState(std::string_view message) {
  const std::vector<std::string> words = WordsOfQuestion(message);
  if (words.empty() || Has(kLeadToSeveral, words.back())) return false;
  if (std::ranges::any_of(words, [](const auto& word) { return Has(kOfSeveral, word); })) {
    return false;
  }
  for (size_t i = 0; i < words.size(); ++i) {
    if (Has(kOfOne, words[i])) return true;
    const std::span<const std::string> next =
        std::span(words).subspan(i + 1, std::min(kReach, words.size() - i - 1));
    if (words[i] == "how") return !next.empty() && Has(kMeasures, next[0]);
    if (words[i] == "what" || words[i] == "which" || words[i] == "who") return Has(next, "is");
  }
  return false;
}

bool SpeaksOfAsker(std::string_view message) {
  const std::vector<std::string> words = WordsAsWritten(message);
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "US") continue;
    // "World War I", but "Can I".
    if (words[i] == "I" && i > 1 && IsCapitalised(words[i - 1])) continue;
    if (Has(kAskers, ToLower(words[i]))) return true;
  }
  return false;
}

}  // namespace dki::injection
