// SPDX-License-Identifier: Apache-2.0
// Purpose: the forward pass over a batch of chunks. Rows of all chunks share the matrix products;
// attention is per row, over the chunk's segments and then its own context.
// Thread-safety: thread-compatible. Ownership: borrows configuration and weights, owns the team of
// threads and the memory of the activations, which is kept between calls.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/attention.h"
#include "kernels/isa.h"
#include "kernels/matmul.h"
#include "kernels/matmul_int16.h"
#include "kernels/thread_pool.h"
#include "libs/base/status.h"
#include "libs/model/config.h"
#include "libs/model/model.h"
#include "libs/model/weights.h"

namespace dki::model {

// Everything that Forward refuses, before anything is touched.
absl::Status ValidateChunks(std::span<const Chunk> chunks, const ModelConfig& config);

kernels::RopePairs ToPairs(RopePairing pairing);

class ForwardPass {
 public:
  // `config` and `weights` must outlive the result. Packed matrices are multiplied with 16-bit
  // activations, others with float.
  ForwardPass(const ModelConfig* config, const Weights* weights, kernels::Isa isa, int n_threads);

  // See Model::Forward. REQUIRES: ValidateChunks.
  std::vector<float> Run(std::span<Chunk> chunks);

  // The same in parts, with other passes in between. `chunks` must outlive the batch.
  struct Batch;
  std::shared_ptr<Batch> Start(std::span<Chunk> chunks);
  int LayersLeft(const Batch& batch) const;
  void RunLayers(int n_layers, Batch* batch);
  std::vector<float> Finish(Batch* batch);

  int n_threads() const { return pool_.n_threads(); }
  // See Model::ForEach.
  void ForEach(int n, const std::function<void(int)>& body) {
    pool_.ForRanges(n, 1, [&](int begin, int end) {
      for (int i = begin; i < end; ++i) body(i);
    });
  }

 private:
  // What some rows see in the layers of one kind, as the kernels take it: a segment a page, the
  // last of them causal.
  struct View {
    std::vector<kernels::KvSegment> segments;
    std::vector<const KvPage*> pages;  // of `segments`
    std::vector<KvCodes*> codes;       // of `segments`, null where the floats are read
    std::vector<int> columns;  // of `segments`: the chunk's segment that the page belongs to
    std::vector<int> firsts;   // of `segments`: the index in its buffer of the page's first token
    // [segments.size(), n] where the layers are windowed: the first token of a page that a row sees
    std::vector<int> first_visible;
    std::vector<double> mass;  // [n, n_heads, segments.size(), 2]
    kernels::AttentionOp op;   // of the layer at hand
  };
  // Rows of a chunk whose own tokens lie in one page of the context.
  struct Rows {
    int first = 0;  // in the chunk
    int n = 0;
    View views[2];  // of full and of windowed layers
  };
  // A chunk's place in the batch.
  struct Piece {
    Chunk* chunk = nullptr;
    int first_row = 0;
    int n_rows = 0;
    int first_index = 0;  // of its first token in the context
    // Of full and of windowed layers: [n_segments + 1, n_rows, n_rot]; the context's come last.
    std::vector<float> rotations[2];
    // Of each run of chunk->match, its keys' rotations back: [n_tokens, n_rot].
    std::vector<std::vector<float>> key_rotations[2];
    std::vector<Rows> rows;
  };
  // One product of a group that shares its input.
  struct Product {
    const kernels::WeightMatrix* w;
    const float* bias;  // or null
    float* y;           // [n_rows, w->n_out]
  };

  void Prepare(std::span<Chunk> chunks);
  void RunLayers(int begin, int end);
  std::vector<float> Finish();
  // Exchanges what a batch needs to go on with what the members hold.
  void Swap(Batch* batch);
  void PrepareAttention(Piece* piece);
  void Rotate(int kind, Piece* piece);
  void PrepareView(const Piece& piece, const Rows& rows, int kind, View* view);
  static void Window(double position, int window, int n_rows, View* view);
  // The codes of a full page, made if it has none yet.
  KvCodes* CodesOf(KvPage* page, int page_index);
  void EncodeFullPages(int layer);
  void PrepareKeyRotations();
  // Of the keys of a page, see kernels::KvSegment; or null where none were prepared.
  const float* KeyRotationsOf(int page_index) const;
  void Embed();
  void Attend(int layer);
  // What the chunks' rules want otherwise in this layer (forward_rule.cc): before and after.
  void SetWeights(int layer);
  void ApplyLaws(int layer);
  void ApplyLaw(const Piece& piece, Rows* rows, int layer);
  // forward_match.cc:
  void PrepareMatch(Piece* piece);
  void MatchKeys(int layer);
  void MatchTokens(const Piece& piece, int layer, int run_index, int first, int kv_head);
  void StoreKv(int layer);
  void RoundKv(int layer);
  void FeedForward(const LayerWeights& w);
  std::vector<float> Logits();

  // Rows of x, [n_rows, n], normalised into `out`, which may be x. No weight: nothing is done.
  void Normalize(const float* x, const NormWeights& norm, int n_rows, int n, float* out);
  const RopeConfig& rope(int kind) const { return kind == 0 ? config_.rope : config_.window_rope; }
  int kind_of(int layer) const { return config_.is_windowed(layer) ? 1 : 0; }
  // x_ += y_ for all rows.
  void AddResidual();
  void Multiply(std::span<const Product> products, const float* x, int n_rows);
  // The rows of one product that a thread computes.
  void MultiplyRows(const Product& product, const float* x, int n_rows, int begin, int end);
  void QuantizeFor(std::span<const Product> products, const float* x, int n_rows);

  const ModelConfig& config_;
  const Weights& weights_;
  const kernels::Isa isa_;
  const std::vector<double> frequencies_[2];  // of full and of windowed layers
  kernels::ThreadPool pool_;

  // Rows' attention in the batch: its units lie one after the other from `begin` on.
  struct DealtOp {
    kernels::AttentionOp op;
    int64_t begin;
    int64_t unit;  // length of a unit
  };

  std::vector<Piece> pieces_;
  std::vector<DealtOp> ops_;
  int n_rows_ = 0;
  std::vector<float> x_;          // [n_rows, hidden_dim] the residual stream
  std::vector<float> xn_;         // [n_rows, hidden_dim] normalised
  std::vector<float> y_;          // [n_rows, hidden_dim] what is added to it next
  std::vector<float> q_, k_, v_;  // [n_rows, heads * head_dim]
  std::vector<float> attended_;   // [n_rows, n_heads * head_dim]
  std::vector<float> gate_, up_;  // [n_rows, ffn_dim]
  std::vector<float> match_q_;    // [rows of a piece, n_heads, head_dim] normalised
  kernels::QuantizedActivations quantized_;
  // Of as many pages as were needed so far.
  std::shared_ptr<const std::vector<float>> key_rotations_;
};

// What a pass keeps from layer to layer. The rest of the members is scratch memory.
struct ForwardPass::Batch {
  std::vector<Piece> pieces;
  int n_rows = 0;
  std::vector<float> x;
  int next_layer = 0;
  std::shared_ptr<const std::vector<float>> key_rotations;  // that `pieces` point into
};

}  // namespace dki::model
