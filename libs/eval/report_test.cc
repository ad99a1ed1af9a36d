// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "libs/eval/report_page.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::eval {
namespace {

using Json = nlohmann::json;

Json Line(const std::string& suite, int id, const std::string& arm, bool right) {
  return {{"suite", suite},
          {"id", std::to_string(id)},
          {"arm", arm},
          {"right", right},
          {"others", false},
          {"repeats", 0.0},
          {"exact", right},
          {"nll", right ? 1.0 : 3.0},
          {"n_memories", 4},
          {"history_turns", 0},
          {"gold_position", id % 4 / 3.0},
          {"prompt_tokens", 20}};
}

class ReportLinesTest : public ::testing::Test {
 protected:
  std::string Write(const std::vector<Json>& lines, const std::string& tail = "") {
    const std::string path = dir_.File("lines" + std::to_string(n_files_++) + ".items.jsonl");
    std::ofstream file(path);
    for (const Json& line : lines) file << line.dump() << "\n";
    file << tail;
    return path;
  }
  // Each suite has 40 items: `default` answers 30, `prompt_late` 20, `prompt_system` 10.
  ReportData Data() {
    std::vector<Json> lines;
    for (const char* suite : {"facts_k16", "facts_k4", "facts_k4_after_6_turns", "squad_k3"}) {
      for (int i = 0; i < 40; ++i) {
        lines.push_back(Line(suite, i, "default", i < 30));
        lines.push_back(Line(suite, i, "prompt_late", i < 20));
        lines.push_back(Line(suite, i, "prompt_system", i < 10));
        lines.push_back(Line(suite, i, "vanilla", false));
        lines.push_back(Line(suite, i, "injected:alpha=<2&", i < 25));
        lines.push_back(Line(suite, i, "injected:alpha=2", i < 25));
        lines.push_back(Line(suite, i, "injected", i < 20));
      }
    }
    for (int i = 0; i < 20; ++i) {
      Json line = Line("gate", i, "default", false);
      line["needed"] = i < 10;
      line["probability"] = i < 10 ? 0.9 : i == 10 ? 0.95 : 0.1;  // one of ten above all
      line["kl"] = i < 15 ? 0.0 : 0.5;
      lines.push_back(line);
    }
    auto data = ReadReportLines({Write(lines)});
    EXPECT_OK(data.status());
    return *std::move(data);
  }
  testing::TempDir dir_;
  int n_files_ = 0;
};

const Goal& Find(const std::vector<Goal>& goals, const std::string& name) {
  for (const Goal& goal : goals) {
    if (goal.name == name) return goal;
  }
  ADD_FAILURE() << "no goal " << name;
  return goals.front();
}

TEST(BootstrapTest, MeansOverSuitesNotOverItems) {
  const std::vector<PairedSuite> suites = {{"a", {1, 1, 1, 1}, {1, 0, 0, 1}},
                                           {"b", {0, 0}, {0, 0}}};
  const PairedResult result = PairedBootstrap(suites, 100);
  EXPECT_DOUBLE_EQ(result.first, 0.5);
  EXPECT_DOUBLE_EQ(result.second, 0.25);
  EXPECT_DOUBLE_EQ(result.difference.value, 0.25);
  ASSERT_TRUE(result.ratio);
  EXPECT_DOUBLE_EQ(result.ratio->value, 2.0);
}

TEST(BootstrapTest, TheIntervalIsThatOfTheBinomial) {
  // 100 items, 30 won and none lost: the difference's standard error is sqrt(.3 * .7 / 100).
  PairedSuite suite{.name = "a", .first = {}, .second = {}};
  for (int i = 0; i < 100; ++i) {
    suite.first.push_back(i < 60);
    suite.second.push_back(i < 30);
  }
  const Estimate d = PairedBootstrap(std::span(&suite, 1)).difference;
  const double error = std::sqrt(0.3 * 0.7 / 100);
  EXPECT_DOUBLE_EQ(d.value, 0.3);
  EXPECT_NEAR(d.low, 0.3 - 1.96 * error, 0.011);  // steps of a hundredth
  EXPECT_NEAR(d.high, 0.3 + 1.96 * error, 0.011);
  const Estimate again = PairedBootstrap(std::span(&suite, 1)).difference;
  EXPECT_EQ(d.low, again.low);
  EXPECT_EQ(d.high, again.high);
}

TEST(BootstrapTest, PairingTakesOutWhatBothArmsShare) {
  // The same items are right under both arms: no difference in any draw.
  PairedSuite suite{.name = "a", .first = {1, 0, 1, 0, 1}, .second = {1, 0, 1, 0, 1}};
  const PairedResult result = PairedBootstrap(std::span(&suite, 1), 200);
  EXPECT_EQ(result.difference.low, 0);
  EXPECT_EQ(result.difference.high, 0);
}

TEST(BootstrapTest, ARatioToNothingIsNone) {
  PairedSuite suite{.name = "a", .first = {1, 1}, .second = {0, 0}};
  EXPECT_FALSE(PairedBootstrap(std::span(&suite, 1), 10).ratio);
}

TEST(BootstrapTest, AurocCountsTiesHalf) {
  const std::vector<double> scores = {0.1, 0.5, 0.5, 0.9};
  EXPECT_DOUBLE_EQ(*Auroc(scores, {false, false, true, true}), 3.5 / 4);
  EXPECT_DOUBLE_EQ(*Auroc(scores, {true, true, false, false}), 0.5 / 4);
  EXPECT_FALSE(Auroc(scores, {true, true, true, true}));
}

TEST_F(ReportLinesTest, LaterLinesCountAndACutLastLineIsForgiven) {
  const auto data = ReadReportLines(
      {Write({Line("facts_k1", 1, "default", false)}),
       Write({Line("facts_k1", 1, "default", true), Line("facts_k1", 2, "default", true)},
             "{\"suite\": \"facts_k1\", \"id")});
  ASSERT_OK(data.status());
  ASSERT_EQ(data->suites.size(), 1u);
  EXPECT_EQ(data->suites[0].n_items(), 2);
  EXPECT_EQ(MeanOf(data->suites[0], "default", ReplyMetric())->mean, 1.0);
}

TEST_F(ReportLinesTest, AWrongLineIsNamed) {
  const std::string path = Write({Line("facts_k1", 1, "default", true),
                                  {{"suite", "facts_k1"}},
                                  Line("facts_k1", 2, "default", true)});
  const absl::Status status = ReadReportLines({path}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(ToString(status).find("line 2"), std::string::npos) << status;
  EXPECT_EQ(ReadReportLines({dir_.File("absent")}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ReportLinesTest, SuitesAreInTheOrderOfTheirNumbers) {
  const ReportData data = Data();
  EXPECT_EQ(data.suites[0].name, "facts_k4");
  EXPECT_EQ(data.suites[1].name, "facts_k4_after_6_turns");
  EXPECT_EQ(data.suites[2].name, "facts_k16");
}

TEST_F(ReportLinesTest, JsonIsSuiteArmsMetrics) {
  const Json json = Json::parse(LinesJson(Data()));
  const Json& suite = json.at("facts_k4");
  EXPECT_EQ(suite.at("n"), 40);
  EXPECT_EQ(suite.at("arms").at("default").at("reply"), 75.0);
  EXPECT_EQ(suite.at("arms").at("default").at("exact"), 75.0);
  EXPECT_EQ(suite.at("arms").at("default").at("nll"), 1.5);
  EXPECT_NEAR(suite.at("arms").at("default").at("reply_se").get<double>(), 6.93, 0.01);
  EXPECT_FALSE(suite.at("arms").at("default").contains("kl"));
  EXPECT_EQ(json.at("gate").at("arms").at("default").at("kl"), 0.125);
}

TEST_F(ReportLinesTest, GoalsHoldOrNotAndSayWhatIsNotMeasured) {
  const std::vector<Goal> goals = Goals(Data());
  const Goal& late = Find(goals, "default, item suites");
  ASSERT_TRUE(late.value);
  EXPECT_DOUBLE_EQ(late.value->value, 1.5);
  EXPECT_TRUE(late.Holds());
  EXPECT_TRUE(late.Reaches(late.aim));
  EXPECT_EQ(late.n_items, 160);
  EXPECT_LT(late.value->low, 1.5);
  EXPECT_GT(late.value->high, 1.5);
  const Goal& lookup = Find(goals, "default, lookup suites");
  EXPECT_EQ(lookup.n_suites, 3);
  EXPECT_FALSE(lookup.Reaches(lookup.aim));
  const Goal& usual = Find(goals, "default against the better usual prompt, item suites");
  EXPECT_EQ(usual.peer, "prompt_system");
  EXPECT_DOUBLE_EQ(usual.value->value, 3.0);
  EXPECT_FALSE(Find(goals, "default against the best n by hindsight, item suites").value);
  const Goal& nll = Find(goals, "default, NLL on squad_* and locomo_k8");
  EXPECT_EQ(nll.peer, "prompt_late");
  EXPECT_DOUBLE_EQ(nll.value->value, 1.5 / 2.0);
  EXPECT_TRUE(nll.Holds());
  const Goal& gate = Find(goals, "the memories hold the answer: gate");
  EXPECT_DOUBLE_EQ(gate.value->value, 0.9);
  EXPECT_FALSE(gate.Holds());
  EXPECT_DOUBLE_EQ(Find(goals, "not needed: exactly vanilla").value->value, 50);
  EXPECT_DOUBLE_EQ(Find(goals, "default, worst suite").value->value, 25);
  const Json rows = Json::parse(GoalsJson(goals));
  EXPECT_EQ(rows.size(), goals.size());
  for (const Json& row : rows) EXPECT_EQ(row["value"].is_null(), row["holds"].is_null()) << row;
}

TEST_F(ReportLinesTest, AnyTwoArmsAreCompared) {
  const auto comparisons = CompareArms(Data(), {"injected"});
  ASSERT_EQ(comparisons.size(), 6u);  // the other arms
  EXPECT_EQ(comparisons[0].first, "default");
  EXPECT_DOUBLE_EQ(comparisons[0].reply.difference.value, 0.25);
  EXPECT_EQ(comparisons[0].n_suites, 4);  // gate is no item suite
  EXPECT_EQ(comparisons[0].n_items, 160);
  ASSERT_TRUE(comparisons[0].exact);
  EXPECT_DOUBLE_EQ(comparisons[0].exact->value, 0.25);
  ASSERT_TRUE(comparisons[0].nll_ratio);
}

TEST_F(ReportLinesTest, ArmsAreComparedSuiteBySuite) {
  const auto comparisons = CompareArms(Data(), {"injected"}, /*by_suite=*/true);
  EXPECT_EQ(comparisons[0].suite, "");
  EXPECT_EQ(comparisons[1].suite, "facts_k4");
  EXPECT_EQ(comparisons[1].n_suites, 1);
  EXPECT_EQ(comparisons[1].n_items, 40);
}

// Losses of a format, long memories apart, history and P1's curve, each from lines of its own.
TEST_F(ReportLinesTest, GoalsOfBlocksAndSmallWeights) {
  std::vector<Json> lines;
  const auto add = [&](const std::string& suite, const std::string& arm, bool right, double nll,
                       double kl) {
    for (int id = 1; id <= 10; ++id) {
      Json line = Line(suite, id, arm, right);
      line["exact"] = right && id > 1;
      line["nll"] = nll;
      line["kl"] = kl;
      lines.push_back(line);
    }
  };
  add("squad_k3", "injected", true, 2.0, 1);
  add("squad_k3", "injected:composition=independent", true, 2.2, 1);
  add("squad_k3", "injected:format=f32", true, 2.0, 1);
  add("squad_k3", "injected:format=int4", false, 2.0, 1);
  add("facts_k4_after_6_turns", "injected", true, 1.0, 1);
  add("facts_k4_after_6_turns", "injected:history=sticky", true, 1.0, 1);
  for (const auto& [alpha, kl] :
       {std::pair("0.0001", 0.1), {"0.001", 0.2}, {"0.01", 0.2}, {"0.1", 0.3}}) {
    add("facts_k1", std::string("injected:alpha=") + alpha, false, 1, kl);
    add("facts_k2", std::string("injected:alpha=") + alpha, false, 1, 1 - kl);
  }
  const auto data = ReadReportLines({Write(lines)});
  ASSERT_OK(data.status());
  const std::vector<Goal> goals = Goals(*data);
  EXPECT_DOUBLE_EQ(Find(goals, "long memories apart from each other, NLL").value->value, 1.1);
  EXPECT_FALSE(Find(goals, "long memories apart from each other, NLL").Holds());
  EXPECT_DOUBLE_EQ(Find(goals, "memory-free history, reply").value->value, 1);
  EXPECT_DOUBLE_EQ(Find(goals, "int8 blocks, exact, item suites").value->value, 0);
  EXPECT_DOUBLE_EQ(Find(goals, "int4 blocks, exact, item suites").value->value, -90);
  const Goal& rises = Find(goals, "P1: suites whose KL rises with alpha from 0.0001 to 0.1");
  EXPECT_DOUBLE_EQ(rises.value->value, 50);
  EXPECT_EQ(rises.n_suites, 2);
}

// Every element that opens closes, in order; no bare & and no stray <.
void ExpectWellFormed(const std::string& html) {
  std::vector<std::string> open;
  for (size_t i = 0; i < html.size(); ++i) {
    if (html[i] == '&') {
      const size_t end = html.find(';', i);
      ASSERT_TRUE(end != std::string::npos && end - i < 8) << html.substr(i, 30);
    }
    if (html[i] != '<' || html[i + 1] == '!') continue;
    const size_t end = html.find('>', i);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = html.substr(i + 1, end - i - 1);
    ASSERT_EQ(tag.find('<'), std::string::npos) << tag;
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag[0] == '/') {
      ASSERT_FALSE(open.empty());
      ASSERT_EQ("/" + open.back(), tag);
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
    i = end;
  }
  EXPECT_TRUE(open.empty());
}

TEST_F(ReportLinesTest, ThePageIsWellFormedAndNeedsNothingElse) {
  const ReportData data = Data();
  const auto goals = Goals(data);
  const std::string html =
      ReportPage("A <report> & more", ReportSections(data, goals, CompareArms(data, {"vanilla"})),
                 ReportCharts(data));
  ExpectWellFormed(html);
  for (const char* outside : {"http:", "https:", "src=", "href=", "url(", "@import", "<script"})
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  EXPECT_EQ(html.find("alpha=<2&"), std::string::npos);
  EXPECT_NE(html.find("alpha=&lt;2&amp;"), std::string::npos);
}

TEST_F(ReportLinesTest, EveryChartThatTheDataCanFillIsThere) {
  std::vector<std::string> titles;
  for (const ChartGroup& group : ReportCharts(Data())) titles.push_back(group.title);
  EXPECT_THAT(titles, ::testing::ElementsAre(::testing::HasSubstr("by suite and arm"),
                                             ::testing::HasSubstr("alpha"),
                                             ::testing::HasSubstr("number of memories"),
                                             ::testing::HasSubstr("place in the pack"),
                                             ::testing::HasSubstr("length of the conversation")));
}

TEST_F(ReportLinesTest, MarkdownHasOneHeaderRuleATable) {
  const ReportData data = Data();
  const auto sections = ReportSections(data, Goals(data), CompareArms(data, {"prompt_late"}));
  const std::string text = SectionsMarkdown("Results", sections);
  size_t rules = 0;
  for (size_t at = text.find("\n| --- |"); at != std::string::npos;
       at = text.find("\n| --- |", at + 1))
    ++rules;
  EXPECT_EQ(rules, sections.size());
  EXPECT_NE(text.find("| default, item suites | prompt_late | 1.500 ("), std::string::npos) << text;
}

}  // namespace
}  // namespace dki::eval
