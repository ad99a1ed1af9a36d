// SPDX-License-Identifier: Apache-2.0
#include "libs/eval/report_page.h"

namespace dki::eval {
namespace {

constexpr const char* kStyle = R"(
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff;
       max-width: 1180px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; }
p { max-width: 46em; color: #444; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .6em; border-bottom: 1px solid #ddd; text-align: right;
         white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tr.yes td:first-child { border-left: 4px solid #009e73; }
tr.no td:first-child { border-left: 4px solid #d55e00; }
.charts { display: flex; flex-wrap: wrap; gap: 1.2em 2em; }
svg { max-width: 100%; font-family: system-ui, sans-serif; }
)";

// A row says of itself whether it holds, so that one sees it at a glance.
const char* RowClass(const std::vector<std::string>& row) {
  for (const std::string& cell : row) {
    if (cell == "no" || cell == "loss") return " class=\"no\"";
    if (cell == "yes" || cell == "yes, with the aim" || cell == "win") return " class=\"yes\"";
  }
  return "";
}

std::string Table(const Section& section) {
  std::string html = "<div class=\"wide\" tabindex=\"0\"><table>\n<thead><tr>";
  for (const std::string& cell : section.rows[0])
    html += "<th scope=\"col\">" + Escaped(cell) + "</th>";
  html += "</tr></thead>\n<tbody>\n";
  for (size_t i = 1; i < section.rows.size(); ++i) {
    html += std::string("<tr") + RowClass(section.rows[i]) + ">";
    for (const std::string& cell : section.rows[i]) html += "<td>" + Escaped(cell) + "</td>";
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

}  // namespace

std::string ReportPage(const std::string& title, const std::vector<Section>& sections,
                       const std::vector<ChartGroup>& charts) {
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>" +
      Escaped(title) + "</title>\n<style>" + kStyle + "</style>\n</head>\n<body>\n<main>\n<h1>" +
      Escaped(title) + "</h1>\n";
  for (const Section& section : sections) {
    html += "<h2>" + Escaped(section.title) + "</h2>\n<p>" + Escaped(section.note) + "</p>\n" +
            Table(section);
  }
  for (const ChartGroup& group : charts) {
    html += "<h2>" + Escaped(group.title) + "</h2>\n<div class=\"charts\">\n";
    for (const std::string& chart : group.charts) html += "<div>" + chart + "</div>\n";
    html += "</div>\n";
  }
  return html + "</main>\n</body>\n</html>\n";
}

}  // namespace dki::eval
