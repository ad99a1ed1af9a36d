// SPDX-License-Identifier: Apache-2.0
// Small string functions that neither std nor Abseil has.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dki {

// Lower-case hexadecimal of bytes.
std::string HexEncode(std::string_view bytes);

// `text` without leading and trailing ASCII white space.
std::string_view Trim(std::string_view text);

// `text` with every run of '\r', '\n' (and white space around it) as one space.
std::string FoldNewlines(std::string_view text);

// At most `max_bytes` of `text`, cut at a UTF-8 character, with "…" where something was cut. For
// messages and logs.
std::string Abbreviate(std::string_view text, size_t max_bytes);

}  // namespace dki
