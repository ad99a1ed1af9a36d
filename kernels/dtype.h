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
};

// A quantised block has 32 values along k. In the 4-bit formats byte i holds value i in its low and
// value i + 16 in its high nibble.
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
// The inverse, rounding as GGML's reference quantisers do. For tests and fixtures.
void QuantizeRow(DType dtype, const float* src, size_t n, void* dst);

}  // namespace dki::kernels
