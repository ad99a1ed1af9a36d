// SPDX-License-Identifier: Apache-2.0
// Purpose: BERT's uncased tokenizer: clean, set ideographs apart, strip accents, lower the case,
//   split at spaces and punctuation, then the longest pieces of the vocabulary from the left. Text
//   is never read as special tokens.
// Thread-safety: const and thread-safe after Load.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libs/base/status.h"

namespace dki::model {

class WordPiece {
 public:
  // `vocabulary_path`: one piece a line; its number is the id. INVALID_ARGUMENT when [CLS], [SEP]
  // or [UNK] is missing.
  static absl::StatusOr<std::unique_ptr<WordPiece>> Load(const std::string& vocabulary_path);

  // Ids of a text, without [CLS] and [SEP], at most `max_tokens` of them. Malformed bytes are
  // dropped, as control characters are.
  std::vector<int32_t> Encode(std::string_view text, size_t max_tokens) const;

  int32_t cls() const { return cls_; }
  int32_t sep() const { return sep_; }
  int vocab_size() const { return vocab_size_; }

 private:
  void EncodeWord(const std::string& word, std::vector<int32_t>* ids) const;

  std::unordered_map<std::string, int32_t> pieces_;
  int32_t cls_ = 0, sep_ = 0, unk_ = 0;
  int vocab_size_ = 0;
};

}  // namespace dki::model
