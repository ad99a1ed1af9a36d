// SPDX-License-Identifier: Apache-2.0
// Purpose: the transformer. Everything that the product does with attention is one operation: the
// rows of a chunk
//   attend over a list of K/V segments (design section 3), then causally over the chunk's own
//   running context.
// Thread-safety: Forward may be called from one thread at a time; everything else is const and
// thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "libs/base/status.h"
#include "libs/model/config.h"
#include "libs/model/key_match.h"
#include "libs/model/kv_buffer.h"
#include "libs/model/layer_gates.h"
#include "libs/model/plane_codec.h"

namespace dki::model {

// A run of K/V that a chunk attends to as a whole (not causally): token j of the buffer, begin <= j
// < begin + n_tokens, sits at the absolute position offset + j. The offset is real: nothing is
// copied or re-rotated, the query is rotated into the segment's frame.
struct Segment {
  const KvBuffer* kv = nullptr;
  int begin = 0;
  int n_tokens = 0;
  double offset = 0.0;
  // Weight alpha of the segment: its logits get the bias ln(alpha). 1 is neutral; 0 skips the
  // segment altogether.
  double alpha = 1.0;
  // What the tokens weigh beside that, layer by layer; null: 1. Must outlive the call.
  const LayerGates* gates = nullptr;
};

// How much attention each segment of a chunk received from each query head. Sums over rows of the
// softmax mass; the last column is the chunk's own context. Divide by rows for the mean.
struct AttentionMass {
  int n_layers = 0;
  int n_heads = 0;
  int n_columns = 0;  // segments + 1
  int64_t rows = 0;   // tokens accumulated
  // [n_layers, n_heads, n_columns]: with the weights alpha, which is what the answer saw, and as if
  // every alpha were 1.
  std::vector<double> biased;
  std::vector<double> unbiased;

  size_t size() const { return static_cast<size_t>(n_layers) * n_heads * n_columns; }
  size_t at(int layer, int head, int column) const {
    return (static_cast<size_t>(layer) * n_heads + head) * n_columns + column;
  }
};

// How the weights of segments act (design section 3). Segments of weight 1 are as the context.
enum class AttentionLaw {
  kBias,   // ln(alpha) on their logits
  kBlend,  // alpha * A(everything) + (1 - alpha) * A(all but them); alpha at most 1
  // Their values times alpha: what the seeds did, for comparison. The rest of the attention is
  // lost, so small alpha does not approach the model without them.
  kValues,
};
struct AttentionRule {
  AttentionLaw law = AttentionLaw::kBias;
  // Layers [first_layer, end_layer) in which the weights hold; in others each segment (whose weight
  // is not 0) weighs 1.
  int first_layer = 0;
  int end_layer = std::numeric_limits<int>::max();

