// SPDX-License-Identifier: Apache-2.0
// A tokenizer as data, from whatever file it was read.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/status.h"
#include "libs/model/pre_tokenizer.h"

namespace dki::model {

class GgufFile;
class Tokenizer;

enum class TokenKind : uint8_t {
  kNormal,
  kControl,  // text never becomes it
  kMarker,   // stands in the vocabulary as it is written; text never becomes it
  kWhole,    // text that holds it becomes it before anything else
  kByte,     // "<0x0A>": a byte of a character that has no token
};

struct TokenizerSpec {
  enum class Form {
    kByteLevel,      // tokens are bytes, written as printable characters (GPT-2)
    kSentencePiece,  // tokens are characters, spaces written as U+2581
  };
  Form form = Form::kByteLevel;
  std::vector<std::string> tokens;  // by id, as written in the file
  std::vector<TokenKind> kinds;     // by id
  // How pairs are merged: by rules in their order, or (SentencePiece) whatever pair makes the token
  // with the highest score.
  struct Merge {
    int32_t left, right, merged;
  };
  std::vector<Merge> merges;
  std::vector<float> scores;      // by id
  PreTokenizer rules;             // of byte-level vocabularies
  bool add_space_prefix = false;  // text is read as if a space stood in front
  std::vector<int32_t> end_ids;   // that the file names; others are known by their text
  std::optional<int32_t> bos;     // to put in front of everything
};

// Which kind a token is that its file calls user-defined (or added, but not special). Text becomes
// such a token if it is white space or, in a SentencePiece vocabulary, an HTML tag; not if it is a
// mark of a conversation's structure, such as <tool_call> or <start_of_image>: memory text and
// messages are untrusted.
TokenKind UserDefinedKind(std::string_view text, TokenizerSpec::Form form);

// INVALID_ARGUMENT for a malformed file, FAILED_PRECONDITION for one of another kind.
absl::StatusOr<TokenizerSpec> ReadGgufTokenizer(const GgufFile& file);
// From the texts of tokenizer.json and of config.json and generation_config.json (may be empty),
// which name the tokens that end an answer.
absl::StatusOr<TokenizerSpec> ReadJsonTokenizer(std::string_view tokenizer_json,
                                                std::string_view config_json,
                                                std::string_view generation_config_json);

// INVALID_ARGUMENT when the vocabulary is inconsistent.
absl::StatusOr<std::unique_ptr<Tokenizer>> MakeTokenizer(TokenizerSpec spec);

}  // namespace dki::model
