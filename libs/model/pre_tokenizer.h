// SPDX-License-Identifier: Apache-2.0
// How text is cut into words before byte pairs are merged. Each model family has its rules, which
// are published as regular expressions; ours are rows of a table and one hand-written scanner.
#pragma once

#include <string_view>
#include <vector>

namespace dki::model {

struct PreTokenizer {
  std::string_view name;  // tokenizer.ggml.pre
  // Every number character is a word of its own, and the rules below see the text between them.
  bool isolate_digits = false;
  // false, GPT-2:
  //   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  // true, the cl100k form, with at most `max_digits` numbers in a word:
  //   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,max_digits}|
  //   ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
  bool cl100k = false;
  int max_digits = 0;
  // A word that is a token as a whole is taken before any merge.
  bool ignore_merges = false;
  // Whether BOS is wanted where the file does not say.
  bool add_bos = false;
};

// nullptr when the table has no such row.
const PreTokenizer* FindPreTokenizer(std::string_view name);

// The row whose rules are this regular expression, as a tokenizer.json writes them.
const PreTokenizer* FindPreTokenizerByPattern(std::string_view pattern);

// The words of `text`, in order and without gaps. Malformed bytes count as symbols.
std::vector<std::string_view> SplitWords(const PreTokenizer& rules, std::string_view text);

}  // namespace dki::model
