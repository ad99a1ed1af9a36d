// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/linked_memories.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <utility>

namespace dki::injection {
namespace {

constexpr size_t kMostWords = 20;
constexpr int kMostOfAName = 6;

bool IsWordByte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || byte >= 0x80;
}

// Words as written; the 's of a possessive is dropped.
std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool after_apostrophe = false;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && IsWordByte(text[i])) {
      word += text[i];
      continue;
    }
    if (!word.empty() && !after_apostrophe) words.push_back(word);
    word.clear();
    after_apostrophe = i < text.size() && text[i] == '\'';
  }
  return words;
}

std::string Lower(std::string word) {
  for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return word;
}

bool IsCapitalised(const std::string& word) {
  return word.size() > 1 && std::isupper(static_cast<unsigned char>(word[0])) != 0;
}

bool IsOneOf(const std::string& word, std::span<const std::string_view> of) {
  return std::ranges::find(of, word) != of.end();
}

// The singular of an English noun in lower case; other words come out as something that is the same
// for all their forms, which is all that is needed.
std::string Singular(const std::string& word) {
  static constexpr std::pair<std::string_view, std::string_view> kIrregular[] = {
      {"mice", "mouse"}, {"geese", "goose"}, {"men", "man"},       {"women", "woman"},
      {"feet", "foot"},  {"teeth", "tooth"}, {"people", "person"}, {"children", "child"},
      {"oxen", "ox"},    {"wolves", "wolf"}, {"calves", "calf"},   {"thieves", "thief"},
      {"elves", "elf"},  {"leaves", "leaf"}, {"knives", "knife"},  {"wives", "wife"}};
  for (const auto& [plural, singular] : kIrregular) {
    if (word == plural) return std::string(singular);
  }
  const auto ends = [&word](std::string_view end) {
    return word.size() > end.size() + 1 && word.ends_with(end);
  };
  if (ends("ies")) return word.substr(0, word.size() - 3) + "y";
  if (ends("ches") || ends("shes") || ends("xes") || ends("sses")) {
    return word.substr(0, word.size() - 2);
  }
  if (ends("s") && !ends("ss") && !ends("us")) return word.substr(0, word.size() - 1);
  return word;
}

// Classes that a text puts something in: "Ana is a mouse", "Ben was an old friend".
std::set<std::string> ClassesIn(const std::vector<std::string>& words) {
  static constexpr std::string_view kIs[] = {"is", "was", "are", "were"};
  static constexpr std::string_view kOne[] = {"a", "an"};
  constexpr size_t kMostClassWords = 2;  // an adjective may come first
  std::set<std::string> classes;
  for (size_t i = 0; i + 2 < words.size(); ++i) {
    if (!IsOneOf(Lower(words[i]), kIs) || !IsOneOf(Lower(words[i + 1]), kOne)) continue;
    for (size_t j = i + 2; j < std::min(words.size(), i + 2 + kMostClassWords); ++j) {
      classes.insert(Singular(Lower(words[j])));
    }
  }
  return classes;
}

// What a text is about: its first word, articles and quantities aside; singular.
std::string SubjectOf(const std::vector<std::string>& words) {
  static constexpr std::string_view kBefore[] = {"a",    "an",    "the",  "all", "any",
                                                 "each", "every", "most", "no",  "some"};
  for (const std::string& word : words) {
    std::string lower = Lower(word);
    if (!IsOneOf(lower, kBefore)) return Singular(lower);
  }
  return "";
}

}  // namespace

std::vector<int> WithLinked(std::span<const int> kept, std::span<const std::string> texts,
                            std::string_view message) {
  std::vector<std::vector<std::string>> words;
  std::set<std::string> common;  // what is no name, or is known already
  for (const std::string& word : Words(message)) common.insert(Lower(word));
  for (const std::string& text : texts) {
    words.push_back(Words(text));
    for (const std::string& word : words.back()) {
      if (!IsCapitalised(word)) common.insert(Lower(word));
    }
  }
  std::set<std::string> names;
  std::set<std::string> classes;
  for (const int i : kept) {
    if (words[i].size() > kMostWords) continue;
    classes.merge(ClassesIn(words[i]));
    for (const std::string& word : words[i]) {
      if (IsCapitalised(word) && !common.contains(Lower(word))) names.insert(word);
    }
  }
  std::vector<int> linked(kept.begin(), kept.end());
  std::map<std::string, int> n_of_name;  // that came along because of it
  for (int i = static_cast<int>(texts.size()) - 1; i >= 0; --i) {
    if (std::ranges::binary_search(kept, i) || words[i].size() > kMostWords) continue;
    bool leads = classes.contains(SubjectOf(words[i]));
    for (const std::string& word : std::set<std::string>(words[i].begin(), words[i].end())) {
      if (names.contains(word) && n_of_name[word]++ < kMostOfAName) leads = true;
    }
    if (leads) linked.push_back(i);
  }
  std::ranges::sort(linked);
  return linked;
}

}  // namespace dki::injection
