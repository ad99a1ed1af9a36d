// SPDX-License-Identifier: Apache-2.0
// Blocks of the formats with five and six bits and with superblocks, as small integers. Included by
// the files of each instruction set: hence the unnamed namespace (cpu/cpu_kernels.h).
#pragma once

#include <stdint.h>

#include "kernels/dtype.h"

namespace {

// 32 values: w[i] = half(d) * scale[i / 16] * q[i] + half(m) * offset.
struct SmallBlock {
  alignas(64) int8_t q[32];
  uint16_t d, m;
  int scale[2];
  int offset;
};

// Scale and minimum j of a superblock, 6 bits each, packed into 12 bytes.
inline int SuperScale(const uint8_t* s, int j) {
  return j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
}
inline int SuperMinimum(const uint8_t* s, int j) {
  return j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
}

// Values [32 b, 32 b + 32) of a row.
template <dki::kernels::DType kType>
inline void UnpackBlock(const char* row, int b, SmallBlock* out) {
  using dki::kernels::BlockQ4_K;
  using dki::kernels::BlockQ5_0;
  using dki::kernels::BlockQ5_1;
  using dki::kernels::BlockQ5_K;
  using dki::kernels::BlockQ6_K;
  using dki::kernels::DType;
  out->scale[0] = out->scale[1] = 1;
  out->offset = 0;
  out->m = 0;
  if constexpr (kType == DType::kQ5_0 || kType == DType::kQ5_1) {
    constexpr bool kHasMinimum = kType == DType::kQ5_1;
    constexpr int kZero = kHasMinimum ? 0 : 16;
    const uint8_t *high, *low;
    if constexpr (kHasMinimum) {
      const BlockQ5_1* block = reinterpret_cast<const BlockQ5_1*>(row) + b;
      out->d = block->d;
      out->m = block->m;
      out->offset = 1;
      high = block->high;
      low = block->q;
    } else {
      const BlockQ5_0* block = reinterpret_cast<const BlockQ5_0*>(row) + b;
      out->d = block->d;
      high = block->high;
      low = block->q;
    }
    const uint32_t bits = static_cast<uint32_t>(high[0]) | static_cast<uint32_t>(high[1]) << 8 |
                          static_cast<uint32_t>(high[2]) << 16 |
                          static_cast<uint32_t>(high[3]) << 24;
    for (int i = 0; i < 16; ++i)
      out->q[i] = static_cast<int8_t>(((low[i] & 15) | (bits >> i & 1) << 4) - kZero);
    for (int i = 0; i < 16; ++i)
      out->q[i + 16] = static_cast<int8_t>((low[i] >> 4 | (bits >> (i + 16) & 1) << 4) - kZero);
  } else if constexpr (kType == DType::kQ4_K) {
    const BlockQ4_K* block = reinterpret_cast<const BlockQ4_K*>(row) + b / 8;
    const int j = b % 8;
    out->d = block->d;
    out->m = block->m;
    out->scale[0] = out->scale[1] = SuperScale(block->scales, j);
    out->offset = -SuperMinimum(block->scales, j);
    const int shift = j % 2 * 4;
    for (int i = 0; i < 32; ++i)
      out->q[i] = static_cast<int8_t>(block->q[j / 2 * 32 + i] >> shift & 15);
  } else if constexpr (kType == DType::kQ5_K) {
    const BlockQ5_K* block = reinterpret_cast<const BlockQ5_K*>(row) + b / 8;
    const int j = b % 8;
    out->d = block->d;
    out->m = block->m;
    out->scale[0] = out->scale[1] = SuperScale(block->scales, j);
    out->offset = -SuperMinimum(block->scales, j);
    const int shift = j % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      out->q[i] = static_cast<int8_t>((block->q[j / 2 * 32 + i] >> shift & 15) |
                                      (block->high[i] >> j & 1) << 4);
    }
  } else {
    static_assert(kType == DType::kQ6_K);
    const BlockQ6_K* block = reinterpret_cast<const BlockQ6_K*>(row) + b / 8;
    const int half = b % 8 / 4, j = b % 4;  // of 128 values, and of 32 in it
    out->d = block->d;
    out->scale[0] = block->scales[8 * half + 2 * j];
    out->scale[1] = block->scales[8 * half + 2 * j + 1];
    const uint8_t* low = block->q + 64 * half + 32 * (j % 2);
    const uint8_t* high = block->high + 32 * half;
    for (int i = 0; i < 32; ++i) {
      out->q[i] =
          static_cast<int8_t>(((low[i] >> (j / 2 * 4) & 15) | (high[i] >> (2 * j) & 3) << 4) - 32);
    }
  }
}

}  // namespace
