// SPDX-License-Identifier: Apache-2.0
// The K/V codec; included once by the file of each instruction set. Plain loops that the compiler
// vectorises; KvLanes for what it cannot.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/attention.h"
#include "kernels/kv_codec.h"

namespace {

using dki::kernels::kAttentionTile;
using dki::kernels::KeyGroups;
using dki::kernels::kKvGroup;
using dki::kernels::kMaxHeadDim;
using dki::kernels::KvGroupShape;
using dki::kernels::RopePairs;

// One head's tokens of a group, on the stack.
struct GroupRows {
  alignas(64) float x[kKvGroup * kMaxHeadDim];        // [32, n_channels]
  alignas(64) float columns[kKvGroup * kMaxHeadDim];  // [n_channels, 32]
  alignas(64) uint8_t codes[kKvGroup * kMaxHeadDim];  // as x
  alignas(64) float scale[kMaxHeadDim];
  alignas(64) float minimum[kMaxHeadDim];
};

// The lowest and the highest of n values.
inline void Range(const float* x, int n, float* lowest, float* highest) {
  Lanes::F low = Lanes::Set(x[0]);
  Lanes::F high = low;
  int i = 0;
  for (; i + Lanes::kCount <= n; i += Lanes::kCount) {
    low = Lanes::Min(low, Lanes::Load(x + i));
    high = Lanes::Max(high, Lanes::Load(x + i));
  }
  *lowest = -Lanes::MaxOf(Lanes::Sub(Lanes::Zero(), low));
  *highest = Lanes::MaxOf(high);
  for (; i < n; ++i) {
    *lowest = x[i] < *lowest ? x[i] : *lowest;
    *highest = x[i] > *highest ? x[i] : *highest;
  }
}

// Ranges, in place of their lowest and highest values, as the scales and minima that halves can
// hold; then the halves. The margins cover rounding to the nearest half, so that minimum <= lowest
// and minimum + levels * scale >= highest.
inline void StoreRanges(float* lowest, float* highest, int n, float levels, uint8_t* header) {
  constexpr float kUp = 1.0f / 2000;  // of a half's 11 bits
  constexpr float kTiny = 6e-8f;      // a half's smallest step
  constexpr float kLargest = 65504.0f;
  for (int i = 0; i < n; ++i) {
    const float size = lowest[i] < 0 ? -lowest[i] : lowest[i];
    const float minimum = lowest[i] - size * kUp - kTiny;
    lowest[i] = minimum < -kLargest ? -kLargest : minimum > kLargest ? kLargest : minimum;
  }
  uint8_t* const minima = header + 2 * n;
  for (int i = 0; i < n; i += Lanes::kCount)
    KvLanes::StoreHalf(minima + 2 * i, Lanes::Load(lowest + i));
  for (int i = 0; i < n; i += Lanes::kCount)
    Lanes::Store(lowest + i, Lanes::LoadHalf(minima + 2 * i));
  for (int i = 0; i < n; ++i) {
    const float scale = (highest[i] - lowest[i]) / levels * (1 + kUp) + kTiny;
    highest[i] = scale > kLargest ? kLargest : scale;
  }
  for (int i = 0; i < n; i += Lanes::kCount)
    KvLanes::StoreHalf(header + 2 * i, Lanes::Load(highest + i));
  for (int i = 0; i < n; i += Lanes::kCount)
    Lanes::Store(highest + i, Lanes::LoadHalf(header + 2 * i));
}

inline uint8_t Code(float x, float minimum, float inverse, float levels) {
  float code = (x - minimum) * inverse + 0.5f;
  code = code < 0 ? 0 : code;
  code = code > levels ? levels : code;
  return static_cast<uint8_t>(static_cast<int>(code));
}

// The group's tokens of one head, padded with zeros.
inline void LoadRows(const KvGroupShape& shape, const float* from, int n_tokens, float* x) {
  const int n = shape.n_channels();
  if (n_tokens < kKvGroup || shape.head_dim < n) memset(x, 0, sizeof(float) * kKvGroup * n);
  for (int t = 0; t < n_tokens; ++t)
    memcpy(x + t * n, from + static_cast<size_t>(t) * shape.n_kv_heads * shape.head_dim,
           sizeof(float) * shape.head_dim);
}
inline void StoreRows(const KvGroupShape& shape, const float* x, int n_tokens, float* to) {
  const int n = shape.n_channels();
  for (int t = 0; t < n_tokens; ++t)
    memcpy(to + static_cast<size_t>(t) * shape.n_kv_heads * shape.head_dim, x + t * n,
           sizeof(float) * shape.head_dim);
}

// codes: [32 tokens, n]; a quad of channels is one word.
template <int kBits>
inline void PackKeys(const uint8_t* codes, int n, uint32_t* panel) {
  constexpr int kFields = 8 / kBits;
  for (int quad = 0; quad < n / 4; ++quad) {
    for (int half = 0; half < 2; ++half) {
      const int step = quad * 2 + half;
      uint32_t* words = panel + step / kFields * 16;
      const int shift = step % kFields * kBits;
      for (int i = 0; i < 16; ++i) {
        uint32_t word;
        memcpy(&word, codes + (half * 16 + i) * n + quad * 4, sizeof(word));
        words[i] = shift == 0 ? word : words[i] | word << shift;
      }
    }
  }
}
template <int kBits>
inline void UnpackKeys(const uint32_t* panel, int n, uint8_t* codes) {
  constexpr int kFields = 8 / kBits;
  constexpr uint32_t kMask = 0x01010101u * ((1u << kBits) - 1);
  for (int quad = 0; quad < n / 4; ++quad) {
    for (int half = 0; half < 2; ++half) {
      const int step = quad * 2 + half;
      const uint32_t* words = panel + step / kFields * 16;
      for (int i = 0; i < 16; ++i) {
        const uint32_t word = words[i] >> (step % kFields * kBits) & kMask;
        memcpy(codes + (half * 16 + i) * n + quad * 4, &word, sizeof(word));
      }
    }
  }
}
// A quad of tokens of a channel is one word; panels of 32 channels.
template <int kBits>
inline void PackValues(const uint8_t* codes, int n, uint32_t* panels) {
  constexpr int kFields = 8 / kBits;
  for (int quad = 0; quad < kKvGroup / 4; ++quad) {
    const uint8_t* c = codes + quad * 4 * n;
    for (int half = 0; half < n / 16; ++half) {
      const int step = half / 2 * 16 + quad * 2 + half % 2;
      uint32_t* words = panels + step / kFields * 16;
      const int shift = step % kFields * kBits;
      for (int i = 0; i < 16; ++i) {
        const int at = half * 16 + i;
        const uint32_t word = c[at] | static_cast<uint32_t>(c[n + at]) << 8 |
                              static_cast<uint32_t>(c[2 * n + at]) << 16 |
                              static_cast<uint32_t>(c[3 * n + at]) << 24;
        words[i] = shift == 0 ? word : words[i] | word << shift;
      }
    }
  }
}
template <int kBits>
inline void UnpackValues(const uint32_t* panels, int n, uint8_t* codes) {
  constexpr int kFields = 8 / kBits;
  constexpr uint32_t kMask = (1u << kBits) - 1;
  for (int quad = 0; quad < kKvGroup / 4; ++quad) {
    uint8_t* c = codes + quad * 4 * n;
    for (int half = 0; half < n / 16; ++half) {
      const int step = half / 2 * 16 + quad * 2 + half % 2;
      const uint32_t* words = panels + step / kFields * 16;
      for (int token = 0; token < 4; ++token) {
        const int shift = step % kFields * kBits + 8 * token;
        for (int i = 0; i < 16; ++i)
          c[token * n + half * 16 + i] = static_cast<uint8_t>(words[i] >> shift & kMask);
      }
    }
  }
}

template <int kBits>
void EncodeKeyGroup(const KvGroupShape& shape, int n_tokens, GroupRows* g, uint8_t* out) {
  const int n = shape.n_channels();
  constexpr float kLevels = (1 << kBits) - 1;
  alignas(64) float inverse[kMaxHeadDim];
  if (shape.key_groups == KeyGroups::kToken) {
    for (int t = 0; t < kKvGroup; ++t) {
      float lowest, highest;
      Range(g->x + t * n, shape.head_dim, &lowest, &highest);
      g->minimum[t] = lowest;
      g->scale[t] = highest;
    }
    StoreRanges(g->minimum, g->scale, kKvGroup, kLevels, out);
    for (int t = 0; t < kKvGroup; ++t) {
      const float minimum = g->minimum[t];
      const float inv = 1 / g->scale[t];
      for (int c = 0; c < n; ++c)
        g->codes[t * n + c] = Code(g->x[t * n + c], minimum, inv, kLevels);
    }
  } else {
    memcpy(g->minimum, g->x, sizeof(float) * n);
    memcpy(g->scale, g->x, sizeof(float) * n);
    for (int t = 1; t < n_tokens; ++t) {
      for (int c = 0; c < n; ++c) {
        const float x = g->x[t * n + c];
        g->minimum[c] = x < g->minimum[c] ? x : g->minimum[c];
        g->scale[c] = x > g->scale[c] ? x : g->scale[c];
      }
    }
    StoreRanges(g->minimum, g->scale, n, kLevels, out);
    for (int c = 0; c < n; ++c) inverse[c] = 1 / g->scale[c];
    for (int t = 0; t < kKvGroup; ++t) {
      for (int c = 0; c < n; ++c)
        g->codes[t * n + c] = Code(g->x[t * n + c], g->minimum[c], inverse[c], kLevels);
    }
  }
  PackKeys<kBits>(g->codes, n, reinterpret_cast<uint32_t*>(out + 4 * n));
}

template <int kBits>
void DecodeKeyGroup(const KvGroupShape& shape, const uint8_t* in, GroupRows* g) {
  const int n = shape.n_channels();
  const int n_ranges = shape.key_groups == KeyGroups::kToken ? kKvGroup : n;
  for (int i = 0; i < n_ranges; i += Lanes::kCount) {
    Lanes::Store(g->scale + i, Lanes::LoadHalf(in + 2 * i));
    Lanes::Store(g->minimum + i, Lanes::LoadHalf(in + 2 * (n_ranges + i)));
  }
  UnpackKeys<kBits>(reinterpret_cast<const uint32_t*>(in + 4 * n), n, g->codes);
  for (int t = 0; t < kKvGroup; ++t) {
    float* x = g->x + t * n;
    const uint8_t* codes = g->codes + t * n;
    if (shape.key_groups == KeyGroups::kToken) {
      const float scale = g->scale[t];
      const float minimum = g->minimum[t];
      // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): stored as vectors above
      for (int c = 0; c < n; ++c) x[c] = minimum + scale * static_cast<float>(codes[c]);
    } else {
      // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): stored as vectors above
      for (int c = 0; c < n; ++c) x[c] = g->minimum[c] + g->scale[c] * static_cast<float>(codes[c]);
    }
  }
}

// The other way round: out: [n_channels, stride], its 32 columns the tokens. That is how a panel
// lies, and how rotations are cheap. Not for KeyGroups::kToken.
// Meanwhile asks for the codes `ahead` bytes behind.
template <int kBits>
void DecodeKeyColumns(const uint8_t* in, int n, int stride, ptrdiff_t ahead, float* out) {
  constexpr int kFields = 8 / kBits;
  alignas(64) float scale[kMaxHeadDim];
  alignas(64) float minimum[kMaxHeadDim];
  for (int i = 0; i < n; i += Lanes::kCount) {
    Lanes::Store(scale + i, Lanes::LoadHalf(in + 2 * i));
    Lanes::Store(minimum + i, Lanes::LoadHalf(in + 2 * (n + i)));
  }
  for (int step = 0; step < n / 2; ++step) {
    const uint8_t* from = in + 4 * n + step / kFields * 64;
    if (step % kFields == 0) __builtin_prefetch(from + ahead);
    for (int i = 0; i < 4; ++i) {
      const int c = step / 2 * 4 + i;
      float* to = out + c * stride + step % 2 * 16;
      for (int t = 0; t < 16; t += Lanes::kCount) {
        const Lanes::F code =
            KvLanes::LoadField(from + 4 * t, step % kFields * kBits + 8 * i, (1 << kBits) - 1);
        // n is even and every channel's scale was stored above, which the analyzer does not see.
        // NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage)
        Lanes::Store(to + t, Lanes::Fma(code, Lanes::Set(scale[c]), Lanes::Set(minimum[c])));
      }
    }
  }
}

// Turns keys, [head_dim, stride], by their tokens' rotations, or back. rotations: [n_rot / 2, 2,
// 64].
template <int kDirection>
inline void RotateColumns(RopePairs pairs, int n_rot, const float* rotations, int n_tokens,
                          int stride, float* keys) {
  const bool interleaved = pairs == RopePairs::kInterleaved;
  const int half = n_rot / 2;
  for (int i = 0; i < half; ++i, rotations += 2 * kAttentionTile) {
    float* a = keys + (interleaved ? 2 * i : i) * stride;
    float* b = keys + (interleaved ? 2 * i + 1 : i + half) * stride;
    for (int t = 0; t < n_tokens; t += Lanes::kCount) {
      const Lanes::F cosine = Lanes::Load(rotations + t);
      Lanes::F sine = Lanes::Load(rotations + kAttentionTile + t);
      if (kDirection < 0) sine = Lanes::Sub(Lanes::Zero(), sine);
      const Lanes::F xa = Lanes::Load(a + t);
      const Lanes::F xb = Lanes::Load(b + t);
      Lanes::Store(a + t, Lanes::Sub(Lanes::Mul(xa, cosine), Lanes::Mul(xb, sine)));
      Lanes::Store(b + t, Lanes::Fma(xb, cosine, Lanes::Mul(xa, sine)));
    }
  }
}

// from: [n, 32] to: [32, n].
inline void TurnColumns(const float* from, int n, float* to) {
  constexpr int kN = Lanes::kCount;
  for (int c = 0; c < n; c += kN) {
    for (int t = 0; t < kKvGroup; t += kN) {
      Lanes::F block[kN];
      for (int i = 0; i < kN; ++i) block[i] = Lanes::Load(from + (c + i) * kKvGroup + t);
      KvLanes::Transpose(block);
      for (int i = 0; i < kN; ++i) Lanes::Store(to + (t + i) * n + c, block[i]);
    }
  }
}
// from: [32, n] to: [n, 32].
inline void TurnRows(const float* from, int n, float* to) {
  constexpr int kN = Lanes::kCount;
  for (int t = 0; t < kKvGroup; t += kN) {
    for (int c = 0; c < n; c += kN) {
      Lanes::F block[kN];
      for (int i = 0; i < kN; ++i) block[i] = Lanes::Load(from + (t + i) * n + c);
      KvLanes::Transpose(block);
      for (int i = 0; i < kN; ++i) Lanes::Store(to + (c + i) * kKvGroup + t, block[i]);
    }
  }
}

template <int kBits>
void EncodeValueGroup(const KvGroupShape& shape, GroupRows* g, uint8_t* out) {
  const int n = shape.n_channels();
  constexpr float kLevels = (1 << kBits) - 1;
  for (int t = 0; t < kKvGroup; ++t) {
    for (int b = 0; b < n / 32; ++b) {
      const int left = shape.head_dim - b * 32;
      Range(g->x + t * n + b * 32, left < 32 ? left : 32, &g->minimum[b * 32 + t],
            &g->scale[b * 32 + t]);
    }
  }
  StoreRanges(g->minimum, g->scale, n, kLevels, out);
  for (int t = 0; t < kKvGroup; ++t) {
    for (int b = 0; b < n / 32; ++b) {
      const float minimum = g->minimum[b * 32 + t];
      const float inverse = 1 / g->scale[b * 32 + t];
      const float* x = g->x + t * n + b * 32;
      uint8_t* codes = g->codes + t * n + b * 32;
      for (int c = 0; c < 32; ++c) codes[c] = Code(x[c], minimum, inverse, kLevels);
    }
  }
  PackValues<kBits>(g->codes, n, reinterpret_cast<uint32_t*>(out + 4 * n));
}

template <int kBits>
void DecodeValueGroup(const KvGroupShape& shape, const uint8_t* in, GroupRows* g) {
  const int n = shape.n_channels();
  for (int i = 0; i < n; i += Lanes::kCount) {
    Lanes::Store(g->scale + i, Lanes::LoadHalf(in + 2 * i));
    Lanes::Store(g->minimum + i, Lanes::LoadHalf(in + 2 * (n + i)));
  }
  UnpackValues<kBits>(reinterpret_cast<const uint32_t*>(in + 4 * n), n, g->codes);
  for (int t = 0; t < kKvGroup; ++t) {
    for (int b = 0; b < n / 32; ++b) {
      const float scale = g->scale[b * 32 + t];
      const float minimum = g->minimum[b * 32 + t];
      float* x = g->x + t * n + b * 32;
      const uint8_t* codes = g->codes + t * n + b * 32;
      for (int c = 0; c < 32; ++c) x[c] = minimum + scale * static_cast<float>(codes[c]);
    }
  }
}

// The rotations of a group's tokens within their tile's table, or null.
inline const float* GroupRotations(const KvGroupShape& shape, const float* rotations, int group) {
  if (shape.key_groups != KeyGroups::kChannelFirst) return nullptr;
  return rotations + static_cast<size_t>(group / 2) * shape.n_rot * 64 + group % 2 * kKvGroup;
}

// Calls body(group, n_tokens, offset of the group's first row in the plane, bytes of the group).
template <typename Bytes, typename Body>
inline void ForGroups(const KvGroupShape& shape, int n_tokens, Bytes* groups, Body body) {
  const size_t bytes = KvGroupBytes(shape);
  for (int group = 0; group * kKvGroup < n_tokens; ++group) {
    const int left = n_tokens - group * kKvGroup;
    for (int head = 0; head < shape.n_kv_heads; ++head) {
      const size_t row = static_cast<size_t>(group) * kKvGroup * shape.n_kv_heads + head;
      body(group, left < kKvGroup ? left : kKvGroup, row * shape.head_dim, groups);
      groups += bytes;
    }
  }
}

#define DKI_FOR_BITS(format, Function, ...)                               \
  ((format) == dki::kernels::KvFormat::kInt8   ? Function<8>(__VA_ARGS__) \
   : (format) == dki::kernels::KvFormat::kInt4 ? Function<4>(__VA_ARGS__) \
                                               : Function<2>(__VA_ARGS__))

void EncodeAllKeys(const KvGroupShape& shape, const float* keys, int n_tokens,
                   const float* rotations, uint8_t* groups) {
  GroupRows g;
  const int n = shape.n_channels();
  ForGroups(shape, n_tokens, groups, [&](int group, int n_group, size_t at, uint8_t* out) {
    LoadRows(shape, keys + at, n_group, g.x);
    if (shape.key_groups == KeyGroups::kChannelFirst) {
      TurnRows(g.x, n, g.columns);
      RotateColumns<-1>(shape.pairs, shape.n_rot, GroupRotations(shape, rotations, group), kKvGroup,
                        kKvGroup, g.columns);
      TurnColumns(g.columns, n, g.x);
    }
    DKI_FOR_BITS(shape.format, EncodeKeyGroup, shape, n_group, &g, out);
  });
}
void EncodeAllValues(const KvGroupShape& shape, const float* values, int n_tokens,
                     uint8_t* groups) {
  GroupRows g;
  ForGroups(shape, n_tokens, groups, [&](int, int n, size_t at, uint8_t* out) {
    LoadRows(shape, values + at, n, g.x);
    DKI_FOR_BITS(shape.format, EncodeValueGroup, shape, &g, out);
  });
}
void DecodeAllKeys(const KvGroupShape& shape, const uint8_t* groups, int n_tokens,
                   const float* rotations, float* keys) {
  GroupRows g;
  const int n = shape.n_channels();
  ForGroups(shape, n_tokens, groups, [&](int group, int n_group, size_t at, const uint8_t* in) {
    if (shape.key_groups == KeyGroups::kChannelFirst) {
      DKI_FOR_BITS(shape.format, DecodeKeyColumns, in, n, kKvGroup, 0, g.columns);
      RotateColumns<1>(shape.pairs, shape.n_rot, GroupRotations(shape, rotations, group), kKvGroup,
                       kKvGroup, g.columns);
      TurnColumns(g.columns, n, g.x);
    } else {
      DKI_FOR_BITS(shape.format, DecodeKeyGroup, shape, in, &g);
    }
    StoreRows(shape, g.x, n_group, keys + at);
  });
}
void DecodeAllValues(const KvGroupShape& shape, const uint8_t* groups, int n_tokens,
                     float* values) {
  GroupRows g;
  ForGroups(shape, n_tokens, groups, [&](int, int n, size_t at, const uint8_t* in) {
    DKI_FOR_BITS(shape.format, DecodeValueGroup, shape, in, &g);
    StoreRows(shape, g.x, n, values + at);
  });
}

}  // namespace
