// SPDX-License-Identifier: Apache-2.0
// Purpose: results as a table for people and as JSON: {suite: {n, arms: {arm: {reply, exact, nll,
// ...}}}}, percent and nats per token.
#pragma once

#include <string>
#include <vector>

#include "libs/eval/runner.h"

namespace dki::eval {

// With each arm's standard error; per suite a comparison of "default" (or the last injected arm)
// with the best prompt arm on the same items.
std::string ReportJson(const std::vector<SuiteResult>& results, const std::vector<Arm>& arms);

// Rows for a table, header first: arms by suites, percent of right replies, then their mean.
std::vector<std::vector<std::string>> ReportTable(const std::vector<SuiteResult>& results,
                                                  const std::vector<Arm>& arms);

// Over all suites: right replies of the compared injected arm over those of the best prompt arm. 0
// without such arms.
struct Comparison {
  std::string injected;
  std::string prompt;
  int injected_right = 0;
  int prompt_right = 0;
  int only_injected = 0;
  int only_prompt = 0;
  double ratio = 0;
  double p_value = 1;
};
Comparison Compare(const std::vector<SuiteResult>& results, const std::vector<Arm>& arms);

}  // namespace dki::eval
