// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/linked_memories.h"

#include <algorithm>
#include <cctype>
#include <set>

namespace dki::injection {
namespace {

constexpr size_t kMostWords = 20;

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
  for (const int i : kept) {
    if (words[i].size() > kMostWords) continue;
    for (const std::string& word : words[i]) {
      if (IsCapitalised(word) && !common.contains(Lower(word))) names.insert(word);
    }
  }
  std::vector<int> linked(kept.begin(), kept.end());
  for (int i = 0; i < static_cast<int>(texts.size()); ++i) {
    if (std::ranges::binary_search(kept, i) || words[i].size() > kMostWords) continue;
    const bool shares = std::ranges::any_of(
        words[i], [&names](const std::string& word) { return names.contains(word); });
    if (shares) linked.push_back(i);
  }
  std::ranges::sort(linked);
  return linked;
}

}  // namespace dki::injection
