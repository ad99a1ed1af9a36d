// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/limits.h"

#include <algorithm>
#include <cmath>

#include "libs/base/strings.h"
#include "libs/base/utf8.h"

namespace dki::orchestrator {
namespace {

constexpr size_t kIdDigits = 32;

bool IsHexDigit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

}  // namespace

absl::Status CheckRange(std::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return InvalidArgument("%s must be from %d to %d, not %d", field, low, high, value);
}

absl::Status CheckReal(std::string_view field, double value, double low, double high) {
  if (std::isfinite(value) && value >= low && value <= high) return absl::OkStatus();
  return InvalidArgument("%s must be from %g to %g, not %g", field, low, high, value);
}

absl::Status CheckText(std::string_view field, std::string_view text, size_t min_bytes,
                       size_t max_bytes) {
  if (text.size() < min_bytes || text.size() > max_bytes) {
    return InvalidArgument("%s must have %d to %d bytes, not %d", field, min_bytes, max_bytes,
                           text.size());
  }
  if (const size_t at = text.find('\0'); at != std::string_view::npos) {
    return InvalidArgument("%s must not contain NUL; byte %d is", field, at);
  }
  if (const size_t at = FindInvalidUtf8(text); at != std::string_view::npos) {
    return InvalidArgument("%s must be valid UTF-8; byte %d is not", field, at);
  }
  return absl::OkStatus();
}

absl::Status CheckId(std::string_view field, std::string_view id, std::string_view prefix) {
  if (id.size() == prefix.size() + kIdDigits && id.substr(0, prefix.size()) == prefix &&
      std::all_of(id.begin() + static_cast<std::ptrdiff_t>(prefix.size()), id.end(), IsHexDigit)) {
    return absl::OkStatus();
  }
  const std::string shown = IsValidUtf8(id) ? Abbreviate(id, 64) : "malformed UTF-8";
  return InvalidArgument("%s must be \"%s\" and %d hexadecimal digits, not \"%s\"", field, prefix,
                         kIdDigits, shown);
}

absl::Status CheckRequestId(std::string_view id) {
  return CheckText("request_id", id, 0, kMaxIdBytes);
}

absl::Status CheckScope(std::string_view field, const common::v1::Scope& scope) {
  const std::string prefix = std::string(field) + ".";
  DKI_RETURN_IF_ERROR(CheckText(prefix + "user_id", scope.user_id(), 0, kMaxScopeBytes));
  DKI_RETURN_IF_ERROR(CheckText(prefix + "session_id", scope.session_id(), 0, kMaxScopeBytes));
  return CheckText(prefix + "agent_id", scope.agent_id(), 0, kMaxScopeBytes);
}

bool IsEmpty(const common::v1::Scope& scope) {
  return scope.user_id().empty() && scope.session_id().empty() && scope.agent_id().empty();
}

}  // namespace dki::orchestrator
