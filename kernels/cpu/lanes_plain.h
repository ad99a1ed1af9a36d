// SPDX-License-Identifier: Apache-2.0
// Eight floats as plain C++. The interface is shared by lanes_avx2.h and lanes_avx512.h.
#pragma once

#include <math.h>
#include <string.h>

#include "kernels/dtype.h"

namespace {

struct Lanes {
  static constexpr int kCount = 8;
  // Accumulators that a tile of rows x tokens may use without spilling registers.
  static constexpr int kTileRows = 2;
  static constexpr int kTileTokens = 2;
  struct F {
    float v[kCount];
  };

#define DKI_EACH(expression)                              \
  F r;                                                    \
  for (int i = 0; i < kCount; ++i) r.v[i] = (expression); \
  return r
  static inline F Zero() {
    return F{};
  }
  static inline F Set(float x) {
    DKI_EACH(x);
  }
  static inline F Load(const float* p) {
    F r;
    memcpy(r.v, p, sizeof(r.v));
    return r;
  }
  // The first n < kCount floats, then zeros.
  static inline F LoadFirst(const float* p, int n) {
    DKI_EACH(i < n ? p[i] : 0.0f);
  }
  static inline void Store(float* p, F a) {
    memcpy(p, a.v, sizeof(a.v));
  }
  static inline F Add(F a, F b) {
    DKI_EACH(a.v[i] + b.v[i]);
  }
  static inline F Sub(F a, F b) {
    DKI_EACH(a.v[i] - b.v[i]);
  }
  static inline F Mul(F a, F b) {
    DKI_EACH(a.v[i] * b.v[i]);
  }
  static inline F Div(F a, F b) {
    DKI_EACH(a.v[i] / b.v[i]);
  }
  static inline F Max(F a, F b) {
    DKI_EACH(a.v[i] > b.v[i] ? a.v[i] : b.v[i]);
  }
  static inline F Min(F a, F b) {
    DKI_EACH(a.v[i] < b.v[i] ? a.v[i] : b.v[i]);
  }
  // a * b + c; one rounding where the CPU has it.
  static inline F Fma(F a, F b, F c) {
    DKI_EACH(a.v[i] * b.v[i] + c.v[i]);
  }
  static inline F Round(F a) {
    DKI_EACH(nearbyintf(a.v[i]));
  }
  // x * 2^n for integral n in [-126, 127].
  static inline F ScaleByPowerOf2(F x, F n) {
    F r;
    for (int i = 0; i < kCount; ++i) {
      const int32_t bits = (static_cast<int32_t>(n.v[i]) + 127) << 23;
      float power;
      memcpy(&power, &bits, sizeof(power));
      r.v[i] = x.v[i] * power;
    }
    return r;
  }
  // Folds the lanes in halves.
  static inline float Sum(F a) {
    for (int half = kCount / 2; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) a.v[i] += a.v[i + half];
    return a.v[0];
  }
  static inline float MaxOf(F a) {
    float m = a.v[0];
    for (int i = 1; i < kCount; ++i) m = a.v[i] > m ? a.v[i] : m;
    return m;
  }

  static inline F LoadHalf(const void* p) {
    F r;
    for (int i = 0; i < kCount; ++i) {
      uint16_t h;
      memcpy(&h, static_cast<const char*>(p) + 2 * i, sizeof(h));
      r.v[i] = dki::kernels::HalfToFloat(h);
    }
    return r;
  }
  static inline F LoadBf16(const void* p) {
    F r;
    for (int i = 0; i < kCount; ++i) {
      uint16_t h;
      memcpy(&h, static_cast<const char*>(p) + 2 * i, sizeof(h));
      const uint32_t bits = static_cast<uint32_t>(h) << 16;
      memcpy(&r.v[i], &bits, sizeof(bits));
    }
    return r;
  }
  static inline F LoadInt8(const int8_t* p) {
    DKI_EACH(static_cast<float>(p[i]));
  }
  // 32 4-bit values as scale * value + offset. q: [16]; out: [32 / kCount].
  static inline void LoadNibbles(const uint8_t* q, float scale, float offset, F* out) {
    for (int i = 0; i < 32; ++i) {
      const int value = i < 16 ? q[i] & 15 : q[i - 16] >> 4;
      out[i / kCount].v[i % kCount] = scale * static_cast<float>(value) + offset;
    }
  }
  static inline float Half(uint16_t h) {
    return dki::kernels::HalfToFloat(h);
  }
#undef DKI_EACH
};

}  // namespace
