// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the store evaluation, on cases small enough to work out by hand.
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "libs/eval/store_report.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::eval {
namespace {

using ::dki::testing::StatusIs;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(ScoreOrderTest, CountsTheGoldAmongTheFirst) {
  const std::vector<int> order = {9, 3, 8, 7, 6, 5, 4, 2, 1, 0, 11};
  const RankScores scores = ScoreOrder(order, {{3, 1.0}, {11, 2.0}});
  EXPECT_THAT(scores.recall, ElementsAre(0.0, 0.5, 0.5, 1.0));
  EXPECT_DOUBLE_EQ(scores.reciprocal_rank, 0.5);
  // 3 at rank 2 gains 1/log2(3); the best order has gain 2 at rank 1 and 1 at rank 2; rank 11 is
  // too deep.
  EXPECT_DOUBLE_EQ(scores.ndcg, (1 / std::log2(3)) / (2 + 1 / std::log2(3)));
  const RankScores none = ScoreOrder(std::vector<int>{1, 2}, {{7, 1.0}});
  EXPECT_THAT(none.recall, ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(none.reciprocal_rank, 0);
  EXPECT_EQ(none.ndcg, 0);
}

TEST(PairedBootstrapTest, TheIntervalIsAroundTheMeanAndRepeats) {
  std::vector<double> differences(100, 0.0);
  for (int i = 0; i < 20; ++i) differences[static_cast<size_t>(i)] = 1;
  const Interval interval = PairedBootstrap(differences);
  EXPECT_NEAR(interval.mean, 0.2, 1e-9);
  // Binomial: standard error 0.04.
  EXPECT_THAT(interval.low, DoubleNear(0.2 - 1.96 * 0.04, 0.015));
  EXPECT_THAT(interval.high, DoubleNear(0.2 + 1.96 * 0.04, 0.015));
  EXPECT_EQ(PairedBootstrap(differences).low, interval.low);
}

class StoreSuiteTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(dir_.File(name)) << text;
    return dir_.File(name);
  }
  testing::TempDir dir_;
};

constexpr char kTwoStores[] =
    R"({"id": "a", "memories": [{"id": "1", "text": "red apple"}, {"id": "2", "text": "blue car"}],
 "questions": [{"question": "car?", "gold": ["2"], "category": 1},
               {"question": "never said", "gold": [], "category": 1},
               {"question": "adversarial", "gold": ["1"], "category": 5}]})";

TEST_F(StoreSuiteTest, ReadsStoresAndLeavesOutWhatHasNoAnswer) {
  std::string line = kTwoStores;
  std::replace(line.begin(), line.end(), '\n', ' ');
  ASSERT_OK_AND_ASSIGN(const StoreSuite suite, ReadStoreSuite(Write("s.jsonl", line + "\n")));
  EXPECT_EQ(suite.name, "s");
  ASSERT_THAT(suite.stores, SizeIs(1));
  ASSERT_THAT(suite.stores[0].questions, SizeIs(1));
  EXPECT_EQ(suite.stores[0].questions[0].category, "1 multi-hop");
  EXPECT_EQ(suite.stores[0].questions[0].gold, (std::map<int, double>{{1, 1.0}}));
  EXPECT_THAT(ReadStoreSuite(Write("bad.jsonl", R"({"id": "a", "memories": [{"id": "1"}]})")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 1: \"memories\"")));
  EXPECT_THAT(ReadStoreSuite(dir_.File("none")), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(StoreSuiteTest, ReadsParagraphsAndJudgements) {
  ASSERT_OK_AND_ASSIGN(const StoreSuite squad,
                       ReadStoreSuite(Write("q.json", R"({"data": [{"paragraphs": [
        {"context": "One.", "qas": [{"question": "1?"}, {"question": "x?", "is_impossible": true}]},
        {"context": "Two.", "qas": [{"question": "2?"}]}]}]})")));
  ASSERT_THAT(squad.stores[0].questions, SizeIs(2));
  EXPECT_EQ(squad.stores[0].questions[1].gold.begin()->first, 1);

  Write("corpus.jsonl",
        "{\"_id\": \"d1\", \"title\": \"T\", \"text\": \"x\"}\n"
        "{\"_id\": \"d2\", \"title\": \"\", \"text\": \"y\"}\n");
  Write("queries.jsonl",
        "{\"_id\": \"q1\", \"text\": \"x?\"}\n{\"_id\": \"q2\", \"text\": \"z\"}\n");
  Write("qrels.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t0\nq1\td2\t2\n");
  ASSERT_OK_AND_ASSIGN(const StoreSuite beir, ReadStoreSuite(dir_.File("")));
  EXPECT_EQ(beir.stores[0].memories[0].text, "T. x");
  ASSERT_THAT(beir.stores[0].questions, SizeIs(1));
  EXPECT_EQ(beir.stores[0].questions[0].gold, (std::map<int, double>{{1, 2.0}}));
}

