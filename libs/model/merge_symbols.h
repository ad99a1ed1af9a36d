// SPDX-License-Identifier: Apache-2.0
// The heart of byte-pair encoding (Sennrich et al. 2016): adjacent symbols are merged, the best
// pair first, until no pair can be.
#pragma once

#include <cstdint>
#include <queue>
#include <vector>

namespace dki::model {

// A part of a text, in a doubly linked list over it. -1: none.
struct MergeSymbol {
  int32_t id;      // -1: a part that is no token
  uint32_t begin;  // its first byte
  uint32_t size;   // in bytes; 0 once merged into its left neighbour
  int32_t previous;
  int32_t next;
};

struct MergeResult {
  float score;  // the highest comes first
  int32_t id;   // of the merged token
};

// Appends a symbol to the list.
inline void AppendSymbol(int32_t id, size_t begin, size_t size, std::vector<MergeSymbol>* symbols) {
  const auto index = static_cast<int32_t>(symbols->size());
  if (index > 0) symbols->back().next = index;
  symbols->push_back(
      {id, static_cast<uint32_t>(begin), static_cast<uint32_t>(size), index - 1, -1});
}

// find(left, right) gives what two adjacent symbols become (MergeResult), or nullopt. Among equal
// scores the leftmost pair comes first. O(n log n): each merge costs a heap operation and offers at
// most two new ones. The first symbol begins the list of what is left.
template <typename Find>
void MergeSymbols(std::vector<MergeSymbol>* list, Find&& find) {
  struct Candidate {
    float score;
    int32_t left;   // index of the left symbol
    uint32_t size;  // of both when it was offered; anything else now makes the candidate stale
    int32_t id;
    bool operator<(const Candidate& o) const {
      return score != o.score ? score < o.score : left > o.left;
    }
  };
  std::vector<MergeSymbol>& symbols = *list;
  std::priority_queue<Candidate> heap;
  const auto offer = [&](int32_t index) {
    if (index < 0 || symbols[index].next < 0) return;
    const MergeSymbol& left = symbols[index];
    const MergeSymbol& right = symbols[left.next];
    if (const auto merge = find(left, right))
      heap.push({merge->score, index, left.size + right.size, merge->id});
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) offer(static_cast<int32_t>(i));
  while (!heap.empty()) {
    const Candidate top = heap.top();
    heap.pop();
    MergeSymbol& left = symbols[top.left];
    if (left.size == 0 || left.next < 0) continue;
    MergeSymbol& right = symbols[left.next];
    if (left.size + right.size != top.size) continue;
    left.id = top.id;
    left.size += right.size;
    left.next = right.next;
    right.size = 0;
    if (right.next >= 0) symbols[right.next].previous = top.left;
    offer(left.previous);
    offer(top.left);
  }
}

// Merge rules by pairs of ids.
inline uint64_t MergeKey(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

}  // namespace dki::model
