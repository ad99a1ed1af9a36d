// SPDX-License-Identifier: Apache-2.0
// Purpose: what a report says, as tables that Markdown and HTML both show, and as JSON.
#pragma once

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

// One arm against another on the same items of the item suites (of all suites where there are no
// item suites), by reply.
struct ArmComparison {
  std::string first;
  std::string second;
  int n_suites = 0;
  PairedResult result;
};
// Each arm against each of `against`.
std::vector<ArmComparison> CompareArms(const ReportData& data,
                                       const std::vector<std::string>& against);

std::vector<Section> ReportSections(const ReportData& data, const std::vector<Goal>& goals,
                                    const std::vector<ArmComparison>& comparisons);

std::string SectionsMarkdown(const std::string& title, const std::vector<Section>& sections);

// {suite: {n, arms: {arm: {reply, reply_se, exact, ...}}}}: percent, nats per token.
std::string LinesJson(const ReportData& data);

}  // namespace dki::eval
