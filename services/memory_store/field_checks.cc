// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/field_checks.h"

#include <string_view>

#include "libs/base/utf8.h"

namespace dki::memory_store {

absl::Status CheckString(const std::string& field, const std::string& value, size_t min_bytes,
                         size_t max_bytes) {
  if (value.size() < min_bytes || value.size() > max_bytes) {
    return InvalidArgument("%s: %d bytes, must be %d to %d", field, value.size(), min_bytes,
                           max_bytes);
  }
  if (value.find('\0') != std::string::npos)
    return InvalidArgument("%s: contains a NUL byte", field);
  const size_t invalid = FindInvalidUtf8(value);
  if (invalid != std::string_view::npos) {
    return InvalidArgument("%s: invalid UTF-8 at byte %d", field, invalid);
  }
  return absl::OkStatus();
}

absl::Status CheckRange(const std::string& field, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high) {
    return InvalidArgument("%s: %d, must be %d to %d", field, value, low, high);
  }
  return absl::OkStatus();
}

absl::Status CheckHexId(const std::string& field, const std::string& value,
                        const std::string& prefix, size_t n_digits) {
  if (value.size() == prefix.size() + n_digits && value.compare(0, prefix.size(), prefix) == 0 &&
      value.find_first_not_of("0123456789abcdef", prefix.size()) == std::string::npos) {
    return absl::OkStatus();
  }
  return InvalidArgument("%s: must be \"%s\" and %d hexadecimal digits", field, prefix, n_digits);
}

}  // namespace dki::memory_store
