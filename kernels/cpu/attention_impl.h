// SPDX-License-Identifier: Apache-2.0
// Attention over segments, over Lanes; included once by the file of each instruction set. The order
// of tiles and merges is that of kernels/reference/attention.cc. A block of rows is taken together
// with the query heads that share a K/V head: a tile is read and prepared once for all of them, and
// each then does with it what it would do alone.
#pragma once

#include <math.h>

#include "kernels/attention_state.h"
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/exp.h"
#include "kernels/cpu/quantised_tile.h"

namespace {

using dki::kernels::kAttentionRowBlock;
using dki::kernels::MergeScales;
using dki::kernels::SoftmaxState;

constexpr int kGroup = 8;  // query heads of a K/V head that are taken together
constexpr int kMaxQueries = kAttentionRowBlock * kGroup;

// Query r * n_heads + h is head first_head + h of row first_row + r.
struct QueryBlock {
  int first_row;
  int n_rows;
  int kv_head;
  int first_head;
  int n_heads;
  int stride;  // head_dim, padded
  int n() const { return n_rows * n_heads; }

  alignas(64) float q[kMaxQueries * kMaxHeadDim];
  alignas(64) float o[kMaxQueries * kMaxHeadDim];
  alignas(64) float p[kMaxQueries * kAttentionTile];
  alignas(64) float keys[kMaxHeadDim * kAttentionTile];
  alignas(64) float values[kAttentionTile * kMaxHeadDim];
  MergeScales scales[kMaxQueries];
  SoftmaxState part[kMaxQueries];  // of the segment at hand
  SoftmaxState all[kMaxQueries];
  SoftmaxState all_unbiased[kMaxQueries];
};

inline size_t HeadIndex(const AttentionOp& op, const QueryBlock& block, int query) {
  const int row = block.first_row + query / block.n_heads;
  return static_cast<size_t>(row) * op.n_heads + block.first_head + query % block.n_heads;
}

// The queries in the segment's frame, times op.scale.
void RotateQueries(const AttentionOp& op, const KvSegment& segment, QueryBlock* block) {
  for (int i = 0; i < block->n(); ++i) {
    const float* from = op.q + HeadIndex(op, *block, i) * op.head_dim;
    float* q = block->q + i * block->stride;
    const int row = block->first_row + i / block->n_heads;
    if (segment.rotations == nullptr) {
      for (int c = 0; c < op.head_dim; ++c) q[c] = from[c];
    } else {
      dki::kernels::ApplyRope(op.pairs, segment.rotations + static_cast<size_t>(row) * op.n_rot,
                              op.n_rot, 1, op.head_dim, from, q);
    }
    for (int c = 0; c < op.head_dim; ++c) q[c] *= op.scale;
    for (int c = op.head_dim; c < block->stride; ++c) q[c] = 0.0f;
  }
}

// The logits p[64] of the tokens [begin, end) into exp(logit - m), zeros elsewhere. Returns (m, d).
inline SoftmaxState TileSoftmax(const float* gates, int gate_stride, int begin, int end, float* p) {
  if (gates != nullptr)
    for (int j = begin; j < end; ++j) p[j] += gates[static_cast<size_t>(j) * gate_stride];
  const int first = begin / Lanes::kCount * Lanes::kCount;
  const int last = (end + Lanes::kCount - 1) / Lanes::kCount * Lanes::kCount;
  for (int j = first; j < begin; ++j) p[j] = -INFINITY;
  for (int j = end; j < last; ++j) p[j] = -INFINITY;
  Lanes::F max = Lanes::Load(p + first);
  for (int j = first + Lanes::kCount; j < last; j += Lanes::kCount)
    max = Lanes::Max(max, Lanes::Load(p + j));
  const float m = Lanes::MaxOf(max);
  SoftmaxState state;
  if (m == -INFINITY) {  // every gate is closed
    for (int j = 0; j < kAttentionTile; ++j) p[j] = 0.0f;
    return state;
  }
  for (int j = first; j < last; j += Lanes::kCount)
    Lanes::Store(p + j, Exp(Lanes::Sub(Lanes::Load(p + j), Lanes::Set(m))));
  for (int j = 0; j < begin; ++j) p[j] = 0.0f;
  for (int j = end; j < kAttentionTile; ++j) p[j] = 0.0f;
  Lanes::F sum = Lanes::Zero();
  for (int j = first; j < last; j += Lanes::kCount) sum = Lanes::Add(sum, Lanes::Load(p + j));
  state.m = m;
  state.d = Lanes::Sum(sum);
  return state;
}

// What the queries need of a tile, prepared for all of them.
struct Tile {
  const float* keys;  // or null: codes
  ValueRows values;   // rows null: codes
  Ahead ahead;
};

// The queries first, ..., first + n - 1, which see the same tokens of the tile.
void AttendRun(const AttentionOp& op, const KvSegment& segment, const TileRange& range,
               const Tile& tile, int first, int n, QueryBlock* block) {
  Queries queries;
  queries.stride = block->stride;
  queries.q = block->q + first * block->stride;
  queries.p = block->p + first * kAttentionTile;
  queries.o = block->o + first * block->stride;
  queries.scales = block->scales + first;
  if (tile.keys == nullptr) {
    QuantisedLogits(op, segment, block->kv_head, range, tile.ahead.keys, n, queries);
  } else {
    ForQueries<KvLanes::kQueries, FloatLogits>(n, queries, tile.keys, op.head_dim,
                                               range.begin / Lanes::kCount,
                                               (range.end + Lanes::kCount - 1) / Lanes::kCount);
  }
  const float* gates =
      segment.log_gates == nullptr
          ? nullptr
          : segment.log_gates + static_cast<size_t>(range.first) * op.n_kv_heads + block->kv_head;
  for (int i = 0; i < n; ++i) {
    SoftmaxState state =
        TileSoftmax(gates, op.n_kv_heads, range.begin, range.end, queries.p + i * kAttentionTile);
    if (op.mass != nullptr) Merge(state, &block->part[first + i]);
    state.m += segment.log_alpha;
    block->scales[first + i] = Merge(state, &block->all[first + i]);
  }
  if (tile.values.rows == nullptr) {
    AddQuantisedValues(op, segment, block->kv_head, range, tile.ahead.values, n, queries);
  } else {
    ForQueries<KvLanes::kQueries, AddFloatValues>(n, queries, tile.values, op.head_dim, range.begin,
                                                  range.end);
  }
}

inline Ahead AheadOf(const AttentionOp& op, const KvSegment& segment, int first,
                     const KvSegment& next, int next_first) {
  Ahead ahead;
  if (segment.key_format == next.key_format)
    ahead.keys = PartAt(op, next.keys, next.key_format, next_first, 0) -
                 PartAt(op, segment.keys, segment.key_format, first, 0);
  if (segment.value_format == next.value_format)
    ahead.values = PartAt(op, next.values, next.value_format, next_first, 0) -
                   PartAt(op, segment.values, segment.value_format, first, 0);
  return ahead;
}

// `next`: the segment that comes behind it, or null.
void AttendSegment(const AttentionOp& op, const KvSegment& segment, const KvSegment* next,
                   QueryBlock* block) {
  // The tokens of each row, and of any.
  int begin[kAttentionRowBlock];
  int end[kAttentionRowBlock];
  int first = 0;
  int last = 0;
  for (int r = 0; r < block->n_rows; ++r) {
    const int row = block->first_row + r;
    begin[r] = segment.begin;
    if (segment.first_visible != nullptr && segment.first_visible[row] > begin[r])
      begin[r] = segment.first_visible[row];
    end[r] = segment.begin + segment.n_tokens + (segment.causal ? row : 0);
    if (begin[r] >= end[r]) begin[r] = end[r] = 0;
    if (begin[r] == end[r]) continue;
    if (first == last || begin[r] < first) first = begin[r];
    if (end[r] > last) last = end[r];
  }
  for (int at = first / kAttentionTile * kAttentionTile; at < last; at += kAttentionTile) {
    TileRange of_row[kAttentionRowBlock];
    TileRange any = {at, kAttentionTile, 0};
    for (int r = 0; r < block->n_rows; ++r) {
      const int from = begin[r] > at ? begin[r] - at : 0;
      const int to = end[r] < at + kAttentionTile ? end[r] - at : kAttentionTile;
      of_row[r] = {at, from, to};
      if (from >= to) continue;
      if (from < any.begin) any.begin = from;
      if (to > any.end) any.end = to;
    }
    if (any.begin >= any.end) continue;
    Tile tile = {nullptr, {nullptr, 0}, {}};
    if (at + kAttentionTile < last)
      tile.ahead = AheadOf(op, segment, at, segment, at + kAttentionTile);
    else if (next != nullptr)
      tile.ahead = AheadOf(op, segment, at, *next, next->begin / kAttentionTile * kAttentionTile);
    if (!ReadsKeyCodes(segment)) {
      FloatKeys(op, segment, block->kv_head, any, tile.ahead.keys, block->keys);
      tile.keys = block->keys;
    }
    if (!ReadsValueCodes(segment))
      tile.values = FloatValues(op, segment, block->kv_head, any, tile.ahead.values, block->values);
    for (int r = 0; r < block->n_rows;) {
      const TileRange& range = of_row[r];
      int run = r + 1;
      while (run < block->n_rows && of_row[run].begin == range.begin &&
             of_row[run].end == range.end)
        ++run;
      if (range.begin < range.end)
        AttendRun(op, segment, range, tile, r * block->n_heads, (run - r) * block->n_heads, block);
      r = run;
    }
  }
}

void AttendBlock(const AttentionOp& op, QueryBlock* block) {
  const size_t n_segments = op.n_segments;
  for (int i = 0; i < block->n(); ++i) {
    block->all[i] = SoftmaxState();
    block->all_unbiased[i] = SoftmaxState();
  }
  for (int i = 0; i < block->n() * block->stride; ++i) block->o[i] = 0.0f;
  const KvSegment* rotated = nullptr;
  for (size_t s = 0; s < n_segments; ++s) {
    const KvSegment& segment = op.segments[s];
    for (int i = 0; i < block->n(); ++i) block->part[i] = SoftmaxState();
    if (segment.log_alpha != -INFINITY) {
      if (rotated == nullptr || rotated->rotations != segment.rotations)
        RotateQueries(op, segment, block);
      rotated = &segment;
      AttendSegment(op, segment, s + 1 < n_segments ? &segment + 1 : nullptr, block);
    }
    if (op.mass == nullptr) continue;
    for (int i = 0; i < block->n(); ++i) {
      Merge(block->part[i], &block->all_unbiased[i]);
      // The totals are not known yet: keep the part where its shares will go.
      double* mass = op.mass + (HeadIndex(op, *block, i) * n_segments + s) * 2;
      mass[0] = block->part[i].m;
      mass[1] = block->part[i].d;
    }
  }
  for (int i = 0; i < block->n(); ++i) {
    const size_t index = HeadIndex(op, *block, i);
    float* out = op.out + index * op.head_dim;
    const float* o = block->o + i * block->stride;
    const float d = block->all[i].d;
    for (int c = 0; c < op.head_dim; ++c) out[c] = d == 0.0f ? 0.0f : o[c] / d;
    if (op.mass == nullptr) continue;
    for (size_t s = 0; s < n_segments; ++s) {
      double* mass = op.mass + (index * n_segments + s) * 2;
      SoftmaxState part;
      part.m = static_cast<float>(mass[0]);
      part.d = static_cast<float>(mass[1]);
      mass[1] = Share(part, block->all_unbiased[i]);
      part.m += op.segments[s].log_alpha;
      mass[0] = Share(part, block->all[i]);
    }
  }
}

void AttentionUnits(const AttentionOp& op, int begin, int end) {
  const int group = op.n_heads / op.n_kv_heads;
  QueryBlock block;
  block.stride = (op.head_dim + 31) / 32 * 32;
  while (begin < end) {
    block.first_row = begin / op.n_heads * kAttentionRowBlock;
    const int left = op.n_rows - block.first_row;
    block.n_rows = left < kAttentionRowBlock ? left : kAttentionRowBlock;
    block.first_head = begin % op.n_heads;
    block.kv_head = block.first_head / group;
    block.n_heads = group - block.first_head % group;  // the rest of those that share the K/V head
    if (block.n_heads > kGroup) block.n_heads = kGroup;
    if (block.n_heads > end - begin) block.n_heads = end - begin;
    AttendBlock(op, &block);
    begin += block.n_heads;
  }
}

}  // namespace
