// SPDX-License-Identifier: Apache-2.0
// Purpose: how commands speak: tables and colour for people (colour on a terminal only, never with
// NO_COLOR), one JSON object with
//   --json. Results go to stdout, everything else to stderr.
#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/status.h"

namespace dki::cli {

class Output {
 public:
  explicit Output(bool json);

  bool json() const { return json_; }
  // Whether stdout, or stderr, is a terminal.
  bool is_terminal() const { return terminal_; }
  bool errors_are_terminal() const { return error_terminal_; }

  void Line(std::string_view text) const;
  void Write(std::string_view text) const;  // no newline; flushed
  void Json(const nlohmann::json& json) const;
  // Every column as wide as its longest cell; the first row is the header.
  void Table(const std::vector<std::vector<std::string>>& rows) const;
  // To stderr, only on a terminal; each overwrites the last. An empty text ends it.
  void Progress(std::string_view text) const;
  // "error: what" on stderr; with --json {"error": {code, message}} on stdout, unless a result is
  // there already: one object only.
  void Error(const absl::Status& status) const;

  // Text that others wrote, for a terminal: as EscapeControls there, else as it is.
  std::string Safe(std::string_view text) const;

  std::string Bold(std::string_view text) const;
  std::string Dim(std::string_view text) const;
  std::string Green(std::string_view text) const;
  std::string Red(std::string_view text) const;

 private:
  std::string Colour(const char* code, std::string_view text) const;
  bool json_;
  mutable bool has_result_ = false;  // a JSON object was printed
  bool terminal_;
  bool error_terminal_;
  bool colour_;
};

// Control characters but newline and tab become U+FFFD, so that a memory or an answer cannot move
// the cursor, change colours or reprogram a terminal.
std::string EscapeControls(std::string_view text);

// A message in protobuf's JSON form with its proto field names (64-bit integers are strings there).
nlohmann::json ToJson(const google::protobuf::Message& message);

}  // namespace dki::cli
