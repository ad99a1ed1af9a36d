// SPDX-License-Identifier: Apache-2.0
// Byte-level byte-pair encoding (GPT-2): text is cut into words, and the bytes of a word are
// merged.
#include "libs/model/byte_pair.h"

#include <array>
#include <unordered_map>

#include "libs/base/utf8.h"
#include "libs/model/merge_symbols.h"
#include "libs/model/vocabulary.h"

namespace dki::model {
namespace {

// GPT-2 writes the bytes of a token as printable characters: those that are printable in Latin-1 as
// themselves, the others from U+0100 on, in order. Index: code point; value: byte, or -1.
std::array<int, 512> ByteOfCharacter() {
  std::array<int, 512> bytes;
  bytes.fill(-1);
  int next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    bytes[printable ? b : next++] = b;
  }
  return bytes;
}

// The bytes of a token as written in the file; nullopt when a character stands for no byte.
std::optional<std::string> TokenBytes(std::string_view written) {
  static const std::array<int, 512> kBytes = ByteOfCharacter();
  std::string bytes;
  while (!written.empty()) {
    const Utf8Char c = DecodeUtf8(written);
    if (!c.valid || c.code_point >= kBytes.size() || kBytes[c.code_point] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kBytes[c.code_point]));
    written.remove_prefix(c.length);
  }
  return bytes;
}

class BytePairTokenizer : public Vocabulary {
 public:
  BytePairTokenizer(const TokenizerSpec& spec, std::vector<std::string> bytes, TokenIds ids)
      : Vocabulary(spec, std::move(bytes)), rules_(spec.rules), ids_(std::move(ids)) {
    byte_ids_.fill(-1);
    for (const auto& [text, id] : ids_) {
      if (text.size() == 1) byte_ids_[static_cast<uint8_t>(text.front())] = id;
    }
    merges_.reserve(spec.merges.size());
    for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
      const TokenizerSpec::Merge& merge = spec.merges[rank];
      merges_[MergeKey(merge.left, merge.right)] = {-static_cast<float>(rank), merge.merged};
    }
  }

 protected:
  void EncodePart(std::string_view text, std::vector<int32_t>* ids) const override {
    std::vector<MergeSymbol> symbols;
    for (std::string_view word : SplitWords(rules_, text)) EncodeWord(word, &symbols, ids);
  }

 private:
  void EncodeWord(std::string_view word, std::vector<MergeSymbol>* symbols,
                  std::vector<int32_t>* ids) const {
    if (rules_.ignore_merges) {
      if (const auto it = ids_.find(word); it != ids_.end()) {
        ids->push_back(it->second);
        return;
      }
    }
    symbols->clear();
    for (size_t i = 0; i < word.size(); ++i) {
      // Some vocabularies lack bytes that their training never met; like the original
      // tokenizers we drop them.
      const int32_t id = byte_ids_[static_cast<uint8_t>(word[i])];
      if (id >= 0) AppendSymbol(id, i, 1, symbols);
    }
    if (symbols->empty()) return;
    MergeSymbols(symbols, [&](const MergeSymbol& left, const MergeSymbol& right) {
      const auto it = merges_.find(MergeKey(left.id, right.id));
      return it == merges_.end() ? std::nullopt : std::optional<MergeResult>(it->second);
    });
    for (int32_t i = 0; i >= 0; i = (*symbols)[i].next) ids->push_back((*symbols)[i].id);
  }

  const PreTokenizer rules_;
  const TokenIds ids_;                 // of tokens that text can become
  std::array<int32_t, 256> byte_ids_;  // -1: no such token
  std::unordered_map<uint64_t, MergeResult> merges_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeBytePairTokenizer(const TokenizerSpec& spec) {
  std::vector<std::string> bytes;
  TokenIds ids;
  bytes.reserve(spec.tokens.size());
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    const auto own =
        spec.kinds[i] == TokenKind::kNormal ? TokenBytes(spec.tokens[i]) : std::nullopt;
    bytes.push_back(own.value_or(spec.tokens[i]));
    if (own && !own->empty() && !ids.emplace(*own, static_cast<int32_t>(i)).second)
      return InvalidArgument("token %d of the vocabulary occurs twice", i);
  }
  return std::make_unique<BytePairTokenizer>(spec, std::move(bytes), std::move(ids));
}

}  // namespace dki::model
