// SPDX-License-Identifier: Apache-2.0
#include "libs/vectors/row_lists.h"

#include <algorithm>

namespace dki::vectors {

void RowLists::Put(Row row, List list) {
  Remove(row);
  if (places_.size() <= row) places_.resize(size_t{row} + 1);
  if (rows_of_.size() <= list) rows_of_.resize(size_t{list} + 1);
  places_[row] = {list, static_cast<uint32_t>(rows_of_[list].size())};
  rows_of_[list].push_back(row);
  ++n_rows_;
}

void RowLists::Remove(Row row) {
  const List list = ListOf(row);
  if (list == kNoList) return;
  std::vector<Row>& rows = rows_of_[list];
  const uint32_t index = places_[row].index;
  rows[index] = rows.back();
  places_[rows[index]].index = index;
  rows.pop_back();
  if (rows.empty()) rows.shrink_to_fit();
  places_[row] = {};
  --n_rows_;
}

void RowLists::Renumber(Row row, Row gap) {
  const List list = ListOf(row);
  if (list == kNoList || row == gap) return;
  rows_of_[list][places_[row].index] = gap;
  if (places_.size() <= gap) places_.resize(size_t{gap} + 1);
  places_[gap] = places_[row];
  places_[row] = {};
}

void RowLists::Clear() {
  rows_of_.clear();
  places_.clear();
  n_rows_ = 0;
}

}  // namespace dki::vectors
