// SPDX-License-Identifier: Apache-2.0
// What tokenizers of both forms share: tokens and their bytes, control tokens, tokens that are
// taken whole.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "libs/model/tokenizer.h"
#include "libs/model/tokenizer_spec.h"

namespace dki::model {

// Looks a string up without making a copy of it.
struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
};
using TokenIds = std::unordered_map<std::string, int32_t, StringHash, std::equal_to<>>;

class Vocabulary : public Tokenizer {
 public:
  // Splits at the tokens that are taken whole and encodes what lies between.
  std::vector<int32_t> Encode(std::string_view text) const override;
  std::string Decode(std::span<const int32_t> ids) const override;
  int vocab_size() const override { return static_cast<int>(bytes_.size()); }
  std::optional<int32_t> SpecialId(std::string_view text) const override;
  bool IsControl(int32_t id) const override;
  bool IsEndOfGeneration(int32_t id) const override;
  std::optional<int32_t> bos() const override { return bos_; }

 protected:
  // bytes: what each token stands for.
  Vocabulary(const TokenizerSpec& spec, std::vector<std::string> bytes);
  virtual void EncodePart(std::string_view text, std::vector<int32_t>* ids) const = 0;

 private:
  struct Match {
    int32_t id = -1;
    size_t length = 0;
  };
  // The longest token that is taken whole at the front of `text`.
  Match FindWhole(std::string_view text) const;

  const bool add_space_prefix_;
  const std::vector<std::string> bytes_;
  std::vector<bool> is_control_;
  TokenIds control_ids_;
  TokenIds whole_ids_;
  size_t longest_whole_ = 0;
  std::vector<bool> starts_whole_;  // by byte
  std::vector<int32_t> end_ids_;
  std::optional<int32_t> bos_;
};

}  // namespace dki::model
