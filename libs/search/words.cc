// SPDX-License-Identifier: Apache-2.0
#include "libs/search/words.h"

#include <xapian.h>

#include <algorithm>
#include <iterator>

namespace dki::search {
namespace {

// Sorted, for binary search.
constexpr std::string_view kStopWords[] = {
    "a",    "about", "after", "am",     "an",    "and",   "are",  "as",   "at",    "be",
    "been", "being", "but",   "by",     "can",   "could", "did",  "do",   "does",  "down",
    "for",  "from",  "had",   "has",    "have",  "he",    "her",  "here", "hers",  "him",
    "his",  "how",   "i",     "if",     "in",    "into",  "is",   "it",   "its",   "may",
    "me",   "might", "my",    "no",     "not",   "of",    "off",  "on",   "or",    "our",
    "out",  "over",  "she",   "should", "so",    "than",  "that", "the",  "their", "them",
    "then", "there", "these", "they",   "this",  "those", "to",   "up",   "us",    "was",
    "we",   "were",  "what",  "when",   "where", "which", "who",  "whom", "whose", "why",
    "will", "with",  "would", "yes",    "you",   "your"};
constexpr std::string_view kPointingWords[] = {"he",   "her",   "hers",  "him",  "his",  "it",
                                               "its",  "one",   "ones",  "she",  "that", "their",
                                               "them", "there", "these", "they", "this", "those"};

template <size_t N>
bool Holds(const std::string_view (&words)[N], std::string_view word) {
  return std::binary_search(std::begin(words), std::end(words), word);
}

// Scripts that put no space between words.
bool IsWordByItself(unsigned c) {
  return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x20000 && c <= 0x3FFFF);
}

bool IsApostrophe(unsigned c) {
  return c == '\'' || c == 0x2019;
}

// "ann's" is "ann".
void DropPossessive(std::string* word) {
  if (word->size() > 2 && word->ends_with("'s")) word->resize(word->size() - 2);
}

}  // namespace

bool IsStopWord(std::string_view word) {
  return Holds(kStopWords, word);
}
bool IsPointingWord(std::string_view word) {
  return Holds(kPointingWords, word);
}

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    DropPossessive(&word);
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  // Malformed UTF-8 is read as Latin-1: never an error.
  for (Xapian::Utf8Iterator at(text.data(), text.size()); at != Xapian::Utf8Iterator(); ++at) {
    const unsigned c = *at;
    if (IsWordByItself(c)) {
      end_word();
      Xapian::Unicode::append_utf8(word, c);
      end_word();
    } else if (Xapian::Unicode::is_wordchar(c)) {
      Xapian::Unicode::append_utf8(word, Xapian::Unicode::tolower(c));
    } else if (IsApostrophe(c) && !word.empty()) {
      Xapian::Utf8Iterator next = at;
      ++next;
      if (next != Xapian::Utf8Iterator() && Xapian::Unicode::is_wordchar(*next)) {
        word += '\'';
      } else {
        end_word();
      }
    } else {
      end_word();
    }
  }
  end_word();
  return words;
}

std::vector<std::string> ContentWords(std::string_view text) {
  const Xapian::Stem stem("english");
  std::vector<std::string> stems;
  for (const std::string& word : Words(text)) {
    if (!IsStopWord(word)) stems.push_back(stem(word));
  }
  return stems;
}

}  // namespace dki::search