TEST(TurnSuitesTest, QuestionsLeanOnTheTurnBeforeOrFollowOthers) {
  StoreSuite suite{.name = "s", .stores = {{.name = "s", .memories = {}, .questions = {}}}};
  for (const char* text : {"What is Ann's job?", "When did Bob meet Ann?", "Why?"}) {
    suite.stores[0].questions.emplace_back().question = text;
  }
  const StoreSuite leaning = LeanOnTurns(suite);
  EXPECT_EQ(leaning.name, "s_leaning");
  ASSERT_THAT(leaning.stores[0].questions, SizeIs(2));
  EXPECT_EQ(leaning.stores[0].questions[0].question, "What is their job?");
  EXPECT_THAT(leaning.stores[0].questions[0].recent, ElementsAre("I was thinking about Ann."));
  EXPECT_EQ(leaning.stores[0].questions[1].question, "When did they meet they?");
  EXPECT_THAT(leaning.stores[0].questions[1].recent,
              ElementsAre("I was thinking about Bob and Ann."));
  const StoreSuite more = AsFollowUps(suite);
  EXPECT_THAT(more.stores[0].questions[2].recent, ElementsAre("Why?"));
  EXPECT_EQ(more.stores[0].questions[2].question, "Can you tell me more about that?");
  const StoreSuite after = AfterOtherTopics(suite);
  EXPECT_THAT(after.stores[0].questions[0].recent,
              ElementsAre("When did Bob meet Ann?", "When did Bob meet Ann?"));
}

// Vectors that say the opposite of the words, so that each method's order is known.
TEST(RunStoreSuiteTest, EveryMethodRanksByItsOwnSignals) {
  StoreSuite suite{.name = "tiny", .stores = {}};
  suite.stores.push_back(
      {.name = "s",
       .memories = {{"m0", "red apple"}, {"m1", "blue car"}, {"m2", "green boat"}},
       .questions = {
           {.question = "A car", .gold = {{1, 1.0}}, .category = "1 multi-hop", .recent = {}}}});
  suite.stores.push_back(suite.stores[0]);
  const StoreVectors vectors{
      .memories = {{1, 0}, {0, 1}, {0.8f, 0.6f}}, .questions = {{1, 0}}, .recent = {}};
  std::vector<Method> methods = StandardMethods();
  ASSERT_OK_AND_ASSIGN(auto result, RunStoreSuite(suite, {vectors, vectors}, methods));
  EXPECT_EQ(result.n_questions(), 2);
  EXPECT_EQ(result.scores["bm25"][0].reciprocal_rank, 1);
  EXPECT_NEAR(result.scores["minilm"][0].reciprocal_rank, 1.0 / 3, 1e-12);
  // By rank m0 has 1/61, m1 1/63 + 1/61, m2 1/62.
  EXPECT_EQ(result.scores["rrf"][0].reciprocal_rank, 1);
  // The only word of the question is all of its weight, but the text's other word costs some.
  Method heavy;
  heavy.name = "hybrid";
  heavy.ranking.word_weight = 3;
  ASSERT_OK_AND_ASSIGN(result, RunStoreSuite(suite, {vectors, vectors}, {heavy}));
  EXPECT_EQ(result.scores["hybrid"][0].reciprocal_rank, 1);
  heavy.ranking.word_weight = 0.1;
  ASSERT_OK_AND_ASSIGN(result, RunStoreSuite(suite, {vectors, vectors}, {heavy}));
  EXPECT_NEAR(result.scores["hybrid"][0].reciprocal_rank, 1.0 / 3, 1e-12);

  ASSERT_OK_AND_ASSIGN(result, RunStoreSuite(suite, {vectors, vectors}, methods));
  ASSERT_OK_AND_ASSIGN(const auto validation, CrossValidate(suite, {vectors, vectors}));
  EXPECT_THAT(validation.folds, SizeIs(2));
  const auto json =
      nlohmann::json::parse(StoreJson({{.result = result, .cross_validation = validation}}));
  EXPECT_EQ(json["tiny"]["n"], 2);
  EXPECT_EQ(json["tiny"]["methods"]["minilm"]["recall@1"], 0);
  EXPECT_EQ(json["tiny"]["categories"]["1 multi-hop"]["methods"]["bm25"]["mrr"], 100);
  EXPECT_THAT(StoreMarkdown({{.result = result, .cross_validation = {}}}, "x"),
              HasSubstr("| minilm | 0.0 | 100.0 | 100.0 | 100.0 | 33.3 | 50.0 |"));
}

}  // namespace
}  // namespace dki::eval
