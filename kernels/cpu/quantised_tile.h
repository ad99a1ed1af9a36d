// SPDX-License-Identifier: Apache-2.0
// Products of queries with the codes of keys and values (kv_codec.h), without making floats of
// them. With x = minimum + scale * code, a sum of weights times x is
//
//   sum_i w_i x_i = sum_i (w_i scale_i) code_i + sum_i w_i minimum_i
//
// whose first sum runs over integers: w_i scale_i are rounded to 16 bits, relative to the largest
// of them, and the products are exact. So the rounding is 250 times below that of 8-bit codes, and
// the result does not depend on the order of operations (P11).
#pragma once

#include <stddef.h>

#include "kernels/cpu/attention_tile.h"

namespace {

constexpr float kLargestWeight = 32512;  // 127 * 256: both digits of it fit in 8 bits

inline Lanes::F Abs(Lanes::F x) {
  return Lanes::Max(x, Lanes::Sub(Lanes::Zero(), x));
}
// Multiplies the n weights, n a multiple of Lanes::kCount, so that the largest becomes
// kLargestWeight, and stores them. Returns what undoes it.
inline float StoreWeights(const float* weights, int n, Panel::Weights* out) {
  Lanes::F largest = Lanes::Zero();
  for (int i = 0; i < n; i += Lanes::kCount)
    largest = Lanes::Max(largest, Abs(Lanes::Load(weights + i)));
  const float max = Lanes::MaxOf(largest);
  const float inverse = max > 1e-30f ? kLargestWeight / max : 0.0f;
  for (int i = 0; i < n; i += Lanes::kCount)
    Panel::Store(Lanes::Mul(Lanes::Load(weights + i), Lanes::Set(inverse)), i, out);
  return max / kLargestWeight;
}

struct Sums {
  alignas(64) int32_t of[Panel::kQueries][32];
};
template <int kQ>
inline void MultiplyPanel(KvFormat format, const uint8_t* codes, int n_quads,
                          const Panel::Weights* w, int first, ptrdiff_t ahead, Sums* sums) {
  switch (dki::kernels::CodeBits(format)) {
    case 8:
      return Panel::Multiply<8, kQ>(codes, n_quads, w, first, ahead, sums->of);
    case 4:
      return Panel::Multiply<4, kQ>(codes, n_quads, w, first, ahead, sums->of);
    default:
      return Panel::Multiply<2, kQ>(codes, n_quads, w, first, ahead, sums->of);
  }
}

// p = q . keys for a group of 32 tokens. ranges: scales, then minima, as floats.
template <int kQ>
struct CodeLogits {
  static inline void Run(int first, const Queries& queries, const KvSegment& segment,
                         const uint8_t* group, const float* scale, const float* minimum,
                         ptrdiff_t ahead, float* p) {
    const int n = queries.stride;
    const bool by_token = segment.key_groups == KeyGroups::kToken;
    Panel::Weights weights[kQ];
    float unit[kQ];
    float base[kQ];
    for (int i = 0; i < kQ; ++i) {
      const float* q = queries.q + static_cast<size_t>(first + i) * n;
      alignas(64) float scaled[kMaxHeadDim];
      Lanes::F sum = Lanes::Zero();
      for (int c = 0; c < n; c += Lanes::kCount) {
        const Lanes::F x = Lanes::Load(q + c);
        Lanes::Store(scaled + c, by_token ? x : Lanes::Mul(x, Lanes::Load(scale + c)));
        sum = by_token ? Lanes::Add(sum, x) : Lanes::Fma(x, Lanes::Load(minimum + c), sum);
      }
      base[i] = Lanes::Sum(sum);
      unit[i] = StoreWeights(scaled, n, &weights[i]);
    }
    Sums sums;
    for (int i = 0; i < kQ; ++i)
      for (int j = 0; j < 32; ++j) sums.of[i][j] = 0;
    MultiplyPanel<kQ>(segment.key_format, group + 4 * n, n / 4, weights, 0, ahead, &sums);
    for (int i = 0; i < kQ; ++i) {
      for (int j = 0; j < 32; j += Lanes::kCount) {
        const Lanes::F sum = KvLanes::LoadInt(sums.of[i] + j);
        Lanes::F logit = Lanes::Fma(sum, Lanes::Set(unit[i]), Lanes::Set(base[i]));
        if (by_token) {
          const Lanes::F whole = Lanes::Mul(sum, Lanes::Set(unit[i]));
          logit = Lanes::Fma(whole, Lanes::Load(scale + j),
                             Lanes::Mul(Lanes::Set(base[i]), Lanes::Load(minimum + j)));
        }
        Lanes::Store(p + (first + i) * kAttentionTile + j, logit);
      }
    }
  }
};

inline void LoadRanges(const uint8_t* header, int n, float* scale, float* minimum) {
  for (int i = 0; i < n; i += Lanes::kCount) {
    Lanes::Store(scale + i, Lanes::LoadHalf(header + 2 * i));
    Lanes::Store(minimum + i, Lanes::LoadHalf(header + 2 * (n + i)));
  }
}

void QuantisedLogits(const AttentionOp& op, const KvSegment& segment, int kv_head,
                     const TileRange& range, ptrdiff_t ahead, int n_queries,
                     const Queries& queries) {
  alignas(64) float scale[kMaxHeadDim];
  alignas(64) float minimum[kMaxHeadDim];
  const int n_ranges = segment.key_groups == KeyGroups::kToken ? kKvGroup : queries.stride;
  for (int group = range.begin / kKvGroup; group * kKvGroup < range.end; ++group) {
    const uint8_t* from =
        GroupAt(op, segment.keys, segment.key_format, range.first / kKvGroup + group, kv_head);
    LoadRanges(from, n_ranges, scale, minimum);
    for (int i = 0; i < 4 * n_ranges; i += 64) Ask(from + i, ahead);
    ForQueries<Panel::kQueries, CodeLogits>(n_queries, queries, segment, from, scale, minimum,
                                            ahead, queries.p + group * kKvGroup);
  }
}

// o = o * scales.into + (p . values) * scales.other for 32 channels; scale, minimum: [64] of the
// tokens; codes: the panels of the groups begin, end - 1 of the tile.
template <int kQ>
struct AddCodeValues {
  static inline void Run(int first, const Queries& queries, KvFormat format,
                         const uint8_t* const* codes, const float* scale, const float* minimum,
                         int begin, int end, ptrdiff_t ahead, float* o) {
    Panel::Weights weights[kQ];
    float unit[kQ];
    float base[kQ];
    for (int i = 0; i < kQ; ++i) {
      const float* p = queries.p + (first + i) * kAttentionTile;
      alignas(64) float scaled[kAttentionTile];
      Lanes::F sum = Lanes::Zero();
      for (int j = begin * kKvGroup; j < end * kKvGroup; j += Lanes::kCount) {
        const Lanes::F x = Lanes::Load(p + j);
        Lanes::Store(scaled + j, Lanes::Mul(x, Lanes::Load(scale + j)));
        sum = Lanes::Fma(x, Lanes::Load(minimum + j), sum);
      }
      base[i] = Lanes::Sum(sum);
      // A tile of one group has its weights in front.
      unit[i] = StoreWeights(scaled + begin * kKvGroup, (end - begin) * kKvGroup, &weights[i]);
    }
    Sums sums;
    for (int i = 0; i < kQ; ++i)
      for (int j = 0; j < 32; ++j) sums.of[i][j] = 0;
    for (int group = begin; group < end; ++group)
      MultiplyPanel<kQ>(format, codes[group], kKvGroup / 4, weights, (group - begin) * kKvGroup,
                        ahead, &sums);
    for (int i = 0; i < kQ; ++i) {
      float* to = o + static_cast<size_t>(first + i) * queries.stride;
      const Lanes::F into = Lanes::Set(queries.scales[first + i].into);
      const Lanes::F other = Lanes::Set(queries.scales[first + i].other);
      for (int j = 0; j < 32; j += Lanes::kCount) {
        const Lanes::F sum =
            Lanes::Fma(KvLanes::LoadInt(sums.of[i] + j), Lanes::Set(unit[i]), Lanes::Set(base[i]));
        Lanes::Store(to + j, Lanes::Fma(Lanes::Load(to + j), into, Lanes::Mul(sum, other)));
      }
    }
  }
};

void AddQuantisedValues(const AttentionOp& op, const KvSegment& segment, int kv_head,
                        const TileRange& range, ptrdiff_t ahead, int n_queries,
                        const Queries& queries) {
  const int n = queries.stride;
  const int begin = range.begin / kKvGroup;
  const int end = (range.end + kKvGroup - 1) / kKvGroup;
  const uint8_t* groups[2] = {};
  for (int group = begin; group < end; ++group)
    groups[group] =
        GroupAt(op, segment.values, segment.value_format, range.first / kKvGroup + group, kv_head);
  for (int group = begin; group < end; ++group)
    for (int i = 0; i < 4 * n; i += 64) Ask(groups[group] + i, ahead);
  const size_t panel_bytes = 128 * dki::kernels::CodeBits(segment.value_format);
  for (int block = 0; block < n / 32; ++block) {
    alignas(64) float scale[kAttentionTile];
    alignas(64) float minimum[kAttentionTile];
    const uint8_t* codes[2] = {};
    for (int group = begin; group < end; ++group) {
      for (int i = 0; i < kKvGroup; i += Lanes::kCount) {
        const uint8_t* half = groups[group] + 2 * (block * 32 + i);
        Lanes::Store(scale + group * kKvGroup + i, Lanes::LoadHalf(half));
        Lanes::Store(minimum + group * kKvGroup + i, Lanes::LoadHalf(half + 2 * n));
      }
      codes[group] = groups[group] + 4 * n + block * panel_bytes;
    }
    ForQueries<Panel::kQueries, AddCodeValues>(n_queries, queries, segment.value_format, codes,
                                               scale, minimum, begin, end, ahead,
                                               queries.o + block * 32);
  }
}

}  // namespace
