// SPDX-License-Identifier: Apache-2.0
// Purpose: structured logs, one JSON object a line on stderr: time, level, service, message, then
// the fields.
//   log::Info("memory created", {{"request_id", id}, {"tenant", tenant}});
// Never log memory or message texts. Thread-safety: thread-safe.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "libs/base/status.h"

namespace dki::log {

using Field = std::pair<std::string_view, std::string>;
using Fields = std::initializer_list<Field>;

enum class Level { kDebug, kInfo, kWarning, kError };
// "debug", "info", "warning" or "error"; INVALID_ARGUMENT for anything else.
absl::StatusOr<Level> ParseLevel(std::string_view text);

// Once, before threads start. INFO by default.
void Configure(std::string_view service, Level level);

void Debug(std::string_view message, Fields fields = {});
void Info(std::string_view message, Fields fields = {});
void Warning(std::string_view message, Fields fields = {});
void Error(std::string_view message, Fields fields = {});
void Write(Level level, std::string_view message, Fields fields = {});

// One line without its newline. Malformed UTF-8 becomes U+FFFD, so the line is always valid JSON.
std::string FormatLine(absl::Time time, Level level, std::string_view service,
                       std::string_view message, Fields fields);

}  // namespace dki::log
