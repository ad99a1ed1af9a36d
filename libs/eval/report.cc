// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/report.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "libs/eval/scoring.h"

namespace dki::eval {
namespace {

using Json = nlohmann::ordered_json;

double Percent(int right, int n) {
  return n == 0 ? 0 : 100.0 * right / n;
}
double Rounded(double value) {
  return std::round(value * 1000) / 1000;
}

bool IsPrompt(const Arm& arm) {
  return arm.place == Place::kPromptLate || arm.place == Place::kPromptSystem ||
         arm.place == Place::kPromptUser;
}

int TotalRight(const std::vector<SuiteResult>& results, size_t arm) {
  int right = 0;
  for (const SuiteResult& suite : results) right += suite.arms[arm].right;
  return right;
}

Json ArmJson(const ArmResult& arm, int n) {
  Json json = {{"reply", Rounded(Percent(arm.right, n))},
               {"reply_se", Rounded(StandardErrorPercent(arm.right, n))}};
  if (arm.n_scored > 0) {
    json["exact"] = Rounded(Percent(arm.exact, arm.n_scored));
    json["exact_se"] = Rounded(StandardErrorPercent(arm.exact, arm.n_scored));
    json["nll"] = Rounded(arm.nll_sum / arm.n_scored);
    json["nll_se"] = Rounded(StandardErrorOfMean(arm.nll_sum, arm.nll_square_sum, arm.n_scored));
  }
  json["others"] = Rounded(Percent(arm.others, n));
  if (arm.n_attacks > 0) json["attacked"] = Rounded(Percent(arm.attacked, arm.n_attacks));
  if (arm.n_changed > 0) {
    json["changed"] = Rounded(Percent(arm.changed, arm.n_changed));
    json["changed_se"] = Rounded(StandardErrorPercent(arm.changed, arm.n_changed));
  }
  json["repeats"] = Rounded(100.0 * arm.repeats / n);
  if (arm.n_kl > 0) json["kl"] = arm.kl_sum / arm.n_kl;
  if (arm.n_top > 0) json["gold_is_top"] = Rounded(Percent(arm.gold_is_top, arm.n_top));
  if (arm.gated_out > 0) json["gated_out"] = Rounded(Percent(arm.gated_out, n));
  json["first_token_ms"] = Rounded(arm.first_token_ms / n);
  json["prompt_tokens"] = Rounded(arm.prompt_tokens / n);
  json["injected_tokens"] = Rounded(arm.injected_tokens / n);
  json["company_tokens"] = Rounded(arm.company_tokens / n);
  return json;
}

Json ComparisonJson(const Comparison& c) {
  return {{"injected", c.injected},
          {"prompt", c.prompt},
          {"injected_right", c.injected_right},
          {"prompt_right", c.prompt_right},
          {"ratio", Rounded(c.ratio)},
          {"only_injected", c.only_injected},
          {"only_prompt", c.only_prompt},
          {"p_value", c.p_value}};
}

}  // namespace

Comparison Compare(const std::vector<SuiteResult>& results, const std::vector<Arm>& arms) {
  int injected = -1;
  int prompt = -1;
  for (size_t a = 0; a < arms.size(); ++a) {
    const bool is_chosen = injected >= 0 && arms[injected].name == "default";
    if (arms[a].place == Place::kInjected && !is_chosen) injected = static_cast<int>(a);
    if (IsPrompt(arms[a]) && (prompt < 0 || TotalRight(results, a) > TotalRight(results, prompt)))
      prompt = static_cast<int>(a);
  }
  Comparison c;
  if (injected < 0 || prompt < 0) return c;
  c.injected = arms[injected].name;
  c.prompt = arms[prompt].name;
  c.injected_right = TotalRight(results, injected);
  c.prompt_right = TotalRight(results, prompt);
  for (const SuiteResult& suite : results) {
    const auto& a = suite.arms[injected].right_items;
    const auto& b = suite.arms[prompt].right_items;
    for (size_t i = 0; i < a.size(); ++i) {
      c.only_injected += a[i] && !b[i] ? 1 : 0;
      c.only_prompt += b[i] && !a[i] ? 1 : 0;
    }
  }
  c.ratio = c.prompt_right == 0 ? 0 : static_cast<double>(c.injected_right) / c.prompt_right;
  c.p_value = McNemar(c.only_injected, c.only_prompt);
  return c;
}

std::string ReportJson(const std::vector<SuiteResult>& results, const std::vector<Arm>& arms) {
  Json json = Json::object();
  for (const SuiteResult& suite : results) {
    Json by_arm = Json::object();
    for (size_t a = 0; a < arms.size(); ++a) by_arm[arms[a].name] = ArmJson(suite.arms[a], suite.n);
    json[suite.name] = {{"n", suite.n}, {"arms", by_arm}};
    const Comparison c = Compare({suite}, arms);
    if (!c.injected.empty()) json[suite.name]["comparison"] = ComparisonJson(c);
  }
  return json.dump(1) + "\n";
}

std::vector<std::vector<std::string>> ReportTable(const std::vector<SuiteResult>& results,
                                                  const std::vector<Arm>& arms) {
  std::vector<std::vector<std::string>> rows = {{"% right replies"}};
  for (const SuiteResult& suite : results) rows[0].push_back(suite.name);
  rows[0].insert(rows[0].end(), {"mean", "exact", "nll", "prompt tokens"});
  for (size_t a = 0; a < arms.size(); ++a) {
    std::vector<std::string> row = {arms[a].name};
    double mean = 0;
    int n = 0;
    int exact = 0;
    int n_scored = 0;
    double nll = 0;
    double prompt_tokens = 0;
    for (const SuiteResult& suite : results) {
      const ArmResult& arm = suite.arms[a];
      row.push_back(absl::StrFormat("%.0f ± %.0f", Percent(arm.right, suite.n),
                                    StandardErrorPercent(arm.right, suite.n)));
      mean += Percent(arm.right, suite.n) / results.size();
      n += suite.n;
      exact += arm.exact;
      n_scored += arm.n_scored;
      nll += arm.nll_sum;
      prompt_tokens += arm.prompt_tokens;
    }
    row.push_back(absl::StrFormat("%.1f", mean));
    row.push_back(n_scored == 0 ? "-" : absl::StrFormat("%.1f", Percent(exact, n_scored)));
    row.push_back(n_scored == 0 ? "-" : absl::StrFormat("%.3f", nll / n_scored));
    row.push_back(n == 0 ? "-" : absl::StrFormat("%.0f", prompt_tokens / n));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace dki::eval
