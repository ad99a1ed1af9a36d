// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: no bytes may crash the readers of a GGUF file, nor what reads a model and a
// tokenizer from it.
#include <cstddef>
#include <cstdint>

#include "libs/model/gguf.h"
#include "libs/model/gguf_model.h"
#include "libs/model/tokenizer.h"
#include "libs/model/tokenizer_spec.h"
#include "libs/model/weights.h"

namespace dki::model {
namespace {

volatile uint64_t used;

// Reads the ends of every row that a product would read.
void Touch(const kernels::WeightMatrix& w) {
  if (w.data == nullptr) return;
  const size_t n_bytes = kernels::RowBytes(w.dtype, w.k) * w.n_out;
  const auto* bytes = static_cast<const uint8_t*>(w.data);
  used = used + bytes[0] + bytes[n_bytes - 1];
}

void Touch(const GgufFile& file) {
  uint64_t sum = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    for (size_t i = 0; i < tensor.n_bytes; i += 4096) sum += static_cast<uint8_t>(tensor.data[i]);
    if (tensor.n_bytes > 0) sum += static_cast<uint8_t>(tensor.data[tensor.n_bytes - 1]);
    sum += file.GetTensor(tensor.name).ok();
  }
  for (const char* key : {"general.alignment", "tokenizer.ggml.tokens", "k"}) {
    sum += file.GetUint(key).ok() + file.GetFloat(key).ok() + file.GetString(key).ok() +
           file.GetStringArray(key).ok() + file.GetIntArray(key).ok() +
           file.GetFloatArray(key).ok() + file.GetBool(key).ok();
  }
  used = used + sum;
}

void Run(std::string_view bytes) {
  absl::StatusOr<GgufFile> file = GgufFile::Parse(bytes);
  if (!file.ok()) return;
  Touch(*file);
  absl::StatusOr<TokenizerSpec> spec = ReadGgufTokenizer(*file);
  if (spec.ok()) {
    if (const auto tokenizer = MakeTokenizer(*std::move(spec)); tokenizer.ok())
      used = used +
             (*tokenizer)->Decode((*tokenizer)->Encode(" Hello,\n\n  w\xC3\xB6rld \xFF 12")).size();
  }
  const auto model = MakeGgufModel(*std::move(file));
  if (!model.ok()) return;
  const absl::StatusOr<ModelConfig> config = (*model)->ReadConfig();
  if (!config.ok()) return;
  const absl::StatusOr<Weights> weights =
      ReadWeights((*model)->tensors(), (*model)->form(), *config);
  if (!weights.ok()) return;
  Touch(weights->embeddings);
  Touch(weights->output);
  for (const LayerWeights& layer : weights->layers) {
    for (const kernels::WeightMatrix* w : {&layer.q, &layer.k, &layer.v, &layer.attention_output,
                                           &layer.gate, &layer.up, &layer.down})
      Touch(*w);
  }
}

}  // namespace
}  // namespace dki::model

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  dki::model::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
