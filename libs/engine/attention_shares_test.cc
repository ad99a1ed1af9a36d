// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/attention_shares.h"

#include <gmock/gmock.h>

namespace dki::engine {
namespace {

// Two heads, two columns, `rows` rows; all mass 0.
model::AttentionMass Mass(int n_layers, int64_t rows) {
  model::AttentionMass mass{.n_layers = n_layers,
                            .n_heads = 2,
                            .n_columns = 2,
                            .rows = rows,
                            .biased = {},
                            .unbiased = {}};
  mass.biased.assign(mass.size(), 0.0);
  mass.unbiased.assign(mass.size(), 0.0);
  return mass;
}

TEST(AttentionSharesTest, TheMiddleHalfOfTheLayersCounts) {
  model::AttentionMass mass = Mass(8, 4);
  for (int layer = 0; layer < 8; ++layer) {
    for (int head = 0; head < 2; ++head) {
      mass.biased[mass.at(layer, head, 0)] = layer >= 2 && layer < 6 ? 1.0 : 4.0;
    }
  }
  EXPECT_DOUBLE_EQ(MiddleShareOf(mass, 0), 0.25);
  EXPECT_DOUBLE_EQ(MiddleShareOf(mass, 1), 0.0);
  EXPECT_DOUBLE_EQ(ShareOf(mass, 0).biased, 0.625);
  EXPECT_DOUBLE_EQ(HeadShareOf(mass, 0, {.layer = 0, .head = 1}), 1.0);
}

TEST(AttentionSharesTest, LayersThatDoNotSeeTheColumnDoNotCount) {
  model::AttentionMass mass = Mass(8, 4);
  // Of the middle layers only one reaches as far; of its heads one.
  mass.biased[mass.at(5, 1, 0)] = 2.0;
  EXPECT_DOUBLE_EQ(MiddleShareOf(mass, 0), 0.25);
}

TEST(AttentionSharesTest, NothingIsShownBeforeTheFirstRow) {
  const model::AttentionMass mass = Mass(8, 0);
  EXPECT_EQ(MiddleShareOf(mass, 0), 0.0);
  EXPECT_EQ(ShareOf(mass, 0).biased, 0.0);
}

}  // namespace
}  // namespace dki::engine
