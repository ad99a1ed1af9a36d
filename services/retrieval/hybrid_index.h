// SPDX-License-Identifier: Apache-2.0
// Purpose: one tenant's memories by meaning and by words, in one order. It holds both indexes and
//   keeps them the same: a memory is in both or in neither, and a result passes the same filter
//   whichever index it came from.
//   The first k are those of comparing all visible memories (Fagin's threshold algorithm, PODS
//   2001): both lists are read so deep that no memory beyond their ends can reach the k-th score.
//   Where the vector index looks near the query only, so does this.
// Thread-safety: one thread at a time, for searches too.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/search/ranking.h"
#include "libs/search/word_index.h"
#include "services/retrieval/vector_index.h"

namespace dki::retrieval {

struct RankedHit {
  std::string memory_id;
  int64_t version = 0;
  float cosine = 0;
  double word_share = 0;  // libs/search/word_index.h
  double score = 0;       // the order: best first; among equals the pinned, then by id
  bool pinned = false;
  std::vector<std::string> duplicate_ids;

  friend bool operator==(const RankedHit&, const RankedHit&) = default;
};

class HybridIndex {
 public:
  struct Query {
    std::span<const float> vector;  // [dimension]
    search::WordQuery words;        // empty: by meaning alone
    int k = 1;
    // Only memories whose cosine is at least that, however many words they share.
    std::optional<float> threshold;
    SearchFilter filter;
    search::RankingOptions ranking;
    // Of memories with one signature, only the first of the order; the others among those looked at
    // are named in its duplicate_ids.
    bool without_duplicates = false;
  };
  struct Result {
    std::vector<RankedHit> hits;
    // Memories that would be among the first k but for the threshold.
    int n_below_threshold = 0;
  };

  explicit HybridIndex(std::unique_ptr<VectorIndex> vectors,
                       search::WordIndex::Options word_options = {});

  int64_t size() const { return vectors_->size(); }
  // As VectorIndex::Upsert; on an error the memory is in neither index.
  absl::Status Upsert(IndexedMemory memory, std::span<const float> vector, std::string_view text);
  bool Remove(const std::string& memory_id);
  void Clear();
  // Errors as VectorIndex::Search. REQUIRES: k >= 1.
  absl::StatusOr<Result> Search(const Query& query) const;
  // As VectorIndex::NextUpkeep.
  VectorIndex::Upkeep NextUpkeep();

 private:
  struct Candidates;

  absl::StatusOr<Candidates> Look(const Query& query, int depth) const;

  const std::unique_ptr<VectorIndex> vectors_;
  search::WordIndex words_;
};

}  // namespace dki::retrieval
