// SPDX-License-Identifier: Apache-2.0
// Purpose: "what has to be reached": the product's goals for its answers, each with its value and
//   interval, as far as the lines tell. Suites: IsItemSuite, IsLookupSuite.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libs/eval/report_lines.h"

namespace dki::eval {

struct Goal {
  std::string name;
  std::string unit;  // "ratio", "points", "%", "nats", "AUROC"
  std::string peer;  // the arm or figure that it is measured against, if any
  bool at_least = true;
  double must = 0;
  double aim = 0;
  std::optional<Estimate> value;  // none: the lines do not tell
  int n_items = 0;
  int n_suites = 0;

  bool Holds() const { return Reaches(must); }
  bool Reaches(double limit) const {
    return value && (at_least ? value->value >= limit : value->value <= limit);
  }
};

std::vector<Goal> Goals(const ReportData& data);

// [{name, value, low, high, unit, peer, ratio, must, aim, holds, ...}] as all benchmarks write it;
// `value` and `holds` are null where the lines do not tell.
std::string GoalsJson(const std::vector<Goal>& goals);

}  // namespace dki::eval
