// SPDX-License-Identifier: Apache-2.0
#include "libs/telemetry/log.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "absl/time/clock.h"
#include "libs/base/mutex.h"
#include "libs/base/utf8.h"

namespace dki::log {
namespace {

// Logs are the one global: every function may log, and nothing depends on it.
std::atomic<Level> g_level{Level::kInfo};
Mutex g_mutex;
std::string g_service ABSL_GUARDED_BY(g_mutex);  // NOLINT(runtime/string): set before threads start

constexpr std::string_view kLevelNames[] = {"debug", "info", "warning", "error"};

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  while (!text.empty()) {
    const Utf8Char c = DecodeUtf8(text);
    text.remove_prefix(static_cast<size_t>(c.length));
    if (c.code_point == '"' || c.code_point == '\\') {
      out->push_back('\\');
      out->push_back(static_cast<char>(c.code_point));
    } else if (c.code_point == '\n') {
      out->append("\\n");
    } else if (c.code_point < 0x20 || c.code_point == 0x7F) {
      out->append(absl::StrFormat("\\u%04x", c.code_point));
    } else {
      AppendUtf8(c.code_point, out);
    }
  }
  out->push_back('"');
}

void AppendMember(std::string_view name, std::string_view value, std::string* out) {
  if (out->size() > 1) out->push_back(',');
  AppendJsonString(name, out);
  out->push_back(':');
  AppendJsonString(value, out);
}

void WriteAll(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // nowhere left to complain
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace

absl::StatusOr<Level> ParseLevel(std::string_view text) {
  for (int i = 0; i < 4; ++i) {
    if (text == kLevelNames[i]) return static_cast<Level>(i);
  }
  return InvalidArgument("log level is \"%s\"; it must be debug, info, warning or error", text);
}

void Configure(std::string_view service, Level level) {
  MutexLock lock(&g_mutex);
  g_service = std::string(service);
  g_level = level;
}

std::string FormatLine(absl::Time time, Level level, std::string_view service,
                       std::string_view message, Fields fields) {
  std::string line = "{";
  AppendMember("time", absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone()), &line);
  AppendMember("level", kLevelNames[static_cast<int>(level)], &line);
  AppendMember("service", service, &line);
  AppendMember("message", message, &line);
  for (const Field& field : fields) AppendMember(field.first, field.second, &line);
  line.push_back('}');
  return line;
}

void Write(Level level, std::string_view message, Fields fields) {
  if (level < g_level.load(std::memory_order_relaxed)) return;
  const absl::Time now = absl::Now();
  MutexLock lock(&g_mutex);
  WriteAll(FormatLine(now, level, g_service, message, fields) + "\n");
}

void Debug(std::string_view message, Fields fields) {
  Write(Level::kDebug, message, fields);
}
void Info(std::string_view message, Fields fields) {
  Write(Level::kInfo, message, fields);
}
void Warning(std::string_view message, Fields fields) {
  Write(Level::kWarning, message, fields);
}
void Error(std::string_view message, Fields fields) {
  Write(Level::kError, message, fields);
}

}  // namespace dki::log
