// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/hybrid_index.h"

#include <gmock/gmock.h>

#include <random>

#include "libs/search/duplicates.h"
#include "libs/testing/status_matchers.h"
#include "services/retrieval/scan_vector_index.h"
#include "services/retrieval/test_feed.h"

namespace dki::retrieval {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class HybridIndexTest : public ::testing::Test {
 protected:
  void Put(const std::string& id, const std::string& text, const std::string& user = "",
           absl::Time expires = absl::InfiniteFuture()) {
    IndexedMemory memory;
    memory.id = id;
    memory.scope.user_id = user;
    memory.expire_time = expires;
    memory.signature = search::Signature(text);
    memory.update_time = absl::FromUnixSeconds(1000);
    EXPECT_OK(index_.Upsert(std::move(memory), FakeEmbedder::VectorOf(text), text));
  }
  // The vector of `question` is unrelated to all that was put, unless the text is the same.
  HybridIndex::Query About(const std::string& question, int k = 100) {
    vector_ = FakeEmbedder::VectorOf(question);
    HybridIndex::Query query;
    query.vector = vector_;
    const std::vector<search::WeightedText> texts = {{question, 1}};
    query.words = search::MakeWordQuery(texts);
    query.k = k;
    query.filter.now = absl::FromUnixSeconds(1000);
    return query;
  }
  HybridIndex::Result Search(const HybridIndex::Query& query) {
    const auto result = index_.Search(query);
    EXPECT_OK(result);
    return result.value_or(HybridIndex::Result());
  }
  std::vector<std::string> Ids(const HybridIndex::Query& query) {
    std::vector<std::string> ids;
    for (const RankedHit& hit : Search(query).hits) ids.push_back(hit.memory_id);
    return ids;
  }

