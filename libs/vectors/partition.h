// SPDX-License-Identifier: Apache-2.0
// Purpose: rows of a table by their nearest centroid (an inverted file: Jegou et al., "Product
//   quantization for nearest neighbor search", PAMI 2011, without the product quantiser), so that a
//   search looks at the rows near the query only. It holds row numbers and centroids, no vectors;
//   a removed row is gone at once. Thread-safety: as VectorTable.
#pragma once

#include <span>
#include <vector>

#include "libs/vectors/row_lists.h"
#include "libs/vectors/vector_table.h"

namespace dki::vectors {

class Partition {
 public:
  // centroids: [n, dimension], n >= 1.
  Partition(int dimension, std::span<const float> centroids, kernels::Isa isa = kernels::BestIsa());

  size_t n_lists() const { return centroids_.size(); }
  size_t n_rows() const { return lists_.n_rows(); }
  bool Has(Row row) const { return lists_.ListOf(row) != kNoList; }
  std::span<const Row> RowsOf(List list) const;

  void Put(Row row, std::span<const float> vector);
  void Remove(Row row) { lists_.Remove(row); }
  void Renumber(Row row, Row gap) { lists_.Renumber(row, gap); }

  // All lists, those with the nearest centroids first.
  std::vector<List> ByDistance(std::span<const float> vector) const;

 private:
  std::vector<VectorTable::Estimate> Compare(std::span<const float> vector) const;

  VectorTable centroids_;
  std::vector<Row> all_;  // the centroids' row numbers
  RowLists lists_;
};

}  // namespace dki::vectors
