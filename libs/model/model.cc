// SPDX-License-Identifier: Apache-2.0
#include "libs/model/model.h"

#include <utility>

#include "libs/model/architecture.h"
#include "libs/model/forward.h"
#include "libs/model/gguf.h"
#include "libs/model/packed_weights.h"
#include "libs/model/weights.h"

namespace dki::model {
namespace {

constexpr int kMaxThreads = 1024;

class Transformer : public Model {
 public:
  Transformer(GgufFile file, ModelConfig config, Weights weights, PackedWeights packed,
              kernels::Isa isa, int n_threads)
      : file_(std::move(file)),
        config_(std::move(config)),
        weights_(std::move(weights)),
        packed_(std::move(packed)),
        forward_(&config_, &weights_, isa, n_threads),
        description_(absl::StrFormat("%s, %s activations, %d threads", kernels::Describe(isa),
                                     packed_.size_bytes() > 0 ? "int16" : "float",
                                     forward_.n_threads())) {}

  const ModelConfig& config() const override { return config_; }
  std::string description() const override { return description_; }
  size_t weight_bytes_per_token() const override { return ProductBytes(weights_); }

  absl::StatusOr<std::vector<float>> Forward(std::span<Chunk> chunks) override {
    DKI_RETURN_IF_ERROR(ValidateChunks(chunks, config_));
    return forward_.Run(chunks);
  }

 private:
  GgufFile file_;  // the weights look into it
  ModelConfig config_;
  Weights weights_;
  PackedWeights packed_;
  ForwardPass forward_;
  std::string description_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> Model::Load(const std::string& gguf_path,
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
  DKI_ASSIGN_OR_RETURN(GgufFile file, GgufFile::Open(gguf_path));
  const auto annotate = [&](const absl::Status& status) { return Annotate(status, gguf_path); };
  absl::StatusOr<std::string_view> family = file.GetString("general.architecture");
  if (!family.ok()) return InvalidArgument("%s: general.architecture is missing", gguf_path);
  absl::StatusOr<const Architecture*> architecture = FindArchitecture(*family);
  if (!architecture.ok()) return annotate(architecture.status());
  absl::StatusOr<ModelConfig> config = ReadConfig(file, **architecture);
  if (!config.ok()) return annotate(config.status());
  absl::StatusOr<Weights> weights = ReadWeights(file, **architecture, *config);
  if (!weights.ok()) return annotate(weights.status());
  config->fingerprint = Fingerprint(file);
  PackedWeights packed;
  if (options.activations == "int16" ||
      (options.activations == "auto" && kernels::HasInt16Products(*isa))) {
    kernels::ThreadPool pool(options.n_threads);
    packed = PackedWeights::Pack(&pool, &*weights);
  }
  return std::make_unique<Transformer>(std::move(file), *std::move(config), *std::move(weights),
                                       std::move(packed), *isa, options.n_threads);
}

}  // namespace dki::model
