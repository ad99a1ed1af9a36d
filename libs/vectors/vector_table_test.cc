// SPDX-License-Identifier: Apache-2.0
#include "libs/vectors/vector_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace dki::vectors {
namespace {

// With some values far above the others, which is what rounding to int8 suffers from.
std::vector<float> RandomVector(int n, std::mt19937* random) {
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::vector<float> vector(n);
  for (float& value : vector) value = normal(*random);
  vector[(*random)() % n] = 0.9f;
  return vector;
}

TEST(VectorTableTest, EstimatesHoldTheProductWithinTheirSlack) {
  for (const int dimension : {1, 7, 384}) {
    std::mt19937 random(1);
    VectorTable table(dimension);
    std::vector<Row> rows;
    for (Row row = 0; row < 700; ++row) {
      table.Append(RandomVector(dimension, &random));
      rows.push_back(row);
    }
    const std::vector<float> vector = RandomVector(dimension, &random);
    const VectorTable::Query query = table.MakeQuery(vector);
    std::vector<VectorTable::Estimate> estimates(rows.size());
    table.EstimateRows(query, rows, estimates.data());
    for (const Row row : rows) {
      double exact = 0;
      for (int i = 0; i < dimension; ++i) exact += double{vector[i]} * table[row][i];
      ASSERT_LE(std::fabs(exact - estimates[row].value), estimates[row].slack) << row;
      ASSERT_NEAR(table.Dot(query, row), exact, 1e-6);
      if (dimension == 384) {
        ASSERT_LE(estimates[row].slack, 0.2f) << "a bound that says nothing";
      }
    }
  }
}

TEST(VectorTableTest, ResultsAreTheSameOnAllPaths) {
  std::mt19937 random(2);
  VectorTable reference(384, kernels::Isa::kReference);
  VectorTable best(384);
  std::vector<Row> rows;
  for (Row row = 0; row < 100; ++row) {
    const std::vector<float> vector = RandomVector(384, &random);
    reference.Append(vector);
    best.Append(vector);
    rows.insert(rows.begin(), row);
  }
  const std::vector<float> vector = RandomVector(384, &random);
  std::vector<VectorTable::Estimate> a(100), b(100);
  reference.EstimateRows(reference.MakeQuery(vector), rows, a.data());
  best.EstimateRows(best.MakeQuery(vector), rows, b.data());
  for (const Row row : rows) {
    EXPECT_EQ(a[row].value, b[row].value);
    EXPECT_EQ(a[row].slack, b[row].slack);
    EXPECT_EQ(reference.Dot(reference.MakeQuery(vector), row),
              best.Dot(best.MakeQuery(vector), row));
  }
}

TEST(VectorTableTest, RowsAreKeptThroughGrowthAndRemoval) {
  std::mt19937 random(3);
  VectorTable table(5);
  std::vector<std::vector<float>> model;
  for (int step = 0; step < 5000; ++step) {
    // Grows beyond several blocks, then shrinks to nothing.
    if (random() % 10 < (step < 2500 ? 7u : 2u) || model.empty()) {
      model.push_back(RandomVector(5, &random));
      table.Append(model.back());
    } else {
      const Row row = static_cast<Row>(random() % model.size());
      model[row] = model.back();
      model.pop_back();
      table.RemoveAndFillWithLast(row);
    }
    if (!model.empty() && step % 3 == 0) {
      const Row row = static_cast<Row>(random() % model.size());
      model[row] = RandomVector(5, &random);
      table.Set(row, model[row]);
    }
    ASSERT_EQ(table.size(), model.size());
    if (step % 100 != 0) continue;
    for (Row row = 0; row < model.size(); ++row)
      ASSERT_THAT(std::vector<float>(table[row].begin(), table[row].end()),
                  ::testing::ElementsAreArray(model[row]));
  }
}

TEST(VectorTableTest, ARemovedVectorIsOverwritten) {
  VectorTable table(3);
  table.Append(std::vector<float>{1, 2, 3});
  table.Append(std::vector<float>{4, 5, 6});
  const std::span<const float> last = table[1];
  table.RemoveAndFillWithLast(0);
  EXPECT_THAT(std::vector<float>(last.begin(), last.end()), ::testing::ElementsAre(0, 0, 0));
  EXPECT_EQ(table[0][0], 4);
}

}  // namespace
}  // namespace dki::vectors
