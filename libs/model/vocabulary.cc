// SPDX-License-Identifier: Apache-2.0
#include "libs/model/vocabulary.h"

#include <algorithm>

namespace dki::model {
namespace {

// Control tokens that end an answer in some family, beside the ones that a file names by id.
constexpr std::string_view kEndTokens[] = {"<|im_end|>",    "<|endoftext|>",   "<|eot_id|>",
                                           "<|eom_id|>",    "<|end_of_text|>", "<|end|>",
                                           "<end_of_turn>", "<|user|>",        "<|observation|>"};

}  // namespace

TokenKind UserDefinedKind(std::string_view text, TokenizerSpec::Form form) {
  if (text.find_first_not_of(" \t\r\n") == text.npos) return TokenKind::kWhole;
  if (form != TokenizerSpec::Form::kSentencePiece) return TokenKind::kMarker;
  if (text.size() < 3 || text.front() != '<' || text.back() != '>') return TokenKind::kMarker;
  std::string_view name = text.substr(1, text.size() - 2);
  if (name.front() == '/') name.remove_prefix(1);
  const bool tag = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  });
  return tag ? TokenKind::kWhole : TokenKind::kMarker;
}

Vocabulary::Vocabulary(const TokenizerSpec& spec, std::vector<std::string> bytes)
    : add_space_prefix_(spec.add_space_prefix),
      bytes_(std::move(bytes)),
      is_control_(bytes_.size()),
      starts_whole_(256),
      end_ids_(spec.end_ids),
      bos_(spec.bos) {
  for (size_t i = 0; i < bytes_.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const std::string& text = spec.tokens[i];
    is_control_[i] = spec.kinds[i] == TokenKind::kControl;
    if (is_control_[i]) control_ids_.emplace(text, id);
    if (spec.kinds[i] != TokenKind::kWhole || text.empty()) continue;
    whole_ids_.emplace(text, id);
    longest_whole_ = std::max(longest_whole_, text.size());
    starts_whole_[static_cast<uint8_t>(text.front())] = true;
  }
  for (std::string_view text : kEndTokens) {
    if (const auto id = SpecialId(text)) end_ids_.push_back(*id);
  }
}

std::vector<int32_t> Vocabulary::Encode(std::string_view text) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3);
  std::string prefixed;
  if (add_space_prefix_ && !text.empty()) {
    prefixed = " " + std::string(text);
    text = prefixed;
  }
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Match match = FindWhole(text.substr(at));
    if (match.id < 0) {
      ++at;
      continue;
    }
    if (at > begin) EncodePart(text.substr(begin, at - begin), &ids);
    ids.push_back(match.id);
    begin = at += match.length;
  }
  if (begin < text.size()) EncodePart(text.substr(begin), &ids);
  return ids;
}

Vocabulary::Match Vocabulary::FindWhole(std::string_view text) const {
  if (!starts_whole_[static_cast<uint8_t>(text.front())]) return {};
  for (size_t n = std::min(longest_whole_, text.size()); n > 0; --n) {
    const auto it = whole_ids_.find(text.substr(0, n));
    if (it != whole_ids_.end()) return {it->second, n};
  }
  return {};
}

std::string Vocabulary::Decode(std::span<const int32_t> ids) const {
  std::string text;
  for (int32_t id : ids) {
    if (id >= 0 && id < vocab_size() && !is_control_[id]) text += bytes_[id];
  }
  return text;
}

std::optional<int32_t> Vocabulary::SpecialId(std::string_view text) const {
  const auto it = control_ids_.find(text);
  if (it == control_ids_.end()) return std::nullopt;
  return it->second;
}

bool Vocabulary::IsControl(int32_t id) const {
  return id >= 0 && id < vocab_size() && is_control_[id];
}

bool Vocabulary::IsEndOfGeneration(int32_t id) const {
  return std::find(end_ids_.begin(), end_ids_.end(), id) != end_ids_.end();
}

}  // namespace dki::model
