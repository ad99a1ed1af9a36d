// SPDX-License-Identifier: Apache-2.0
// Instruction-set paths, chosen at run time from one binary. Results are bit-equal within a path
// (P11), not between paths.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dki::kernels {

enum class Isa {
  kReference,  // scalar, accumulates in double: the oracle of the others
  kPlain,      // portable C++, the compiler's own vectorisation
  kAvx2,       // AVX2, FMA, F16C
  kAvx512,     // AVX-512 F, BW, VL, DQ; VNNI for integer products where the CPU has it
};

bool IsSupported(Isa isa);
// Whether the integer products of `isa` use VNNI on this machine.
bool UsesVnni(Isa isa);
// Whether `isa` multiplies with 16-bit activations faster than with float ones (matmul_int16.h).
inline bool HasInt16Products(Isa isa) {
  return isa == Isa::kAvx2 || isa == Isa::kAvx512;
}
// The fastest supported path.
Isa BestIsa();

// "auto" gives BestIsa(); nothing for an unknown name or a path that this CPU lacks.
std::optional<Isa> ChooseIsa(std::string_view name);
const char* Name(Isa isa);
// For logs and metrics: "avx512 (vnni)".
std::string Describe(Isa isa);

}  // namespace dki::kernels