  HybridIndex index_{std::make_unique<ScanVectorIndex>(FakeEmbedder::kDimension)};
  std::vector<float> vector_;
};

TEST_F(HybridIndexTest, AMemoryIsFoundByItsWordsAloneAndHasItsCosine) {
  for (int i = 0; i < 500; ++i) Put(absl::StrFormat("m%03d", i), absl::StrFormat("note %d", i));
  Put("zebra", "a zebra in Oslo");
  const HybridIndex::Query query = About("zebra", 1);
  HybridIndex::Query by_meaning = query;
  by_meaning.ranking.word_weight = 0;
  EXPECT_THAT(Ids(by_meaning), ::testing::Not(ElementsAre("zebra")));
  HybridIndex::Query weighty = query;
  weighty.ranking.word_weight = 5;
  const auto result = Search(weighty);
  ASSERT_EQ(result.hits.size(), 1u);
  EXPECT_EQ(result.hits[0].memory_id, "zebra");
  by_meaning.k = 501;
  const auto all = Search(by_meaning);
  const auto same = std::find_if(all.hits.begin(), all.hits.end(),
                                 [](const RankedHit& hit) { return hit.memory_id == "zebra"; });
  EXPECT_EQ(result.hits[0].cosine, same->cosine);
  EXPECT_GT(result.hits[0].word_share, 0);
  EXPECT_DOUBLE_EQ(result.hits[0].score, same->cosine + 5 * result.hits[0].word_share);
}

TEST_F(HybridIndexTest, RemovedAndChangedMemoriesAreInNeitherIndex) {
  Put("a", "red apple");
  Put("b", "red pear");
  EXPECT_TRUE(index_.Remove("a"));
  EXPECT_THAT(Ids(About("red")), ElementsAre("b"));
  Put("b", "green plum");
  EXPECT_EQ(Search(About("red pear")).hits[0].word_share, 0);
  IndexedMemory bad;
  bad.id = "b";
  EXPECT_FALSE(index_.Upsert(bad, std::vector<float>{1}, "red").ok());
  EXPECT_THAT(Ids(About("red")), IsEmpty());
  EXPECT_EQ(index_.size(), 0);
}

TEST_F(HybridIndexTest, WordsPassTheSameFilterAsVectors) {
  Put("mine", "the zebra code", "ann");
  Put("theirs", "the zebra code", "bob");
  Put("old", "the zebra code", "ann", absl::FromUnixSeconds(1000));
  Put("ours", "the zebra code");
  HybridIndex::Query query = About("zebra code");
  query.filter.scope.user_id = "ann";
  EXPECT_THAT(Ids(query), ElementsAre("mine", "ours"));
  query.filter.scope.user_id = "";
  EXPECT_THAT(Ids(query), ElementsAre("ours"));
  query.filter.scope.user_id = "ann";
  query.filter.ids = {"mine", "theirs", "old"};
  EXPECT_THAT(Ids(query), ElementsAre("mine"));
  query.filter.tag = "none";
  EXPECT_THAT(Ids(query), IsEmpty());
}

TEST_F(HybridIndexTest, WhatTheThresholdKeepsOutIsCounted) {
  Put("same", "zebra crossing");
  Put("words", "a striped zebra crossing in Oslo");
  HybridIndex::Query query = About("zebra crossing");
  EXPECT_THAT(Ids(query), ElementsAre("same", "words"));
  query.threshold = 0.999f;
  const auto result = Search(query);
  ASSERT_EQ(result.hits.size(), 1u);
  EXPECT_EQ(result.n_below_threshold, 1);
  query.k = 1;
  EXPECT_EQ(Search(query).n_below_threshold, 0);
}

TEST_F(HybridIndexTest, DuplicatesAreNamedAndDoNotTakePlaces) {
  Put("a", "Ann's code is 4931.");
  Put("b", "Ann's code is 4931");
  Put("c", "Ann's code is 4932");
  HybridIndex::Query query = About("Ann's code is 4931.", 2);
  query.without_duplicates = true;
  const auto result = Search(query);
  ASSERT_EQ(result.hits.size(), 2u);
  EXPECT_EQ(result.hits[0].memory_id, "a");
  EXPECT_THAT(result.hits[0].duplicate_ids, ElementsAre("b"));
  EXPECT_EQ(result.hits[1].memory_id, "c");
  query.without_duplicates = false;
  EXPECT_THAT(Ids(About("Ann's code is 4931.")), UnorderedElementsAre("a", "b", "c"));
}

TEST_F(HybridIndexTest, RecencyCountsWhereItIsWeighed) {
  Put("old", "the same text");
  IndexedMemory memory;
  memory.id = "young";
  memory.update_time = absl::FromUnixSeconds(2000);
  EXPECT_OK(index_.Upsert(memory, FakeEmbedder::VectorOf("the same text"), "the same text"));
  HybridIndex::Query query = About("text");
  query.filter.now = absl::FromUnixSeconds(2000);
  EXPECT_THAT(Ids(query), ElementsAre("old", "young"));  // equal: by id
  query.ranking.recency_weight = 0.1;
  query.ranking.recency_half_life = absl::Seconds(1000);
  const auto result = Search(query);
  EXPECT_EQ(result.hits[0].memory_id, "young");
  EXPECT_NEAR(result.hits[0].score - result.hits[1].score, 0.05, 1e-9);
}

// However deep the lists are read, the first k are those of the whole order.
TEST_F(HybridIndexTest, TheFirstKAreThoseOfComparingAll) {
  std::mt19937 random(3);
  const char* const words[] = {"apple", "bread", "car", "dog", "egg", "fish", "gold", "hat"};
  for (int i = 0; i < 1500; ++i) {
    std::string text;
    for (unsigned n = 0; n <= random() % 9; ++n) text += std::string(words[random() % 8]) + " ";
    Put(absl::StrFormat("m%04d", i), text + std::to_string(random() % 700));
  }
  for (int round = 0; round < 40; ++round) {
    HybridIndex::Query query = About(std::string(words[random() % 8]) + " " + words[random() % 8] +
                                     " " + std::to_string(random() % 700));
    query.ranking.word_weight = 0.5 * static_cast<double>(random() % 5);
    HybridIndex::Query whole = query;
    whole.k = 1500;
    auto expected = Search(whole).hits;
    ASSERT_EQ(expected.size(), 1500u);
    query.k = 1 + static_cast<int>(random() % 40);
    const auto k = static_cast<size_t>(query.k);
    const std::vector<RankedHit> first(expected.begin(), expected.begin() + query.k);
    EXPECT_EQ(Search(query).hits, first);
    query.threshold = 0.4f;
    const auto n_below = std::count_if(first.begin(), first.end(),
                                       [](const RankedHit& hit) { return hit.cosine < 0.4f; });
    std::erase_if(expected, [](const RankedHit& hit) { return hit.cosine < 0.4f; });
    if (expected.size() > k) expected.resize(k);
    const auto result = Search(query);
    EXPECT_EQ(result.hits, expected);
    EXPECT_EQ(result.n_below_threshold, n_below);
  }
}

}  // namespace
}  // namespace dki::retrieval
