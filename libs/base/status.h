// SPDX-License-Identifier: Apache-2.0
// Errors: absl::Status is the only error channel between our functions. The makers below take
// std::string_view-friendly formats, because Debian's Abseil has a string_view of its own that
// std::string_view does not convert to.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"

namespace dki {

// Between std::string_view and Abseil's own string_view (Debian builds them as two types).
inline absl::string_view ToAbsl(std::string_view s) {
  return {s.data(), s.size()};
}
inline std::string_view ToStd(absl::string_view s) {
  return {s.data(), s.size()};
}

// "INVALID_ARGUMENT: field k must be ..." as a std::string.
std::string ToString(const absl::Status& status);

// The same status with "context: " in front of its message. OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view context);

#define DKI_DEFINE_STATUS_MAKER(Name)                                               \
  template <typename... Args>                                                       \
  absl::Status Name(const absl::FormatSpec<Args...>& format, const Args&... args) { \
    return absl::Name##Error(absl::StrFormat(format, args...));                     \
  }
DKI_DEFINE_STATUS_MAKER(InvalidArgument)
DKI_DEFINE_STATUS_MAKER(NotFound)
DKI_DEFINE_STATUS_MAKER(AlreadyExists)
DKI_DEFINE_STATUS_MAKER(FailedPrecondition)
DKI_DEFINE_STATUS_MAKER(OutOfRange)
DKI_DEFINE_STATUS_MAKER(ResourceExhausted)
DKI_DEFINE_STATUS_MAKER(Unavailable)
DKI_DEFINE_STATUS_MAKER(Unauthenticated)
DKI_DEFINE_STATUS_MAKER(PermissionDenied)
DKI_DEFINE_STATUS_MAKER(Unimplemented)
DKI_DEFINE_STATUS_MAKER(Internal)
DKI_DEFINE_STATUS_MAKER(DataLoss)
DKI_DEFINE_STATUS_MAKER(Aborted)
DKI_DEFINE_STATUS_MAKER(Cancelled)
DKI_DEFINE_STATUS_MAKER(DeadlineExceeded)
#undef DKI_DEFINE_STATUS_MAKER

}  // namespace dki

#define DKI_CONCAT_INNER_(a, b) a##b
#define DKI_CONCAT_(a, b) DKI_CONCAT_INNER_(a, b)

// Returns the status from the enclosing function unless it is OK.
#define DKI_RETURN_IF_ERROR(expression)        \
  do {                                         \
    absl::Status dki_status_ = (expression);   \
    if (!dki_status_.ok()) return dki_status_; \
  } while (false)

// DKI_ASSIGN_OR_RETURN(auto x, F()): x = *F(), or returns F()'s status.
#define DKI_ASSIGN_OR_RETURN(lhs, expression) \
  DKI_ASSIGN_OR_RETURN_INNER_(DKI_CONCAT_(dki_statusor_, __LINE__), lhs, expression)
#define DKI_ASSIGN_OR_RETURN_INNER_(statusor, lhs, expression) \
  auto statusor = (expression);                                \
  if (!statusor.ok()) return statusor.status();                \
  lhs = std::move(statusor).value()
