// SPDX-License-Identifier: Apache-2.0
// How well the rows' queries match other tokens' keys (key_match.h): products of
// matrices, whose elements have one order of summing each, whatever is computed beside them.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "libs/model/forward.h"

namespace dki::model {
namespace {

constexpr int kTokens = 16;
constexpr float kEpsilon = 1e-6f;

// x[n] times this is RMSNorm(x).
float InverseRms(const float* x, int n) {
  float sum = 0.0f;
  for (int i = 0; i < n; ++i) sum += x[i] * x[i];
  return 1.0f / std::sqrt(sum / static_cast<float>(n) + kEpsilon);
}

}  // namespace

// Keys are turned back by their index; the tables serve all layers of a kind.
void ForwardPass::PrepareMatch(Piece* piece) {
  KeyMatch* const match = piece->chunk->match;
  if (match == nullptr) return;
  for (KeyRun& run : match->runs) {
    if (match->rows > 0) continue;
    const double least =
        match->pool == MatchPool::kMax ? -std::numeric_limits<double>::infinity() : 0.0;
    run.scores.assign(size_t{1} * config_.n_layers * run.n_tokens * config_.n_kv_heads, least);
  }
  for (int kind = 0; kind < (config_.window > 0 ? 2 : 1); ++kind) {
    const int n_rot = rope(kind).n_rot;
    for (const KeyRun& run : match->runs) {
      std::vector<float> table(static_cast<size_t>(run.n_tokens) * n_rot);
      pool_.ForRanges(run.n_tokens, kTokens, [&](int begin, int end) {
        for (int j = begin; j < end; ++j) {
          kernels::RopeTable(-(run.begin + j), frequencies_[kind],
                             table.data() + static_cast<size_t>(j) * n_rot);
        }
      });
      piece->key_rotations[kind].push_back(std::move(table));
    }
  }
}

// The queries of a K/V head lie together: [n_kv_heads, n_rows, group, head_dim].
void ForwardPass::MatchKeys(int layer) {
  for (const Piece& piece : pieces_) {
    if (piece.chunk->match == nullptr) continue;
    const int head_dim = config_.head_dim;
    const int n_kv = config_.n_kv_heads;
    const int group = config_.n_heads / n_kv;
    const size_t row_size = static_cast<size_t>(config_.n_heads) * head_dim;
    match_q_.resize(piece.n_rows * row_size);
    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    pool_.ForRanges(piece.n_rows, kTokens, [&](int begin, int end) {
      for (int i = begin * config_.n_heads; i < end * config_.n_heads; ++i) {
        const int row = i / config_.n_heads;
        const int head = i % config_.n_heads;
        const float* q = q_.data() + piece.first_row * row_size + size_t{1} * i * head_dim;
        const float factor = InverseRms(q, head_dim) * scale;
        const size_t to = (size_t{1} * (head / group) * piece.n_rows + row) * group + head % group;
        float* const out = match_q_.data() + to * head_dim;
        for (int c = 0; c < head_dim; ++c) out[c] = q[c] * factor;
      }
    });
    std::vector<std::pair<int, int>> blocks;  // run, first token
    for (size_t r = 0; r < piece.chunk->match->runs.size(); ++r) {
      for (int first = 0; first < piece.chunk->match->runs[r].n_tokens; first += kTokens)
        blocks.emplace_back(static_cast<int>(r), first);
    }
    pool_.ForRanges(static_cast<int>(blocks.size()) * n_kv, 1, [&](int begin, int end) {
      for (int unit = begin; unit < end; ++unit) {
        const auto& [run, first] = blocks[unit / n_kv];
        MatchTokens(piece, layer, run, first, unit % n_kv);
      }
    });
  }
}

// Of the tokens first, ..., first + 15 of a run, with one K/V head.
void ForwardPass::MatchTokens(const Piece& piece, int layer, int run_index, int first,
                              int kv_head) {
  KeyMatch& match = *piece.chunk->match;
  KeyRun& run = match.runs[run_index];
  const int head_dim = config_.head_dim;
  const int n_kv = config_.n_kv_heads;
  const int kind = kind_of(layer);
  const int n_rot = rope(kind).n_rot;
  const int n = std::min(kTokens, run.n_tokens - first);
  float keys[kTokens * kernels::kMaxHeadDim];  // [n, head_dim]
  for (int j = 0; j < n; ++j) {
    float* const key = keys + static_cast<size_t>(j) * head_dim;
    const float* const table =
        piece.key_rotations[kind][run_index].data() + static_cast<size_t>(first + j) * n_rot;
    const float* const rotated = run.kv->keys(layer, run.begin + first + j);
    kernels::ApplyRope(ToPairs(rope(kind).pairing), table, n_rot, 1, head_dim,
                       rotated + static_cast<size_t>(kv_head) * head_dim, key);
    const float factor = InverseRms(key, head_dim);
    for (int c = 0; c < head_dim; ++c) key[c] *= factor;
  }
  const int n_queries = piece.n_rows * (config_.n_heads / n_kv);
  std::vector<float> scores(static_cast<size_t>(n_queries) * n);  // [n_queries, n]
  kernels::MatMul(isa_, {.n_out = n, .k = head_dim, .data = keys},
                  match_q_.data() + size_t{1} * kv_head * n_queries * head_dim, n_queries,
                  scores.data(), 0, n);
  double* const out =
      run.scores.data() + (static_cast<size_t>(layer) * run.n_tokens + first) * n_kv + kv_head;
  for (int j = 0; j < n; ++j) {
    double score = out[static_cast<size_t>(j) * n_kv];
    for (int q = 0; q < n_queries; ++q) {
      const double one = scores[static_cast<size_t>(q) * n + j];
      score = match.pool == MatchPool::kMax ? std::max(score, one) : score + one;
    }
    out[static_cast<size_t>(j) * n_kv] = score;
  }
}

}  // namespace dki::model
