// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/question_kind.h"

#include <algorithm>
#include <cctype>
#include <string>

namespace dki::injection {
namespace {

constexpr std::string_view kAuxiliaries[] = {
    "am",      "are",    "aren't",  "can",     "can't", "could", "did",    "didn't",
    "do",      "does",   "doesn't", "don't",   "had",   "has",   "hasn't", "have",
    "haven't", "is",     "isn't",   "may",     "might", "must",  "shall",  "should",
    "was",     "wasn't", "were",    "weren't", "will",  "won't", "would"};

bool IsLetter(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '\'';
}

}  // namespace

QuestionKind ClassifyQuestion(std::string_view message) {
  const size_t mark = message.rfind('?');
  if (mark == std::string_view::npos) return QuestionKind::kLookup;
  const size_t before = message.substr(0, mark).find_last_of(".!?\n:;");
  const size_t begin = before == std::string_view::npos ? 0 : before + 1;
  std::string word;
  for (const char c : message.substr(begin, mark - begin)) {
    if (IsLetter(c)) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!word.empty()) {
      break;
    }
  }
  const bool judges = std::ranges::find(kAuxiliaries, word) != std::end(kAuxiliaries);
  return judges ? QuestionKind::kJudgement : QuestionKind::kLookup;
}

}  // namespace dki::injection
