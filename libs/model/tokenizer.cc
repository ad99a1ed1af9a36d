// SPDX-License-Identifier: Apache-2.0
// Byte-level byte-pair encoding (Sennrich et al. 2016; GPT-2's form over bytes).
#include "libs/model/tokenizer.h"

#include <algorithm>
#include <array>
#include <queue>
#include <unordered_map>

#include "libs/base/utf8.h"
#include "libs/model/gguf.h"
#include "libs/model/pre_tokenizer.h"

namespace dki::model {
namespace {

// tokenizer.ggml.token_type
constexpr int64_t kNormal = 1;
constexpr int64_t kControl = 3;

// Control tokens that end an answer in some family, beside the ones that a file names by id.
constexpr std::string_view kEndTokens[] = {"<|im_end|>",   "<|endoftext|>",   "<|eot_id|>",
                                           "<|eom_id|>",   "<|end_of_text|>", "<|end|>",
                                           "<end_of_turn>"};

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

class BytePairTokenizer : public Tokenizer {
 public:
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Create(const GgufFile& file) {
    auto tokenizer = std::make_unique<BytePairTokenizer>();
    DKI_RETURN_IF_ERROR(tokenizer->ReadRules(file));
    DKI_RETURN_IF_ERROR(tokenizer->ReadTokens(file));
    DKI_RETURN_IF_ERROR(tokenizer->ReadMerges(file));
    DKI_RETURN_IF_ERROR(tokenizer->ReadSpecials(file));
    return tokenizer;
  }

  std::vector<int32_t> Encode(std::string_view text) const override {
    std::vector<int32_t> ids;
    ids.reserve(text.size() / 3);
    for (std::string_view word : SplitWords(*rules_, text)) EncodeWord(word, &ids);
    return ids;
  }

  std::string Decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (int32_t id : ids) {
      if (id >= 0 && id < vocab_size() && !is_control_[id]) text += tokens_[id];
    }
    return text;
  }

  int vocab_size() const override { return static_cast<int>(tokens_.size()); }
  std::optional<int32_t> SpecialId(std::string_view text) const override {
    const auto it = control_ids_.find(std::string(text));
    if (it == control_ids_.end()) return std::nullopt;
    return it->second;
  }
  bool IsControl(int32_t id) const override {
    return id >= 0 && id < vocab_size() && is_control_[id];
  }
  bool IsEndOfGeneration(int32_t id) const override {
    return std::find(end_ids_.begin(), end_ids_.end(), id) != end_ids_.end();
  }
  std::optional<int32_t> bos() const override { return bos_; }

 private:
  struct Merge {
    int32_t rank;
    int32_t id;  // of the merged token
  };
  // A part of a word, in a doubly linked list over the word's bytes. -1: none.
  struct Symbol {
    int32_t id;  // -1 once merged into its left neighbour
    int32_t previous;
    int32_t next;
  };
  struct Candidate {
    int32_t rank;
    int32_t left;               // index of the left symbol
    int32_t id;                 // of the merged token
    int32_t left_id, right_id;  // what stood there; anything else now makes the candidate stale
    // Lowest rank first, then leftmost.
    bool operator<(const Candidate& o) const {
      return rank != o.rank ? rank > o.rank : left > o.left;
    }
  };

  static uint64_t Pair(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }

  absl::Status ReadRules(const GgufFile& file) {
    DKI_ASSIGN_OR_RETURN(const std::string_view model, file.GetString("tokenizer.ggml.model"));
    if (model != "gpt2") {
      return FailedPrecondition("tokenizer.ggml.model '%s' is not supported (gpt2 is)", model);
    }
    std::string_view pre = "default";
    if (file.Has("tokenizer.ggml.pre")) {
      DKI_ASSIGN_OR_RETURN(pre, file.GetString("tokenizer.ggml.pre"));
    }
    rules_ = FindPreTokenizer(pre);
    if (rules_ == nullptr) {
      return FailedPrecondition("tokenizer.ggml.pre '%s' is not in the table", pre);
    }
    return absl::OkStatus();
  }

  absl::Status ReadTokens(const GgufFile& file) {
    DKI_ASSIGN_OR_RETURN(const auto written, file.GetStringArray("tokenizer.ggml.tokens"));
    std::vector<int64_t> types(written.size(), kNormal);
    if (file.Has("tokenizer.ggml.token_type")) {
      DKI_ASSIGN_OR_RETURN(types, file.GetIntArray("tokenizer.ggml.token_type"));
    }
    if (types.size() != written.size()) {
      return InvalidArgument("tokenizer.ggml.token_type has %d entries for %d tokens", types.size(),
                             written.size());
    }
    byte_ids_.fill(-1);
    tokens_.reserve(written.size());
    is_control_.reserve(written.size());
    for (size_t i = 0; i < written.size(); ++i) {
      const auto id = static_cast<int32_t>(i);
      is_control_.push_back(types[i] == kControl);
      if (types[i] == kControl) control_ids_.emplace(written[i], id);
      const auto bytes = types[i] == kNormal ? TokenBytes(written[i]) : std::nullopt;
      tokens_.push_back(bytes.value_or(std::string(written[i])));
      if (!bytes) continue;
      if (!ids_.emplace(*bytes, id).second) {
        return InvalidArgument("tokenizer.ggml.tokens[%d] occurs twice", i);
      }
      if (bytes->size() == 1) byte_ids_[static_cast<uint8_t>(bytes->front())] = id;
    }
    return absl::OkStatus();
  }

