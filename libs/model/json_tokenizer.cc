// SPDX-License-Identifier: Apache-2.0
// A tokenizer.json, as the `tokenizers` package writes it.
#include <algorithm>
#include <unordered_map>

#include "libs/base/strings.h"
#include "libs/model/json_config.h"
#include "libs/model/json_reader.h"
#include "libs/model/tokenizer_spec.h"

namespace dki::model {
namespace {

using Form = TokenizerSpec::Form;

constexpr size_t kMaxTokens = 1 << 22;
// Ids that no token has, between those that some have.
constexpr size_t kMaxGaps = 4'096;

class TokenizerReader {
 public:
  absl::StatusOr<TokenizerSpec> Read(std::string_view text) {
    JsonReader json(text);
    DKI_RETURN_IF_ERROR(json.ReadObject([&](const std::string& member) -> absl::Status {
      if (member == "model") return ReadModel(&json);
      if (member == "added_tokens") return json.ReadArray([&] { return ReadAddedToken(&json); });
      JsonConfig* part = member == "normalizer"       ? &normalizer_
                         : member == "pre_tokenizer"  ? &pre_tokenizer_
                         : member == "post_processor" ? &post_processor_
                                                      : nullptr;
      if (part == nullptr || json.Peek() != '{') return json.Skip();
      DKI_ASSIGN_OR_RETURN(const std::string_view raw, json.ReadRaw());
      absl::StatusOr<JsonConfig> config = JsonConfig::Parse(raw);
      if (!config.ok()) return Annotate(config.status(), member);
      *part = *std::move(config);
      return absl::OkStatus();
    }));
    DKI_RETURN_IF_ERROR(json.ExpectEnd());
    if (type_ != "BPE")
      return FailedPrecondition("the model of type '%s' is not supported (BPE is)",
                                Abbreviate(type_, 32));
    spec_.form = byte_fallback_ ? Form::kSentencePiece : Form::kByteLevel;
    DKI_RETURN_IF_ERROR(PlaceTokens());
    DKI_RETURN_IF_ERROR(ResolveMerges());
    DKI_RETURN_IF_ERROR(spec_.form == Form::kByteLevel ? ReadByteLevelRules()
                                                       : ReadSentencePieceRules());
    ReadBos();
    return std::move(spec_);
  }

 private:
  struct AddedToken {
    std::string text;
    uint64_t id = 0;
    bool special = false;
  };

  static absl::StatusOr<uint64_t> ReadId(JsonReader* json) {
    DKI_ASSIGN_OR_RETURN(const double id, json->ReadNumber());
    if (!(id >= 0 && id < kMaxTokens) || id != static_cast<double>(static_cast<uint64_t>(id)))
      return InvalidArgument("the id %g is not an integer from 0 to %d", id, kMaxTokens - 1);
    return static_cast<uint64_t>(id);
  }

  absl::Status ReadModel(JsonReader* json) {
    return json->ReadObject([&](const std::string& member) -> absl::Status {
      if (member == "type") {
        DKI_ASSIGN_OR_RETURN(type_, json->ReadString());
        return absl::OkStatus();
      }
      if (member == "byte_fallback" || member == "ignore_merges") {
        DKI_ASSIGN_OR_RETURN(const bool value, json->ReadBool());
        (member == "byte_fallback" ? byte_fallback_ : ignore_merges_) = value;
        return absl::OkStatus();
      }
      if (member == "continuing_subword_prefix" || member == "end_of_word_suffix") {
        if (json->Peek() == '"') {
          DKI_ASSIGN_OR_RETURN(const std::string value, json->ReadString());
          if (!value.empty()) return FailedPrecondition("model.%s is not supported", member);
          return absl::OkStatus();
        }
        return json->Skip();
      }
      if (member == "vocab" && json->Peek() == '{') {
        return json->ReadObject([&](const std::string& token) -> absl::Status {
          DKI_ASSIGN_OR_RETURN(const uint64_t id, ReadId(json));
          vocabulary_.emplace_back(token, id);
          return absl::OkStatus();
        });
      }
      if (member == "merges") return json->ReadArray([&] { return ReadMerge(json); });
      return json->Skip();
    });
  }

