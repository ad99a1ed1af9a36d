// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/peak.h"

#include <cstdint>
#include <cstring>

#include "kernels/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace dki::kernels {
namespace {

constexpr int kLoops = 4'000'000;
constexpr int kChains = 10;  // covers latency times issue width on all current cores

// Keeps a value alive past the optimiser.
template <typename T>
void Use(T& value) {
  asm volatile("" : "+m"(value));
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) double MultiplyAdds512() {
  __m512 sums[kChains];
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_set1_ps(1.0f);
  const __m512 factor = _mm512_set1_ps(0.999f);
  for (int loop = 0; loop < kLoops; ++loop) {
#pragma GCC unroll 10
    for (int i = 0; i < kChains; ++i) sums[i] = _mm512_fmadd_ps(sums[i], factor, factor);
  }
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) asm volatile("" : "+v"(sums[i]));
  return 2.0 * 16 * kChains * kLoops;
}
__attribute__((target("avx2,fma"))) double MultiplyAdds256() {
  __m256 sums[kChains];
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) sums[i] = _mm256_set1_ps(1.0f);
  const __m256 factor = _mm256_set1_ps(0.999f);
  for (int loop = 0; loop < kLoops; ++loop) {
#pragma GCC unroll 10
    for (int i = 0; i < kChains; ++i) sums[i] = _mm256_fmadd_ps(sums[i], factor, factor);
  }
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) asm volatile("" : "+x"(sums[i]));
  return 2.0 * 8 * kChains * kLoops;
}
__attribute__((target("avx512f,avx512vnni"))) double Int8Dots512() {
  __m512i sums[kChains];
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_setzero_si512();
  const __m512i ones = _mm512_set1_epi8(1);
  for (int loop = 0; loop < kLoops; ++loop) {
#pragma GCC unroll 10
    for (int i = 0; i < kChains; ++i) {
      sums[i] = _mm512_dpbusd_epi32(sums[i], ones, ones);
      asm volatile("" : "+v"(sums[i]));  // or the compiler multiplies instead
    }
  }
  return 2.0 * 64 * kChains * kLoops;
}
__attribute__((target("avx2"))) double Int8Dots256() {
  __m256i sums[kChains];
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) sums[i] = _mm256_setzero_si256();
  __m256i ones = _mm256_set1_epi8(1);
  const __m256i pairs = _mm256_set1_epi16(1);
  for (int loop = 0; loop < kLoops; ++loop) {
#pragma GCC unroll 10
    for (int i = 0; i < kChains; ++i) {
      asm volatile("" : "+x"(ones));
      const __m256i products = _mm256_madd_epi16(_mm256_maddubs_epi16(ones, ones), pairs);
      sums[i] = _mm256_add_epi32(sums[i], products);
    }
  }
#pragma GCC unroll 10
  for (int i = 0; i < kChains; ++i) asm volatile("" : "+x"(sums[i]));
  return 2.0 * 32 * kChains * kLoops;
}
#endif

double MultiplyAddsScalar() {
  float sums[kChains];
  for (float& sum : sums) sum = 1.0f;
  for (int loop = 0; loop < kLoops; ++loop)
    for (float& sum : sums) sum = sum * 0.999f + 0.999f;
  for (float& sum : sums) Use(sum);
  return 2.0 * kChains * kLoops;
}

}  // namespace

#if defined(__x86_64__)
namespace {
__attribute__((target("avx2"))) void ReadAll256(const char* data, size_t n) {
  __m256i sum[8];
  for (__m256i& s : sum) s = _mm256_setzero_si256();
  for (size_t i = 0; i + 256 <= n; i += 256) {
    __builtin_prefetch(data + i + 2048);
    __builtin_prefetch(data + i + 2048 + 64);
    __builtin_prefetch(data + i + 2048 + 128);
    __builtin_prefetch(data + i + 2048 + 192);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j)
      sum[j] = _mm256_or_si256(sum[j], _mm256_loadu_si256((const __m256i*)(data + i + 32 * j)));
  }
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) asm volatile("" : "+x"(sum[j]));
}
}  // namespace
#endif

void ReadAll(const char* data, size_t n) {
#if defined(__x86_64__)
  if (IsSupported(Isa::kAvx2)) return ReadAll256(data, n);
#endif
  uint64_t sum[4] = {};
  for (size_t i = 0; i + 64 <= n; i += 64) {
    uint64_t words[8];
    std::memcpy(words, data + i, sizeof(words));
    for (int j = 0; j < 8; ++j) sum[j % 4] += words[j];
  }
  uint64_t total = sum[0] + sum[1] + sum[2] + sum[3];
  asm volatile("" : "+r"(total));
}

double MultiplyAdds() {
#if defined(__x86_64__)
  if (IsSupported(Isa::kAvx512)) return MultiplyAdds512();
  if (IsSupported(Isa::kAvx2)) return MultiplyAdds256();
#endif
  return MultiplyAddsScalar();
}

double Int8MultiplyAdds() {
#if defined(__x86_64__)
  if (UsesVnni(Isa::kAvx512)) return Int8Dots512();
  if (IsSupported(Isa::kAvx2)) return Int8Dots256();
#endif
  return 0;
}

}  // namespace dki::kernels
