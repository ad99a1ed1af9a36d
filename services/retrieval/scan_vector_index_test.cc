// SPDX-License-Identifier: Apache-2.0
// What ScanVectorIndex does beyond vector_index_conformance_test.cc: paths, partitions, recall.
#include "services/retrieval/scan_vector_index.h"

#include <cmath>
#include <random>

#include "libs/testing/status_matchers.h"

namespace dki::retrieval {
namespace {

constexpr int kDimension = 64;
constexpr int kMemories = 6000;

std::vector<float> Unit(std::vector<float> vector) {
  double squares = 0;
  for (const float value : vector) squares += double{value} * value;
  for (float& value : vector) value = static_cast<float>(value / std::sqrt(squares));
  return vector;
}

// Around one of 40 topics, as texts are.
class Vectors {
 public:
  Vectors() {
    for (int i = 0; i < 40; ++i) topics_.push_back(Noise(1.0f));
  }
  std::vector<float> Next() {
    std::vector<float> vector = Noise(0.7f);
    const std::vector<float>& topic = topics_[random_() % topics_.size()];
    for (int i = 0; i < kDimension; ++i) vector[i] += topic[i];
    return Unit(vector);
  }

 private:
  std::vector<float> Noise(float size) {
    std::normal_distribution<float> normal(0.0f, size);
    std::vector<float> vector(kDimension);
    for (float& value : vector) value = normal(random_);
    return vector;
  }
  std::mt19937 random_{11};
  std::vector<std::vector<float>> topics_;
};

IndexedMemory Memory(int i) {
  IndexedMemory memory;
  memory.id = absl::StrFormat("m%05d", i);
  if (i % 100 == 0) memory.scope.user_id = "rare";
  if (i % 3 == 0) memory.scope.agent_id = "third";
  return memory;
}

void RunAllUpkeep(ScanVectorIndex* index) {
  while (const VectorIndex::Upkeep upkeep = index->NextUpkeep()) upkeep()();
}

int InBoth(const std::vector<Hit>& a, const std::vector<Hit>& b) {
  int n = 0;
  for (const Hit& hit : a) n += std::count(b.begin(), b.end(), hit) > 0 ? 1 : 0;
  return n;
}

class PartitionedTest : public ::testing::Test {
 protected:
  void Fill(int from, int to) {
    for (int i = from; i < to; ++i) {
      const std::vector<float> vector = vectors_.Next();
      ASSERT_OK(index_.Upsert(Memory(i), vector));
      ASSERT_OK(exact_.Upsert(Memory(i), vector));
    }
  }
  // The share of the exact results that are found, over 50 queries.
  double Recall(const SearchFilter& filter, int k) {
    int found = 0;
    int expected = 0;
    for (int i = 0; i < 50; ++i) {
      const std::vector<float> query = vectors_.Next();
      const auto hits = index_.Search(query, k, std::nullopt, filter).value();
      const auto best = exact_.Search(query, k, std::nullopt, filter).value();
      EXPECT_EQ(hits.size(), best.size());
      found += InBoth(hits, best);
      expected += static_cast<int>(best.size());
    }
    return static_cast<double>(found) / expected;
  }