  // "left right" or ["left", "right"].
  absl::Status ReadMerge(JsonReader* json) {
    if (json->Peek() == '"') {
      DKI_ASSIGN_OR_RETURN(const std::string pair, json->ReadString());
      const size_t space = pair.find(' ');
      if (space == pair.npos)
        return InvalidArgument("model.merges[%d] has no space", merges_.size());
      merges_.emplace_back(pair.substr(0, space), pair.substr(space + 1));
      return absl::OkStatus();
    }
    std::vector<std::string> parts;
    DKI_RETURN_IF_ERROR(json->ReadArray([&]() -> absl::Status {
      DKI_ASSIGN_OR_RETURN(parts.emplace_back(), json->ReadString());
      if (parts.size() > 2) return InvalidArgument("model.merges[%d] is no pair", merges_.size());
      return absl::OkStatus();
    }));
    if (parts.size() != 2) return InvalidArgument("model.merges[%d] is no pair", merges_.size());
    merges_.emplace_back(std::move(parts[0]), std::move(parts[1]));
    return absl::OkStatus();
  }

  absl::Status ReadAddedToken(JsonReader* json) {
    AddedToken token;
    DKI_RETURN_IF_ERROR(json->ReadObject([&](const std::string& member) -> absl::Status {
      if (member == "id") {
        DKI_ASSIGN_OR_RETURN(token.id, ReadId(json));
      } else if (member == "content") {
        DKI_ASSIGN_OR_RETURN(token.text, json->ReadString());
      } else if (member == "special") {
        DKI_ASSIGN_OR_RETURN(token.special, json->ReadBool());
      } else {
        return json->Skip();
      }
      return absl::OkStatus();
    }));
    added_.push_back(std::move(token));
    return absl::OkStatus();
  }

  absl::Status PlaceTokens() {
    uint64_t n = 0;
    for (const auto& [token, id] : vocabulary_) n = std::max(n, id + 1);
    for (const AddedToken& token : added_) n = std::max(n, token.id + 1);
    if (n == 0 || n > vocabulary_.size() + added_.size() + kMaxGaps)
      return InvalidArgument("%d tokens have ids up to %d", vocabulary_.size() + added_.size(), n);
    spec_.tokens.resize(n);
    spec_.kinds.assign(n, TokenKind::kMarker);
    std::vector<bool> taken(n);
    ids_.reserve(vocabulary_.size());
    for (auto& [token, id] : vocabulary_) {
      if (taken[id] || !ids_.emplace(token, static_cast<int32_t>(id)).second)
        return InvalidArgument("the token '%s' or its id %d occurs twice", Abbreviate(token, 64),
                               id);
      taken[id] = true;
      const bool byte = spec_.form == Form::kSentencePiece && token.size() == 6 &&
                        token.starts_with("<0x") && token.back() == '>';
      spec_.kinds[id] = byte ? TokenKind::kByte : TokenKind::kNormal;
      spec_.tokens[id] = token;
    }
    for (AddedToken& token : added_) {
      spec_.kinds[token.id] =
          token.special ? TokenKind::kControl : UserDefinedKind(token.text, spec_.form);
      spec_.tokens[token.id] = std::move(token.text);
    }
    return absl::OkStatus();
  }

  absl::Status ResolveMerges() {
    spec_.merges.reserve(merges_.size());
    std::string joined;
    for (const auto& [left, right] : merges_) {
      joined = left + right;
      const auto l = ids_.find(left), r = ids_.find(right), merged = ids_.find(joined);
      if (l == ids_.end() || r == ids_.end() || merged == ids_.end())
        return InvalidArgument("model.merges[%d] names no tokens", spec_.merges.size());
      spec_.merges.push_back({l->second, r->second, merged->second});
    }
    return absl::OkStatus();
  }

  static std::string TypeOf(const JsonConfig& config, const std::string& prefix) {
    const absl::StatusOr<std::string_view> type = config.GetString(prefix + "type");
    return type.ok() ? std::string(*type) : "";
  }

  // How text is cut: a sequence of a pattern, or of lone digits, and of bytes.
  absl::Status ReadByteLevelRules() {
    const std::string normalizer = TypeOf(normalizer_, "");
    // Text that is not composed (NFC) is taken as it comes.
    if (!normalizer.empty() && normalizer != "NFC")
      return FailedPrecondition("the normalizer '%s' is not supported", Abbreviate(normalizer, 32));
    const bool sequence = TypeOf(pre_tokenizer_, "") == "Sequence";
    bool digits = false, bytes = false;
    const PreTokenizer* rules = nullptr;
    for (int i = 0;; ++i) {
      const std::string at = sequence ? absl::StrFormat("pretokenizers.%d.", i) : "";
      const std::string type = TypeOf(pre_tokenizer_, at);
      if (type.empty()) break;
      if (type == "ByteLevel") {
        bytes = true;
        if (pre_tokenizer_.GetBool(at + "add_prefix_space").value_or(false))
          spec_.add_space_prefix = true;
        if (pre_tokenizer_.GetBool(at + "use_regex").value_or(true) && rules == nullptr)
          rules = FindPreTokenizer(digits ? "smollm" : "gpt-2");
      } else if (type == "Digits" &&
                 pre_tokenizer_.GetBool(at + "individual_digits").value_or(false)) {
        digits = true;
      } else if (type == "Split") {
        const auto pattern = pre_tokenizer_.GetString(at + "pattern.Regex");
        if (pattern.ok()) rules = FindPreTokenizerByPattern(*pattern);
        if (rules == nullptr)
          return FailedPrecondition("the pre-tokenizer's pattern is not in the table");
      } else {
        return FailedPrecondition("the pre-tokenizer '%s' is not supported", Abbreviate(type, 32));
      }
      if (!sequence) break;
    }
    if (rules == nullptr || !bytes)
      return FailedPrecondition("the pre-tokenizer is of no kind in the table");
    spec_.rules = *rules;
    spec_.rules.ignore_merges = ignore_merges_;
    return absl::OkStatus();
  }

