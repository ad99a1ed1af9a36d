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

namespace dki::log {

using Field = std::pair<std::string_view, std::string>;
using Fields = std::initializer_list<Field>;

enum class Level { kDebug, kInfo, kWarning, kError };

// Once, before threads start. INFO by default.
void Configure(std::string_view service, Level level);

void Debug(std::string_view message, Fields fields = {});
void Info(std::string_view message, Fields fields = {});
void Warning(std::string_view message, Fields fields = {});
void Error(std::string_view message, Fields fields = {});

}  // namespace dki::log
