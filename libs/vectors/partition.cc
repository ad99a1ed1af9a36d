// SPDX-License-Identifier: Apache-2.0
#include "libs/vectors/partition.h"

#include <algorithm>
#include <numeric>

namespace dki::vectors {

Partition::Partition(int dimension, std::span<const float> centroids, kernels::Isa isa)
    : centroids_(dimension, isa) {
  for (; !centroids.empty(); centroids = centroids.subspan(dimension))
    centroids_.Append(centroids.first(dimension));
  all_.resize(centroids_.size());
  std::iota(all_.begin(), all_.end(), Row{0});
}

std::span<const Row> Partition::RowsOf(List list) const {
  return list < lists_.n_lists() ? lists_.RowsOf(list) : std::span<const Row>();
}

std::vector<VectorTable::Estimate> Partition::Compare(std::span<const float> vector) const {
  std::vector<VectorTable::Estimate> estimates(all_.size());
  centroids_.EstimateRows(centroids_.MakeQuery(vector), all_, estimates.data());
  return estimates;
}

void Partition::Put(Row row, std::span<const float> vector) {
  const auto estimates = Compare(vector);
  const auto nearest =
      std::max_element(estimates.begin(), estimates.end(),
                       [](const auto& a, const auto& b) { return a.value < b.value; });
  lists_.Put(row, static_cast<List>(nearest - estimates.begin()));
}

std::vector<List> Partition::ByDistance(std::span<const float> vector) const {
  const auto estimates = Compare(vector);
  std::vector<List> lists(all_.begin(), all_.end());
  std::stable_sort(lists.begin(), lists.end(),
                   [&](List a, List b) { return estimates[a].value > estimates[b].value; });
  return lists;
}

}  // namespace dki::vectors