  Vectors vectors_;
  ScanVectorIndex index_{kDimension, {.exact_up_to = 1000, .probed_share = 0.1}};
  ScanVectorIndex exact_{kDimension};
};

TEST_F(PartitionedTest, FindsNearlyAllAndAFilterLosesNothing) {
  Fill(0, kMemories);
  SearchFilter everybody;
  EXPECT_EQ(Recall(everybody, 10), 1.0) << "without a partition all are compared";
  RunAllUpkeep(&index_);
  ASSERT_TRUE(index_.has_partition());
  const double recall = Recall(everybody, 10);
  EXPECT_GE(recall, 0.98);
  EXPECT_LT(Recall(everybody, 300), 1.0) << "the partition is not used";
  // 40 memories are the user's own, fewer than a search of its neighbourhood would meet.
  SearchFilter rare;
  rare.scope.user_id = "rare";
  EXPECT_GE(Recall(rare, 10), 0.98);
  SearchFilter tagged;
  tagged.tag = "none has it";
  EXPECT_TRUE(index_.Search(vectors_.Next(), 5, std::nullopt, tagged).value().empty());
}

TEST_F(PartitionedTest, ARequestThatSeesFewComparesThemAll) {
  for (int i = 0; i < kMemories; ++i) {
    IndexedMemory memory = Memory(i);
    memory.scope.user_id = absl::StrFormat("u%d", i % 10);
    const std::vector<float> vector = vectors_.Next();
    ASSERT_OK(index_.Upsert(memory, vector));
    ASSERT_OK(exact_.Upsert(memory, vector));
  }
  RunAllUpkeep(&index_);
  SearchFilter filter;
  filter.scope.user_id = "u3";
  filter.scope.agent_id = "third";
  EXPECT_EQ(Recall(filter, 300), 1.0);
}

TEST_F(PartitionedTest, FewerThanWantedNearbyMeansComparingAll) {
  Fill(0, 2000);
  RunAllUpkeep(&index_);
  SearchFilter everybody;
  EXPECT_EQ(Recall(everybody, 1990), 1.0);
  // Only far ones reach the threshold's other side: everything within it is still found.
  const std::vector<float> query = vectors_.Next();
  EXPECT_EQ(index_.Search(query, 2000, 0.2f, everybody).value(),
            exact_.Search(query, 2000, 0.2f, everybody).value());
}

TEST_F(PartitionedTest, RemovedMemoriesAreGoneWhileThePartitionIsBeingMade) {
  Fill(0, kMemories);
  std::mt19937 random(5);
  int removed = 0;
  const auto remove_some = [&] {
    for (int i = 0; i < 200; ++i) {
      const std::string id = Memory(static_cast<int>(random() % kMemories)).id;
      EXPECT_EQ(index_.Remove(id), exact_.Remove(id));
    }
    ++removed;
  };
  while (const VectorIndex::Upkeep upkeep = index_.NextUpkeep()) {
    const auto finish = upkeep();
    remove_some();
    finish();
  }
  ASSERT_TRUE(index_.has_partition());
  ASSERT_GT(removed, 5);
  ASSERT_EQ(index_.size(), exact_.size());
  SearchFilter everybody;
  EXPECT_GE(Recall(everybody, 10), 0.95);
  EXPECT_EQ(Recall(everybody, static_cast<int>(exact_.size())), 1.0);
  index_.Clear();
  EXPECT_FALSE(index_.has_partition());
}

TEST_F(PartitionedTest, ClearingMakesATrainingInProgressWorthless) {
  Fill(0, 2000);
  const auto finish = index_.NextUpkeep()();
  index_.Clear();
  finish();
  EXPECT_EQ(index_.NextUpkeep(), nullptr);
  EXPECT_FALSE(index_.has_partition());
}

TEST_F(PartitionedTest, TrainsAgainWhenHalfHasChanged) {
  Fill(0, 2000);
  RunAllUpkeep(&index_);
  Fill(0, 900);
  EXPECT_EQ(index_.NextUpkeep(), nullptr);
  Fill(0, 200);
  EXPECT_NE(index_.NextUpkeep(), nullptr);
}

TEST(ScanVectorIndexTest, HitsAreTheSameOnAllPaths) {
  Vectors vectors;
  std::vector<std::unique_ptr<ScanVectorIndex>> paths;
  for (const auto isa : {kernels::Isa::kReference, kernels::Isa::kAvx2, kernels::Isa::kAvx512}) {
    if (kernels::IsSupported(isa))
      paths.push_back(
          std::make_unique<ScanVectorIndex>(kDimension, ScanVectorIndex::Options{.isa = isa}));
  }
  for (int i = 0; i < 2000; ++i) {
    const std::vector<float> vector = vectors.Next();
    for (const auto& path : paths) ASSERT_OK(path->Upsert(Memory(i), vector));
  }
  for (int i = 0; i < 20; ++i) {
    const std::vector<float> query = vectors.Next();
    const auto expected = paths[0]->Search(query, 20, 0.1f, {}).value();
    ASSERT_FALSE(expected.empty());
    for (const auto& path : paths) EXPECT_EQ(path->Search(query, 20, 0.1f, {}).value(), expected);
  }
}

}  // namespace
}  // namespace dki::retrieval
