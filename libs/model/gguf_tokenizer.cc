// SPDX-License-Identifier: Apache-2.0
// The tokenizer of a GGUF file.
#include <cmath>
#include <unordered_map>

#include "libs/model/gguf.h"
#include "libs/model/tokenizer_spec.h"

namespace dki::model {
namespace {

// tokenizer.ggml.token_type
enum : int64_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

absl::Status ReadForm(const GgufFile& file, TokenizerSpec* spec) {
  DKI_ASSIGN_OR_RETURN(const std::string_view model, file.GetString("tokenizer.ggml.model"));
  if (model == "llama") {
    spec->form = TokenizerSpec::Form::kSentencePiece;
    spec->add_space_prefix = true;
    if (file.Has("tokenizer.ggml.add_space_prefix")) {
      DKI_ASSIGN_OR_RETURN(spec->add_space_prefix, file.GetBool("tokenizer.ggml.add_space_prefix"));
    }
    return absl::OkStatus();
  }
  if (model != "gpt2") {
    return FailedPrecondition("tokenizer.ggml.model '%s' is not supported (gpt2 and llama are)",
                              model.substr(0, 64));
  }
  std::string_view pre = "default";
  if (file.Has("tokenizer.ggml.pre")) {
    DKI_ASSIGN_OR_RETURN(pre, file.GetString("tokenizer.ggml.pre"));
  }
  const PreTokenizer* rules = FindPreTokenizer(pre);
  if (rules == nullptr)
    return FailedPrecondition("tokenizer.ggml.pre '%s' is not in the table", pre.substr(0, 64));
  spec->rules = *rules;
  return absl::OkStatus();
}

TokenKind KindOf(int64_t type, std::string_view token, TokenizerSpec::Form form) {
  switch (type) {
    case kNormal:
      return TokenKind::kNormal;
    case kControl:
      return TokenKind::kControl;
    case kUserDefined:
      return UserDefinedKind(token, form);
    case kByte:
      return form == TokenizerSpec::Form::kSentencePiece ? TokenKind::kByte : TokenKind::kMarker;
    default:
      return TokenKind::kMarker;
  }
}

absl::Status ReadTokens(const GgufFile& file, TokenizerSpec* spec) {
  DKI_ASSIGN_OR_RETURN(const auto written, file.GetStringArray("tokenizer.ggml.tokens"));
  std::vector<int64_t> types(written.size(), kNormal);
  if (file.Has("tokenizer.ggml.token_type")) {
    DKI_ASSIGN_OR_RETURN(types, file.GetIntArray("tokenizer.ggml.token_type"));
  }
  if (types.size() != written.size()) {
    return InvalidArgument("tokenizer.ggml.token_type has %d entries for %d tokens", types.size(),
                           written.size());
  }
  spec->tokens.reserve(written.size());
  spec->kinds.reserve(written.size());
  for (size_t i = 0; i < written.size(); ++i) {
    spec->tokens.emplace_back(written[i]);
    spec->kinds.push_back(KindOf(types[i], written[i], spec->form));
  }
  return absl::OkStatus();
}

absl::Status ReadScores(const GgufFile& file, TokenizerSpec* spec) {
  DKI_ASSIGN_OR_RETURN(spec->scores, file.GetFloatArray("tokenizer.ggml.scores"));
  for (size_t i = 0; i < spec->scores.size(); ++i) {
    if (!std::isfinite(spec->scores[i]))
      return InvalidArgument("tokenizer.ggml.scores[%d] is not finite", i);
  }
  return absl::OkStatus();
}

absl::Status ReadMerges(const GgufFile& file, TokenizerSpec* spec) {
  DKI_ASSIGN_OR_RETURN(const auto merges, file.GetStringArray("tokenizer.ggml.merges"));
  std::unordered_map<std::string_view, int32_t> ids;
  for (size_t i = 0; i < spec->tokens.size(); ++i) {
    if (spec->kinds[i] == TokenKind::kNormal) ids.emplace(spec->tokens[i], static_cast<int32_t>(i));
  }
  spec->merges.reserve(merges.size());
  std::string joined;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    // Characters stand for bytes, and none of them is a space.
    const size_t space = merges[rank].find(' ');
    if (space == std::string_view::npos)
      return InvalidArgument("tokenizer.ggml.merges[%d] has no space", rank);
    const std::string_view left = merges[rank].substr(0, space);
    const std::string_view right = merges[rank].substr(space + 1);
    joined.assign(left).append(right);
    const auto left_id = ids.find(left), right_id = ids.find(right), merged = ids.find(joined);
    if (left_id == ids.end() || right_id == ids.end() || merged == ids.end())
      return InvalidArgument("tokenizer.ggml.merges[%d] names no tokens", rank);
    spec->merges.push_back({left_id->second, right_id->second, merged->second});
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<int32_t>> ReadId(const GgufFile& file, std::string_view key,
                                              size_t n_tokens) {
  if (!file.Has(key)) return std::nullopt;
  DKI_ASSIGN_OR_RETURN(const uint64_t id, file.GetUint(key));
  if (id >= n_tokens)
    return InvalidArgument("%s is %d, the vocabulary has %d tokens", key, id, n_tokens);
  return static_cast<int32_t>(id);
}

absl::Status ReadSpecials(const GgufFile& file, TokenizerSpec* spec) {
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                          "tokenizer.ggml.eom_token_id"}) {
    DKI_ASSIGN_OR_RETURN(const std::optional<int32_t> id, ReadId(file, key, spec->tokens.size()));
    if (id) spec->end_ids.push_back(*id);
  }
  bool add_bos = spec->form == TokenizerSpec::Form::kSentencePiece || spec->rules.add_bos;
  if (file.Has("tokenizer.ggml.add_bos_token")) {
    DKI_ASSIGN_OR_RETURN(add_bos, file.GetBool("tokenizer.ggml.add_bos_token"));
  }
  if (add_bos) {
    DKI_ASSIGN_OR_RETURN(spec->bos,
                         ReadId(file, "tokenizer.ggml.bos_token_id", spec->tokens.size()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerSpec> ReadGgufTokenizer(const GgufFile& file) {
  TokenizerSpec spec;
  DKI_RETURN_IF_ERROR(ReadForm(file, &spec));
  DKI_RETURN_IF_ERROR(ReadTokens(file, &spec));
  if (spec.form == TokenizerSpec::Form::kSentencePiece) {
    DKI_RETURN_IF_ERROR(ReadScores(file, &spec));
  } else {
    DKI_RETURN_IF_ERROR(ReadMerges(file, &spec));
  }
  DKI_RETURN_IF_ERROR(ReadSpecials(file, &spec));
  return spec;
}

}  // namespace dki::model
