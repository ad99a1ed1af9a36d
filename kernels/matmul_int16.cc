// SPDX-License-Identifier: Apache-2.0
#include "kernels/matmul_int16.h"

#include "kernels/cpu/int16_kernels.h"
#include "kernels/reference/reference.h"
#include "kernels/scratch.h"

namespace dki::kernels {
namespace {

thread_local Scratch unpacked;

}  // namespace

void QuantizedActivations::Resize(int n_tokens, int k_values) {
  k = k_values;
  const size_t n = static_cast<size_t>(n_tokens) * k;
  if (q.size() >= n) return;
  q.resize(n);
  d.resize(n / kQuantBlock);
  sum.resize(n / kQuantBlock);
}

void QuantizeActivations(Isa isa, const float* x, int begin, int end, QuantizedActivations* out) {
  const size_t first = static_cast<size_t>(begin) * out->k / kQuantBlock;
  const size_t last = static_cast<size_t>(end) * out->k / kQuantBlock;
  int16_t* q = out->q.data();
  float* d = out->d.data();
  float* sum = out->sum.data();
#if defined(__x86_64__)
  if (UsesVnni(isa)) return int16_vnni::QuantizeInt16(x, first, last, q, d, sum);
  if (isa == Isa::kAvx512) return int16_avx512::QuantizeInt16(x, first, last, q, d, sum);
  if (isa == Isa::kAvx2) return int16_avx2::QuantizeInt16(x, first, last, q, d, sum);
#endif
  reference::QuantizeInt16(x, first, last, q, d, sum);
}

void MatMulInt16(Isa isa, const WeightMatrix& w, const QuantizedActivations& x, int n_tokens,
                 float* y, int row_begin, int row_end) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512 || isa == Isa::kAvx2) {
    const Int16View view{x.q.data(), x.d.data(), x.sum.data()};
    uint8_t* scratch =
        unpacked.Get<uint8_t>(kUnpackedTiles * kUnpackedBlockBytes * (w.k / kQuantBlock));
    if (UsesVnni(isa))
      return int16_vnni::MatMulInt16(w, view, n_tokens, y, row_begin, row_end, scratch);
    if (isa == Isa::kAvx512)
      return int16_avx512::MatMulInt16(w, view, n_tokens, y, row_begin, row_end, scratch);
    return int16_avx2::MatMulInt16(w, view, n_tokens, y, row_begin, row_end, scratch);
  }
#endif
  reference::MatMulInt16(w, x, n_tokens, y, row_begin, row_end);
}

}  // namespace dki::kernels
