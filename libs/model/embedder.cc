// SPDX-License-Identifier: Apache-2.0
// BERT encoder (Devlin et al., arXiv:1810.04805) with mean pooling (Reimers & Gurevych,
// arXiv:1908.10084).
#include "libs/model/embedder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <span>

#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/dense.h"
#include "kernels/isa.h"
#include "kernels/norm.h"
#include "kernels/thread_pool.h"
#include "libs/base/file.h"
#include "libs/base/sha256.h"
#include "libs/model/json_reader.h"
#include "libs/model/safetensors.h"
#include "libs/model/word_piece.h"

namespace dki::model {
namespace {

constexpr int kMaxTokens = 256;           // of a text, with [CLS] and [SEP]
constexpr size_t kMaxGroupTokens = 1024;  // computed together; bounds the working memory
constexpr int kRowGrain = 8;

struct BertConfig {
  int n_layers = 0, n_heads = 0, hidden_dim = 0, ffn_dim = 0, vocab_size = 0, max_positions = 0,
      n_token_types = 0;
  float norm_epsilon = 0.0f;
};

absl::StatusOr<BertConfig> ReadConfig(const std::string& path) {
  DKI_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  BertConfig config;
  struct Field {
    std::string_view name;
    int* value;
    int max;
  };
  const Field fields[] = {
      {"num_hidden_layers", &config.n_layers, 1'000},
      {"num_attention_heads", &config.n_heads, 1'000},
      {"hidden_size", &config.hidden_dim, 65'536},
      {"intermediate_size", &config.ffn_dim, 1'000'000},
      {"vocab_size", &config.vocab_size, 10'000'000},
      {"max_position_embeddings", &config.max_positions, 1'000'000},
      {"type_vocab_size", &config.n_token_types, 1'000},
  };
  std::string activation = "gelu";
  JsonReader json(text);
  DKI_RETURN_IF_ERROR(json.ReadObject([&](const std::string& name) -> absl::Status {
    if (name == "hidden_act") {
      DKI_ASSIGN_OR_RETURN(activation, json.ReadString());
      return absl::OkStatus();
    }
    if (name == "layer_norm_eps") {
      DKI_ASSIGN_OR_RETURN(const double value, json.ReadNumber());
      config.norm_epsilon = static_cast<float>(value);
      return absl::OkStatus();
    }
    for (const Field& field : fields) {
      if (name != field.name) continue;
      DKI_ASSIGN_OR_RETURN(const double value, json.ReadNumber());
      if (value < 1 || value > field.max || value != std::floor(value)) {
        return InvalidArgument("%s must be an integer from 1 to %d, got %g", name, field.max,
                               value);
      }
      *field.value = static_cast<int>(value);
      return absl::OkStatus();
    }
    return json.Skip();
  }));
  for (const Field& field : fields) {
    if (*field.value == 0) return InvalidArgument("%s is missing", field.name);
  }
  if (activation != "gelu") {
    return InvalidArgument("hidden_act '%s' is not supported (gelu is)", activation);
  }
  const int head_dim = config.hidden_dim / config.n_heads;
  if (config.hidden_dim % config.n_heads != 0 || head_dim > kernels::kMaxHeadDim) {
    return InvalidArgument("hidden_size %d in %d heads is not supported", config.hidden_dim,
                           config.n_heads);
  }
  if (!(config.norm_epsilon >= 0.0f && config.norm_epsilon < 1.0f)) {
    return InvalidArgument("layer_norm_eps must be from 0 to 1, got %g", config.norm_epsilon);
  }
  return config;
}

struct Norm {
  std::vector<float> weight, bias;
};
struct Layer {
  kernels::DenseMatrix query, key, value, attention_out;
  Norm attention_norm;
  kernels::DenseMatrix up, down;
  Norm out_norm;
};

class BertEmbedder : public Embedder {
 public:
  BertEmbedder(const BertConfig& config, SafetensorsFile file, std::unique_ptr<WordPiece> tokenizer,
               int n_threads)
      : config_(config),
        file_(std::move(file)),
        tokenizer_(std::move(tokenizer)),
        isa_(kernels::BestIsa()),
        pool_(n_threads) {}

  absl::Status ReadWeights() {
    const int d = config_.hidden_dim;
    DKI_RETURN_IF_ERROR(
        Get("embeddings.word_embeddings.weight", config_.vocab_size, d, &word_embeddings_));
    DKI_RETURN_IF_ERROR(
        Get("embeddings.position_embeddings.weight", config_.max_positions, d, &positions_));
    DKI_RETURN_IF_ERROR(
        Get("embeddings.token_type_embeddings.weight", config_.n_token_types, d, &token_types_));
    DKI_RETURN_IF_ERROR(Get("embeddings.LayerNorm", &embedding_norm_));
    layers_.resize(config_.n_layers);
    for (int i = 0; i < config_.n_layers; ++i) {
      const std::string prefix = absl::StrFormat("encoder.layer.%d.", i);
      Layer& layer = layers_[i];
      DKI_RETURN_IF_ERROR(Get(prefix + "attention.self.query", d, d, &layer.query));
      DKI_RETURN_IF_ERROR(Get(prefix + "attention.self.key", d, d, &layer.key));
      DKI_RETURN_IF_ERROR(Get(prefix + "attention.self.value", d, d, &layer.value));
      DKI_RETURN_IF_ERROR(Get(prefix + "attention.output.dense", d, d, &layer.attention_out));
      DKI_RETURN_IF_ERROR(Get(prefix + "attention.output.LayerNorm", &layer.attention_norm));
      DKI_RETURN_IF_ERROR(Get(prefix + "intermediate.dense", config_.ffn_dim, d, &layer.up));
      DKI_RETURN_IF_ERROR(Get(prefix + "output.dense", d, config_.ffn_dim, &layer.down));
      DKI_RETURN_IF_ERROR(Get(prefix + "output.LayerNorm", &layer.out_norm));
    }
    return absl::OkStatus();
  }

  void Fingerprint(std::string_view vocabulary) {
    Sha256 hash;
    hash.Update(
        absl::StrFormat("bert mean-pooling l2 %d tokens, %d heads, epsilon %g, vocabulary "
                        "of %d bytes:",
                        max_tokens(), config_.n_heads, config_.norm_epsilon, vocabulary.size()));
    hash.Update(vocabulary);
    hash.Update(file_.bytes());
    fingerprint_ = hash.FinishHex();
  }

  int dimension() const override { return config_.hidden_dim; }
  const std::string& fingerprint() const override { return fingerprint_; }

  absl::StatusOr<std::vector<std::vector<float>>> Embed(
      const std::vector<std::string>& texts) override {
    std::vector<std::vector<float>> vectors;
    vectors.reserve(texts.size());
    std::vector<int32_t> ids;
    std::vector<int> ends;  // of the texts, in ids
    for (size_t i = 0; i < texts.size(); ++i) {
      ids.push_back(tokenizer_->cls());
      for (int32_t id : tokenizer_->Encode(texts[i], max_tokens() - 2)) ids.push_back(id);
      ids.push_back(tokenizer_->sep());
      ends.push_back(static_cast<int>(ids.size()));
      if (i + 1 < texts.size() && ids.size() + kMaxTokens <= kMaxGroupTokens) continue;
      DKI_RETURN_IF_ERROR(EmbedGroup(ids, ends, &vectors));
      ids.clear();
      ends.clear();
    }
    return vectors;
  }

 private:
  int max_tokens() const { return std::min(kMaxTokens, config_.max_positions); }

  absl::Status Get(const std::string& name, int rows, int columns, const char** data) const {
    DKI_ASSIGN_OR_RETURN(
        const std::string_view bytes,
        file_.Get(name, "F32", {static_cast<uint64_t>(rows), static_cast<uint64_t>(columns)}));
    *data = bytes.data();
    return absl::OkStatus();
  }

  absl::Status Get(const std::string& name, int n, std::vector<float>* out) const {
    DKI_ASSIGN_OR_RETURN(const std::string_view bytes,
                         file_.Get(name, "F32", {static_cast<uint64_t>(n)}));
    out->resize(n);
    std::memcpy(out->data(), bytes.data(), bytes.size());
    return absl::OkStatus();
  }

  absl::Status Get(const std::string& name, int n_out, int k, kernels::DenseMatrix* out) const {
    const char* data = nullptr;
    DKI_RETURN_IF_ERROR(Get(name + ".weight", n_out, k, &data));
    std::vector<float> bias;
    DKI_RETURN_IF_ERROR(Get(name + ".bias", n_out, &bias));
    *out = kernels::PackDense(data, bias.data(), n_out, k);
    return absl::OkStatus();
  }

  absl::Status Get(const std::string& name, Norm* out) const {
    DKI_RETURN_IF_ERROR(Get(name + ".weight", config_.hidden_dim, &out->weight));
    return Get(name + ".bias", config_.hidden_dim, &out->bias);
  }

  // Calls body(begin, end) for ranges of rows on all threads.
  template <typename F>
  void ForRows(int n_rows, F&& body) {
    pool_.ForRanges(n_rows, kRowGrain, body);
  }

  struct Product {
    const kernels::DenseMatrix& matrix;
    std::vector<float>* y;  // [n, matrix.n_out]
  };
  // The products of one x: [n, k]. `finish(y, n_values)` changes values that lie together in place.
  template <typename F>
  void Apply(const std::vector<float>& x, int n, std::initializer_list<Product> products,
             F&& finish) {
    int n_panels = 0;
    for (const Product& product : products) {
      product.y->resize(size_t{1} * n * product.matrix.n_out);
      n_panels += product.matrix.n_panels();
    }
    pool_.ForRanges(n_panels, 1, [&](int begin, int end) {
      int first = 0;  // of the product, among all panels
      for (const Product& product : products) {
        const kernels::DenseMatrix& m = product.matrix;
        const int from = std::clamp(begin - first, 0, m.n_panels());
        const int to = std::clamp(end - first, 0, m.n_panels());
        first += m.n_panels();
        if (from == to) continue;
        kernels::Dense(isa_, m, x.data(), n, product.y->data(), from, to);
        const int row = from * kernels::kPanelRows;
        const int n_rows = std::min(m.n_out, to * kernels::kPanelRows) - row;
        for (int t = 0; t < n; ++t)
          finish(product.y->data() + size_t{1} * t * m.n_out + row, n_rows);
      }
    });
  }
  void Apply(const std::vector<float>& x, int n, std::initializer_list<Product> products) {
    Apply(x, n, products, [](float*, int) {});
  }

  // x = norm(x + residual), both [n, hidden_dim]; no residual: nullptr.
  void AddAndNorm(const std::vector<float>* residual, const Norm& norm, int n,
                  std::vector<float>* x) {
    const int d = config_.hidden_dim;
    ForRows(n, [&](int begin, int end) {
      float* rows = x->data() + size_t{1} * begin * d;
      if (residual != nullptr) {
        kernels::AddTo(residual->data() + size_t{1} * begin * d, (end - begin) * d, rows);
      }
      kernels::LayerNorm(isa_, rows, norm.weight.data(), norm.bias.data(), config_.norm_epsilon,
                         end - begin, d, rows);
    });
  }

  void LookUp(const std::vector<int32_t>& ids, const std::vector<int>& ends,
              std::vector<float>* x) const {
    const int d = config_.hidden_dim;
    x->resize(ids.size() * d);
    std::vector<float> row(d);
    const auto add = [&](const char* table, size_t index, float* to) {
      std::memcpy(row.data(), table + index * d * sizeof(float), d * sizeof(float));
      kernels::AddTo(row.data(), d, to);
    };
    int begin = 0;
    for (int end : ends) {
      for (int t = begin; t < end; ++t) {
        float* to = x->data() + size_t{1} * t * d;
        std::fill(to, to + d, 0.0f);
        add(word_embeddings_, ids[t], to);
        add(token_types_, 0, to);
        add(positions_, t - begin, to);
      }
      begin = end;
    }
  }

  // Every token of a text sees all of that text: one segment, not causal, without positions.
  void Attend(const std::vector<int>& ends) {
    const int d = config_.hidden_dim, head_dim = d / config_.n_heads;
    pool_.Run([&](int thread) {
      int begin = 0;
      for (int end : ends) {
        const size_t at = size_t{1} * begin * d;
        kernels::KvSegment segment;
        segment.keys = k_.data() + at;
        segment.values = v_.data() + at;
        segment.n_tokens = end - begin;
        kernels::AttentionOp op;
        op.n_rows = end - begin;
        op.n_heads = op.n_kv_heads = config_.n_heads;
        op.head_dim = head_dim;
        op.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
        op.q = q_.data() + at;
        op.out = attended_.data() + at;
        op.segments = &segment;
        op.n_segments = 1;
        kernels::Attention(isa_, op, op.n_units() * thread / pool_.n_threads(),
                           op.n_units() * (thread + 1) / pool_.n_threads());
        begin = end;
      }
    });
  }

  // The texts stand behind each other without padding; only attention knows where one ends, so a
  // text's vector does not depend on its neighbours.
  absl::Status EmbedGroup(const std::vector<int32_t>& ids, const std::vector<int>& ends,
                          std::vector<std::vector<float>>* vectors) {
    const int n = static_cast<int>(ids.size());
    LookUp(ids, ends, &x_);
    AddAndNorm(nullptr, embedding_norm_, n, &x_);
    for (const Layer& layer : layers_) {
      Apply(x_, n, {{layer.query, &q_}, {layer.key, &k_}, {layer.value, &v_}});
      attended_.resize(q_.size());
      Attend(ends);
      Apply(attended_, n, {{layer.attention_out, &y_}});
      AddAndNorm(&y_, layer.attention_norm, n, &x_);
      Apply(x_, n, {{layer.up, &wide_}},
            [this](float* y, int n_values) { kernels::Gelu(isa_, n_values, y); });
      Apply(wide_, n, {{layer.down, &y_}});
      AddAndNorm(&y_, layer.out_norm, n, &x_);
    }
    int begin = 0;
    for (int end : ends) {
      DKI_ASSIGN_OR_RETURN(vectors->emplace_back(), Pool(begin, end));
      begin = end;
    }
    return absl::OkStatus();
  }

  // The mean over the tokens [begin, end), as a unit vector.
  absl::StatusOr<std::vector<float>> Pool(int begin, int end) const {
    const int d = config_.hidden_dim;
    std::vector<double> sum(d);
    for (int t = begin; t < end; ++t) {
      for (int i = 0; i < d; ++i) sum[i] += x_[size_t{1} * t * d + i];
    }
    double squares = 0;
    for (double value : sum) squares += value * value;
    const double length = std::sqrt(squares);
    if (!std::isfinite(length) || length == 0.0) {
      return DataLoss("the embedding model gives a vector of length %g: damaged weights", length);
    }
    std::vector<float> vector(d);
    for (int i = 0; i < d; ++i) vector[i] = static_cast<float>(sum[i] / length);
    return vector;
  }

  const BertConfig config_;
  const SafetensorsFile file_;
  const std::unique_ptr<WordPiece> tokenizer_;
  const kernels::Isa isa_;
  kernels::ThreadPool pool_;
  std::string fingerprint_;

  // Tables of [n, hidden_dim] float32 in the file, perhaps not aligned.
  const char* word_embeddings_ = nullptr;
  const char* positions_ = nullptr;
  const char* token_types_ = nullptr;
  Norm embedding_norm_;
  std::vector<Layer> layers_;

  // Working memory of a group: [n, hidden_dim], wide_: [n, ffn_dim].
  std::vector<float> x_, q_, k_, v_, attended_, y_, wide_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Embedder>> Embedder::Load(const std::string& directory,
                                                         int n_threads) {
  if (n_threads < 0 || n_threads > 1024) {
    return InvalidArgument("n_threads must be from 0 to 1024, got %d", n_threads);
  }
  auto config = ReadConfig(directory + "/config.json");
  if (!config.ok()) return Annotate(config.status(), directory + "/config.json");
  DKI_ASSIGN_OR_RETURN(auto tokenizer, WordPiece::Load(directory + "/vocab.txt"));
  if (tokenizer->vocab_size() > config->vocab_size) {
    return InvalidArgument("%s: vocab.txt has %d pieces, the model %d", directory,
                           tokenizer->vocab_size(), config->vocab_size);
  }
  if (config->max_positions < 3) {
    return InvalidArgument("%s: max_position_embeddings must be at least 3", directory);
  }
  DKI_ASSIGN_OR_RETURN(auto file, SafetensorsFile::Open(directory + "/model.safetensors"));
  DKI_ASSIGN_OR_RETURN(const std::string vocabulary, ReadFile(directory + "/vocab.txt"));
  auto embedder =
      std::make_unique<BertEmbedder>(*config, std::move(file), std::move(tokenizer), n_threads);
  const absl::Status status = embedder->ReadWeights();
  if (!status.ok()) return Annotate(status, directory);
  embedder->Fingerprint(vocabulary);
  return embedder;
}

}  // namespace dki::model
