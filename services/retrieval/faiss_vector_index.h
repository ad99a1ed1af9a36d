// SPDX-License-Identifier: Apache-2.0
// Purpose: VectorIndex on FAISS's flat inner-product index. Exact, 4 * dimension bytes a memory.
//   Row i of FAISS is rows_[i]. Removing moves the last row into the gap (FAISS's own remove_ids
//   copies everything behind it), so the bytes of a removed vector are gone at once (P7).
#pragma once

#include <memory>
#include <unordered_map>

#include "services/retrieval/vector_index.h"

namespace faiss {
struct IndexFlatIP;
}

namespace dki::retrieval {

class FaissVectorIndex : public VectorIndex {
 public:
  explicit FaissVectorIndex(int dimension);
  ~FaissVectorIndex() override;

  int dimension() const override { return dimension_; }
  int64_t size() const override { return static_cast<int64_t>(rows_.size()); }
  absl::Status Upsert(IndexedMemory memory, std::span<const float> vector) override;
  bool Remove(const std::string& memory_id) override;
  void Clear() override;
  absl::StatusOr<std::vector<Hit>> Search(std::span<const float> query, int k,
                                          std::optional<float> threshold,
                                          const SearchFilter& filter) const override;

 private:
  float* RowData(size_t row);

  const int dimension_;
  std::unique_ptr<faiss::IndexFlatIP> index_;
  std::vector<IndexedMemory> rows_;
  std::unordered_map<std::string, size_t> row_of_;
};

}  // namespace dki::retrieval
