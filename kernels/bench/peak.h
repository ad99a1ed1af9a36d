// SPDX-License-Identifier: Apache-2.0
// The machine's limits, to hold the kernels against.
#pragma once

#include <cstddef>

namespace dki::kernels {

// Reads every cache line of [data, data + n).
void ReadAll(const char* data, size_t n);

// Independent multiply-adds in the widest registers of this CPU. Returns the floating-point
// operations done.
double MultiplyAdds();

// Independent dot products of int8 quadruples (VNNI where the CPU has it, multiply-add pairs of
// AVX2 otherwise). Returns the operations done, two per product of a pair; 0 where there is
// neither.
double Int8MultiplyAdds();

}  // namespace dki::kernels
