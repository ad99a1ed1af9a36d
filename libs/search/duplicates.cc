// SPDX-License-Identifier: Apache-2.0
#include "libs/search/duplicates.h"

#include <algorithm>
#include <string>
#include <unordered_set>

#include "libs/search/hash.h"
#include "libs/search/words.h"

namespace dki::search {

uint64_t Signature(std::string_view text) {
  uint64_t hash = kHashSeed;
  bool has_words = false;
  for (const std::string& word : Words(text)) {
    if (word == "a" || word == "an" || word == "the") continue;
    hash = Hash64(word, hash);
    has_words = true;
  }
  return has_words ? std::max<uint64_t>(hash, 1) : 0;
}

std::vector<int> FirstOfEach(std::span<const uint64_t> signatures) {
  std::vector<int> first;
  std::unordered_set<uint64_t> seen;
  for (size_t i = 0; i < signatures.size(); ++i) {
    if (signatures[i] == 0 || seen.insert(signatures[i]).second)
      first.push_back(static_cast<int>(i));
  }
  return first;
}

}  // namespace dki::search