  bool operator==(const AttentionRule&) const = default;
};

enum class LogitsWanted { kNone, kLast, kAll };

// A chunk's K/V as it will be when it has been stored in a format that loses some of it.
struct RoundedKv {
  const PlaneCodec* codec = nullptr;
  kernels::KvFormat format = kernels::KvFormat::kF32;
  KvBuffer* kv = nullptr;  // null: there is none
};

// A piece of one sequence. Its K/V is appended to `context`; token i of the chunk has the index
// context->size() + i there and sits at the absolute position context_offset + that index. A
// segment may refer to the context of another chunk earlier in the same Forward call (with the size
// that it will have): lines of a pack are computed jointly this way.
struct Chunk {
  std::span<const int32_t> tokens;
  KvBuffer* context = nullptr;
  double context_offset = 0.0;
  std::vector<Segment> segments;  // attended in this order, before the context
  AttentionRule rule = {};        // with another law than kBias, one weight beside 0 and 1 at most
  LogitsWanted logits = LogitsWanted::kLast;
  AttentionMass* mass = nullptr;  // added to when set
  KeyMatch* match = nullptr;      // the same
  // When set, the chunk's K/V goes into rounded.kv as PlaneCodec::Round leaves it, layer by layer,
  // and chunks later in the call may attend to that in place of `context`: they see what will be
  // kept, as if it had been read from there. The chunk itself attends to what it computed. Both
  // buffers are empty before the call.
  RoundedKv rounded = {};
};

struct ModelOptions {
  int n_threads = 0;         // 0: one per core
  std::string isa = "auto";  // auto, reference, plain, avx2, avx512
  // Activations in products with quantised matrices: "float", "int16" (16-bit integers in blocks of
  // 32; faster, and off by about 3e-4 of the largest logit), or "auto": int16 where `isa` has the
  // instructions.
  std::string activations = "auto";
  // What full pages of a running context are read in (ParseKvCodec): "f32", "int8", "int4/int8".
  std::string kv_format = "f32";
};

// A forward pass that is run a few layers at a time, so that other passes may come in between: long
// prompts are read beside answers that must not wait for them. The results are those of Forward, to
// the bit. Abandoned by destroying it; then the chunks' contexts are as they were (but not what
// `mass` points to). Until it is finished or destroyed, the chunks, their contexts and segments
// must live, and nobody else may write to those contexts; the K/V of the layers that have been run
// stands there behind the tokens that they hold, and may be read. Thread-safety: as of the model
// that made it, which must outlive it.
class LayeredForward {
 public:
  virtual ~LayeredForward() = default;
  virtual int layers_left() const = 0;
  virtual void Run(int n_layers) = 0;
  // The logits; the contexts have grown. Once. REQUIRES: layers_left() == 0.
  virtual std::vector<float> Finish() = 0;
};

class Model {
 public:
  // Maps a GGUF file, or a folder as Hugging Face writes it, and checks all of it that is used.
  // INVALID_ARGUMENT for a malformed or unsupported file.
  static absl::StatusOr<std::unique_ptr<Model>> Load(const std::string& path,
                                                     const ModelOptions& options);
  virtual ~Model() = default;

  virtual const ModelConfig& config() const = 0;
  KvShape kv_shape() const {
    return {config().n_layers, config().n_kv_heads, config().head_dim, config().kv_codec};
  }
  // What was picked at start, e.g. "avx512 (vnni), float activations, 2 threads".
  virtual std::string description() const = 0;
  // Bytes of weights that the products of one token read: with the bandwidth of the memory, the
  // limit of decoding.
  virtual size_t weight_bytes_per_token() const = 0;

  // The token's row of the table of embeddings as floats, not scaled. row: [hidden_dim]. REQUIRES:
  // a token of the vocabulary.
  virtual void EmbeddingRow(int32_t token, std::span<float> row) const = 0;

  // Runs the chunks through all layers. Returns the logits [rows wanted, vocab_size] of the chunks
  // in order (none, the last token's, or every token's). The result of a token depends on its own
  // context only (P11): not on how its sequence was cut into chunks, what else is in the batch, or
  // the number of threads. INVALID_ARGUMENT: a token id outside the vocabulary, an empty chunk, a
  // context beyond the window or of two chunks, a segment beyond the tokens that its buffer holds,
  // an alpha that is negative or not finite, gates of another
  // shape, a rounded chunk that has a beginning.
  // FAILED_PRECONDITION: a placement that the model does not support
  // (ModelConfig::supports_placement). The chunks' contexts are unchanged on error.
  virtual absl::StatusOr<std::vector<float>> Forward(std::span<Chunk> chunks) = 0;
  // The same, in parts.
  virtual absl::StatusOr<std::unique_ptr<LayeredForward>> StartForward(std::span<Chunk> chunks) = 0;
  // Calls body(i) for i = 0 .. n - 1, at the same time on the threads of Forward, which must not
  // run meanwhile: for work on its results. Here: one after the other.
  virtual void ForEach(int n, const std::function<void(int)>& body) {
    for (int i = 0; i < n; ++i) body(i);
  }
};

}  // namespace dki::model
