// SPDX-License-Identifier: Apache-2.0
#include "kernels/vector_scan.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/vector_scan_kernels.h"
#include "kernels/reference/reference.h"

namespace dki::kernels {

Int8Copy QuantizeToInt8(const float* x, int n, int8_t* q) {
  float largest = 0;
  for (int i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
  // Below it the inverse would overflow; such a vector is zeros, and its length the error.
  const bool some = largest > 1e-30f;
  Int8Copy copy;
  copy.scale = some ? largest / 127.0f : 0.0f;
  const float inverse = some ? 127.0f / largest : 0.0f;
  double squares = 0;
  for (int i = 0; i < n; ++i) {
    const int rounded = static_cast<int>(std::nearbyint(x[i] * inverse));
    q[i] = static_cast<int8_t>(std::clamp(rounded, -127, 127));
    const double rest = double{x[i]} - double{copy.scale} * q[i];
    squares += rest * rest;
  }
  copy.error = std::nextafter(static_cast<float>(std::sqrt(squares)), INFINITY);
  return copy;
}

void Int8Dots(Isa isa, const int8_t* query, const int8_t* const* rows, int n_rows, int n,
              int32_t* dots) {
#if defined(__x86_64__)
  if (UsesVnni(isa)) return vector_scan_vnni::Int8Dots(query, rows, n_rows, n, dots);
  if (isa == Isa::kAvx512 || isa == Isa::kAvx2)
    return vector_scan_avx2::Int8Dots(query, rows, n_rows, n, dots);
#endif
  reference::Int8Dots(query, rows, n_rows, n, dots);
}

float Dot(Isa isa, const float* a, const float* b, int n) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512 || isa == Isa::kAvx2) return vector_scan_avx2::Dot(a, b, n);
#endif
  return reference::Dot(a, b, n);
}

}  // namespace dki::kernels
