// SPDX-License-Identifier: Apache-2.0
#include "libs/testing/tiny_model.h"

#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "libs/base/check.h"
#include "libs/base/file.h"
#include "libs/base/utf8.h"

namespace dki::testing {
namespace {

using kernels::DType;

constexpr int kHidden = 64;
constexpr int kHeads = 4;
constexpr int kKvHeads = 2;
constexpr int kHeadDim = 16;
constexpr int kFfn = 96;
constexpr size_t kAlignment = 32;

constexpr const char* kChatTemplate =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";

// splitmix64 as numbers in [-1, 1).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  float Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return static_cast<float>(static_cast<double>((z ^ z >> 31) >> 11) * 0x1p-52 - 1.0);
  }

 private:
  uint64_t state_;
};

template <typename T>
void Append(std::string* out, T value) {
  static_assert(std::endian::native == std::endian::little);
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}
void AppendString(std::string* out, const std::string& s) {
  Append<uint64_t>(out, s.size());
  out->append(s);
}

// GGUF's ids of value types.
enum : uint32_t { kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7, kString = 8, kArray = 9 };

uint32_t GgmlId(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 1;
    case DType::kQ4_0:
      return 2;
    case DType::kQ4_1:
      return 3;
    case DType::kQ8_0:
      return 8;
    case DType::kBF16:
      return 30;
    default:
      break;  // formats that are only ever read
  }
  return 0;
}

class GgufWriter {
 public:
  void Uint(const std::string& key, uint32_t value) {
    Key(key, kUint32);
    Append(&metadata_, value);
  }
  void Float(const std::string& key, float value) {
    Key(key, kFloat32);
    Append(&metadata_, value);
  }
  void Bool(const std::string& key, bool value) {
    Key(key, kBool);
    Append<uint8_t>(&metadata_, value);
  }
  void String(const std::string& key, const std::string& value) {
    Key(key, kString);
    AppendString(&metadata_, value);
  }
  void Strings(const std::string& key, const std::vector<std::string>& values) {
    Key(key, kArray);
    Append<uint32_t>(&metadata_, kString);
    Append<uint64_t>(&metadata_, values.size());
    for (const std::string& value : values) AppendString(&metadata_, value);
  }
  void Ints(const std::string& key, const std::vector<int32_t>& values) {
    Key(key, kArray);
    Append<uint32_t>(&metadata_, kInt32);
    Append<uint64_t>(&metadata_, values.size());
    for (int32_t value : values) Append(&metadata_, value);
  }
  // values: [rows, n], or [n] where rows is 0.
  void Tensor(const std::string& name, DType dtype, int rows, int n,
              const std::vector<float>& values) {
    AppendString(&infos_, name);
    Append<uint32_t>(&infos_, rows == 0 ? 1 : 2);
    Append<uint64_t>(&infos_, n);
    if (rows != 0) Append<uint64_t>(&infos_, rows);
    Append<uint32_t>(&infos_, GgmlId(dtype));
    Append<uint64_t>(&infos_, data_.size());
    ++n_tensors_;
    std::string bytes(kernels::RowBytes(dtype, values.size()), '\0');
    kernels::QuantizeRow(dtype, values.data(), values.size(), bytes.data());
    data_ += bytes;
    data_.resize((data_.size() + kAlignment - 1) / kAlignment * kAlignment);
  }
  std::string Finish() const {
    std::string file = "GGUF";
    Append<uint32_t>(&file, 3);
    Append<uint64_t>(&file, n_tensors_);
    Append<uint64_t>(&file, n_keys_);
    file += metadata_ + infos_;
    file.resize((file.size() + kAlignment - 1) / kAlignment * kAlignment);
    return file + data_;
  }

 private:
  void Key(const std::string& key, uint32_t type) {
    AppendString(&metadata_, key);
    Append(&metadata_, type);
    ++n_keys_;
  }
  uint64_t n_keys_ = 0;
  uint64_t n_tensors_ = 0;
  std::string metadata_, infos_, data_;
};

// The character that stands for a byte in byte-level vocabularies (GPT-2): itself where it prints,
// the next free one from U+0100 on otherwise.
std::vector<std::string> ByteCharacters() {
  std::vector<std::string> characters(256);
  uint32_t next = 0x100;
  for (uint32_t b = 0; b < 256; ++b) {
    const bool prints = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    AppendUtf8(prints ? b : next++, &characters[b]);
  }
  return characters;
}

int WriteVocabulary(GgufWriter* gguf) {
  constexpr int32_t kNormal = 1;
  constexpr int32_t kControl = 3;
  std::vector<std::string> tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  std::vector<int32_t> types(tokens.size(), kControl);
  for (const std::string& character : ByteCharacters()) tokens.push_back(character);
  const std::string space = ByteCharacters()[' '];
  std::vector<std::string> merges;
  const std::pair<std::string, std::string> pairs[] = {
      {"i", "n"},  {"h", "e"},   {space, "t"},       {"e", "r"},   {"o", "u"}, {space + "t", "he"},
      {"in", "g"}, {space, "a"}, {space + "a", "n"}, {space, "s"}, {"a", "t"}, {"o", "r"},
  };
  for (const auto& [left, right] : pairs) {
    merges.push_back(left + " " + right);
    tokens.push_back(left + right);
  }
  types.resize(tokens.size(), kNormal);
  gguf->String("tokenizer.ggml.model", "gpt2");
  gguf->String("tokenizer.ggml.pre", "smollm");
  gguf->Strings("tokenizer.ggml.tokens", tokens);
  gguf->Ints("tokenizer.ggml.token_type", types);
  gguf->Strings("tokenizer.ggml.merges", merges);
  gguf->Uint("tokenizer.ggml.bos_token_id", 1);
  gguf->Uint("tokenizer.ggml.eos_token_id", 2);
  gguf->Bool("tokenizer.ggml.add_bos_token", false);
  gguf->String("tokenizer.chat_template", kChatTemplate);
  return static_cast<int>(tokens.size());
}

