// SPDX-License-Identifier: Apache-2.0
// SentencePiece's byte-pair encoding (Kudo & Richardson, arXiv:1808.06226): the characters of the
// whole text are merged, spaces being characters like others. Characters that have no token become
// their bytes.
#include "libs/model/sentence_piece.h"

#include <array>
#include <unordered_map>

#include "libs/base/utf8.h"
#include "libs/model/merge_symbols.h"
#include "libs/model/vocabulary.h"

namespace dki::model {
namespace {

constexpr std::string_view kSpace = "\u2581";

std::string Replace(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  for (size_t at; (at = text.find(from)) != text.npos; text.remove_prefix(at + from.size()))
    out.append(text.substr(0, at)).append(to);
  return out.append(text);
}

// The byte of "<0x0A>", or -1.
int ByteOf(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return -1;
  int value = 0;
  for (char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

class SentencePieceTokenizer : public Vocabulary {
 public:
  SentencePieceTokenizer(TokenizerSpec spec, std::vector<std::string> bytes, TokenIds ids)
      : Vocabulary(spec, std::move(bytes)), ids_(std::move(ids)), scores_(std::move(spec.scores)) {
    byte_ids_.fill(-1);
    for (size_t i = 0; i < spec.tokens.size(); ++i) {
      if (spec.kinds[i] == TokenKind::kByte)
        byte_ids_[ByteOf(spec.tokens[i])] = static_cast<int32_t>(i);
    }
    for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
      const TokenizerSpec::Merge& merge = spec.merges[rank];
      merges_[MergeKey(merge.left, merge.right)] = {-static_cast<float>(rank), merge.merged};
    }
  }

 protected:
  void EncodePart(std::string_view raw, std::vector<int32_t>* ids) const override {
    const std::string text = Replace(raw, " ", kSpace);
    std::vector<MergeSymbol> symbols;
    for (size_t at = 0; at < text.size();) {
      const Utf8Char c = DecodeUtf8(std::string_view(text).substr(at));
      const auto it = ids_.find(std::string_view(text).substr(at, c.length));
      AppendSymbol(it == ids_.end() ? -1 : it->second, at, c.length, &symbols);
      at += c.length;
    }
    if (symbols.empty()) return;
    MergeSymbols(&symbols, [&](const MergeSymbol& left, const MergeSymbol& right) {
      return scores_.empty() ? FindRule(left, right) : FindToken(text, left, right);
    });
    for (int32_t i = 0; i >= 0; i = symbols[i].next) {
      if (symbols[i].id >= 0) {
        ids->push_back(symbols[i].id);
        continue;
      }
      for (const char c : text.substr(symbols[i].begin, symbols[i].size)) {
        const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
        if (id >= 0) ids->push_back(id);
      }
    }
  }

 private:
  std::optional<MergeResult> FindRule(const MergeSymbol& left, const MergeSymbol& right) const {
    const auto it = merges_.find(MergeKey(left.id, right.id));
    return it == merges_.end() ? std::nullopt : std::optional<MergeResult>(it->second);
  }
  // The two stand side by side in the text.
  std::optional<MergeResult> FindToken(std::string_view text, const MergeSymbol& left,
                                       const MergeSymbol& right) const {
    const auto it = ids_.find(text.substr(left.begin, left.size + right.size));
    if (it == ids_.end()) return std::nullopt;
    return MergeResult{scores_[it->second], it->second};
  }

  const TokenIds ids_;  // of tokens that text can become
  const std::vector<float> scores_;
  std::unordered_map<uint64_t, MergeResult> merges_;
  std::array<int32_t, 256> byte_ids_;  // -1: no such token
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeSentencePieceTokenizer(const TokenizerSpec& spec) {
  std::vector<std::string> bytes;
  TokenIds ids;
  bytes.reserve(spec.tokens.size());
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    const std::string& token = spec.tokens[i];
    if (spec.kinds[i] == TokenKind::kByte) {
      const int byte = ByteOf(token);
      if (byte < 0) return InvalidArgument("token %d of the vocabulary is no byte", i);
      bytes.emplace_back(1, static_cast<char>(byte));
      continue;
    }
    const bool normal = spec.kinds[i] == TokenKind::kNormal;
    bytes.push_back(normal ? Replace(token, kSpace, " ") : token);
    if (normal && !ids.emplace(token, static_cast<int32_t>(i)).second)
      return InvalidArgument("token %d of the vocabulary occurs twice", i);
  }
  if (!spec.scores.empty() && spec.scores.size() != spec.tokens.size()) {
    return InvalidArgument("%d scores for %d tokens", spec.scores.size(), spec.tokens.size());
  }
  return std::make_unique<SentencePieceTokenizer>(spec, std::move(bytes), std::move(ids));
}

}  // namespace dki::model