  absl::Status ReadMerges(const GgufFile& file) {
    DKI_ASSIGN_OR_RETURN(const auto merges, file.GetStringArray("tokenizer.ggml.merges"));
    merges_.reserve(merges.size());
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      const size_t space = merges[rank].find(' ');
      if (space == std::string_view::npos) {
        return InvalidArgument("tokenizer.ggml.merges[%d] has no space", rank);
      }
      const auto left = TokenBytes(merges[rank].substr(0, space));
      const auto right = TokenBytes(merges[rank].substr(space + 1));
      if (!left || !right) {
        return InvalidArgument("tokenizer.ggml.merges[%d] is not written in bytes", rank);
      }
      const auto left_id = ids_.find(*left), right_id = ids_.find(*right),
                 merged = ids_.find(*left + *right);
      if (left_id == ids_.end() || right_id == ids_.end() || merged == ids_.end()) {
        return InvalidArgument("tokenizer.ggml.merges[%d] names no tokens", rank);
      }
      merges_[Pair(left_id->second, right_id->second)] = {static_cast<int32_t>(rank),
                                                          merged->second};
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::optional<int32_t>> ReadId(const GgufFile& file, std::string_view key) const {
    if (!file.Has(key)) return std::nullopt;
    DKI_ASSIGN_OR_RETURN(const uint64_t id, file.GetUint(key));
    if (id >= tokens_.size()) {
      return InvalidArgument("%s is %d, the vocabulary has %d tokens", key, id, tokens_.size());
    }
    return static_cast<int32_t>(id);
  }

  absl::Status ReadSpecials(const GgufFile& file) {
    for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                            "tokenizer.ggml.eom_token_id"}) {
      DKI_ASSIGN_OR_RETURN(const std::optional<int32_t> id, ReadId(file, key));
      if (id) end_ids_.push_back(*id);
    }
    for (std::string_view text : kEndTokens) {
      if (const auto id = SpecialId(text)) end_ids_.push_back(*id);
    }
    bool add_bos = rules_->add_bos;
    if (file.Has("tokenizer.ggml.add_bos_token")) {
      DKI_ASSIGN_OR_RETURN(add_bos, file.GetBool("tokenizer.ggml.add_bos_token"));
    }
    if (add_bos) {
      DKI_ASSIGN_OR_RETURN(bos_, ReadId(file, "tokenizer.ggml.bos_token_id"));
    }
    return absl::OkStatus();
  }

  void EncodeWord(std::string_view word, std::vector<int32_t>* ids) const {
    if (rules_->ignore_merges) {
      if (const auto it = ids_.find(std::string(word)); it != ids_.end()) {
        ids->push_back(it->second);
        return;
      }
    }
    std::vector<Symbol> symbols;
    symbols.reserve(word.size());
    for (char c : word) {
      // Some vocabularies lack bytes that their training never met; like the original
      // tokenizers we drop them.
      const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
      if (id < 0) continue;
      const auto i = static_cast<int32_t>(symbols.size());
      symbols.push_back({id, i - 1, i + 1});
    }
    if (symbols.empty()) return;
    symbols.back().next = -1;
    MergeAll(&symbols);
    for (int32_t i = 0; i >= 0; i = symbols[i].next) ids->push_back(symbols[i].id);
  }

  // O(n log n): each merge costs a heap operation and offers at most two new ones.
  void MergeAll(std::vector<Symbol>* list) const {
    std::vector<Symbol>& symbols = *list;
    std::priority_queue<Candidate> heap;
    const auto offer = [&](int32_t left) {
      if (left < 0 || symbols[left].next < 0) return;
      const int32_t left_id = symbols[left].id, right_id = symbols[symbols[left].next].id;
      const auto it = merges_.find(Pair(left_id, right_id));
      if (it != merges_.end()) heap.push({it->second.rank, left, it->second.id, left_id, right_id});
    };
    for (size_t i = 0; i + 1 < symbols.size(); ++i) offer(static_cast<int32_t>(i));
    while (!heap.empty()) {
      const Candidate top = heap.top();
      heap.pop();
      Symbol& left = symbols[top.left];
      if (left.id != top.left_id || left.next < 0) continue;
      Symbol& right = symbols[left.next];
      if (right.id != top.right_id) continue;
      left.id = top.id;
      right.id = -1;
      left.next = right.next;
      if (right.next >= 0) symbols[right.next].previous = top.left;
      offer(left.previous);
      offer(top.left);
    }
  }

  const PreTokenizer* rules_ = nullptr;
  std::vector<std::string> tokens_;  // by id: the bytes that they stand for
  std::vector<bool> is_control_;
  std::unordered_map<std::string, int32_t> ids_;          // of tokens that text can become
  std::unordered_map<std::string, int32_t> control_ids_;  // by their text
  std::array<int32_t, 256> byte_ids_ = {};                // -1: no such token
  std::unordered_map<uint64_t, Merge> merges_;
  std::vector<int32_t> end_ids_;
  std::optional<int32_t> bos_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& gguf_path) {
  DKI_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(gguf_path));
  auto tokenizer = BytePairTokenizer::Create(file);
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), gguf_path);
  return tokenizer;
}

}  // namespace dki::model
