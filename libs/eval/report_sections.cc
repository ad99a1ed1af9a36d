// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/report_sections.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_join.h"

namespace dki::eval {
namespace {

using Row = std::vector<std::string>;

struct NamedMetric {
  const char* name;
  double scale;    // 100: percent
  bool has_error;  // also with NAME_se
  Metric metric;
};

std::vector<NamedMetric> Metrics() {
  const auto always = [](double ReportLine::*field) -> Metric {
    return [field](const ReportLine& line) { return std::optional<double>(line.*field); };
  };
  const auto where_known = [](std::optional<double> ReportLine::*field) -> Metric {
    return [field](const ReportLine& line) { return line.*field; };
  };
  return {{"reply", 100, true, always(&ReportLine::right)},
          {"exact", 100, true, where_known(&ReportLine::exact)},
          {"nll", 1, true, where_known(&ReportLine::nll)},
          {"others", 100, false, always(&ReportLine::others)},
          {"repeats", 100, false, always(&ReportLine::repeats)},
          {"kl", 1, false, where_known(&ReportLine::kl)},
          {"gold_is_top", 100, false, where_known(&ReportLine::gold_is_top)},
          {"gold_share", 1, false, where_known(&ReportLine::gold_share)},
          {"gated_out", 100, false, always(&ReportLine::gated_out)},
          {"attacked", 100, false, where_known(&ReportLine::attacked)},
          {"changed", 100, false, where_known(&ReportLine::changed)},
          {"prompt_tokens", 1, false, always(&ReportLine::prompt_tokens)},
          {"cached_prompt_tokens", 1, false, always(&ReportLine::cached_prompt_tokens)},
          {"injected_tokens", 1, false, always(&ReportLine::injected_tokens)},
          {"company_tokens", 1, false, always(&ReportLine::company_tokens)},
          {"first_token_ms", 1, false, always(&ReportLine::first_token_ms)}};
}

bool HasItemSuites(const ReportData& data) {
  return std::any_of(data.suites.begin(), data.suites.end(),
                     [](const ReportSuite& suite) { return IsItemSuite(suite.name); });
}

// "1.23 (1.10 to 1.35)"
std::string Show(const Estimate& i, int digits) {
  return absl::StrFormat("%.*f (%.*f to %.*f)", digits, i.value, digits, i.low, digits, i.high);
}

Estimate Scaled(const Estimate& i, double factor) {
  return {i.value * factor, i.low * factor, i.high * factor};
}

// Arms by suites; the last column is the mean over the suites that the arm has.
Section BySuite(const ReportData& data, const std::string& title, const std::string& note,
                const Metric& metric, double scale, int digits) {
  Section section{.title = title, .note = note, .rows = {{"arm"}}};
  std::vector<const ReportSuite*> suites;
  for (const ReportSuite& suite : data.suites) {
    for (const std::string& arm : data.arms) {
      if (!MeanOf(suite, arm, metric)) continue;
      suites.push_back(&suite);
      section.rows[0].push_back(suite.name);
      break;
    }
  }
  section.rows[0].push_back("mean");
  for (const std::string& arm : data.arms) {
    Row row = {arm};
    double sum = 0;
    int n = 0;
    for (const ReportSuite* suite : suites) {
      const auto mean = MeanOf(*suite, arm, metric);
      row.push_back(mean ? absl::StrFormat("%.*f ± %.*f", digits, scale * mean->mean, digits,
                                           scale * mean->error)
                         : "");
      if (!mean) continue;
      sum += mean->mean;
      ++n;
    }
    if (n == 0) continue;
    row.push_back(absl::StrFormat("%.*f", digits, scale * sum / n));
    section.rows.push_back(std::move(row));
  }
  return section;
}

Section GoalsSection(const std::vector<Goal>& goals) {
  Section section{
      .title = "What has to be reached",
      .note =
          "Means over suites; ratios and differences are against the peer on the same items; "
          "in brackets the 95 % interval of the paired bootstrap (10,000 resamples).",
      .rows = {{"goal", "peer", "value", "must", "aim", "holds", "suites", "items"}}};
  std::vector<std::string> unmeasured;
  for (const Goal& goal : goals) {
    if (!goal.value) {
      unmeasured.push_back(goal.name);
      continue;
    }
    const char* sign = goal.at_least ? "≥ " : "≤ ";
    const std::string holds = !goal.Holds()            ? "no"
                              : goal.Reaches(goal.aim) ? "yes, with the aim"
                                                       : "yes";
    const int digits = goal.unit == "nats" ? 6 : goal.unit == "%" || goal.unit == "points" ? 1 : 3;
    const auto limit = [&](double value) { return absl::StrFormat("%s%.*g", sign, 4, value); };
    section.rows.push_back({goal.name, goal.peer, Show(*goal.value, digits) + " " + goal.unit,
                            limit(goal.must), limit(goal.aim), holds, std::to_string(goal.n_suites),
                            std::to_string(goal.n_items)});
  }
  if (!unmeasured.empty())
    section.note +=
        " Not measured, for want of the arm or the suite: " + absl::StrJoin(unmeasured, "; ") + ".";
  return section;
}

// Means over suites, or where `by_suite` the comparisons of single suites.
Section ComparisonSection(const std::vector<ArmComparison>& comparisons, bool by_suite) {
  Section section{
      .title = by_suite ? "Arms against each other, suite by suite" : "Arms against each other",
      .note =
          "Right replies and their difference, exact answers' difference in "
          "percent points, NLL of the gold answer as a ratio; 95 % intervals.",
      .rows = {{"arm", "against", by_suite ? "suite" : "suites", "items", "%", "%", "difference",
                "ratio", "exact, difference", "NLL, ratio"}}};
  if (!by_suite) section.note += " Means over suites.";
  for (const ArmComparison& c : comparisons) {
    if (c.suite.empty() == by_suite) continue;
    section.rows.push_back({c.first, c.second, by_suite ? c.suite : std::to_string(c.n_suites),
                            std::to_string(c.n_items), absl::StrFormat("%.1f", 100 * c.reply.first),
                            absl::StrFormat("%.1f", 100 * c.reply.second),
                            Show(Scaled(c.reply.difference, 100), 1),
                            c.reply.ratio ? Show(*c.reply.ratio, 2) : "–",
                            c.exact ? Show(Scaled(*c.exact, 100), 1) : "–",
                            c.nll_ratio ? Show(*c.nll_ratio, 3) : "–"});
  }
  return section;
}

// Suite by suite: the product's policy against the prompt that is best there, wins and losses.
Section WinsAndLosses(const ReportData& data) {
  Section section{.title = "Wins and losses",
                  .note =
                      "The product's policy against the prompt with all notes that is best on "
                      "that very suite; right replies in percent points.",
                  .rows = {{"suite", "default", "best prompt", "%", "difference", ""}}};
  for (const ReportSuite& suite : data.suites) {
    const auto ours = MeanOf(suite, "default", ReplyMetric());
    std::string best;
    double best_mean = -1;
    for (const std::string& arm : data.arms) {
      if (!arm.starts_with("prompt_") || arm.find(':') != std::string::npos) continue;
      const auto mean = MeanOf(suite, arm, ReplyMetric());
      if (!mean || mean->mean <= best_mean) continue;
      best = arm;
      best_mean = mean->mean;
    }
    // Suites without answers (half of a gate suite) tell about the gate, not about replies.
    if (!ours || best.empty() || !IsItemSuite(suite.name)) continue;
    const auto pairs = Paired(
        data, [&](const std::string& name) { return name == suite.name; }, "default", best,
        ReplyMetric());
    if (pairs.empty()) continue;
    const Estimate d = Scaled(PairedBootstrap(pairs).difference, 100);
    const char* verdict = d.low > 0 ? "win" : d.high < 0 ? "loss" : "open";
    section.rows.push_back({suite.name, absl::StrFormat("%.1f", 100 * ours->mean), best,
                            absl::StrFormat("%.1f", 100 * best_mean), Show(d, 1), verdict});
  }
  return section;
}

Section CostSection(const ReportData& data) {
  Section section{.title = "What else was measured",
                  .note = "Means over suites: percent; tokens; milliseconds.",
                  .rows = {{"arm"}}};
  std::vector<NamedMetric> metrics = Metrics();
  std::erase_if(metrics, [](const NamedMetric& m) { return m.has_error; });
  for (const NamedMetric& m : metrics) section.rows[0].emplace_back(m.name);
  for (const std::string& arm : data.arms) {
    Row row = {arm};
    for (const NamedMetric& m : metrics) {
      double sum = 0;
      int n = 0;
      for (const ReportSuite& suite : data.suites) {
        const auto mean = MeanOf(suite, arm, m.metric);
        if (!mean) continue;
        sum += m.scale * mean->mean;
        ++n;
      }
      row.push_back(n == 0 ? "" : absl::StrFormat("%.3g", sum / n));
    }
    section.rows.push_back(std::move(row));
  }
  return section;
}

std::optional<ArmComparison> Compare(const ReportData& data,
                                     const std::function<bool(const std::string&)>& chosen,
                                     const std::string& first, const std::string& second) {
  const auto pairs = Paired(data, chosen, first, second, ReplyMetric());
  if (pairs.empty()) return std::nullopt;
  ArmComparison comparison;
  comparison.first = first;
  comparison.second = second;
  comparison.n_suites = static_cast<int>(pairs.size());
  comparison.reply = PairedBootstrap(pairs);
  for (const PairedSuite& pair : pairs) comparison.n_items += static_cast<int>(pair.first.size());
  const auto exact = Paired(data, chosen, first, second, ExactMetric());
  if (!exact.empty()) comparison.exact = PairedBootstrap(exact).difference;
  const auto nll = Paired(data, chosen, first, second, NllMetric());
  if (!nll.empty()) comparison.nll_ratio = PairedBootstrap(nll).ratio;
  return comparison;
}

}  // namespace

std::vector<ArmComparison> CompareArms(const ReportData& data,
                                       const std::vector<std::string>& against, bool by_suite) {
  const bool has_item_suites = HasItemSuites(data);
  const auto of_all = [&](const std::string& suite) {
    return !has_item_suites || IsItemSuite(suite);
  };
  std::vector<ArmComparison> comparisons;
  for (const std::string& second : against) {
    for (const std::string& first : data.arms) {
      if (first == second) continue;
      if (auto comparison = Compare(data, of_all, first, second))
        comparisons.push_back(*std::move(comparison));
      for (size_t i = 0; by_suite && i < data.suites.size(); ++i) {
        const std::string& name = data.suites[i].name;
        auto comparison = Compare(
            data, [&](const std::string& suite) { return suite == name; }, first, second);
        if (!comparison) continue;
        comparison->suite = name;
        comparisons.push_back(*std::move(comparison));
      }
    }
  }
  return comparisons;
}

std::vector<Section> ReportSections(const ReportData& data, const std::vector<Goal>& goals,
                                    const std::vector<ArmComparison>& comparisons) {
  const Metric kl = [](const ReportLine& line) { return line.kl; };
  std::vector<Section> sections = {
      GoalsSection(goals),
      BySuite(data, "Right replies",
              "Percent of items whose freely generated reply holds the answer, ± standard error.",
              ReplyMetric(), 100, 1),
      WinsAndLosses(data),
      ComparisonSection(comparisons, /*by_suite=*/false),
      ComparisonSection(comparisons, /*by_suite=*/true),
      BySuite(data, "Exact answers", "Percent, behind the given beginning of the reply.",
              ExactMetric(), 100, 1),
      BySuite(data, "NLL of the gold answer", "Nats per token.", NllMetric(), 1, 3),
      BySuite(data, "KL to vanilla", "Nats, mean over the first tokens of the vanilla reply.", kl,
              1, 5),
      CostSection(data)};
  std::erase_if(sections, [](const Section& section) { return section.rows.size() < 2; });
  return sections;
}

std::string SectionsMarkdown(const std::string& title, const std::vector<Section>& sections) {
  const auto cells = [](const Row& row) {
    std::string line = "|";
    for (const std::string& cell : row) {
      line += ' ';
      for (const char c : cell) {
        if (c == '|') line += '\\';
        line += c;
      }
      line += " |";
    }
    return line + "\n";
  };
  std::string text = "# " + title + "\n";
  for (const Section& section : sections) {
    text += "\n## " + section.title + "\n\n" + section.note + "\n\n" + cells(section.rows[0]) + "|";
    for (size_t i = 0; i < section.rows[0].size(); ++i) text += " --- |";
    text += "\n";
    for (size_t i = 1; i < section.rows.size(); ++i) text += cells(section.rows[i]);
  }
  return text;
}

std::string LinesJson(const ReportData& data) {
  using Json = nlohmann::ordered_json;
  const auto rounded = [](double value) { return std::round(value * 1e6) / 1e6; };
  const std::vector<NamedMetric> metrics = Metrics();
  Json json = Json::object();
  for (const ReportSuite& suite : data.suites) {
    Json arms = Json::object();
    for (const std::string& arm : data.arms) {
      for (const NamedMetric& m : metrics) {
        const auto mean = MeanOf(suite, arm, m.metric);
        if (!mean) continue;
        arms[arm][m.name] = rounded(m.scale * mean->mean);
        if (m.has_error) arms[arm][std::string(m.name) + "_se"] = rounded(m.scale * mean->error);
      }
    }
    json[suite.name] = {{"n", suite.n_items()}, {"arms", arms}};
  }
  return json.dump(1) + "\n";
}

}  // namespace dki::eval
