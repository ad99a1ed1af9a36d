// SPDX-License-Identifier: Apache-2.0
// Purpose: texts by their words: BM25 (Robertson et al., TREC-3, 1994) through Xapian, in memory.
//   Every text lies in a group, each group is a database of its own, and a search is given the
//   groups that it may see: no word of another group is looked at, and none moves a score, since
//   how rare a word is counts within the searched groups.
//   No text is kept: a database holds 64-bit hashes of stems and how often each occurs.
//   What is removed can never be found again. Numbers that it leaves in Xapian's lists go when the
//   group is made anew by the upkeep, soon after the group has come to rest, or at once with the
//   group's last text.
// Thread-safety: one thread at a time, for searches too.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/status.h"
#include "libs/search/word_query.h"

namespace dki::search {

class WordIndex {
 public:
  struct Options {
    // How soon further occurrences of a word in a text stop to count, and how much longer texts
    // are held back. Short notes want less of both than the usual 1.2 and 0.75 (docs/results).
    double k1 = 0.6;
    double b = 0.3;
    // Texts that a step of the upkeep copies.
    int compact_at_once = 200;
  };

  struct Match {
    std::string id;
    // BM25 over the most that any text could have for this query, words that no text has
    // included: (0, 1).
    double share = 0;

    friend bool operator==(const Match&, const Match&) = default;
  };

  // What else a match must be; empty: anything.
  using Filter = std::function<bool(const std::string& id)>;

  struct Search {
    WordQuery query;
    std::vector<std::string> groups;  // each at most once
    int k = 1;
    std::set<std::string> ids;  // only these; empty: any
    Filter filter;
  };

  explicit WordIndex(Options options);
  WordIndex() : WordIndex(Options()) {}
  ~WordIndex();

  int64_t size() const;

  // Adds the text, or replaces the one with its id, which may lie in another group. `id`: at most
  // 200 bytes.
  absl::Status Upsert(const std::string& id, const std::string& group, std::string_view text);
  // False when there is none.
  bool Remove(const std::string& id);
  void Clear();

  // The k best of the texts that hold a word of the query: by share, then by id; the same however
  // the index was built up. REQUIRES: k >= 1.
  absl::StatusOr<std::vector<Match>> Find(const Search& search) const;

  // Whether there is something left to do.
  bool WantsUpkeep() const;
  // One step, some milliseconds: copies a part of a group that holds numbers of removed texts, if
  // it holds many or has not changed since the last call. False when it was too early for that.
  bool Upkeep();

 private:
  class Group;

  const Options options_;
  // By name and by id. Behind a pointer, so that Xapian's header stays in the .cc file.
  struct Contents;
  std::unique_ptr<Contents> contents_;
};

}  // namespace dki::search
