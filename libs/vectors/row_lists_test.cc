// SPDX-License-Identifier: Apache-2.0
#include "libs/vectors/row_lists.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

namespace dki::vectors {
namespace {

// Against a map, with rows renumbered the way a table does it.
TEST(RowListsTest, EqualsAMapAfterRandomChanges) {
  std::mt19937 random(4);
  RowLists lists;
  std::map<Row, List> model;
  for (int step = 0; step < 5000; ++step) {
    const Row row = random() % 200;
    const auto n_rows = static_cast<Row>(model.size());
    if (random() % 5 < 3 || n_rows == 0) {
      const Row put = row < n_rows ? row : n_rows;
      model[put] = random() % 7;
      lists.Put(put, model[put]);
    } else {
      const Row gap = row % n_rows;
      lists.Remove(gap);
      lists.Renumber(n_rows - 1, gap);
      model[gap] = model[n_rows - 1];
      model.erase(n_rows - 1);
    }
    ASSERT_EQ(lists.n_rows(), model.size());
    std::map<Row, List> found;
    for (List list = 0; list < lists.n_lists(); ++list)
      for (const Row listed : lists.RowsOf(list)) found[listed] = list;
    ASSERT_EQ(found, model) << "step " << step;
    for (const auto& [put, list] : model) ASSERT_EQ(lists.ListOf(put), list);
    ASSERT_EQ(lists.ListOf(static_cast<Row>(model.size())), kNoList);
  }
}

}  // namespace
}  // namespace dki::vectors
