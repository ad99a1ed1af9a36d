// SPDX-License-Identifier: Apache-2.0
// Attention and the K/V codec, compiled once per instruction set (see cpu_kernels.h). `vnni` is the
// AVX-512 path on a CPU with VNNI; its integer sums are exact, so its bits are those of `avx512`.
#pragma once

#include "kernels/attention.h"
#include "kernels/isa.h"
#include "kernels/kv_codec.h"

namespace dki::kernels {

#define DKI_DECLARE_KV_KERNELS(path)                                                \
  namespace path {                                                                  \
  void Attention(const AttentionOp& op, int begin, int end);                        \
  void EncodeKeys(const KvGroupShape& shape, const float* keys, int n_tokens,       \
                  const float* rotations, uint8_t* groups);                         \
  void EncodeValues(const KvGroupShape& shape, const float* values, int n_tokens,   \
                    uint8_t* groups);                                               \
  void DecodeKeys(const KvGroupShape& shape, const uint8_t* groups, int n_tokens,   \
                  const float* rotations, float* keys);                             \
  void DecodeValues(const KvGroupShape& shape, const uint8_t* groups, int n_tokens, \
                    float* values);                                                 \
  }
DKI_DECLARE_KV_KERNELS(plain)
DKI_DECLARE_KV_KERNELS(avx2)
DKI_DECLARE_KV_KERNELS(avx512)
DKI_DECLARE_KV_KERNELS(vnni)
#undef DKI_DECLARE_KV_KERNELS

// Calls Function(...) of the vectorised path of `isa`; the reference path is the caller's own case.
#if defined(__x86_64__)
#define DKI_CALL_KV(isa, Function, ...)                                                  \
  ((isa) == ::dki::kernels::Isa::kAvx512                                                 \
       ? (::dki::kernels::UsesVnni(isa) ? ::dki::kernels::vnni::Function(__VA_ARGS__)    \
                                        : ::dki::kernels::avx512::Function(__VA_ARGS__)) \
   : (isa) == ::dki::kernels::Isa::kAvx2 ? ::dki::kernels::avx2::Function(__VA_ARGS__)   \
                                         : ::dki::kernels::plain::Function(__VA_ARGS__))
#else
#define DKI_CALL_KV(isa, Function, ...) ::dki::kernels::plain::Function(__VA_ARGS__)
#endif

}  // namespace dki::kernels
