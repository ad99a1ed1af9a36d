// SPDX-License-Identifier: Apache-2.0
#include "libs/base/utf8.h"

namespace dki {
namespace {

// Bytes that a sequence with this first byte has; 0 when no sequence begins with it.
int SequenceLength(uint8_t first) {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return 2;
  if (first >= 0xE0 && first <= 0xEF) return 3;
  if (first >= 0xF0 && first <= 0xF4) return 4;
  return 0;
}

// Whether `second` may follow `first`: RFC 3629's table, which excludes overlong forms and
// surrogates.
bool IsValidSecond(uint8_t first, uint8_t second) {
  switch (first) {
    case 0xE0:
      return second >= 0xA0 && second <= 0xBF;
    case 0xED:
      return second >= 0x80 && second <= 0x9F;
    case 0xF0:
      return second >= 0x90 && second <= 0xBF;
    case 0xF4:
      return second >= 0x80 && second <= 0x8F;
    default:
      return second >= 0x80 && second <= 0xBF;
  }
}

bool IsContinuation(uint8_t byte) {
  return (byte & 0xC0) == 0x80;
}

}  // namespace

Utf8Char DecodeUtf8(std::string_view text) {
  if (text.empty()) return {};
  const auto byte = [&](int i) { return static_cast<uint8_t>(text[i]); };
  const Utf8Char bad{0xFFFD, 1, false};
  const int length = SequenceLength(byte(0));
  if (length == 0 || static_cast<size_t>(length) > text.size()) return bad;
  if (length == 1) return {byte(0), 1, true};
  if (!IsValidSecond(byte(0), byte(1))) return bad;
  uint32_t code_point = byte(0) & (0xFF >> (length + 1));
  for (int i = 1; i < length; ++i) {
    if (!IsContinuation(byte(i))) return bad;
    code_point = (code_point << 6) | (byte(i) & 0x3F);
  }
  return {code_point, length, true};
}

void AppendUtf8(uint32_t c, std::string* out) {
  const auto put = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

size_t FindInvalidUtf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const Utf8Char c = DecodeUtf8(text.substr(i));
    if (!c.valid) return i;
    i += c.length;
  }
  return std::string_view::npos;
}

size_t CompleteUtf8Prefix(std::string_view text) {
  // Only the last three bytes can belong to an unfinished character.
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const size_t at = text.size() - back;
    const auto first = static_cast<uint8_t>(text[at]);
    if (IsContinuation(first)) continue;
    const int length = SequenceLength(first);
    if (static_cast<size_t>(length) <= back) return text.size();
    if (back >= 2 && !IsValidSecond(first, static_cast<uint8_t>(text[at + 1]))) return text.size();
    return at;
  }
  return text.size();
}

}  // namespace dki
