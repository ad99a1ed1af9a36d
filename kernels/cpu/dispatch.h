// SPDX-License-Identifier: Apache-2.0
// The one place that knows which paths this build has.
#pragma once

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/isa.h"

// Calls Function(...) of the vectorised path of `isa`; the reference path is the caller's own case.
#if defined(__x86_64__)
#define DKI_CALL_CPU(isa, Function, ...)                                                 \
  ((isa) == ::dki::kernels::Isa::kAvx512 ? ::dki::kernels::avx512::Function(__VA_ARGS__) \
   : (isa) == ::dki::kernels::Isa::kAvx2 ? ::dki::kernels::avx2::Function(__VA_ARGS__)   \
                                         : ::dki::kernels::plain::Function(__VA_ARGS__))
#else
#define DKI_CALL_CPU(isa, Function, ...) ::dki::kernels::plain::Function(__VA_ARGS__)
#endif
