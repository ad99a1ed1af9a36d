// SPDX-License-Identifier: Apache-2.0
// Random identifiers and random bytes from the operating system's generator.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dki {

// `n` bytes from a cryptographically secure generator.
std::string RandomBytes(size_t n);

// `prefix` and 32 hexadecimal digits (128 random bits): NewId("mem_").
std::string NewId(std::string_view prefix);

}  // namespace dki
