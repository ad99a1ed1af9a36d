// SPDX-License-Identifier: Apache-2.0
// Purpose: charts of a report as SVG text, self-contained.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libs/eval/report_lines.h"

namespace dki::eval {

struct Series {
  std::string name;
  std::vector<std::optional<MeanAndError>> values;  // one per place on the x axis
};

// Bars from 0 to 100, one row per label, with standard errors. Percent.
std::string BarChart(const std::string& title, const std::vector<std::string>& labels,
                     const std::vector<std::optional<MeanAndError>>& values);
// Lines from 0 to 100 over places of equal distance, with standard errors. Percent.
std::string LineChart(const std::string& title, const std::string& x_title,
                      const std::vector<std::string>& places, const std::vector<Series>& series);

struct ChartGroup {
  std::string title;
  std::vector<std::string> charts;
};
// Alpha sweep per suite, arms by suite, memory count, position of the gold memory, history length:
// those that the data can fill.
std::vector<ChartGroup> ReportCharts(const ReportData& data);

// Text for HTML and SVG: &, <, >, " and ' as entities.
std::string Escaped(const std::string& text);

}  // namespace dki::eval
