// SPDX-License-Identifier: Apache-2.0
// Purpose: the product's VectorIndex. A search compares the memories that the request may see, by
//   their int8 copies first and the few that can win exactly (libs/vectors/vector_table.h), and is
//   exact up to Options::exact_up_to of them, whoever else shares the index. Beyond that it looks
//   at the vectors around the query only (libs/vectors/partition.h), and goes back to comparing all
//   when those give fewer than k: a filter never loses results.
//   A removed memory is overwritten at once, in the tables and in every list.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <unordered_map>

#include "libs/vectors/partition.h"
#include "libs/vectors/row_lists.h"
#include "libs/vectors/vector_table.h"
#include "services/retrieval/vector_index.h"

namespace dki::retrieval {

class ScanVectorIndex : public VectorIndex {
 public:
  struct Options {
    // A search that may see no more memories than this compares them all.
    int64_t exact_up_to = 100'000;
    // The share of the visible memories that any other search compares.
    double probed_share = 0.2;
    kernels::Isa isa = kernels::BestIsa();
  };

  ScanVectorIndex(int dimension, Options options);
  explicit ScanVectorIndex(int dimension) : ScanVectorIndex(dimension, Options()) {}

  int dimension() const override { return table_.dimension(); }
  int64_t size() const override { return static_cast<int64_t>(rows_.size()); }
  absl::Status Upsert(IndexedMemory memory, std::span<const float> vector) override;
  bool Remove(const std::string& memory_id) override;
  void Clear() override;
  const IndexedMemory* Find(const std::string& memory_id) const override;
  absl::StatusOr<std::vector<Hit>> Search(std::span<const float> query, int k,
                                          std::optional<float> threshold,
                                          const SearchFilter& filter) const override;
  // Trains a partition when there are more than exact_up_to memories, and again when half of them
  // have changed; then sorts the rows into it, some at a time.
  Upkeep NextUpkeep() override;
  bool has_partition() const { return partition_ != nullptr; }

 private:
  using Row = vectors::Row;
  using List = vectors::List;
  class Selection;

  void PutInScope(Row row, const Scope& scope);
  void RemoveFromScope(Row row);
  // The lists of scopes_ whose memories a request of this scope may see.
  std::vector<List> VisibleLists(const Scope& scope) const;
  // Rows near the query, until enough visible ones have been looked at.
  void LookNearby(std::span<const float> query, const std::vector<List>& visible, size_t n_visible,
                  int k, Selection* selection) const;
  void LookAtAll(const std::vector<List>& visible, size_t n_visible, Selection* selection) const;
  bool WantsTraining() const;
  void AssignSome();

  const Options options_;
  vectors::VectorTable table_;
  std::vector<IndexedMemory> rows_;  // of the table
  std::unordered_map<std::string, Row> row_of_;

  // Rows by scope: a request sees at most eight scopes, each of its fields set or not.
  vectors::RowLists scopes_;
  std::map<std::array<std::string, 3>, List> list_of_scope_;
  std::vector<List> free_lists_;

  std::unique_ptr<vectors::Partition> partition_;       // of all rows
  std::unique_ptr<vectors::Partition> next_partition_;  // of the rows below next_row_, so far
  Row next_row_ = 0;
  int64_t n_changes_ = 0;   // since the last training
  int64_t generation_ = 0;  // of the contents: Clear makes a training in progress worthless
};

}  // namespace dki::retrieval
