// SPDX-License-Identifier: Apache-2.0
#include "libs/model/model.h"

#include <utility>

#include "libs/base/check.h"
#include "libs/base/sha256.h"
#include "libs/model/forward.h"
#include "libs/model/model_files.h"
#include "libs/model/packed_weights.h"
#include "libs/model/weights.h"

namespace dki::model {
namespace {

constexpr int kMaxThreads = 1024;

// What the products are made of: with the model itself, all that K/V depends on.
std::string ComputePath(kernels::Isa isa, const PackedWeights& packed) {
  return kernels::Describe(isa) +
         (packed.size_bytes() > 0 ? ", int16 activations" : ", float activations");
}

class TransformerPass : public LayeredForward {
 public:
  TransformerPass(ForwardPass* forward, std::span<Chunk> chunks)
      : forward_(forward), batch_(forward->Start(chunks)) {}
  int layers_left() const override { return forward_->LayersLeft(*batch_); }
  void Run(int n_layers) override { forward_->RunLayers(n_layers, batch_.get()); }
  std::vector<float> Finish() override { return forward_->Finish(batch_.get()); }

 private:
  ForwardPass* const forward_;
  const std::shared_ptr<ForwardPass::Batch> batch_;
};

class Transformer : public Model {
 public:
  Transformer(std::unique_ptr<ModelFiles> files, ModelConfig config, Weights weights,
              PackedWeights packed, kernels::Isa isa, int n_threads)
      : files_(std::move(files)),
        config_(std::move(config)),
        weights_(std::move(weights)),
        packed_(std::move(packed)),
        forward_(&config_, &weights_, isa, n_threads),
        description_(absl::StrFormat("%s, %s context, %d threads", ComputePath(isa, packed_),
                                     Name(config_.kv_codec), forward_.n_threads())) {}

  const ModelConfig& config() const override { return config_; }
  std::string description() const override { return description_; }
  size_t weight_bytes_per_token() const override { return ProductBytes(weights_); }
  void EmbeddingRow(int32_t token, std::span<float> row) const override {
    DKI_CHECK(token >= 0 && token < config_.vocab_size &&
              std::cmp_equal(row.size(), config_.hidden_dim));
    const kernels::WeightMatrix& w = weights_.embeddings;
    kernels::DequantizeRow(
        w.dtype, static_cast<const char*>(w.data) + token * kernels::RowBytes(w.dtype, w.k), w.k,
        row.data());
  }

  absl::StatusOr<std::vector<float>> Forward(std::span<Chunk> chunks) override {
    DKI_RETURN_IF_ERROR(ValidateChunks(chunks, config_));
    return forward_.Run(chunks);
  }
  absl::StatusOr<std::unique_ptr<LayeredForward>> StartForward(std::span<Chunk> chunks) override {
    DKI_RETURN_IF_ERROR(ValidateChunks(chunks, config_));
    return std::make_unique<TransformerPass>(&forward_, chunks);
  }
  void ForEach(int n, const std::function<void(int)>& body) override { forward_.ForEach(n, body); }

 private:
  std::unique_ptr<ModelFiles> files_;  // the weights look into them
  ModelConfig config_;
  Weights weights_;
  PackedWeights packed_;
  ForwardPass forward_;
  std::string description_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> Model::Load(const std::string& path,
                                                   const ModelOptions& options) {
  const std::optional<kernels::Isa> isa = kernels::ChooseIsa(options.isa);
  if (!isa.has_value()) {
    return InvalidArgument(
        "isa is \"%s\", it must be auto, reference, plain, avx2 or avx512, and one of this CPU's",
        options.isa);
  }
  if (options.activations != "auto" && options.activations != "float" &&
      options.activations != "int16") {
    return InvalidArgument("activations is \"%s\", it must be auto, float or int16",
                           options.activations);
  }
  if (options.n_threads < 0 || options.n_threads > kMaxThreads) {
    return InvalidArgument("n_threads is %d, it must be between 0 and %d", options.n_threads,
                           kMaxThreads);
  }
  DKI_ASSIGN_OR_RETURN(KvCodec kv_codec, ParseKvCodec(options.kv_format));
  DKI_ASSIGN_OR_RETURN(std::unique_ptr<ModelFiles> files, ModelFiles::Open(path));
  absl::StatusOr<ModelConfig> config = files->ReadConfig();
  if (!config.ok()) return Annotate(config.status(), path);
  absl::StatusOr<Weights> weights = ReadWeights(files->tensors(), files->form(), *config);
  if (!weights.ok()) return Annotate(weights.status(), path);
  config->fingerprint = files->Fingerprint();
  if (kv_codec.key_groups == kernels::KeyGroups::kChannelFirst && config->window > 0)
    return InvalidArgument(
        "kv_format is \"%s\": %s has two rotations, it must not be channel_first",
        options.kv_format, path);
  kv_codec.pairs = ToPairs(config->rope.pairing);
  kv_codec.n_rot = config->rope.n_rot;
  config->kv_codec = kv_codec;
  PackedWeights packed;
  if (options.activations == "int16" ||
      (options.activations == "auto" && kernels::HasInt16Products(*isa))) {
    kernels::ThreadPool pool(options.n_threads);
    packed = PackedWeights::Pack(&pool, &*weights);
  }
  config->kv_fingerprint = Sha256Hex(config->fingerprint + ComputePath(*isa, packed));
  return std::make_unique<Transformer>(std::move(files), *std::move(config), *std::move(weights),
                                       std::move(packed), *isa, options.n_threads);
}

}  // namespace dki::model
