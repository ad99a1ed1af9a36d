// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/in_memory_vector_index.h"

#include <algorithm>

namespace dki::retrieval {

absl::Status InMemoryVectorIndex::Upsert(IndexedMemory memory, std::span<const float> vector) {
  DKI_RETURN_IF_ERROR(CheckUnitVector(vector, dimension_));
  const std::string id = memory.id;
  entries_[id] = {std::move(memory), {vector.begin(), vector.end()}};
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Hit>> InMemoryVectorIndex::Search(std::span<const float> query, int k,
                                                             std::optional<float> threshold,
                                                             const SearchFilter& filter) const {
  DKI_RETURN_IF_ERROR(CheckUnitVector(query, dimension_));
  std::vector<Hit> hits;
  for (const auto& [id, entry] : entries_) {
    if (!Matches(entry.memory, filter)) continue;
    float cosine = 0;
    for (size_t i = 0; i < query.size(); ++i) cosine += query[i] * entry.vector[i];
    cosine = std::clamp(cosine, -1.0f, 1.0f);
    if (threshold.has_value() && cosine < *threshold) continue;
    hits.push_back({id, entry.memory.version, cosine, entry.memory.pinned});
  }
  std::sort(hits.begin(), hits.end(), ComesBefore);
  if (hits.size() > static_cast<size_t>(k)) hits.resize(static_cast<size_t>(k));
  return hits;
}

}  // namespace dki::retrieval
