// SPDX-License-Identifier: Apache-2.0
// Inner products of one query with many stored vectors, in two steps: int8 copies are compared
// first, 64 products an instruction where the CPU has VNNI, and say within a proven bound what the
// float vectors would give; the few that can still win are then compared in float32. All paths give
// the same bits in both steps.
#pragma once

#include <cstdint>

#include "kernels/isa.h"

namespace dki::kernels {

// Vectors are padded with zeros up to a multiple of this.
inline constexpr int kScanUnit = 64;
inline constexpr int PaddedDimension(int dimension) {
  return (dimension + kScanUnit - 1) / kScanUnit * kScanUnit;
}

// An int8 copy x' = scale * q of a vector x, q within [-127, 127].
struct Int8Copy {
  float scale = 0;
  float error = 0;  // at least |x - x'|, Euclidean
};
// q: [n]. REQUIRES: x is finite, [n].
Int8Copy QuantizeToInt8(const float* x, int n, int8_t* q);

// dots[i] = sum over k of query[k] * rows[i][k], exact. query, rows[i]: [n], values within
// [-127, 127]; rows: [n_rows]. REQUIRES: n is a multiple of kScanUnit, at most 2^16.
void Int8Dots(Isa isa, const int8_t* query, const int8_t* const* rows, int n_rows, int n,
              int32_t* dots);

// 16 sums, of the elements i = lane modulo 16, fused multiply-add in order; then folded in halves.
// a, b: [n]. REQUIRES: n is a multiple of 16.
float Dot(Isa isa, const float* a, const float* b, int n);

}  // namespace dki::kernels
