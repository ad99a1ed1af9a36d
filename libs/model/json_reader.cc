// SPDX-License-Identifier: Apache-2.0
#include "libs/model/json_reader.h"

#include <charconv>
#include <cmath>

#include "libs/base/utf8.h"

namespace dki::model {
namespace {

constexpr size_t kMaxStringBytes = 64 << 10;
constexpr size_t kMaxUints = 64;
constexpr int kMaxDepth = 16;

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

absl::Status JsonReader::Error(const char* what) const {
  return InvalidArgument("JSON: %s at byte %d", what, position_);
}

void JsonReader::SkipSpace() {
  while (position_ < text_.size() &&
         std::string_view(" \t\r\n").find(text_[position_]) != std::string_view::npos) {
    ++position_;
  }
}

bool JsonReader::Accept(char c) {
  SkipSpace();
  if (position_ == text_.size() || text_[position_] != c) return false;
  ++position_;
  return true;
}

absl::Status JsonReader::Expect(char c) {
  if (Accept(c)) return absl::OkStatus();
  return InvalidArgument("JSON: expected '%c' at byte %d", c, position_);
}

absl::Status JsonReader::ExpectEnd() {
  SkipSpace();
  return position_ == text_.size() ? absl::OkStatus() : Error("text after the value");
}

absl::StatusOr<uint32_t> JsonReader::ReadHex4() {
  uint32_t value = 0;
  if (text_.size() - position_ < 4) return Error("escape cut off");
  const char* begin = text_.data() + position_;
  const auto [end, error] = std::from_chars(begin, begin + 4, value, 16);
  if (error != std::errc() || end != begin + 4) return Error("not a \\u escape");
  position_ += 4;
  return value;
}

absl::StatusOr<std::string> JsonReader::ReadString() {
  DKI_RETURN_IF_ERROR(Expect('"'));
  std::string out;
  while (true) {
    if (position_ == text_.size()) return Error("string without an end");
    if (out.size() > kMaxStringBytes) return Error("string longer than 64 KiB");
    const char c = text_[position_];
    if (static_cast<uint8_t>(c) < 0x20) return Error("control character in a string");
    ++position_;
    if (c == '"') break;
    if (c != '\\') {
      out.push_back(c);
      continue;
    }
    if (position_ == text_.size()) return Error("escape cut off");
    const char escape = text_[position_++];
    if (escape == 'u') {
      DKI_ASSIGN_OR_RETURN(uint32_t code_point, ReadHex4());
      if (code_point >= 0xD800 && code_point < 0xDC00 && text_.substr(position_, 2) == "\\u") {
        position_ += 2;
        DKI_ASSIGN_OR_RETURN(const uint32_t low, ReadHex4());
        if (low < 0xDC00 || low > 0xDFFF) return Error("unpaired surrogate");
        code_point = 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00);
      }
      if (code_point >= 0xD800 && code_point < 0xE000) return Error("unpaired surrogate");
      AppendUtf8(code_point, &out);
      continue;
    }
    constexpr std::string_view kEscapes = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const size_t which = kEscapes.find(escape);
    if (which == std::string_view::npos) return Error("unknown escape");
    out.push_back(kMeanings[which]);
  }
  if (!IsValidUtf8(out)) return Error("invalid UTF-8 in a string");
  return out;
}

char JsonReader::Peek() {
  SkipSpace();
  return position_ < text_.size() ? text_[position_] : '\0';
}

absl::StatusOr<bool> JsonReader::ReadBool() {
  SkipSpace();
  for (const bool value : {true, false}) {
    const std::string_view word = value ? "true" : "false";
    if (text_.substr(position_, word.size()) != word) continue;
    position_ += word.size();
    return value;
  }
  return Error("expected true or false");
}

absl::StatusOr<double> JsonReader::ReadNumber() {
  SkipSpace();
  const char* begin = text_.data() + position_;
  const char* end = text_.data() + text_.size();
  // from_chars takes more than JSON does: check the beginning, and leading zeros.
  const char* digits = begin != end && *begin == '-' ? begin + 1 : begin;
  if (digits == end || !IsDigit(*digits)) return Error("expected a number");
  if (*digits == '0' && end - digits > 1 && IsDigit(digits[1])) return Error("leading zero");
  double value = 0;
  const auto [after, error] = std::from_chars(begin, end, value);
  if (error != std::errc() || !std::isfinite(value)) return Error("number out of range");
  position_ += after - begin;
  return value;
}

absl::StatusOr<std::vector<uint64_t>> JsonReader::ReadUints() {
  std::vector<uint64_t> out;
  DKI_RETURN_IF_ERROR(Expect('['));
  if (Accept(']')) return out;
  do {
    SkipSpace();
    if (out.size() == kMaxUints) return Error("more than 64 numbers");
    const char* begin = text_.data() + position_;
    const char* end = text_.data() + text_.size();
    const auto [after, error] = std::from_chars(begin, end, out.emplace_back());
    if (error != std::errc()) return Error("expected an integer of 64 bits, not negative");
    if (*begin == '0' && after - begin > 1) return Error("leading zero");
    position_ += after - begin;
  } while (Accept(','));
  DKI_RETURN_IF_ERROR(Expect(']'));
  return out;
}

absl::Status JsonReader::Skip() {
  return SkipValue(0);
}

absl::StatusOr<std::string_view> JsonReader::ReadRaw() {
  SkipSpace();
  const size_t begin = position_;
  DKI_RETURN_IF_ERROR(Skip());
  return text_.substr(begin, position_ - begin);
}

absl::Status JsonReader::SkipValue(int depth) {
  if (depth == kMaxDepth) return Error("nested more than 16 deep");
  SkipSpace();
  if (position_ == text_.size()) return Error("expected a value");
  switch (text_[position_]) {
    case '{':
      return ReadObject([&](const std::string&) { return SkipValue(depth + 1); });
    case '[':
      return ReadArray([&] { return SkipValue(depth + 1); });
    case '"':
      return ReadString().status();
  }
  for (std::string_view word : {"true", "false", "null"}) {
    if (text_.substr(position_, word.size()) == word) {
      position_ += word.size();
      return absl::OkStatus();
    }
  }
  return ReadNumber().status();
}

}  // namespace dki::model
