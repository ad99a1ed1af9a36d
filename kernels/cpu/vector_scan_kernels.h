// SPDX-License-Identifier: Apache-2.0
// vector_scan.h by instruction set. Compiled under the rule of cpu_kernels.h.
#pragma once

#include <stdint.h>

namespace dki::kernels {

namespace vector_scan_avx2 {
void Int8Dots(const int8_t* query, const int8_t* const* rows, int n_rows, int n, int32_t* dots);
float Dot(const float* a, const float* b, int n);
}  // namespace vector_scan_avx2

namespace vector_scan_vnni {
void Int8Dots(const int8_t* query, const int8_t* const* rows, int n_rows, int n, int32_t* dots);
}  // namespace vector_scan_vnni

}  // namespace dki::kernels