std::vector<float> RandomValues(Random* random, size_t n, float scale, float mean = 0.0f) {
  std::vector<float> values(n);
  for (float& value : values) value = mean + scale * random->Next();
  return values;
}

// Rows of q or k from the interleaved to the halves order of pairs.
std::vector<float> ToHalves(const std::vector<float>& rows, int n_heads) {
  std::vector<float> out(rows.size());
  for (int h = 0; h < n_heads; ++h) {
    for (int c = 0; c < kHeadDim; ++c) {
      const int to = c % 2 * (kHeadDim / 2) + c / 2;
      for (int i = 0; i < kHidden; ++i)
        out[static_cast<size_t>(h * kHeadDim + to) * kHidden + i] =
            rows[static_cast<size_t>(h * kHeadDim + c) * kHidden + i];
    }
  }
  return out;
}

void WriteLayer(GgufWriter* gguf, Random* random, const TinyModelOptions& options, int layer) {
  const auto name = [layer](const char* suffix) {
    return "blk." + std::to_string(layer) + "." + suffix;
  };
  const bool halves = options.architecture == "qwen2";
  const auto norm = [&](const char* suffix) {
    gguf->Tensor(name(suffix), DType::kF32, 0, kHidden, RandomValues(random, kHidden, 0.2f, 1.0f));
  };
  // sqrt(3 / n_in) keeps the variance; `gain` makes attention and gates matter.
  const auto values = [&](int n_out, int n_in, float gain) {
    return RandomValues(random, static_cast<size_t>(n_out) * n_in,
                        gain * std::sqrt(3.0f / static_cast<float>(n_in)));
  };
  const auto matrix = [&](const char* suffix, int n_out, int n_in, float gain) {
    gguf->Tensor(name(suffix), options.dtype, n_out, n_in, values(n_out, n_in, gain));
  };
  norm("attn_norm.weight");
  for (const auto& [suffix, heads] :
       {std::pair{"attn_q.weight", kHeads}, std::pair{"attn_k.weight", kKvHeads}}) {
    std::vector<float> rows = values(heads * kHeadDim, kHidden, 1.5f);
    gguf->Tensor(name(suffix), options.dtype, heads * kHeadDim, kHidden,
                 halves ? ToHalves(rows, heads) : rows);
  }
  matrix("attn_v.weight", kKvHeads * kHeadDim, kHidden, 1.0f);
  if (halves) {
    for (const auto& [suffix, heads] :
         {std::pair{"attn_q.bias", kHeads}, std::pair{"attn_k.bias", kKvHeads},
          std::pair{"attn_v.bias", kKvHeads}})
      gguf->Tensor(name(suffix), DType::kF32, 0, heads * kHeadDim,
                   std::vector<float>(heads * kHeadDim, 0.0f));
  }
  matrix("attn_output.weight", kHidden, kHeads * kHeadDim, 0.7f);
  norm("ffn_norm.weight");
  matrix("ffn_gate.weight", kFfn, kHidden, 1.0f);
  matrix("ffn_up.weight", kFfn, kHidden, 1.0f);
  matrix("ffn_down.weight", kHidden, kFfn, 0.7f);
}

}  // namespace

std::string WriteTinyModel(const std::string& directory, const TinyModelOptions& options) {
  GgufWriter gguf;
  Random random(options.seed);
  const std::string& family = options.architecture;
  gguf.String("general.architecture", family);
  gguf.String("general.name", "tiny " + std::to_string(options.seed));
  gguf.Uint(family + ".block_count", options.n_layers);
  gguf.Uint(family + ".context_length", options.context_length);
  gguf.Uint(family + ".embedding_length", kHidden);
  gguf.Uint(family + ".feed_forward_length", kFfn);
  gguf.Uint(family + ".attention.head_count", kHeads);
  gguf.Uint(family + ".attention.head_count_kv", kKvHeads);
  gguf.Uint(family + ".rope.dimension_count", kHeadDim);
  gguf.Float(family + ".rope.freq_base", 10000.0f);
  gguf.Float(family + ".attention.layer_norm_rms_epsilon", 1e-5f);
  const int vocab_size = WriteVocabulary(&gguf);
  gguf.Tensor("token_embd.weight", options.dtype, vocab_size, kHidden,
              RandomValues(&random, static_cast<size_t>(vocab_size) * kHidden, 1.0f));
  for (int layer = 0; layer < options.n_layers; ++layer) WriteLayer(&gguf, &random, options, layer);
  gguf.Tensor("output_norm.weight", DType::kF32, 0, kHidden,
              RandomValues(&random, kHidden, 0.2f, 1.0f));
  const std::string path = directory + "/tiny-" + family + "-" + kernels::Name(options.dtype) +
                           "-" + std::to_string(options.seed) + ".gguf";
  DKI_CHECK(WriteFileAtomically(path, gguf.Finish()).ok());
  return path;
}

}  // namespace dki::testing
