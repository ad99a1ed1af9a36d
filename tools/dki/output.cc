// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/output.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "libs/base/utf8.h"

namespace dki::cli {
namespace {

bool ColourWanted() {
  const char* no_color = std::getenv("NO_COLOR");
  return no_color == nullptr || *no_color == '\0';
}

// Columns that a text takes on a terminal: code points, escape sequences not counted.
size_t Width(std::string_view text) {
  size_t width = 0;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '\x1b') {
      i = text.find('m', i);
      if (i == std::string_view::npos) break;
      ++i;
      continue;
    }
    i += DecodeUtf8(text.substr(i)).length;
    ++width;
  }
  return width;
}

}  // namespace

Output::Output(bool json)
    : json_(json),
      terminal_(::isatty(STDOUT_FILENO) == 1),
      error_terminal_(::isatty(STDERR_FILENO) == 1),
      colour_(terminal_ && ColourWanted()) {}

void Output::Line(std::string_view text) const {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
}

void Output::Write(std::string_view text) const {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void Output::Json(const nlohmann::json& json) const {
  has_result_ = true;
  Line(json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void Output::Table(const std::vector<std::vector<std::string>>& rows) const {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < rows[r].size(); ++i) {
      const std::string& cell = rows[r][i];
      line += r == 0 ? Bold(cell) : cell;
      if (i + 1 < rows[r].size()) line.append(widths[i] - Width(cell) + 2, ' ');
    }
    Line(line);
  }
}

void Output::Progress(std::string_view text) const {
  if (!error_terminal_ || json_) return;
  std::fprintf(stderr, "\r\x1b[K%.*s", static_cast<int>(text.size()), text.data());
  std::fflush(stderr);
}

void Output::Error(const absl::Status& status) const {
  const std::string message(ToStd(status.message()));
  if (json_ && !has_result_) {
    Json({{"error", {{"code", absl::StatusCodeToString(status.code())}, {"message", message}}}});
    return;
  }
  const bool colour = error_terminal_ && ColourWanted();
  std::fprintf(stderr, "%serror:%s %s\n", colour ? "\x1b[31m" : "", colour ? "\x1b[0m" : "",
               message.c_str());
}

std::string Output::Safe(std::string_view text) const {
  return terminal_ ? EscapeControls(text) : std::string(text);
}

std::string EscapeControls(std::string_view text) {
  std::string safe;
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = DecodeUtf8(text.substr(i));
    const bool is_control = (c.code_point < 0x20 && c.code_point != '\n' && c.code_point != '\t') ||
                            (c.code_point >= 0x7F && c.code_point < 0xA0);
    AppendUtf8(is_control ? 0xFFFD : c.code_point, &safe);
    i += static_cast<size_t>(c.length);
  }
  return safe;
}

std::string Output::Colour(const char* code, std::string_view text) const {
  if (!colour_) return std::string(text);
  return absl::StrFormat("\x1b[%sm%s\x1b[0m", code, text);
}
std::string Output::Bold(std::string_view text) const {
  return Colour("1", text);
}
std::string Output::Dim(std::string_view text) const {
  return Colour("2", text);
}
std::string Output::Green(std::string_view text) const {
  return Colour("32", text);
}
std::string Output::Red(std::string_view text) const {
  return Colour("31", text);
}

nlohmann::json ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok())
    return nlohmann::json::object();
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace dki::cli
