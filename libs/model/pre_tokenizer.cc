// SPDX-License-Identifier: Apache-2.0
#include "libs/model/pre_tokenizer.h"

#include <array>
#include <cstdint>

#include "libs/base/utf8.h"
#include "libs/model/unicode_tables.h"

namespace dki::model {
namespace {

// Qwen's own tokenizer composes text (NFC) before this; like llama.cpp we take text as it comes.
constexpr PreTokenizer kPreTokenizers[] = {
    {.name = "smollm", .isolate_digits = true},
    {.name = "gpt-2"},
    {.name = "default"},
    {.name = "llama-bpe", .cl100k = true, .max_digits = 3, .ignore_merges = true, .add_bos = true},
    {.name = "qwen2", .cl100k = true, .max_digits = 1},
    {.name = "chatglm-bpe", .cl100k = true, .max_digits = 3},
    {.name = "glm4", .cl100k = true, .max_digits = 3},
};

enum class Kind : uint8_t { kOther, kLetter, kNumber, kSpace };

Kind Classify(uint32_t c) {
  if (Contains(Letters(), c)) return Kind::kLetter;
  if (Contains(Spaces(), c)) return Kind::kSpace;
  return Contains(Numbers(), c) ? Kind::kNumber : Kind::kOther;
}

Kind KindOf(uint32_t c) {
  static const std::array<Kind, 128> kAscii = [] {
    std::array<Kind, 128> kinds;
    for (uint32_t i = 0; i < kinds.size(); ++i) kinds[i] = Classify(i);
    return kinds;
  }();
  return c < kAscii.size() ? kAscii[c] : Classify(c);
}

struct Char {
  uint32_t code_point;
  uint32_t offset;  // of its first byte
  Kind kind;
};

// Matches the alternatives of a pattern in their order, as a backtracking engine would.
class Scanner {
 public:
  Scanner(const PreTokenizer& rules, const std::vector<Char>& chars, size_t begin, size_t end)
      : rules_(rules), chars_(chars), begin_(begin), end_(end) {}

  // Index after the word that starts at begin_; the scanner then stands there.
  size_t Next() {
    size_t end = Contraction();
    if (end == begin_) end = rules_.cl100k ? Cl100kWord() : Gpt2Word();
    if (end == begin_) end = SpaceRun();
    return begin_ = end;
  }
  bool done() const { return begin_ == end_; }

 private:
  bool Is(size_t i, Kind kind) const { return i < end_ && chars_[i].kind == kind; }
  uint32_t At(size_t i) const { return i < end_ ? chars_[i].code_point : 0; }
  bool IsNewline(size_t i) const { return At(i) == '\r' || At(i) == '\n'; }
  size_t SkipRun(size_t i, Kind kind) const {
    while (Is(i, kind)) ++i;
    return i;
  }

  // Lower case where the pattern ignores case; U+017F (long s) is a form of "s" there.
  uint32_t Folded(size_t i) const {
    const uint32_t c = At(i);
    if (!rules_.cl100k) return c;
    if (c == 0x17F) return 's';
    return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
  }

  size_t Contraction() const {
    if (At(begin_) != '\'') return begin_;
    const uint32_t a = Folded(begin_ + 1), b = Folded(begin_ + 2);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return begin_ + 2;
    const bool two = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return two ? begin_ + 3 : begin_;
  }

  size_t Gpt2Word() const {
    const size_t word = At(begin_) == ' ' ? begin_ + 1 : begin_;
    for (Kind kind : {Kind::kLetter, Kind::kNumber, Kind::kOther}) {
      if (Is(word, kind)) return SkipRun(word, kind);
    }
    return begin_;
  }

  size_t Cl100kWord() const {
    if (Is(begin_, Kind::kLetter)) return SkipRun(begin_, Kind::kLetter);
    if (Is(begin_, Kind::kNumber)) {
      size_t i = begin_;
      while (Is(i, Kind::kNumber) && i < begin_ + rules_.max_digits) ++i;
      return i;
    }
    if (!IsNewline(begin_) && Is(begin_ + 1, Kind::kLetter)) {
      return SkipRun(begin_ + 1, Kind::kLetter);
    }
    const size_t symbols = At(begin_) == ' ' ? begin_ + 1 : begin_;
    if (Is(symbols, Kind::kOther)) {
      size_t i = SkipRun(symbols, Kind::kOther);
      while (IsNewline(i)) ++i;
      return i;
    }
    // \s*[\r\n]+ : up to the last newline of the run of spaces.
    size_t last = begin_;
    for (size_t i = begin_; Is(i, Kind::kSpace); ++i) {
      if (IsNewline(i)) last = i + 1;
    }
    return last;
  }

  // \s+(?!\S)|\s+ : the last space of a run belongs to what follows, unless it is alone.
  size_t SpaceRun() const {
    const size_t run = SkipRun(begin_, Kind::kSpace);
    return run < end_ && run - begin_ > 1 ? run - 1 : run;
  }

  const PreTokenizer& rules_;
  const std::vector<Char>& chars_;
  size_t begin_;
  const size_t end_;
};

std::vector<Char> Decode(const PreTokenizer& rules, std::string_view text) {
  std::vector<Char> chars;
  chars.reserve(text.size());
  for (size_t offset = 0; offset < text.size();) {
    const Utf8Char c = DecodeUtf8(text.substr(offset));
    Kind kind = c.valid ? KindOf(c.code_point) : Kind::kOther;
    if (rules.isolate_digits && kind == Kind::kOther && Contains(NewerNumbers(), c.code_point)) {
      kind = Kind::kNumber;
    }
    chars.push_back({c.code_point, static_cast<uint32_t>(offset), kind});
    offset += c.length;
  }
  return chars;
}

}  // namespace

const PreTokenizer* FindPreTokenizer(std::string_view name) {
  for (const PreTokenizer& row : kPreTokenizers) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const PreTokenizer* FindPreTokenizerByPattern(std::string_view pattern) {
  constexpr std::string_view kHead =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})";
  constexpr std::string_view kTail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  if (!pattern.starts_with(kHead) || !pattern.ends_with(kTail)) return nullptr;
  if (pattern.size() < kHead.size() + kTail.size()) return nullptr;
  const std::string_view digits =
      pattern.substr(kHead.size(), pattern.size() - kHead.size() - kTail.size());
  if (digits.empty()) return FindPreTokenizer("qwen2");
  return digits == "{1,3}" ? FindPreTokenizer("chatglm-bpe") : nullptr;
}

std::vector<std::string_view> SplitWords(const PreTokenizer& rules, std::string_view text) {
  const std::vector<Char> chars = Decode(rules, text);
  std::vector<std::string_view> words;
  const auto add = [&](size_t begin, size_t end) {
    const size_t first = chars[begin].offset;
    const size_t last = end < chars.size() ? chars[end].offset : text.size();
    words.push_back(text.substr(first, last - first));
  };
  size_t begin = 0;
  while (begin < chars.size()) {
    if (rules.isolate_digits && chars[begin].kind == Kind::kNumber) {
      add(begin, begin + 1);
      ++begin;
      continue;
    }
    size_t end = begin;
    while (end < chars.size() && !(rules.isolate_digits && chars[end].kind == Kind::kNumber)) ++end;
    Scanner scanner(rules, chars, begin, end);
    while (!scanner.done()) {
      const size_t next = scanner.Next();
      add(begin, next);
      begin = next;
    }
  }
  return words;
}

}  // namespace dki::model
