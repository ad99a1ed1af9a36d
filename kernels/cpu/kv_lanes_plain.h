// SPDX-License-Identifier: Apache-2.0
// What attention and the K/V codec need besides Lanes, as plain C++. The interface is shared by
// kv_lanes_avx2.h and kv_lanes_avx512.h.
#pragma once

#include "kernels/cpu/lanes_plain.h"

namespace {

struct KvLanes {
  // Queries x vectors of sums that are kept in registers.
  static constexpr int kQueries = 2;
  static constexpr int kVectors = 2;

  // Rounded to the nearest half, unaligned.
  static inline void StoreHalf(void* p, Lanes::F a) {
    for (int i = 0; i < Lanes::kCount; ++i) {
      const uint16_t h = dki::kernels::FloatToHalf(a.v[i]);
      memcpy(static_cast<char*>(p) + 2 * i, &h, sizeof(h));
    }
  }
  static inline Lanes::F LoadInt(const int32_t* p) {
    Lanes::F r;
    for (int i = 0; i < Lanes::kCount; ++i) r.v[i] = static_cast<float>(p[i]);
    return r;
  }
  // Of each 32-bit word: word >> shift & mask.
  static inline Lanes::F LoadField(const uint8_t* words, int shift, int mask) {
    Lanes::F r;
    for (int i = 0; i < Lanes::kCount; ++i) {
      int32_t word;
      memcpy(&word, words + 4 * i, sizeof(word));
      r.v[i] = static_cast<float>(word >> shift & mask);
    }
    return r;
  }
  // Rows become columns. r: [kCount].
  [[gnu::always_inline]] static inline void Transpose(Lanes::F* r) {
    for (int i = 0; i < Lanes::kCount; ++i) {
      for (int j = 0; j < i; ++j) {
        const float swapped = r[i].v[j];
        r[i].v[j] = r[j].v[i];
        r[j].v[i] = swapped;
      }
    }
  }
};

}  // namespace
