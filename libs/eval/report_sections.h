// SPDX-License-Identifier: Apache-2.0
// Purpose: what a report says, as tables that Markdown and HTML both show, and as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libs/eval/report_goals.h"
#include "libs/eval/report_lines.h"

namespace dki::eval {

struct Section {
  std::string title;
  std::string note;
  std::vector<std::vector<std::string>> rows;  // header first
};

// One arm against another on the same items: replies, and where both have them exact answers and
// NLL of the gold answer.
struct ArmComparison {
  std::string first;
  std::string second;
  std::string suite;  // empty: means over suites
  int n_suites = 0;
  int n_items = 0;
  PairedResult reply;
  std::optional<Estimate> exact;      // difference
  std::optional<Estimate> nll_ratio;  // first / second
};
// Each arm against each of `against`, over the item suites (all suites where there are no item
// suites); with `by_suite` also on each suite by itself.
std::vector<ArmComparison> CompareArms(const ReportData& data,
                                       const std::vector<std::string>& against,
                                       bool by_suite = false);

std::vector<Section> ReportSections(const ReportData& data, const std::vector<Goal>& goals,
                                    const std::vector<ArmComparison>& comparisons);

std::string SectionsMarkdown(const std::string& title, const std::vector<Section>& sections);

// {suite: {n, arms: {arm: {reply, reply_se, exact, ...}}}}: percent, nats per token.
std::string LinesJson(const ReportData& data);

}  // namespace dki::eval
