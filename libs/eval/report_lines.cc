// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/report_lines.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "libs/eval/scoring.h"

namespace dki::eval {
namespace {

using Json = nlohmann::json;

std::optional<double> Number(const Json& json, const char* field) {
  const auto found = json.find(field);
  if (found == json.end()) return std::nullopt;
  if (found->is_boolean()) return found->get<bool>() ? 1.0 : 0.0;
  if (!found->is_number()) return std::nullopt;
  return found->get<double>();
}

ReportLine ParseLine(const Json& json) {
  ReportLine line;
  const auto number = [&json](const char* field) { return Number(json, field).value_or(0); };
  line.right = number("right");
  line.others = number("others");
  line.repeats = number("repeats");
  line.gated_out = number("gated_out");
  line.exact = Number(json, "exact");
  line.nll = Number(json, "nll");
  line.kl = Number(json, "kl");
  line.probability = Number(json, "probability");
  line.gold_share = Number(json, "gold_share");
  line.gold_is_top = Number(json, "gold_is_top");
  line.attacked = Number(json, "attacked");
  line.changed = Number(json, "changed");
  line.gold_position = Number(json, "gold_position");
  line.prompt_tokens = number("prompt_tokens");
  line.cached_prompt_tokens = number("cached_prompt_tokens");
  line.injected_tokens = number("injected_tokens");
  line.company_tokens = number("company_tokens");
  line.first_token_ms = number("first_token_ms");
  line.n_memories = static_cast<int>(number("n_memories"));
  line.history_turns = static_cast<int>(number("history_turns"));
  line.needed = Number(json, "needed").value_or(1) != 0;
  return line;
}

bool HasText(const Json& json, const char* field) {
  return json.contains(field) && json[field].is_string();
}

// "facts_k2" before "facts_k16": runs of digits by their number.
bool NaturalLess(const std::string& a, const std::string& b) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      const size_t i_end = std::min(a.size(), a.find_first_not_of("0123456789", i));
      const size_t j_end = std::min(b.size(), b.find_first_not_of("0123456789", j));
      const std::string x = a.substr(i, i_end - i);
      const std::string y = b.substr(j, j_end - j);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
      i = i_end;
      j = j_end;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i;
      ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

}  // namespace

int ReportSuite::n_items() const {
  size_t n = 0;
  for (const auto& [arm, lines] : arms) n = std::max(n, lines.size());
  return static_cast<int>(n);
}

const ReportSuite* ReportData::Find(const std::string& suite) const {
  for (const ReportSuite& s : suites) {
    if (s.name == suite) return &s;
  }
  return nullptr;
}

absl::StatusOr<ReportData> ReadReportLines(const std::vector<std::string>& files) {
  ReportData data;
  std::map<std::string, ReportSuite> suites;
  for (const std::string& path : files) {
    std::ifstream file(path);
    if (!file) return NotFound("there is no file %s", path);
    std::string text;
    for (int number = 1; std::getline(file, text); ++number) {
      if (text.empty()) continue;
      const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
      if (json.is_discarded() && file.peek() == std::ifstream::traits_type::eof()) break;
      if (!json.is_object() || !HasText(json, "suite") || !HasText(json, "id") ||
          !HasText(json, "arm") || !Number(json, "right")) {
        return InvalidArgument("%s, line %d is not a line of results (suite, id, arm, right)", path,
                               number);
      }
      const std::string arm = json["arm"];
      ReportSuite& suite = suites[json["suite"]];
      suite.name = json["suite"];
      suite.arms[arm][json["id"]] = ParseLine(json);
      if (std::find(data.arms.begin(), data.arms.end(), arm) == data.arms.end())
        data.arms.push_back(arm);
    }
  }
  if (suites.empty()) return InvalidArgument("the files hold no results");
  for (auto& [name, suite] : suites) data.suites.push_back(std::move(suite));
  std::sort(data.suites.begin(), data.suites.end(),
            [](const ReportSuite& a, const ReportSuite& b) { return NaturalLess(a.name, b.name); });
  return data;
}

Metric ReplyMetric() {
  return [](const ReportLine& line) { return std::optional<double>(line.right); };
}
Metric ExactMetric() {
  return [](const ReportLine& line) { return line.exact; };
}
Metric NllMetric() {
  return [](const ReportLine& line) { return line.nll; };
}

std::optional<MeanAndError> MeanOf(const ReportSuite& suite, const std::string& arm,
                                   const Metric& metric) {
  const auto found = suite.arms.find(arm);
  if (found == suite.arms.end()) return std::nullopt;
  double sum = 0;
  double square_sum = 0;
  MeanAndError result;
  for (const auto& [id, line] : found->second) {
    const std::optional<double> value = metric(line);
    if (!value) continue;
    sum += *value;
    square_sum += *value * *value;
    ++result.n;
  }
  if (result.n == 0) return std::nullopt;
  result.mean = sum / result.n;
  result.error = StandardErrorOfMean(sum, square_sum, result.n);
  return result;
}

std::vector<PairedSuite> Paired(const ReportData& data,
                                const std::function<bool(const std::string& suite)>& chosen,
                                const std::string& first, const std::string& second,
                                const Metric& metric) {
  std::vector<PairedSuite> pairs;
  for (const ReportSuite& suite : data.suites) {
    const auto a = suite.arms.find(first);
    const auto b = suite.arms.find(second);
    if (!chosen(suite.name) || a == suite.arms.end() || b == suite.arms.end()) continue;
    PairedSuite pair{.name = suite.name, .first = {}, .second = {}};
    for (const auto& [id, line] : a->second) {
      const auto other = b->second.find(id);
      if (other == b->second.end()) continue;
      const std::optional<double> x = metric(line);
      const std::optional<double> y = metric(other->second);
      if (!x || !y) continue;
      pair.first.push_back(*x);
      pair.second.push_back(*y);
    }
    if (!pair.first.empty()) pairs.push_back(std::move(pair));
  }
  return pairs;
}

bool IsLookupSuite(const std::string& suite) {
  return suite.starts_with("facts_") || suite.starts_with("numbers_");
}

bool IsItemSuite(const std::string& suite) {
  return IsLookupSuite(suite) || suite.starts_with("babi_") || suite.starts_with("squad_") ||
         suite == "locomo_k8";
}

}  // namespace dki::eval
