// SPDX-License-Identifier: Apache-2.0
// Products of a panel of codes (kv_codec.h) with 16-bit weights, exact in 32 bits: at most 256
// codes below 256 with weights up to kLargestWeight. Plain C++; the interface is shared by
// panel_avx2.h and panel_vnni.h.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace {

struct Panel {
  static constexpr int kQueries = 1;
  struct Weights {
    int16_t value[256];
  };

  // Rounds the weights at, at + 1, ...; at: a multiple of Lanes::kCount.
  static inline void Store(Lanes::F weights, int at, Weights* w) {
    float values[Lanes::kCount];
    Lanes::Store(values, weights);
    for (int i = 0; i < Lanes::kCount; ++i)
      w->value[at + i] = static_cast<int16_t>(nearbyintf(values[i]));
  }

  // sums[q][column] += the products of the panel's n_quads * 4 rows with w[q], from weight `first`.
  // Meanwhile asks for the codes `ahead` bytes behind, where that is worth it.
  template <int kBits, int kQ>
  static inline void Multiply(const uint8_t* codes, int n_quads, const Weights* w, int first,
                              ptrdiff_t /*ahead*/, int32_t (*sums)[32]) {
    constexpr int kFields = 8 / kBits;
    for (int q = 0; q < kQ; ++q) {
      for (int step = 0; step < 2 * n_quads; ++step) {
        const uint8_t* from = codes + step / kFields * 64;
        const int shift = step % kFields * kBits;
        const int16_t* weight = w[q].value + first + step / 2 * 4;
        for (int i = 0; i < 16; ++i) {
          int32_t sum = 0;
          for (int j = 0; j < 4; ++j)
            sum += (from[4 * i + j] >> shift & ((1 << kBits) - 1)) * weight[j];
          sums[q][step % 2 * 16 + i] += sum;
        }
      }
    }
  }
};

}  // namespace
