// SPDX-License-Identifier: Apache-2.0
// Purpose: checks of single fields. INVALID_ARGUMENT names the field and its limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/base/status.h"

namespace dki::memory_store {

// What PostgreSQL stores as text: valid UTF-8 without NUL, `min_bytes` to `max_bytes` long.
absl::Status CheckString(const std::string& field, const std::string& value, size_t min_bytes,
                         size_t max_bytes);
absl::Status CheckRange(const std::string& field, int64_t value, int64_t low, int64_t high);
// `prefix` and `n_digits` lower-case hexadecimal digits.
absl::Status CheckHexId(const std::string& field, const std::string& value,
                        const std::string& prefix, size_t n_digits);

}  // namespace dki::memory_store
