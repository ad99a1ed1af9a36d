// SPDX-License-Identifier: Apache-2.0
// Attention over segments, over Lanes; included once by the file of each instruction set after
// rows_impl.h. The order of tiles and merges is that of kernels/reference/attention.cc.
#pragma once

#include <math.h>

#include "kernels/attention_state.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/rows_impl.h"

namespace {

using dki::kernels::AttentionOp;
using dki::kernels::kAttentionTile;
using dki::kernels::kMaxHeadDim;
using dki::kernels::KvSegment;
using dki::kernels::MergeScales;
using dki::kernels::SoftmaxState;

// Query heads that share a K/V head and are taken together, so that a tile is read from memory
// once.
constexpr int kGroup = 8;

// The tile of one K/V head as floats: in place for F32, converted otherwise.
struct TileView {
  const float* keys;
  const float* values;
  size_t stride;  // floats between tokens
};

struct TileBuffers {
  alignas(64) float keys[kAttentionTile * kMaxHeadDim];
  alignas(64) float values[kAttentionTile * kMaxHeadDim];
};

inline TileView ViewTile(const AttentionOp& op, const KvSegment& segment, int kv_head, int begin,
                         int n, TileBuffers* buffers) {
  const size_t first = static_cast<size_t>(begin) * op.n_kv_heads + kv_head;
  if (segment.format == dki::kernels::DType::kF32) {
    return {static_cast<const float*>(segment.keys) + first * op.head_dim,
            static_cast<const float*>(segment.values) + first * op.head_dim,
            static_cast<size_t>(op.n_kv_heads) * op.head_dim};
  }
  const size_t bytes = 2 * static_cast<size_t>(op.head_dim);  // of F16 and BF16
  for (int j = 0; j < n; ++j) {
    const size_t at = (first + static_cast<size_t>(j) * op.n_kv_heads) * bytes;
    dki::kernels::DequantizeRow(segment.format, static_cast<const char*>(segment.keys) + at,
                                op.head_dim, buffers->keys + static_cast<size_t>(j) * op.head_dim);
    dki::kernels::DequantizeRow(segment.format, static_cast<const char*>(segment.values) + at,
                                op.head_dim,
                                buffers->values + static_cast<size_t>(j) * op.head_dim);
  }
  return {buffers->keys, buffers->values, static_cast<size_t>(op.head_dim)};
}

inline float Dot(const float* a, const float* b, int n) {
  Lanes::F sum = Lanes::Zero();
  int i = 0;
  for (; i + Lanes::kCount <= n; i += Lanes::kCount)
    sum = Lanes::Fma(Lanes::Load(a + i), Lanes::Load(b + i), sum);
  if (i < n) sum = Lanes::Fma(Lanes::LoadFirst(a + i, n - i), Lanes::LoadFirst(b + i, n - i), sum);
  return Lanes::Sum(sum);
}

// The tile's logits into p[n], then exp(logit - m) in their place. Returns (m, d).
inline SoftmaxState TileSoftmax(const AttentionOp& op, const TileView& tile, const float* gates,
                                const float* q, int n, float* p) {
  for (int j = 0; j < n; ++j) p[j] = Dot(q, tile.keys + j * tile.stride, op.head_dim) * op.scale;
  if (gates != nullptr)
    for (int j = 0; j < n; ++j) p[j] += gates[static_cast<size_t>(j) * op.n_kv_heads];
  const int padded = (n + Lanes::kCount - 1) / Lanes::kCount * Lanes::kCount;
  for (int j = n; j < padded; ++j) p[j] = -INFINITY;
  Lanes::F max = Lanes::Load(p);
  for (int j = Lanes::kCount; j < padded; j += Lanes::kCount)
    max = Lanes::Max(max, Lanes::Load(p + j));
  const float m = Lanes::MaxOf(max);
  if (m == -INFINITY) return {};  // every gate is closed
  for (int j = 0; j < padded; j += Lanes::kCount)
    Lanes::Store(p + j, Exp(Lanes::Sub(Lanes::Load(p + j), Lanes::Set(m))));
  for (int j = n; j < padded; ++j) p[j] = 0.0f;
  Lanes::F sum = Lanes::Zero();
  for (int j = 0; j < padded; j += Lanes::kCount) sum = Lanes::Add(sum, Lanes::Load(p + j));
  return {m, Lanes::Sum(sum)};
}

// o = o * scales.into + (sum_j p_j v_j) * scales.other. o: [head_dim, rounded up to lanes].
inline void AddValues(const AttentionOp& op, const TileView& tile, const float* p, int n,
                      MergeScales scales, float* o) {
  constexpr int kTogether = 4;  // independent sums, to hide the latency of the additions
  const Lanes::F into = Lanes::Set(scales.into);
  const Lanes::F other = Lanes::Set(scales.other);
  int c = 0;
  for (; c + kTogether * Lanes::kCount <= op.head_dim; c += kTogether * Lanes::kCount) {
    Lanes::F sum[kTogether];
    for (int i = 0; i < kTogether; ++i) sum[i] = Lanes::Zero();
    for (int j = 0; j < n; ++j) {
      const Lanes::F weight = Lanes::Set(p[j]);
      const float* v = tile.values + j * tile.stride + c;
      for (int i = 0; i < kTogether; ++i)
        sum[i] = Lanes::Fma(weight, Lanes::Load(v + i * Lanes::kCount), sum[i]);
    }
    for (int i = 0; i < kTogether; ++i) {
      float* at = o + c + i * Lanes::kCount;
      Lanes::Store(at, Lanes::Fma(Lanes::Load(at), into, Lanes::Mul(sum[i], other)));
    }
  }
  for (; c < op.head_dim; c += Lanes::kCount) {
    const int left = op.head_dim - c;
    Lanes::F sum = Lanes::Zero();
    for (int j = 0; j < n; ++j) {
      const float* v = tile.values + j * tile.stride + c;
      const Lanes::F value = left < Lanes::kCount ? Lanes::LoadFirst(v, left) : Lanes::Load(v);
      sum = Lanes::Fma(Lanes::Set(p[j]), value, sum);
    }
    Lanes::Store(o + c, Lanes::Fma(Lanes::Load(o + c), into, Lanes::Mul(sum, other)));
  }
}

// The query heads [head, head + n_group) of a row; they share kv_head.
void AttendGroup(const AttentionOp& op, int row, int kv_head, int head, int n_group) {
  alignas(64) float q[kGroup][kMaxHeadDim];
  alignas(64) float o[kGroup][kMaxHeadDim];
  alignas(64) float p[kAttentionTile];
  TileBuffers buffers;  // touched for converted formats only
  SoftmaxState all[kGroup];
  SoftmaxState all_unbiased[kGroup];
  const size_t n_segments = op.n_segments;
  const size_t first = static_cast<size_t>(row) * op.n_heads + head;

  for (int g = 0; g < n_group; ++g)
    for (int c = 0; c < kMaxHeadDim && c < op.head_dim + Lanes::kCount; ++c) o[g][c] = 0.0f;
  for (size_t s = 0; s < n_segments; ++s) {
    const KvSegment& segment = op.segments[s];
    SoftmaxState part[kGroup];
    if (segment.log_alpha != -INFINITY) {
      const float* from = op.q + first * op.head_dim;
      for (int g = 0; g < n_group; ++g, from += op.head_dim) {
        if (segment.rotations == nullptr) {
          for (int c = 0; c < op.head_dim; ++c) q[g][c] = from[c];
        } else {
          dki::kernels::ApplyRope(op.pairs, segment.rotations + static_cast<size_t>(row) * op.n_rot,
                                  op.n_rot, 1, op.head_dim, from, q[g]);
        }
      }
      const int end = segment.begin + segment.n_tokens + (segment.causal ? row : 0);
      int at = segment.begin;
      if (segment.first_visible != nullptr && segment.first_visible[row] > at)
        at = segment.first_visible[row];
      while (at < end) {
        int tile_end = (at / kAttentionTile + 1) * kAttentionTile;
        if (tile_end > end) tile_end = end;
        const int n = tile_end - at;
        const TileView tile = ViewTile(op, segment, kv_head, at, n, &buffers);
        const float* gates =
            segment.log_gates == nullptr
                ? nullptr
                : segment.log_gates + static_cast<size_t>(at) * op.n_kv_heads + kv_head;
        for (int g = 0; g < n_group; ++g) {
          SoftmaxState state = TileSoftmax(op, tile, gates, q[g], n, p);
          if (op.mass != nullptr) Merge(state, &part[g]);
          state.m += segment.log_alpha;
          AddValues(op, tile, p, n, Merge(state, &all[g]), o[g]);
        }
        at = tile_end;
      }
    }
    if (op.mass == nullptr) continue;
    for (int g = 0; g < n_group; ++g) {
      Merge(part[g], &all_unbiased[g]);
      // The totals are not known yet: keep the part where its shares will go.
      double* mass = op.mass + ((first + g) * n_segments + s) * 2;
      mass[0] = part[g].m;
      mass[1] = part[g].d;
    }
  }

  for (int g = 0; g < n_group; ++g) {
    float* out = op.out + (first + g) * op.head_dim;
    const float d = all[g].d;
    for (int c = 0; c < op.head_dim; ++c) out[c] = d == 0.0f ? 0.0f : o[g][c] / d;
    if (op.mass == nullptr) continue;
    for (size_t s = 0; s < n_segments; ++s) {
      double* mass = op.mass + ((first + g) * n_segments + s) * 2;
      SoftmaxState part;
      part.m = static_cast<float>(mass[0]);
      part.d = static_cast<float>(mass[1]);
      mass[1] = Share(part, all_unbiased[g]);
      part.m += op.segments[s].log_alpha;
      mass[0] = Share(part, all[g]);
    }
  }
}

void AttentionItems(const AttentionOp& op, int begin, int step) {
  const int group = op.n_heads / op.n_kv_heads;
  for (int item = begin; item < op.n_rows * op.n_kv_heads; item += step) {
    const int row = item / op.n_kv_heads;
    const int kv_head = item % op.n_kv_heads;
    for (int g = 0; g < group; g += kGroup) {
      const int n = group - g < kGroup ? group - g : kGroup;
      AttendGroup(op, row, kv_head, kv_head * group + g, n);
    }
  }
}

}  // namespace
