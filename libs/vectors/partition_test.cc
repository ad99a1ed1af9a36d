// SPDX-License-Identifier: Apache-2.0
#include "libs/vectors/partition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dki::vectors {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<Row> Rows(const Partition& partition, List list) {
  const auto rows = partition.RowsOf(list);
  return {rows.begin(), rows.end()};
}

TEST(PartitionTest, RowsLieWithTheirNearestCentroid) {
  const std::vector<float> centroids = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  Partition partition(3, centroids);
  ASSERT_EQ(partition.n_lists(), 3u);
  EXPECT_THAT(Rows(partition, 2), IsEmpty());
  partition.Put(0, std::vector<float>{0.1f, 0.9f, 0.2f});
  partition.Put(1, std::vector<float>{0.8f, 0.1f, 0.2f});
  partition.Put(2, std::vector<float>{-0.2f, 0.9f, 0.0f});
  EXPECT_THAT(Rows(partition, 1), UnorderedElementsAre(0, 2));
  EXPECT_THAT(Rows(partition, 0), ElementsAre(1));
  EXPECT_THAT(partition.ByDistance(std::vector<float>{0.2f, 0.5f, 0.8f}), ElementsAre(2, 1, 0));

  partition.Put(0, std::vector<float>{0.0f, 0.1f, 0.9f});  // a new vector moves it
  EXPECT_THAT(Rows(partition, 2), ElementsAre(0));
  partition.Remove(1);
  partition.Renumber(2, 1);
  EXPECT_THAT(Rows(partition, 0), IsEmpty());
  EXPECT_THAT(Rows(partition, 1), ElementsAre(1));
  EXPECT_FALSE(partition.Has(2));
  EXPECT_EQ(partition.n_rows(), 2u);
}

}  // namespace
}  // namespace dki::vectors
