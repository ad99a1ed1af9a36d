// SPDX-License-Identifier: Apache-2.0
#include "libs/base/strings.h"

#include "libs/base/utf8.h"

namespace dki {
namespace {

bool IsSpace(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

}  // namespace

std::string HexEncode(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  return out;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

std::string FoldNewlines(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t i = 0;
  while (i < text.size()) {
    size_t end = i;
    bool has_newline = false;
    while (end < text.size() && IsSpace(text[end])) {
      has_newline |= text[end] == '\n' || text[end] == '\r';
      ++end;
    }
    if (has_newline) {
      out.push_back(' ');
      i = end;
    } else {
      out.append(text.substr(i, end - i));
      i = end;
      if (i < text.size()) out.push_back(text[i++]);
    }
  }
  return out;
}

std::string Abbreviate(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return std::string(text);
  std::string out(text.substr(0, CompleteUtf8Prefix(text.substr(0, max_bytes))));
  out += "…";
  return out;
}

}  // namespace dki
