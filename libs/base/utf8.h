// SPDX-License-Identifier: Apache-2.0
// UTF-8 as in RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dki {

// One code point at the front of a string. `length` bytes were read; `valid` is false for a
// malformed sequence (then `length` is 1 and `code_point` U+FFFD). An empty string gives length 0.
struct Utf8Char {
  uint32_t code_point = 0xFFFD;
  int length = 0;
  bool valid = false;
};
Utf8Char DecodeUtf8(std::string_view text);

void AppendUtf8(uint32_t code_point, std::string* out);

// Byte offset of the first malformed sequence, or npos when `text` is valid.
size_t FindInvalidUtf8(std::string_view text);
inline bool IsValidUtf8(std::string_view text) {
  return FindInvalidUtf8(text) == std::string_view::npos;
}

// Length of the longest prefix that does not end inside a character: what can be sent now when more
// bytes will come. Bytes that can never become valid count as complete.
size_t CompleteUtf8Prefix(std::string_view text);

}  // namespace dki
