// SPDX-License-Identifier: Apache-2.0
#include "libs/model/forward.h"

#include <algorithm>
#include <cmath>

#include "kernels/activation.h"
#include "kernels/norm.h"

namespace dki::model {
namespace {

// Rows of W that a thread takes at a time: two tiles, which are unpacked together.
constexpr int kRowsTogether = 2 * kernels::kMatMulTileRows;
// Rows that are worth waking a thread for, in row-wise functions.
constexpr int kRowGrain = 8;

std::vector<double> Frequencies(const RopeConfig& rope) {
  return kernels::RopeFrequencies(rope.theta, rope.n_rot,
                                  rope.factors.empty() ? nullptr : rope.factors.data());
}

// gate = activation(gate) * up, or without up where that is null.
void Activate(kernels::Isa isa, ActivationKind activation, const float* up, int n, float* gate) {
  switch (activation) {
    case ActivationKind::kSilu:
      return kernels::SiluMul(isa, up, n, gate);
    case ActivationKind::kGeluTanh:
      return kernels::GeluTanhMul(isa, up, n, gate);
    case ActivationKind::kGelu:
      kernels::Gelu(isa, n, gate);
      for (int i = 0; up != nullptr && i < n; ++i) gate[i] *= up[i];
  }
}

}  // namespace

kernels::RopePairs ToPairs(RopePairing pairing) {
  return pairing == RopePairing::kInterleaved ? kernels::RopePairs::kInterleaved
                                              : kernels::RopePairs::kHalves;
}

ForwardPass::ForwardPass(const ModelConfig* config, const Weights* weights, kernels::Isa isa,
                         int n_threads)
    : config_(*config),
      weights_(*weights),
      isa_(isa),
      frequencies_{Frequencies(config->rope), Frequencies(config->window_rope)},
      pool_(n_threads) {}

std::vector<float> ForwardPass::Run(std::span<Chunk> chunks) {
  Prepare(chunks);
  if (n_rows_ == 0) return {};
  Embed();
  RunLayers(0, config_.n_layers);
  return Finish();
}

void ForwardPass::RunLayers(int begin, int end) {
  const int hidden = config_.hidden_dim;
  for (int layer = begin; layer < end; ++layer) {
    const LayerWeights& w = weights_.layers[layer];
    Normalize(x_.data(), w.attention_norm, n_rows_, hidden, xn_.data());
    const Product qkv[] = {
        {&w.q, w.q_bias, q_.data()}, {&w.k, w.k_bias, k_.data()}, {&w.v, w.v_bias, v_.data()}};
    Multiply(qkv, xn_.data(), n_rows_);
    const int head_dim = config_.head_dim;
    Normalize(q_.data(), w.q_norm, n_rows_ * config_.n_heads, head_dim, q_.data());
    Normalize(k_.data(), w.k_norm, n_rows_ * config_.n_kv_heads, head_dim, k_.data());
    StoreKv(layer);
    RoundKv(layer);
    EncodeFullPages(layer);
    MatchKeys(layer);
    Attend(layer);
    const Product output{&w.attention_output, w.attention_output_bias, y_.data()};
    Multiply({&output, 1}, attended_.data(), n_rows_);
    Normalize(y_.data(), w.attention_post_norm, n_rows_, hidden, y_.data());
    // In parallel, the feed-forward block reads the stream as it was.
    if (!config_.parallel_residual) AddResidual();
    Normalize(x_.data(), w.ffn_norm, n_rows_, hidden, xn_.data());
    if (config_.parallel_residual) AddResidual();
    FeedForward(w);
    Normalize(y_.data(), w.ffn_post_norm, n_rows_, hidden, y_.data());
    AddResidual();
  }
}

std::vector<float> ForwardPass::Finish() {
  std::vector<float> logits = Logits();
  for (Piece& piece : pieces_) {
    piece.chunk->context->Resize(piece.first_index + piece.n_rows);
    if (piece.chunk->rounded.kv != nullptr) piece.chunk->rounded.kv->Resize(piece.n_rows);
    if (piece.chunk->mass != nullptr) piece.chunk->mass->rows += piece.n_rows;
    if (piece.chunk->match != nullptr) piece.chunk->match->rows += piece.n_rows;
  }
  return logits;
}

std::shared_ptr<ForwardPass::Batch> ForwardPass::Start(std::span<Chunk> chunks) {
  Prepare(chunks);
  Embed();
  auto batch = std::make_shared<Batch>();
  batch->key_rotations = key_rotations_;
  Swap(batch.get());
  return batch;
}

int ForwardPass::LayersLeft(const Batch& batch) const {
  return config_.n_layers - batch.next_layer;
}

void ForwardPass::RunLayers(int n_layers, Batch* batch) {
  const int begin = batch->next_layer;
  batch->next_layer = std::min(begin + n_layers, config_.n_layers);
  Swap(batch);
  RunLayers(begin, batch->next_layer);
  Swap(batch);
}

std::vector<float> ForwardPass::Finish(Batch* batch) {
  Swap(batch);
  return Finish();
}

void ForwardPass::Swap(Batch* batch) {
  pieces_.swap(batch->pieces);
  std::swap(n_rows_, batch->n_rows);
  x_.swap(batch->x);
}

void ForwardPass::Prepare(std::span<Chunk> chunks) {
  pieces_.clear();
  pieces_.resize(chunks.size());
  n_rows_ = 0;
  for (size_t c = 0; c < chunks.size(); ++c) {
    Piece& piece = pieces_[c];
    piece.chunk = &chunks[c];
    piece.first_row = n_rows_;
    piece.n_rows = static_cast<int>(chunks[c].tokens.size());
    piece.first_index = chunks[c].context->size();
    n_rows_ += piece.n_rows;
    KvBuffer& context = *chunks[c].context;
    const int n_tokens = piece.first_index + piece.n_rows;
    context.Reserve(n_tokens);
    if (chunks[c].rounded.kv != nullptr) chunks[c].rounded.kv->Reserve(n_tokens);
    // Pages that will be full are to be read as codes from the next page on.
    for (int page = piece.first_index / kPageTokens; page * kPageTokens < n_tokens; ++page) {
      context.pages()[page]->DropCodes();
      if (context.shape().codec.codes_any() && (page + 1) * kPageTokens <= n_tokens)
        context.pages()[page]->MakeCodes();
    }
  }
  PrepareKeyRotations();
  for (Piece& piece : pieces_) {
    PrepareAttention(&piece);
    PrepareMatch(&piece);
  }

  const size_t rows = n_rows_;
  const auto grow = [](std::vector<float>* v, size_t n) {
    if (v->size() < n) v->resize(n);
  };
  const size_t q_dim = static_cast<size_t>(config_.n_heads) * config_.head_dim;
  const size_t kv_dim = static_cast<size_t>(config_.n_kv_heads) * config_.head_dim;
  for (std::vector<float>* v : {&x_, &xn_, &y_}) grow(v, rows * config_.hidden_dim);
  for (std::vector<float>* v : {&q_, &attended_}) grow(v, rows * q_dim);
  for (std::vector<float>* v : {&k_, &v_}) grow(v, rows * kv_dim);
  for (std::vector<float>* v : {&gate_, &up_}) grow(v, rows * config_.ffn_dim);
}

void ForwardPass::Embed() {
  const kernels::WeightMatrix& w = weights_.embeddings;
  const size_t row_bytes = kernels::RowBytes(w.dtype, w.k);
  for (const Piece& piece : pieces_) {
    for (int i = 0; i < piece.n_rows; ++i) {
      kernels::DequantizeRow(w.dtype,
                             static_cast<const char*>(w.data) + piece.chunk->tokens[i] * row_bytes,
                             w.k, x_.data() + static_cast<size_t>(piece.first_row + i) * w.k);
    }
  }
  if (config_.embedding_scale != 1.0f) {
    const size_t n = static_cast<size_t>(n_rows_) * w.k;
    for (size_t i = 0; i < n; ++i) x_[i] *= config_.embedding_scale;
  }
}

// From xn_ to y_. Without a gate, up is what is activated.
void ForwardPass::FeedForward(const LayerWeights& w) {
  const bool gated = w.gate.data != nullptr;
  const Product gate_up[] = {{gated ? &w.gate : &w.up, gated ? nullptr : w.up_bias, gate_.data()},
                             {&w.up, w.up_bias, up_.data()}};
  const std::span<const Product> products(gate_up, gated ? 2 : 1);
  QuantizeFor(products, xn_.data(), n_rows_);
  const int ffn = config_.ffn_dim;
  pool_.ForRanges(ffn, kRowsTogether, [&](int begin, int end) {
    for (const Product& product : products) MultiplyRows(product, xn_.data(), n_rows_, begin, end);
    for (int row = 0; row < n_rows_; ++row) {
      const size_t at = static_cast<size_t>(row) * ffn + begin;
      Activate(isa_, config_.activation, gated ? up_.data() + at : nullptr, end - begin,
               gate_.data() + at);
    }
  });
  const Product down{&w.down, w.down_bias, y_.data()};
  Multiply({&down, 1}, gate_.data(), n_rows_);
}

std::vector<float> ForwardPass::Logits() {
  const size_t hidden = config_.hidden_dim;
  int n_wanted = 0;
  for (const Piece& piece : pieces_) {
    const LogitsWanted wanted = piece.chunk->logits;
    const int n = wanted == LogitsWanted::kNone   ? 0
                  : wanted == LogitsWanted::kLast ? 1
                                                  : piece.n_rows;
    // Rows only ever move towards the front.
    const size_t from = (piece.first_row + piece.n_rows - n) * hidden;
    std::copy_n(x_.data() + from, n * hidden, x_.data() + n_wanted * hidden);
    n_wanted += n;
  }
  std::vector<float> logits(static_cast<size_t>(n_wanted) * config_.vocab_size);
  if (n_wanted == 0) return logits;
  Normalize(x_.data(), weights_.output_norm, n_wanted, config_.hidden_dim, xn_.data());
  const Product output{&weights_.output, nullptr, logits.data()};
  Multiply({&output, 1}, xn_.data(), n_wanted);
  return logits;
}

void ForwardPass::Normalize(const float* x, const NormWeights& norm, int n_rows, int n,
                            float* out) {
  if (norm.weight == nullptr) return;
  pool_.ForRanges(n_rows, kRowGrain, [&](int begin, int end) {
    const size_t at = static_cast<size_t>(begin) * n;
    if (config_.norm == NormKind::kRms) {
      kernels::RmsNorm(isa_, x + at, norm.weight, config_.norm_epsilon, end - begin, n, out + at);
    } else {
      kernels::LayerNorm(isa_, x + at, norm.weight, norm.bias, config_.norm_epsilon, end - begin, n,
                         out + at);
    }
  });
}

void ForwardPass::AddResidual() {
  const int n = config_.hidden_dim;
  pool_.ForRanges(n_rows_, kRowGrain, [&](int begin, int end) {
    const size_t at = static_cast<size_t>(begin) * n;
    kernels::AddTo(y_.data() + at, (end - begin) * n, x_.data() + at);
  });
}

void ForwardPass::QuantizeFor(std::span<const Product> products, const float* x, int n_rows) {
  const bool needed =
      std::ranges::any_of(products, [](const Product& p) { return p.w->packed != nullptr; });
  if (!needed) return;
  quantized_.Resize(n_rows, products[0].w->k);
  pool_.ForRanges(n_rows, kRowGrain, [&](int begin, int end) {
    kernels::QuantizeActivations(isa_, x, begin, end, &quantized_);
  });
}

void ForwardPass::MultiplyRows(const Product& product, const float* x, int n_rows, int begin,
                               int end) {
  const kernels::WeightMatrix& w = *product.w;
  if (w.packed != nullptr)
    kernels::MatMulInt16(isa_, w, quantized_, n_rows, product.y, begin, end);
  else
    kernels::MatMul(isa_, w, x, n_rows, product.y, begin, end);
  if (product.bias == nullptr) return;
  for (int row = 0; row < n_rows; ++row)
    kernels::AddTo(product.bias + begin, end - begin,
                   product.y + static_cast<size_t>(row) * w.n_out + begin);
}

// One job of the team for all products of the group: waking it costs more than a small product.
void ForwardPass::Multiply(std::span<const Product> products, const float* x, int n_rows) {
  QuantizeFor(products, x, n_rows);
  const auto units = [](const Product& p) {
    return (p.w->n_out + kRowsTogether - 1) / kRowsTogether;
  };
  int total = 0;
  for (const Product& product : products) total += units(product);
  pool_.ForRanges(total, 1, [&](int begin, int end) {
    for (const Product& product : products) {
      const int n = units(product);
      const int first = std::clamp(begin, 0, n);
      const int last = std::clamp(end, 0, n);
      if (first < last)
        MultiplyRows(product, x, n_rows, first * kRowsTogether,
                     std::min(last * kRowsTogether, product.w->n_out));
      begin -= n;
      end -= n;
    }
  });
}

}  // namespace dki::model
