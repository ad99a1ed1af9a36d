// SPDX-License-Identifier: Apache-2.0
// How well the rows' queries match other tokens' keys (key_match.h). Sixteen tokens side by side,
// so that a score is one sum in the order of the channels.
#include <algorithm>
#include <cmath>
#include <limits>

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

// scores[j] = sum over c of q[c] * keys[c][j].
void Scores(const float* q, const float* keys, int head_dim, float* scores) {
  float sums[kTokens] = {};
  for (int c = 0; c < head_dim; ++c) {
    for (int j = 0; j < kTokens; ++j) sums[j] += q[c] * keys[c * kTokens + j];
  }
  std::copy_n(sums, kTokens, scores);
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

void ForwardPass::MatchKeys(int layer) {
  for (const Piece& piece : pieces_) {
    if (piece.chunk->match == nullptr) continue;
    const int head_dim = config_.head_dim;
    const size_t row_size = static_cast<size_t>(config_.n_heads) * head_dim;
    match_q_.resize(piece.n_rows * row_size);
    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    pool_.ForRanges(piece.n_rows * config_.n_heads, kTokens, [&](int begin, int end) {
      for (int i = begin; i < end; ++i) {
        const float* q = q_.data() + piece.first_row * row_size + size_t{1} * i * head_dim;
        const float factor = InverseRms(q, head_dim) * scale;
        float* const out = match_q_.data() + size_t{1} * i * head_dim;
        for (int c = 0; c < head_dim; ++c) out[c] = q[c] * factor;
      }
    });
    for (size_t r = 0; r < piece.chunk->match->runs.size(); ++r) {
      const int n_blocks = (piece.chunk->match->runs[r].n_tokens + kTokens - 1) / kTokens;
      pool_.ForRanges(n_blocks * config_.n_kv_heads, 1, [&](int begin, int end) {
        for (int unit = begin; unit < end; ++unit) {
          MatchTokens(piece, layer, static_cast<int>(r), unit / config_.n_kv_heads * kTokens,
                      unit % config_.n_kv_heads);
        }
      });
    }
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
  float keys[kernels::kMaxHeadDim * kTokens] = {};  // [head_dim, kTokens]
  for (int j = 0; j < n; ++j) {
    float key[kernels::kMaxHeadDim];
    kernels::ApplyRope(
        ToPairs(rope(kind).pairing),
        piece.key_rotations[kind][run_index].data() + static_cast<size_t>(first + j) * n_rot, n_rot,
        1, head_dim,
        run.kv->keys(layer, run.begin + first + j) + static_cast<size_t>(kv_head) * head_dim, key);
    const float factor = InverseRms(key, head_dim);
    for (int c = 0; c < head_dim; ++c) keys[c * kTokens + j] = key[c] * factor;
  }
  const int group = config_.n_heads / n_kv;
  double* const out =
      run.scores.data() + (static_cast<size_t>(layer) * run.n_tokens + first) * n_kv + kv_head;
  for (int row = 0; row < piece.n_rows; ++row) {
    for (int h = 0; h < group; ++h) {
      const size_t head = static_cast<size_t>(row) * config_.n_heads + kv_head * group + h;
      float scores[kTokens];
      Scores(match_q_.data() + head * head_dim, keys, head_dim, scores);
      for (int j = 0; j < n; ++j) {
        double& score = out[static_cast<size_t>(j) * n_kv];
        score = match.pool == MatchPool::kMax ? std::max<double>(score, scores[j])
                                              : score + scores[j];
      }
    }
  }
}

}  // namespace dki::model
