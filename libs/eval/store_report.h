// SPDX-License-Identifier: Apache-2.0
// Purpose: what was measured of retrieval, for people, as Markdown and as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libs/eval/store_run.h"

namespace dki::eval {

struct StoreReport {
  StoreSuiteResult result;
  std::optional<CrossValidation> cross_validation;
};

// A method against another one on the same questions, in points of recall@10.
struct StoreComparison {
  std::string method;
  std::string other;
  Interval difference;
};
// hybrid against bm25, minilm and rrf, the best of them by recall@10 first; hybrid_turns against
// hybrid.
std::vector<StoreComparison> Compare(const StoreSuiteResult& result);

// "suite: hybrid against rrf: recall@10 +1.0 points (95 %: ...)", best peer first, and what
// cross-validation gave.
std::vector<std::string> ComparisonLines(const StoreReport& report);

// Header first: suite, method, recall@1 ... in percent.
std::vector<std::vector<std::string>> StoreTable(const std::vector<StoreReport>& reports);
// {suite: {n, memories, methods: {method: {recall@1, ...}}, categories, comparison, ...}}; percent
// and points.
std::string StoreJson(const std::vector<StoreReport>& reports);
// `command`: what made it.
std::string StoreMarkdown(const std::vector<StoreReport>& reports, const std::string& command);

}  // namespace dki::eval
