// SPDX-License-Identifier: Apache-2.0
// Number formats of weights and K/V, with the memory layouts of GGUF. All multi-byte fields are
// little-endian.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dki::kernels {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ8_0,  // 32 int8 values q with a half d:           w = d * q
  kQ4_0,  // 32 4-bit values q with a half d:           w = d * (q - 8)
  kQ4_1,  // 32 4-bit values q with halves d and m:     w = d * q + m
  kQ5_0,  // 32 5-bit values q with a half d:           w = d * (q - 16)
  kQ5_1,  // 32 5-bit values q with halves d and m:     w = d * q + m
  // Superblocks of 256 values: parts of 32 (16 in Q6_K) have small integers s and n as scale and
  // minimum, in units of the superblock's halves d and m.
  kQ4_K,  // 4-bit values q:                            w = d * s * q - m * n
  kQ5_K,  // 5-bit values q:                            w = d * s * q - m * n
  kQ6_K,  // 6-bit values q:                            w = d * s * (q - 32)
};
inline constexpr int kNumDTypes = 11;

// All quantised formats come in whole groups of 32 values along k. In Q4_0, Q4_1, Q5_0 and Q5_1
// byte i holds value i in its low and value i + 16 in its high nibble; the order in the superblocks
// stands in small_blocks.h.
inline constexpr int kQuantBlock = 32;

struct BlockQ8_0 {
  uint16_t d;
  int8_t q[32];
};
struct BlockQ4_0 {
  uint16_t d;
  uint8_t q[16];
};
struct BlockQ4_1 {
  uint16_t d;
  uint16_t m;
  uint8_t q[16];
};
struct BlockQ5_0 {
  uint16_t d;
  uint8_t high[4];  // bit i: the fifth bit of value i
  uint8_t q[16];
};
struct BlockQ5_1 {
  uint16_t d;
  uint16_t m;
  uint8_t high[4];
  uint8_t q[16];
};
struct BlockQ4_K {
  uint16_t d;
  uint16_t m;
  uint8_t scales[12];
  uint8_t q[128];
};
struct BlockQ5_K {
  uint16_t d;
  uint16_t m;
  uint8_t scales[12];
  uint8_t high[32];
  uint8_t q[128];
};
struct BlockQ6_K {
  uint8_t q[128];    // low 4 bits
  uint8_t high[64];  // upper 2 bits
  int8_t scales[16];
  uint16_t d;
};
static_assert(sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24 && sizeof(BlockQ4_K) == 144 &&
              sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);
static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20);

const char* Name(DType dtype);
// Values per block (1 for the plain formats) and bytes per block.
int BlockValues(DType dtype);
size_t BlockBytes(DType dtype);
inline bool IsQuantized(DType dtype) {
  return BlockValues(dtype) > 1;
}
// Bytes of a row of n values. REQUIRES: n is a multiple of BlockValues.
inline size_t RowBytes(DType dtype, size_t n) {
  return n / BlockValues(dtype) * BlockBytes(dtype);
}

// IEEE half and bfloat16 to float: exact, infinities and NaN kept. From float: to nearest even.
float HalfToFloat(uint16_t h);
uint16_t FloatToHalf(float f);
float Bf16ToFloat(uint16_t b);
uint16_t FloatToBf16(float f);

// src: a row of n values in `dtype`; dst: [n].
void DequantizeRow(DType dtype, const void* src, size_t n, float* dst);
// The inverse, rounding as GGML's reference quantisers do. For tests and fixtures. REQUIRES: not a
// format with 5 or 6 bits or superblocks, which are only ever read.
void QuantizeRow(DType dtype, const float* src, size_t n, void* dst);

}  // namespace dki::kernels
