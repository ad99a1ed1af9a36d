// SPDX-License-Identifier: Apache-2.0
// Purpose: a report as one HTML page that needs nothing else: no script, font, style or picture
// from outside.
#pragma once

#include <string>
#include <vector>

#include "libs/eval/report_charts.h"
#include "libs/eval/report_sections.h"

namespace dki::eval {

std::string ReportPage(const std::string& title, const std::vector<Section>& sections,
                       const std::vector<ChartGroup>& charts);

}  // namespace dki::eval