  // Spaces become U+2581, by a normalizer or a "Metaspace"; a first one may be put in front.
  absl::Status ReadSentencePieceRules() {
    const bool sequence = TypeOf(normalizer_, "") == "Sequence";
    bool spaces = false;
    for (int i = 0;; ++i) {
      const std::string at = sequence ? absl::StrFormat("normalizers.%d.", i) : "";
      const std::string type = TypeOf(normalizer_, at);
      if (type == "Prepend") {
        spec_.add_space_prefix = true;
      } else if (type == "Replace") {
        spaces = normalizer_.GetString(at + "pattern.String").value_or("") == " ";
      } else if (!type.empty()) {
        return FailedPrecondition("the normalizer '%s' is not supported", Abbreviate(type, 32));
      }
      if (type.empty() || !sequence) break;
    }
    if (TypeOf(pre_tokenizer_, "") == "Metaspace") {
      if (pre_tokenizer_.GetBool("split").value_or(true))
        return FailedPrecondition("a Metaspace that splits is not supported");
      spaces = true;
      spec_.add_space_prefix =
          pre_tokenizer_.GetString("prepend_scheme").value_or("always") != "never";
    }
    if (!spaces) return FailedPrecondition("the normalizer does not replace spaces");
    return absl::OkStatus();
  }

  // The special token that the template of the post-processor puts in front of a text. Where there
  // are several, the chat format writes them.
  void ReadBos() {
    for (const std::string at : {"", "processors.0.", "processors.1."}) {
      if (TypeOf(post_processor_, at) != "TemplateProcessing") continue;
      const auto id = post_processor_.GetString(at + "single.0.SpecialToken.id");
      if (!id.ok() || post_processor_.Has(at + "single.1.SpecialToken.id")) return;
      for (size_t i = 0; i < spec_.tokens.size(); ++i) {
        if (spec_.kinds[i] == TokenKind::kControl && spec_.tokens[i] == *id)
          spec_.bos = static_cast<int32_t>(i);
      }
    }
  }

  std::string type_;
  bool byte_fallback_ = false, ignore_merges_ = false;
  std::vector<std::pair<std::string, uint64_t>> vocabulary_;
  std::vector<std::pair<std::string, std::string>> merges_;
  std::vector<AddedToken> added_;
  JsonConfig normalizer_, pre_tokenizer_, post_processor_;
  std::unordered_map<std::string, int32_t> ids_;
  TokenizerSpec spec_;
};

// eos_token_id: an id or a list of them.
void ReadEndIds(std::string_view config_json, TokenizerSpec* spec) {
  const absl::StatusOr<JsonConfig> config = JsonConfig::Parse(config_json);
  if (!config.ok()) return;  // the model's own reader says what is wrong
  const auto add = [&](const std::string& key) {
    const absl::StatusOr<uint64_t> id = config->GetUint(key);
    if (id.ok() && *id < spec->tokens.size()) spec->end_ids.push_back(static_cast<int32_t>(*id));
    return id.ok();
  };
  add("eos_token_id");
  for (int i = 0; add(absl::StrFormat("eos_token_id.%d", i)); ++i) continue;
}

}  // namespace

absl::StatusOr<TokenizerSpec> ReadJsonTokenizer(std::string_view tokenizer_json,
                                                std::string_view config_json,
                                                std::string_view generation_config_json) {
  absl::StatusOr<TokenizerSpec> spec = TokenizerReader().Read(tokenizer_json);
  if (!spec.ok()) return Annotate(spec.status(), "tokenizer.json");
  for (const std::string_view config : {config_json, generation_config_json}) {
    if (!config.empty()) ReadEndIds(config, &*spec);
  }
  return spec;
}

}  // namespace dki::model
