// SPDX-License-Identifier: Apache-2.0
// What the tokenizers must know about characters, as sorted tables. The data is written by
// tools/fixtures/make_unicode_tables.py, which asks the tokenizers that the models were trained
// with about every code point.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace dki::model {

struct CodePointRange {
  uint32_t first;
  uint32_t last;
};
// Every `stride`-th code point from `first` to `last` becomes itself + delta.
struct CodePointShift {
  uint32_t first;
  uint32_t last;
  uint32_t stride;
  int32_t delta;
};
struct CodePointSequence {
  uint32_t from;
  uint32_t to[3];  // ends at the first 0
};

// General categories L and N, and Unicode white space. NewerNumbers came to N after the version of
// Unicode that the patterns use; the rule that isolates digits knows them.
std::span<const CodePointRange> Letters();
std::span<const CodePointRange> Numbers();
std::span<const CodePointRange> NewerNumbers();
std::span<const CodePointRange> Spaces();

// BERT's uncased normalisation: removed (control and format characters, accents); turned into a
// space; set apart by spaces; punctuation. Then what canonical decomposition without accents and
// lower-casing make of a code point (Hangul syllables, decomposed by arithmetic, are not listed).
std::span<const CodePointRange> BertRemoved();
std::span<const CodePointRange> BertSpaces();
std::span<const CodePointRange> BertIdeographs();
std::span<const CodePointRange> BertPunctuation();
std::span<const CodePointShift> BertShifts();
std::span<const CodePointSequence> BertSequences();

inline bool Contains(std::span<const CodePointRange> ranges, uint32_t code_point) {
  const auto it = std::lower_bound(
      ranges.begin(), ranges.end(), code_point,
      [](const CodePointRange& range, uint32_t value) { return range.last < value; });
  return it != ranges.end() && it->first <= code_point;
}

}  // namespace dki::model
