// SPDX-License-Identifier: Apache-2.0
// Purpose: text to token ids and back, byte-level BPE. Text is never read as control tokens:
// "<|im_end|>" in a message is
//   encoded as plain characters; control tokens come from ids (SpecialId) alone.
// Thread-safety: const and thread-safe after Load.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/status.h"

namespace dki::model {

class Tokenizer {
 public:
  // Reads the tokenizer of a GGUF file, or tokenizer.json of a folder as Hugging Face writes it.
  // FAILED_PRECONDITION for a kind of tokenizer, or rules to cut text, that are not in the
  // table.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& path);
  virtual ~Tokenizer() = default;

  // Token ids of plain text; no BOS is added. REQUIRES: valid UTF-8 (malformed bytes are encoded
  // byte by byte).
  virtual std::vector<int32_t> Encode(std::string_view text) const = 0;
  // Bytes of the tokens; control tokens give nothing. A token may end inside a UTF-8 character.
  virtual std::string Decode(std::span<const int32_t> ids) const = 0;

  virtual int vocab_size() const = 0;
  // Id of a control token by its text ("<|im_start|>"), if the model has it.
  virtual std::optional<int32_t> SpecialId(std::string_view text) const = 0;
  virtual bool IsControl(int32_t id) const = 0;
  // Tokens that end an answer.
  virtual bool IsEndOfGeneration(int32_t id) const = 0;
  // BOS to put in front of everything, if the model asks for one.
  virtual std::optional<int32_t> bos() const = 0;
};

}  // namespace dki::model
