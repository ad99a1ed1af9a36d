// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/report_charts.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "libs/eval/scoring.h"

namespace dki::eval {
namespace {

// The arms that every chart shows; all where there are none of them.
std::vector<std::string> MainArms(const ReportData& data) {
  std::vector<std::string> arms;
  for (const std::string& arm : data.arms) {
    if (arm.find(':') == std::string::npos) arms.push_back(arm);
  }
  return arms.empty() ? data.arms : arms;
}

// The constant weight of an arm that differs in nothing else.
std::optional<double> AlphaOf(const std::string& arm) {
  if (arm == "vanilla") return 0;
  if (arm == "injected") return 1;
  const std::string prefix = "injected:alpha=";
  if (!arm.starts_with(prefix)) return std::nullopt;
  char* end = nullptr;
  const double alpha = std::strtod(arm.c_str() + prefix.size(), &end);
  if (*end != '\0') return std::nullopt;
  return alpha;
}

ChartGroup AlphaSweep(const ReportData& data) {
  ChartGroup group{.title = "Weight (alpha) by suite", .charts = {}};
  std::map<double, std::string> arms;
  for (const std::string& arm : data.arms) {
    if (const auto alpha = AlphaOf(arm)) arms[*alpha] = arm;
  }
  constexpr size_t kLeastPoints = 3;  // fewer are no curve
  if (arms.size() < kLeastPoints) return group;
  std::vector<std::string> places;
  for (const auto& [alpha, arm] : arms) places.push_back(absl::StrFormat("%g", alpha));
  for (const ReportSuite& suite : data.suites) {
    Series reply{.name = "reply", .values = {}};
    Series exact{.name = "exact", .values = {}};
    for (const auto& [alpha, arm] : arms) {
      reply.values.push_back(MeanOf(suite, arm, ReplyMetric()));
      exact.values.push_back(MeanOf(suite, arm, ExactMetric()));
    }
    group.charts.push_back(LineChart(suite.name, "alpha", places, {reply, exact}));
  }
  return group;
}

ChartGroup ArmsBySuite(const ReportData& data) {
  ChartGroup group{.title = "Right replies by suite and arm, percent ± standard error",
                   .charts = {}};
  for (const ReportSuite& suite : data.suites) {
    std::vector<std::string> labels;
    std::vector<std::optional<MeanAndError>> values;
    for (const std::string& arm : data.arms) {
      const auto mean = MeanOf(suite, arm, ReplyMetric());
      if (!mean) continue;
      labels.push_back(arm);
      values.push_back(mean);
    }
    group.charts.push_back(BarChart(suite.name, labels, values));
  }
  return group;
}

// Splits "facts_k16" into "facts" and 16; "facts_k4_after_6_turns" is of no family.
std::optional<std::pair<std::string, int>> FamilyOf(const std::string& suite) {
  const size_t k = suite.rfind("_k");
  if (k == std::string::npos || k + 2 == suite.size()) return std::nullopt;
  if (suite.find_first_not_of("0123456789", k + 2) != std::string::npos) return std::nullopt;
  return std::pair(suite.substr(0, k), std::atoi(suite.c_str() + k + 2));
}

ChartGroup MemoryCount(const ReportData& data) {
  ChartGroup group{.title = "Right replies by number of memories", .charts = {}};
  std::map<std::string, std::map<int, const ReportSuite*>> families;
  for (const ReportSuite& suite : data.suites) {
    if (const auto family = FamilyOf(suite.name)) families[family->first][family->second] = &suite;
  }
  for (const auto& [family, suites] : families) {
    if (suites.size() < 2) continue;
    std::vector<std::string> places;
    for (const auto& [k, suite] : suites) places.push_back(std::to_string(k));
    std::vector<Series> series;
    for (const std::string& arm : MainArms(data)) {
      Series& s = series.emplace_back(Series{.name = arm, .values = {}});
      for (const auto& [k, suite] : suites) s.values.push_back(MeanOf(*suite, arm, ReplyMetric()));
    }
    group.charts.push_back(LineChart(family, "memories", places, series));
  }
  return group;
}

// The mean over the items of all item suites that `is_in` admits.
std::optional<MeanAndError> MeanWhere(const ReportData& data, const std::string& arm,
                                      const std::function<bool(const ReportLine&)>& is_in) {
  double right = 0;
  int n = 0;
  for (const ReportSuite& suite : data.suites) {
    const auto found = suite.arms.find(arm);
    if (!IsItemSuite(suite.name) || found == suite.arms.end()) continue;
    for (const auto& [id, line] : found->second) {
      if (!is_in(line)) continue;
      right += line.right;
      ++n;
    }
  }
  if (n == 0) return std::nullopt;
  return MeanAndError{.mean = right / n, .error = StandardErrorOfMean(right, right, n), .n = n};
}

ChartGroup GoldPosition(const ReportData& data) {
  ChartGroup group{.title = "Right replies by the answering memory's place in the pack",
                   .charts = {}};
  const std::vector<std::string> places = {"first fifth", "second", "third", "fourth", "last"};
  const int n = static_cast<int>(places.size());
  constexpr int kLeastMemories = 4;  // fewer have no middle
  std::vector<Series> series;
  bool any = false;
  for (const std::string& arm : MainArms(data)) {
    Series& s = series.emplace_back(Series{.name = arm, .values = {}});
    for (int place = 0; place < n; ++place) {
      s.values.push_back(MeanWhere(data, arm, [&](const ReportLine& line) {
        return line.gold_position && line.n_memories >= kLeastMemories &&
               std::min(n - 1, static_cast<int>(*line.gold_position * n)) == place;
      }));
      any = any || s.values.back();
    }
  }
  if (any)
    group.charts.push_back(
        LineChart("item suites with 4 memories or more", "place", places, series));
  return group;
}

ChartGroup HistoryLength(const ReportData& data) {
  ChartGroup group{.title = "Right replies by length of the conversation before", .charts = {}};
  // Suites with a history, beside those of the same name without.
  for (const ReportSuite& suite : data.suites) {
    const size_t after = suite.name.find("_after_");
    const ReportSuite* plain = data.Find(suite.name.substr(0, after));
    if (after == std::string::npos || plain == nullptr) continue;
    std::vector<Series> series;
    for (const std::string& arm : MainArms(data)) {
      series.push_back(
          {.name = arm,
           .values = {MeanOf(*plain, arm, ReplyMetric()), MeanOf(suite, arm, ReplyMetric())}});
    }
    int turns = 0;
    for (const auto& [arm, lines] : suite.arms) {
      for (const auto& [id, line] : lines) turns = std::max(turns, line.history_turns);
    }
    group.charts.push_back(
        LineChart(plain->name, "messages before", {"0", std::to_string(turns)}, series));
  }
  return group;
}

}  // namespace

std::vector<ChartGroup> ReportCharts(const ReportData& data) {
  std::vector<ChartGroup> groups = {ArmsBySuite(data), AlphaSweep(data), MemoryCount(data),
                                    GoldPosition(data), HistoryLength(data)};
  std::erase_if(groups, [](const ChartGroup& group) { return group.charts.empty(); });
  return groups;
}

}  // namespace dki::eval
