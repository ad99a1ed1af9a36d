// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "libs/base/status.h"
#include "libs/eval/report_charts.h"

namespace dki::eval {
namespace {

// Okabe and Ito's colours: told apart by colour-blind readers too; then dashes.
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                    "#e69f00", "#56b4e9", "#000000", "#8c6d31"};
constexpr size_t kColourCount = std::size(kColours);

std::string Text(double x, double y, const std::string& text, const char* anchor = "start") {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor,
                         Escaped(text));
}

std::string Line(double x1, double y1, double x2, double y2, const std::string& style) {
  return absl::StrFormat("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" style=\"%s\"/>\n",
                         x1, y1, x2, y2, style);
}

std::string Open(const std::string& title, double width, double height) {
  return absl::StrFormat(
             "<svg role=\"img\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
             "font-size=\"11\">\n<title>%s</title>\n",
             width, height, width, height, Escaped(title)) +
         absl::StrFormat("<text x=\"0\" y=\"14\" font-size=\"13\" font-weight=\"bold\">%s</text>\n",
                         Escaped(title));
}

double Clamped(double percent) {
  return std::clamp(percent, 0.0, 100.0);
}

// One glyph is at most about 7 px wide at this size.
double WidthOf(const std::vector<std::string>& texts) {
  size_t longest = 0;
  for (const std::string& text : texts) longest = std::max(longest, text.size());
  return 7.0 * static_cast<double>(longest);
}

}  // namespace

std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string BarChart(const std::string& title, const std::vector<std::string>& labels,
                     const std::vector<std::optional<MeanAndError>>& values) {
  constexpr double kRow = 18;
  constexpr double kTop = 24;
  constexpr double kPlot = 200;
  const double left = WidthOf(labels) + 8;
  const double height = kTop + kRow * static_cast<double>(labels.size()) + 18;
  std::string svg = Open(title, left + kPlot + 50, height);
  for (const int tick : {0, 25, 50, 75, 100}) {
    const double x = left + kPlot * tick / 100;
    svg += Line(x, kTop, x, height - 16, "stroke:#ddd");
    svg += Text(x, height - 4, std::to_string(tick), "middle");
  }
  for (size_t i = 0; i < labels.size(); ++i) {
    const double y = kTop + kRow * static_cast<double>(i);
    svg += Text(left - 6, y + 13, labels[i], "end");
    if (!values[i]) continue;
    const double mean = Clamped(100 * values[i]->mean);
    const double error = 100 * values[i]->error;
    svg += absl::StrFormat(
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", left, y + 3,
        kPlot * mean / 100, kRow - 6, labels[i] == "default" ? kColours[1] : kColours[0]);
    svg += Line(left + kPlot * Clamped(mean - error) / 100, y + kRow / 2,
                left + kPlot * Clamped(mean + error) / 100, y + kRow / 2,
                "stroke:#000;stroke-width:1.5");
    svg += Text(left + kPlot + 8, y + 13, absl::StrFormat("%.0f ± %.0f", mean, error));
  }
  return svg + "</svg>\n";
}

std::string LineChart(const std::string& title, const std::string& x_title,
                      const std::vector<std::string>& places, const std::vector<Series>& series) {
  constexpr double kTop = 26;
  constexpr double kPlot = 170;
  constexpr double kLeft = 34;
  constexpr double kLegendRow = 15;
  constexpr double kEdge = 14;
  const double width = std::max(280.0, 34.0 * static_cast<double>(places.size()));
  std::vector<std::string> names;
  for (const Series& s : series) names.push_back(s.name);
  const double legend = kLeft + width + 12;
  const double height =
      std::max(kTop + kPlot + 36, kTop + kLegendRow * static_cast<double>(series.size()) + 8);
  std::string svg = Open(title, legend + 26 + WidthOf(names), height);
  const auto x_of = [&](size_t place) {
    if (places.size() == 1) return kLeft + width / 2;
    return kLeft + kEdge +
           (width - 2 * kEdge) * static_cast<double>(place) /
               static_cast<double>(places.size() - 1);
  };
  const auto y_of = [&](double percent) { return kTop + kPlot * (1 - Clamped(percent) / 100); };
  for (const int tick : {0, 25, 50, 75, 100}) {
    svg += Line(kLeft, y_of(tick), kLeft + width, y_of(tick), "stroke:#ddd");
    svg += Text(kLeft - 6, y_of(tick) + 4, std::to_string(tick), "end");
  }
  for (size_t p = 0; p < places.size(); ++p)
    svg += Text(x_of(p), kTop + kPlot + 15, places[p], "middle");
  svg += Text(kLeft + width / 2, kTop + kPlot + 31, x_title, "middle");
  for (size_t s = 0; s < series.size(); ++s) {
    const char* colour = kColours[s % kColourCount];
    const char* dashes = s >= kColourCount ? ";stroke-dasharray:5 3" : "";
    const std::string style = absl::StrFormat("stroke:%s;stroke-width:2%s", colour, dashes);
    std::optional<size_t> last;  // the last place with a value
    for (size_t p = 0; p < places.size(); ++p) {
      const std::optional<MeanAndError>& value = series[s].values[p];
      if (!value) continue;
      const double y = y_of(100 * value->mean);
      if (last)
        svg += Line(x_of(*last), y_of(100 * series[s].values[*last]->mean), x_of(p), y, style);
      svg += Line(x_of(p), y_of(100 * (value->mean - value->error)), x_of(p),
                  y_of(100 * (value->mean + value->error)), absl::StrFormat("stroke:%s", colour));
      svg += absl::StrFormat("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x_of(p), y,
                             colour);
      last = p;
    }
    const double y = kTop + kLegendRow * static_cast<double>(s) + 8;
    svg += Line(legend, y, legend + 18, y, style);
    svg += Text(legend + 24, y + 4, series[s].name);
  }
  return svg + "</svg>\n";
}

}  // namespace dki::eval
