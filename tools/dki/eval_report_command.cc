// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/eval_report_command.h"

#include <algorithm>

#include "libs/base/file.h"
#include "libs/eval/report_page.h"

namespace dki::cli {

absl::Status RunEvalReport(Context& context, const EvalReportOptions& options) {
  DKI_ASSIGN_OR_RETURN(const eval::ReportData data, eval::ReadReportLines(options.items));
  std::vector<std::string> against = options.against;
  for (const std::string& arm : against) {
    if (std::find(data.arms.begin(), data.arms.end(), arm) == data.arms.end())
      return InvalidArgument("--against %s: the results hold no such arm", arm);
  }
  if (against.empty()) against = {"prompt_late", "default"};

  const std::vector<eval::Goal> goals = eval::Goals(data);
  const std::vector<eval::Section> sections =
      eval::ReportSections(data, goals, eval::CompareArms(data, against, options.by_suite));
  DKI_RETURN_IF_ERROR(WriteFileAtomically(options.prefix + ".json", eval::LinesJson(data)));
  DKI_RETURN_IF_ERROR(WriteFileAtomically(options.prefix + ".goals.json", eval::GoalsJson(goals)));
  DKI_RETURN_IF_ERROR(
      WriteFileAtomically(options.prefix + ".md", eval::SectionsMarkdown(options.title, sections)));
  DKI_RETURN_IF_ERROR(
      WriteFileAtomically(options.prefix + ".html",
                          eval::ReportPage(options.title, sections, eval::ReportCharts(data))));
  context.output().Table(sections.front().rows);
  context.output().Line(absl::StrFormat("%s.md, .json, .goals.json, .html", options.prefix));
  return absl::OkStatus();
}

}  // namespace dki::cli
