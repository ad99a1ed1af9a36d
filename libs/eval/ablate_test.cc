// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/ablate.h"

#include <gmock/gmock.h>

#include "libs/testing/status_matchers.h"

namespace dki::eval {
namespace {

// Four memories. Head 1 sees the gold one; cosines and words are noise; the entropy is lower by
// chance where memory is needed in the items of one half, higher in the other's.
std::vector<LabelledItem> Items(int first, bool entropy_tells) {
  std::vector<LabelledItem> items;
  for (int i = first; i < first + 40; ++i) {
    LabelledItem item;
    const int gold = i % 4;
    item.needed = i % 2 == 1;
    for (int m = 0; m < 4; ++m) {
      item.cosines.push_back(0.5 + 0.01 * ((i * 7 + m * 3) % 5));
      item.words.push_back(0.1 * ((i * 3 + m) % 4));
      item.later.emplace_back();
      item.shares.push_back({0.1, item.needed && m == gold ? 0.2 : 0.02});
    }
    if (item.needed) item.gold = {gold};
    item.entropy = item.needed == entropy_tells ? 2.0 : 1.0;
    items.push_back(item);
  }
  return items;
}

const AblationRow& Row(const std::vector<AblationRow>& rows, const std::string& name) {
  for (const AblationRow& row : rows) {
    if (row.name == name) return row;
  }
  ADD_FAILURE() << "no row " << name;
  return rows.front();
}

TEST(AblateTest, WhatTellsIsMissedWhereItIsLeftOut) {
  const auto rows = Ablate({Items(0, true)}, {Items(40, true)}, 2, 3);
  ASSERT_OK(rows);
  EXPECT_EQ(Row(*rows, "all").n_heads, 1);
  EXPECT_GT(Row(*rows, "all").auroc.at(0), 0.99);
  EXPECT_GT(Row(*rows, "heads alone").gold_on_top, 99.0);
  EXPECT_LT(Row(*rows, "without heads").auroc.at(0), 0.8);
  EXPECT_LT(Row(*rows, "without heads").gold_on_top, 60.0);
  EXPECT_EQ(Row(*rows, "without heads").n_heads, 0);
  EXPECT_GT(Row(*rows, "entropy alone").auroc.at(0), 0.99);
  EXPECT_NEAR(Row(*rows, "cosine alone").auroc.at(0), 0.5, 0.3);
}

TEST(AblateTest, TheFiguresAreOfItemsThatNoFitHasSeen) {
  const auto rows = Ablate({Items(0, true)}, {Items(40, false)}, 2, 3);
  ASSERT_OK(rows);
  EXPECT_LT(Row(*rows, "entropy alone").auroc.at(0), 0.01);
}

}  // namespace
}  // namespace dki::eval
