// SPDX-License-Identifier: Apache-2.0
// A tile of 64 keys or values of one K/V head as floats, and the products of queries with it. Keys
// are turned over, [head_dim, 64], so that a register holds one channel of many tokens: logits then
// need no sum across a register, and each is one chain of multiply-adds over the channels.
#pragma once

#include <stddef.h>

#include "kernels/attention.h"
#include "kernels/cpu/kv_codec_impl.h"
#include "kernels/dtype.h"

namespace {

using dki::kernels::AttentionOp;
using dki::kernels::KvFormat;
using dki::kernels::KvSegment;

// Tokens [begin, end) of a tile that starts at the token `first` of its buffer.
struct TileRange {
  int first;
  int begin;
  int end;
};

// Bytes from a tile to the one that comes next, of the same formats, or 0. Reading a tile asks for
// the same bytes of the next: heads lie between each other, in pieces too short for the CPU to
// foresee, and asking for all at once would only wait.
struct Ahead {
  ptrdiff_t keys = 0;
  ptrdiff_t values = 0;
};
inline void Ask(const void* p, ptrdiff_t ahead) {
  __builtin_prefetch(static_cast<const char*>(p) + ahead);
}

struct FromF32 {
  using Value = float;
  static inline Lanes::F Load(const Value* p) { return Lanes::Load(p); }
  static inline float One(Value v) { return v; }
};
struct FromF16 {
  using Value = uint16_t;
  static inline Lanes::F Load(const Value* p) { return Lanes::LoadHalf(p); }
  static inline float One(Value v) { return Lanes::Half(v); }
};
struct FromBf16 {
  using Value = uint16_t;
  static inline Lanes::F Load(const Value* p) { return Lanes::LoadBf16(p); }
  static inline float One(Value v) { return dki::kernels::Bf16ToFloat(v); }
};

// keys: [64, stride] at the tile's first token; out: [head_dim, 64], zeros outside the range.
template <typename From>
inline void TurnKeys(const typename From::Value* keys, size_t stride, int head_dim,
                     const TileRange& range, ptrdiff_t ahead, float* out) {
  constexpr int kN = Lanes::kCount;
  for (int token = range.begin / kN * kN; token < range.end; token += kN) {
    int c = 0;
    for (; c + kN <= head_dim; c += kN) {
      Lanes::F block[kN];
      if (token >= range.begin && token + kN <= range.end) {
        for (int i = 0; i < kN; ++i) {
          const typename From::Value* key = keys + (token + i) * stride + c;
          block[i] = From::Load(key);
          if (c % (64 / sizeof(*key)) == 0) Ask(key, ahead);
        }
      } else {
        for (int i = 0; i < kN; ++i) {
          const bool within = token + i >= range.begin && token + i < range.end;
          block[i] = within ? From::Load(keys + (token + i) * stride + c) : Lanes::Zero();
        }
      }
      KvLanes::Transpose(block);
      for (int i = 0; i < kN; ++i) Lanes::Store(out + (c + i) * kAttentionTile + token, block[i]);
    }
    for (; c < head_dim; ++c) {
      for (int i = token; i < token + kN; ++i) {
        const bool within = i >= range.begin && i < range.end;
        out[c * kAttentionTile + i] = within ? From::One(keys[i * stride + c]) : 0.0f;
      }
    }
  }
}

template <typename From>
inline void CopyValues(const typename From::Value* values, size_t stride, int head_dim,
                       const TileRange& range, ptrdiff_t ahead, int out_stride, float* out) {
  for (int token = range.begin; token < range.end; ++token) {
    const typename From::Value* from = values + token * stride;
    float* to = out + token * out_stride;
    for (int at = 0; at < head_dim; at += 64 / sizeof(*from)) Ask(from + at, ahead);
    int c = 0;
    for (; c + Lanes::kCount <= head_dim; c += Lanes::kCount)
      Lanes::Store(to + c, From::Load(from + c));
    for (; c < head_dim; ++c) to[c] = From::One(from[c]);
    for (; c < out_stride; ++c) to[c] = 0.0f;
  }
}

// Bytes of one head's group, where `plane` is a quantised one.
inline const uint8_t* GroupAt(const AttentionOp& op, const void* plane, KvFormat format, int group,
                              int kv_head) {
  const size_t n = (op.head_dim + 31) / 32 * 32;
  const size_t bytes = 4 * n + n * kKvGroup * dki::kernels::CodeBits(format) / 8;
  return static_cast<const uint8_t*>(plane) +
         (static_cast<size_t>(group) * op.n_kv_heads + kv_head) * bytes;
}

// Keys that were quantised before their rotation.
void DecodeTileKeys(const AttentionOp& op, const KvSegment& segment, int kv_head,
                    const TileRange& range, ptrdiff_t ahead, float* out) {
  const int n = (op.head_dim + 31) / 32 * 32;
  for (int group = range.begin / kKvGroup; group * kKvGroup < range.end; ++group) {
    const uint8_t* from =
        GroupAt(op, segment.keys, segment.key_format, range.first / kKvGroup + group, kv_head);
    DKI_FOR_BITS(segment.key_format, DecodeKeyColumns, from, n, kAttentionTile, ahead,
                 out + group * kKvGroup);
  }
  RotateColumns<1>(op.pairs, op.n_rot,
                   segment.key_rotations + static_cast<size_t>(range.first) * op.n_rot,
                   kAttentionTile, kAttentionTile, out);
}

// Where one head's part of a plane's tile begins: a row of floats or halves, or a group of codes.
inline const uint8_t* PartAt(const AttentionOp& op, const void* plane, KvFormat format, int token,
                             int kv_head) {
  if (dki::kernels::CodeBits(format) != 0)
    return GroupAt(op, plane, format, token / kKvGroup, kv_head);
  const size_t row = static_cast<size_t>(token) * op.n_kv_heads + kv_head;
  return static_cast<const uint8_t*>(plane) +
         row * op.head_dim * (format == KvFormat::kF32 ? 4 : 2);
}

// True where queries meet the codes themselves (quantised_tile.h).
inline bool ReadsKeyCodes(const KvSegment& segment) {
  return dki::kernels::CodeBits(segment.key_format) != 0 &&
         segment.key_groups != KeyGroups::kChannelFirst;
}
inline bool ReadsValueCodes(const KvSegment& segment) {
  return dki::kernels::CodeBits(segment.value_format) != 0;
}

// out: [head_dim, 64].
inline void FloatKeys(const AttentionOp& op, const KvSegment& segment, int kv_head,
                      const TileRange& range, ptrdiff_t ahead, float* out) {
  const size_t stride = static_cast<size_t>(op.n_kv_heads) * op.head_dim;
  const size_t at = range.first * stride + static_cast<size_t>(kv_head) * op.head_dim;
  switch (segment.key_format) {
    case KvFormat::kF32:
      return TurnKeys<FromF32>(static_cast<const float*>(segment.keys) + at, stride, op.head_dim,
                               range, ahead, out);
    case KvFormat::kF16:
      return TurnKeys<FromF16>(static_cast<const uint16_t*>(segment.keys) + at, stride, op.head_dim,
                               range, ahead, out);
    case KvFormat::kBF16:
      return TurnKeys<FromBf16>(static_cast<const uint16_t*>(segment.keys) + at, stride,
                                op.head_dim, range, ahead, out);
    default:
      return DecodeTileKeys(op, segment, kv_head, range, ahead, out);
  }
}

struct ValueRows {
  const float* rows;  // of the tile's first token
  size_t stride;
};
// In place where possible, else in `buffer`: [64, n_channels].
inline ValueRows FloatValues(const AttentionOp& op, const KvSegment& segment, int kv_head,
                             const TileRange& range, ptrdiff_t ahead, float* buffer) {
  const size_t stride = static_cast<size_t>(op.n_kv_heads) * op.head_dim;
  const size_t at = range.first * stride + static_cast<size_t>(kv_head) * op.head_dim;
  const int n = (op.head_dim + 31) / 32 * 32;
  if (segment.value_format == KvFormat::kF32) {
    const float* values = static_cast<const float*>(segment.values) + at;
    if (op.head_dim % Lanes::kCount == 0) return {values, stride};
    CopyValues<FromF32>(values, stride, op.head_dim, range, ahead, n, buffer);
  } else {
    const uint16_t* values = static_cast<const uint16_t*>(segment.values) + at;
    if (segment.value_format == KvFormat::kF16)
      CopyValues<FromF16>(values, stride, op.head_dim, range, ahead, n, buffer);
    else
      CopyValues<FromBf16>(values, stride, op.head_dim, range, ahead, n, buffer);
  }
  return {buffer, static_cast<size_t>(n)};
}

// sums[q][v] += sum over k in [begin, end) of a[q][k] * b[k][v]: a register tile.
template <int kQ, int kV>
inline void AddProducts(const float* a, size_t a_stride, const float* b, size_t b_stride, int begin,
                        int end, Lanes::F (&sums)[kQ][kV]) {
  for (int k = begin; k < end; ++k) {
    Lanes::F row[kV];
#pragma GCC unroll 4
    for (int v = 0; v < kV; ++v) row[v] = Lanes::Load(b + k * b_stride + v * Lanes::kCount);
#pragma GCC unroll 8
    for (int q = 0; q < kQ; ++q) {
      const Lanes::F weight = Lanes::Set(a[q * a_stride + k]);
#pragma GCC unroll 4
      for (int v = 0; v < kV; ++v) sums[q][v] = Lanes::Fma(weight, row[v], sums[q][v]);
    }
  }
}
template <int kQ, int kV>
inline void SetZero(Lanes::F (&sums)[kQ][kV]) {
  for (int q = 0; q < kQ; ++q)
    for (int v = 0; v < kV; ++v) sums[q][v] = Lanes::Zero();
}

// Calls Body<Q>(queries from here on) for n queries, as many as kMax at a time.
template <int kMax, template <int> typename Body, typename... Args>
inline void ForQueries(int n, const Args&... args) {
  int q = 0;
  for (; q + kMax <= n; q += kMax) Body<kMax>::Run(q, args...);
  switch (n - q) {
    case 1:
      return Body<1>::Run(q, args...);
    case 2:
      if constexpr (kMax > 2) Body<2>::Run(q, args...);
      return;
    case 3:
      if constexpr (kMax > 3) Body<3>::Run(q, args...);
      return;
    case 4:
      if constexpr (kMax > 4) Body<4>::Run(q, args...);
      return;
    case 5:
      if constexpr (kMax > 5) Body<5>::Run(q, args...);
      return;
  }
}

// What a tile's products need to know of the queries.
struct Queries {
  const float* q;                           // [n, stride], rotated and scaled
  float* p;                                 // [n, 64] logits, then weights
  float* o;                                 // [n, stride]
  const dki::kernels::MergeScales* scales;  // [n]
  int stride;                               // n_channels
};

// p = q . keys for the tokens of the registers [begin, end).
template <int kQ>
struct FloatLogits {
  static inline void Run(int first, const Queries& queries, const float* keys, int head_dim,
                         int begin, int end) {
    const float* q = queries.q + static_cast<size_t>(first) * queries.stride;
    float* p = queries.p + first * kAttentionTile;
    int v = begin;
    for (; v + KvLanes::kVectors <= end; v += KvLanes::kVectors)
      Block<KvLanes::kVectors>(q, queries.stride, keys, head_dim, v, p);
    for (; v < end; ++v) Block<1>(q, queries.stride, keys, head_dim, v, p);
  }
  template <int kV>
  static inline void Block(const float* q, int stride, const float* keys, int head_dim, int v,
                           float* p) {
    Lanes::F sums[kQ][kV];
    SetZero(sums);
    const int at = v * Lanes::kCount;
    AddProducts(q, stride, keys + at, kAttentionTile, 0, head_dim, sums);
    for (int i = 0; i < kQ; ++i)
      for (int j = 0; j < kV; ++j)
        Lanes::Store(p + i * kAttentionTile + at + j * Lanes::kCount, sums[i][j]);
  }
};

// o = o * scales.into + (p . values) * scales.other over the tokens [begin, end).
template <int kQ>
struct AddFloatValues {
  static inline void Run(int first, const Queries& queries, const ValueRows& values, int head_dim,
                         int begin, int end) {
    const int n_vectors = (head_dim + Lanes::kCount - 1) / Lanes::kCount;
    int v = 0;
    for (; v + KvLanes::kVectors <= n_vectors; v += KvLanes::kVectors)
      Block<KvLanes::kVectors>(first, queries, values, begin, end, v);
    for (; v < n_vectors; ++v) Block<1>(first, queries, values, begin, end, v);
  }
  template <int kV>
  static inline void Block(int first, const Queries& queries, const ValueRows& values, int begin,
                           int end, int v) {
    Lanes::F sums[kQ][kV];
    SetZero(sums);
    const int at = v * Lanes::kCount;
    AddProducts(queries.p + first * kAttentionTile, kAttentionTile, values.rows + at, values.stride,
                begin, end, sums);
    for (int i = 0; i < kQ; ++i) {
      float* o = queries.o + static_cast<size_t>(first + i) * queries.stride + at;
      const Lanes::F into = Lanes::Set(queries.scales[first + i].into);
      const Lanes::F other = Lanes::Set(queries.scales[first + i].other);
      for (int j = 0; j < kV; ++j, o += Lanes::kCount)
        Lanes::Store(o, Lanes::Fma(Lanes::Load(o), into, Lanes::Mul(sums[i][j], other)));
    }
  }
};

}  // namespace
