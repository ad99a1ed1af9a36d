// SPDX-License-Identifier: Apache-2.0
// Purpose: VectorIndex as plain loops: what it says is right by inspection.
#pragma once

#include <map>
#include <utility>

#include "services/retrieval/vector_index.h"

namespace dki::retrieval {

class InMemoryVectorIndex : public VectorIndex {
 public:
  explicit InMemoryVectorIndex(int dimension) : dimension_(dimension) {}

  int dimension() const override { return dimension_; }
  int64_t size() const override { return static_cast<int64_t>(entries_.size()); }
  absl::Status Upsert(IndexedMemory memory, std::span<const float> vector) override;
  bool Remove(const std::string& memory_id) override { return entries_.erase(memory_id) > 0; }
  void Clear() override { entries_.clear(); }
  const IndexedMemory* Find(const std::string& memory_id) const override {
    const auto found = entries_.find(memory_id);
    return found == entries_.end() ? nullptr : &found->second.memory;
  }
  absl::StatusOr<std::vector<Hit>> Search(std::span<const float> query, int k,
                                          std::optional<float> threshold,
                                          const SearchFilter& filter) const override;

 private:
  struct Entry {
    IndexedMemory memory;
    std::vector<float> vector;
  };
  const int dimension_;
  std::map<std::string, Entry> entries_;
};

}  // namespace dki::retrieval
