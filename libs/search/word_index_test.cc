// SPDX-License-Identifier: Apache-2.0
#include "libs/search/word_index.h"

#include <gmock/gmock.h>

#include <random>

#include "libs/testing/status_matchers.h"

namespace dki::search {
namespace {

using ::dki::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class WordIndexTest : public ::testing::Test {
 protected:
  static WordIndex::Search For(const std::string& question,
                               std::vector<std::string> groups = {"g"}) {
    WordIndex::Search search;
    const std::vector<WeightedText> texts = {{question, 1}};
    search.query = MakeWordQuery(texts);
    search.groups = std::move(groups);
    search.k = 100;
    return search;
  }
  std::vector<std::string> Find(const WordIndex::Search& search) {
    const auto matches = index_.Find(search);
    EXPECT_OK(matches);
    std::vector<std::string> ids;
    if (matches.ok()) {
      for (const auto& match : *matches) ids.push_back(match.id);
    }
    return ids;
  }
  void Put(const std::string& id, const std::string& text, const std::string& group = "g") {
    EXPECT_OK(index_.Upsert(id, group, text));
  }

  WordIndex index_;
};

TEST_F(WordIndexTest, RareWordsAndMoreOfThemComeFirst) {
  Put("a", "Ann went hiking in Norway.");
  Put("b", "Ann bought milk.");
  Put("c", "Ann bought bread in Norway.");
  Put("d", "Bob slept.");
  EXPECT_THAT(Find(For("Where did Ann hike?")), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Find(For("Norway")), UnorderedElementsAre("a", "c"));
  EXPECT_THAT(Find(For("who is she?")), IsEmpty());
  EXPECT_THAT(Find(For("zebra")), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const auto matches, index_.Find(For("Did Ann hike in Norway?")));
  EXPECT_EQ(matches[0].id, "a");
  for (const auto& match : matches) {
    EXPECT_GT(match.share, 0);
    EXPECT_LE(match.share, 1);
  }
}

TEST_F(WordIndexTest, UpdatesAndRemovalsTakeEffectAtOnce) {
  Put("a", "red apple");
  Put("b", "red bread");
  Put("a", "green pear");
  EXPECT_THAT(Find(For("red apple")), ElementsAre("b"));
  EXPECT_THAT(Find(For("pear")), ElementsAre("a"));
  EXPECT_TRUE(index_.Remove("a"));
  EXPECT_FALSE(index_.Remove("a"));
  EXPECT_THAT(Find(For("pear")), IsEmpty());
  EXPECT_EQ(index_.size(), 1);
  index_.Clear();
  EXPECT_THAT(Find(For("red")), IsEmpty());
}

TEST_F(WordIndexTest, OtherGroupsAreNotSeenAndMoveNoScore) {
  Put("a", "red apple", "ann");
  Put("b", "green apple", "ann");
  ASSERT_OK_AND_ASSIGN(const auto before, index_.Find(For("red apple", {"ann"})));
  for (int i = 0; i < 50; ++i) Put("x" + std::to_string(i), "red red red car", "bob");
  ASSERT_OK_AND_ASSIGN(const auto after, index_.Find(For("red apple", {"ann"})));
  EXPECT_EQ(before, after);
  EXPECT_THAT(Find(For("red apple", {"ann", "none"})), ElementsAre("a", "b"));
  EXPECT_EQ(Find(For("red apple", {"ann", "bob"})).size(), 52u);
  Put("a", "red apple", "bob");  // moved
  EXPECT_THAT(Find(For("red apple", {"ann"})), ElementsAre("b"));
}

TEST_F(WordIndexTest, FiltersAndIdsLeaveScoresAlone) {
  for (int i = 0; i < 40; ++i) Put(absl::StrFormat("m%02d", i), i % 2 ? "red apple" : "red car");
  ASSERT_OK_AND_ASSIGN(const auto all, index_.Find(For("red apple")));
  WordIndex::Search some = For("red apple");
  some.ids = {"m03", "m04", "none"};
  ASSERT_OK_AND_ASSIGN(const auto named, index_.Find(some));
  ASSERT_EQ(named.size(), 2u);
  EXPECT_EQ(named[0], all[1]);
  EXPECT_EQ(named[1].id, "m04");
  some = For("apple");
  some.filter = [](const std::string& id) { return id > "m30"; };
  EXPECT_THAT(Find(some), ElementsAre("m31", "m33", "m35", "m37", "m39"));
}

TEST_F(WordIndexTest, TheFirstKAmongEqualsAreThoseWithTheFirstIds) {
  for (int i = 99; i >= 0; --i) Put(absl::StrFormat("m%02d", i), "the same words");
  WordIndex::Search search = For("same words");
  search.k = 3;
  EXPECT_THAT(Find(search), ElementsAre("m00", "m01", "m02"));
}

TEST_F(WordIndexTest, LongWordsAndIdsAreNoTrouble) {
  const std::string word(70'000, 'x');
  Put("a", word);
  EXPECT_THAT(Find(For(word)), ElementsAre("a"));
  EXPECT_THAT(index_.Upsert(std::string(201, 'i'), "g", "text"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("201 bytes")));
}

TEST_F(WordIndexTest, WeightsOfTheQueryCount) {
  Put("a", "red");
  Put("b", "blue");
  const std::vector<WeightedText> texts = {{"blue", 1}, {"red", 0.5}};
  WordIndex::Search search = For("");
  search.query = MakeWordQuery(texts);
  ASSERT_OK_AND_ASSIGN(const auto matches, index_.Find(search));
  ASSERT_EQ(matches.size(), 2u);
  EXPECT_EQ(matches[0].id, "b");
  EXPECT_NEAR(matches[1].share, 0.5 * matches[0].share, 1e-5);
}

// However texts came, changed and went, with the upkeep between any two steps, an index finds what
// one finds that was given the texts that are left.
TEST_F(WordIndexTest, HistoryAndUpkeepDoNotShow) {
  std::mt19937 random(5);
  const char* const words[] = {"apple", "bread", "car", "dog", "egg", "fish", "gold", "hat"};
  const auto text = [&] {
    std::string t;
    for (int i = 0; i < 6; ++i) t += std::string(words[random() % 8]) + " ";
    return t;
  };
  WordIndex index({.compact_at_once = 3});
  std::map<std::string, std::pair<std::string, std::string>> left;  // id: group, text
  for (int step = 0; step < 1500; ++step) {
    const std::string id = "m" + std::to_string(random() % 40);
    if (random() % 3 == 0) {
      EXPECT_EQ(index.Remove(id), left.erase(id) > 0);
    } else {
      const std::string group = random() % 2 ? "g" : "h";
      const std::string t = text();
      EXPECT_OK(index.Upsert(id, group, t));
      left[id] = {group, t};
    }
    if (random() % 2) index.Upkeep();
    if (step % 50 != 0) continue;
    WordIndex fresh;
    for (const auto& [i, w] : left) EXPECT_OK(fresh.Upsert(i, w.first, w.second));
    EXPECT_EQ(index.size(), fresh.size());
    for (const std::vector<std::string>& groups :
         {std::vector<std::string>{"g"}, {"h"}, {"g", "h"}}) {
      WordIndex::Search search = For("a dog with a golden apple", groups);
      search.k = 1 + static_cast<int>(random() % 10);
      ASSERT_OK_AND_ASSIGN(const auto a, index.Find(search));
      ASSERT_OK_AND_ASSIGN(const auto b, fresh.Find(search));
      EXPECT_EQ(a, b) << "step " << step;
    }
  }
  EXPECT_TRUE(index.WantsUpkeep());
  index.Upkeep();  // it may see the last changes only now
  while (index.Upkeep()) {
  }
  EXPECT_FALSE(index.WantsUpkeep());
}

}  // namespace
}  // namespace dki::search
