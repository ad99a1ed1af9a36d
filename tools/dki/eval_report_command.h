// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki eval report`: raw item lines as Markdown, JSON and one HTML page.
#pragma once

#include <string>
#include <vector>

#include "tools/dki/context.h"

namespace dki::cli {

struct EvalReportOptions {
  std::vector<std::string> items;  // FILE.items.jsonl of `dki eval run`
  std::string prefix;              // PREFIX.md, .json, .goals.json, .html
  std::string title = "Evaluation";
  std::vector<std::string> against;  // arms; empty: prompt_late and default
  bool by_suite = false;             // also on each suite by itself
};

absl::Status RunEvalReport(Context& context, const EvalReportOptions& options);

}  // namespace dki::cli
