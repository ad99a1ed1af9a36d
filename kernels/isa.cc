// SPDX-License-Identifier: Apache-2.0
#include "kernels/isa.h"

namespace dki::kernels {
namespace {
constexpr Isa kAll[] = {Isa::kReference, Isa::kPlain, Isa::kAvx2, Isa::kAvx512};
}  // namespace

#if defined(__x86_64__)
bool IsSupported(Isa isa) {
  switch (isa) {
    case Isa::kReference:
    case Isa::kPlain:
      return true;
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c");
    case Isa::kAvx512:
      return IsSupported(Isa::kAvx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512dq");
  }
  return false;
}

bool UsesVnni(Isa isa) {
  return isa == Isa::kAvx512 && IsSupported(isa) && __builtin_cpu_supports("avx512vnni");
}
#else
bool IsSupported(Isa isa) {
  return isa == Isa::kReference || isa == Isa::kPlain;
}
bool UsesVnni(Isa) {
  return false;
}
#endif

Isa BestIsa() {
  for (Isa isa : {Isa::kAvx512, Isa::kAvx2})
    if (IsSupported(isa)) return isa;
  return Isa::kPlain;
}

std::optional<Isa> ChooseIsa(std::string_view name) {
  if (name == "auto") return BestIsa();
  for (Isa isa : kAll)
    if (name == Name(isa) && IsSupported(isa)) return isa;
  return std::nullopt;
}

const char* Name(Isa isa) {
  switch (isa) {
    case Isa::kReference:
      return "reference";
    case Isa::kPlain:
      return "plain";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "unknown";
}

std::string Describe(Isa isa) {
  return std::string(Name(isa)) + (UsesVnni(isa) ? " (vnni)" : "");
}

}  // namespace dki::kernels
