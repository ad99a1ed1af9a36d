// SPDX-License-Identifier: Apache-2.0
// Purpose: raw item lines of evaluation runs (RawLine of runner.h) as a table: suites, items, arms.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libs/base/status.h"
#include "libs/eval/bootstrap.h"

namespace dki::eval {

struct ReportLine {
  double right = 0;  // 0 or 1, as all that is yes or no here
  double others = 0;
  double repeats = 0;  // share
  double gated_out = 0;
  std::optional<double> exact;
  std::optional<double> nll;  // nats per token
  std::optional<double> kl;   // nats
  std::optional<double> probability;
  std::optional<double> gold_share;
  std::optional<double> gold_is_top;
  std::optional<double> attacked;       // of items with a poisoned memory
  std::optional<double> changed;        // of arms that leave a memory out
  std::optional<double> gold_position;  // 0: first in the pack, 1: last
  double prompt_tokens = 0;
  double cached_prompt_tokens = 0;
  double injected_tokens = 0;
  double company_tokens = 0;
  double first_token_ms = 0;
  int n_memories = 0;
  int history_turns = 0;
  bool needed = true;
};

struct ReportSuite {
  std::string name;
  std::map<std::string, std::map<std::string, ReportLine>> arms;  // arm -> item id -> line

  int n_items() const;  // of the arm that has most
};

struct ReportData {
  std::vector<ReportSuite> suites;  // in the order of their names, numbers by size
  std::vector<std::string> arms;    // in the order of first appearance

  const ReportSuite* Find(const std::string& suite) const;
};

// Where a suite, item and arm occurs twice the later line counts (a resumed run). INVALID_ARGUMENT
// with file and line for what is not a line of results; a file's last line may be cut.
absl::StatusOr<ReportData> ReadReportLines(const std::vector<std::string>& files);

// What is measured of an item; none: not of this one.
using Metric = std::function<std::optional<double>(const ReportLine&)>;
Metric ReplyMetric();
Metric ExactMetric();
Metric NllMetric();

// The mean of a metric over an arm's items, and its standard error; none without a measured item.
struct MeanAndError {
  double mean = 0;
  double error = 0;
  int n = 0;
};
std::optional<MeanAndError> MeanOf(const ReportSuite& suite, const std::string& arm,
                                   const Metric& metric);

// Per suite that `chosen` admits, the items that both arms have measured; suites without any are
// left out.
std::vector<PairedSuite> Paired(const ReportData& data,
                                const std::function<bool(const std::string& suite)>& chosen,
                                const std::string& first, const std::string& second,
                                const Metric& metric);

// facts_*, numbers_*.
bool IsLookupSuite(const std::string& suite);
// These, babi_*, squad_*, locomo_k8.
bool IsItemSuite(const std::string& suite);

}  // namespace dki::eval
