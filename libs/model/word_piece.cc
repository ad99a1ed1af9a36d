// SPDX-License-Identifier: Apache-2.0
#include "libs/model/word_piece.h"

#include <algorithm>

#include "libs/base/file.h"
#include "libs/base/utf8.h"
#include "libs/model/unicode_tables.h"

namespace dki::model {
namespace {

constexpr size_t kMaxWordChars = 100;  // longer words are unknown, as in BERT
constexpr size_t kMaxVocabulary = 10'000'000;

// Canonical decomposition without accents, then lower case. Calls out(code_point) for each result.
template <typename F>
void Fold(uint32_t c, F&& out) {
  if (c < 0x80) {
    out(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    return;
  }
  // Hangul syllables: the Unicode Standard, section 3.12.
  constexpr uint32_t kFirst = 0xAC00, kV = 21, kT = 28;
  if (c >= kFirst && c < kFirst + 19 * kV * kT) {
    const uint32_t i = c - kFirst;
    out(0x1100 + i / (kV * kT));
    out(0x1161 + i % (kV * kT) / kT);
    if (i % kT != 0) out(0x11A7 + i % kT);
    return;
  }
  const auto sequences = BertSequences();
  const auto sequence = std::lower_bound(
      sequences.begin(), sequences.end(), c,
      [](const CodePointSequence& row, uint32_t value) { return row.from < value; });
  if (sequence != sequences.end() && sequence->from == c) {
    for (uint32_t to : sequence->to) {
      if (to != 0) out(to);
    }
    return;
  }
  const auto shifts = BertShifts();
  const auto shift =
      std::lower_bound(shifts.begin(), shifts.end(), c,
                       [](const CodePointShift& row, uint32_t value) { return row.last < value; });
  const bool moves =
      shift != shifts.end() && shift->first <= c && (c - shift->first) % shift->stride == 0;
  out(moves ? c + shift->delta : c);
}

// Words and single punctuation characters of a text, normalised. Calls word(string) for each until
// it returns false.
template <typename F>
void ForEachWord(std::string_view text, F&& word) {
  std::string current;
  const auto flush = [&] {
    const bool more = current.empty() || word(current);
    current.clear();
    return more;
  };
  while (!text.empty()) {
    const Utf8Char c = DecodeUtf8(text);
    text.remove_prefix(c.length);
    if (!c.valid || Contains(BertRemoved(), c.code_point)) continue;
    if (Contains(BertSpaces(), c.code_point) || c.code_point == ' ') {
      if (!flush()) return;
      continue;
    }
    const bool ideograph = Contains(BertIdeographs(), c.code_point);
    bool more = !ideograph || flush();
    Fold(c.code_point, [&](uint32_t folded) {
      const bool alone = Contains(BertPunctuation(), folded);
      if (alone) more = more && flush();
      AppendUtf8(folded, &current);
      if (alone) more = more && flush();
    });
    if (ideograph) more = more && flush();
    if (!more) return;
  }
  flush();
}

}  // namespace

absl::StatusOr<std::unique_ptr<WordPiece>> WordPiece::Load(const std::string& vocabulary_path) {
  DKI_ASSIGN_OR_RETURN(const std::string file, ReadFile(vocabulary_path));
  auto result = std::make_unique<WordPiece>();
  std::string_view rest = file;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view piece = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (piece.ends_with('\r')) piece.remove_suffix(1);
    if (static_cast<size_t>(result->vocab_size_) == kMaxVocabulary) {
      return InvalidArgument("%s: more than %d pieces", vocabulary_path, kMaxVocabulary);
    }
    result->pieces_.emplace(piece, result->vocab_size_++);
  }
  for (const auto& [text, id] : {std::pair<const char*, int32_t*>{"[CLS]", &result->cls_},
                                 {"[SEP]", &result->sep_},
                                 {"[UNK]", &result->unk_}}) {
    const auto it = result->pieces_.find(text);
    if (it == result->pieces_.end()) return InvalidArgument("%s: no %s", vocabulary_path, text);
    *id = it->second;
  }
  return result;
}

std::vector<int32_t> WordPiece::Encode(std::string_view text, size_t max_tokens) const {
  std::vector<int32_t> ids;
  ForEachWord(text, [&](const std::string& word) {
    EncodeWord(word, &ids);
    return ids.size() < max_tokens;
  });
  if (ids.size() > max_tokens) ids.resize(max_tokens);
  return ids;
}

void WordPiece::EncodeWord(const std::string& word, std::vector<int32_t>* ids) const {
  std::vector<size_t> starts;  // of the characters
  for (size_t i = 0; i < word.size(); ++i) {
    if ((word[i] & 0xC0) != 0x80) starts.push_back(i);
  }
  if (starts.size() > kMaxWordChars) {
    ids->push_back(unk_);
    return;
  }
  starts.push_back(word.size());
  const size_t n_before = ids->size();
  for (size_t begin = 0; begin + 1 < starts.size();) {
    size_t end = starts.size() - 1;
    for (; end > begin; --end) {
      std::string piece = begin > 0 ? "##" : "";
      piece.append(word, starts[begin], starts[end] - starts[begin]);
      const auto it = pieces_.find(piece);
      if (it == pieces_.end()) continue;
      ids->push_back(it->second);
      break;
    }
    if (end == begin) {
      // One part that is not in the vocabulary makes the whole word unknown.
      ids->resize(n_before);
      ids->push_back(unk_);
      return;
    }
    begin = end;
  }
}

}  // namespace dki::model
