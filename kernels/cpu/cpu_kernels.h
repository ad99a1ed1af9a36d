// SPDX-License-Identifier: Apache-2.0
// The vectorised kernels: one set of templates (*_impl.h) compiled once per instruction set, each
// into a namespace of its own.
//
// The files that are compiled with extra instruction sets use no inline function of the standard
// library: the linker keeps one copy of such a function, and it may keep the one that only newer
// CPUs can run.
#pragma once

#include <cstdint>

#include "kernels/dense.h"
#include "kernels/matmul.h"

namespace dki::kernels {

// Raw view of DenseMatrix.
struct DenseView {
  int n_out;
  int k;
  const uint16_t* panels;
  const float* bias;
};

#define DKI_DECLARE_CPU_KERNELS(path)                                                            \
  namespace path {                                                                               \
  /* x: [n_tokens, x_stride], zero beyond k up to a multiple of 32. */                           \
  /* scratch: ScratchFloats(k) floats, 64-byte aligned. */                                       \
  void MatMul(const WeightMatrix& w, const float* x, int x_stride, int n_tokens, float* y,       \
              int row_begin, int row_end, float* scratch);                                       \
  void RmsNorm(const float* x, const float* weight, float epsilon, int n_rows, int n, float* y); \
  void SiluMul(const float* up, int n, float* gate);                                             \
  void GeluTanhMul(const float* up, int n, float* gate);                                         \
  void Gelu(int n, float* x);                                                                    \
  void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon,          \
                 int n_rows, int n, float* y);                                                   \
  void BlockMaxima(const float* x, int n, float* maxima);                                        \
  void ExpWeights(const float* x, int n, float max, float scale, float* y, float* sums);         \
  void Dense(const DenseView& m, const float* x, int n_tokens, float* y, int panel_begin,        \
             int panel_end);                                                                     \
  }
DKI_DECLARE_CPU_KERNELS(plain)
DKI_DECLARE_CPU_KERNELS(avx2)
DKI_DECLARE_CPU_KERNELS(avx512)
#undef DKI_DECLARE_CPU_KERNELS

}  // namespace dki::kernels
