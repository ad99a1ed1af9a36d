// SPDX-License-Identifier: Apache-2.0
// Purpose: which rows of a table belong to which list; every change costs the same, however long
// the
//   lists. Rows are in no order. Thread-safety: as VectorTable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libs/vectors/vector_table.h"

namespace dki::vectors {

using List = uint32_t;
inline constexpr List kNoList = UINT32_MAX;

class RowLists {
 public:
  size_t n_lists() const { return rows_of_.size(); }
  size_t n_rows() const { return n_rows_; }  // in lists
  std::span<const Row> RowsOf(List list) const { return rows_of_[list]; }
  // kNoList for a row that was never put.
  List ListOf(Row row) const { return row < places_.size() ? places_[row].list : kNoList; }

  // Moves the row into the list, which is made where missing.
  void Put(Row row, List list);
  // Nothing where it is in none.
  void Remove(Row row);
  // `row` takes the number of the removed row `gap`, as VectorTable does.
  void Renumber(Row row, Row gap);
  void Clear();

 private:
  struct Place {
    List list = kNoList;
    uint32_t index = 0;
  };
  std::vector<std::vector<Row>> rows_of_;
  std::vector<Place> places_;  // by row
  size_t n_rows_ = 0;
};

}  // namespace dki::vectors
